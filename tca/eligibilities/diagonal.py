"""The diagonal of the Jacobian as propagator: the eligibility trace of SnAp-1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.blocks import synaptic_trace
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import Trace
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape

__all__ = ["Diagonal"]


@dataclass(frozen=True)
class Diagonal(Eligibility):
    """``D_t = diag J_t = leak + gain_t W_ii slope_{t-1}``: memory in the leak and in self-connections.

    Equal to ``Leak`` if and only if no cell has a self-connection. The reset of a spiking cell is one of weight
    ``-thr``, unless it counts as part of the leak.

    Paper: Menick et al. (2021), Practical real time recurrent learning with a sparse approximation, ICLR.
    """

    local: ClassVar[bool] = True
    equation: ClassVar[str] = "D_t = diag J_t"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``(diag J_t)^T later``."""
        tape.leak_(t, into, later)
        tape.transmit_own_(t, into, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return synaptic_trace(connection, step, trials, lambda now: now.diagonal())
