"""No memory: the present step alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import InstantTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape

__all__ = ["Instant"]


@dataclass(frozen=True)
class Instant(Eligibility):
    """``D_t = 0``, so ``e_t = gain_t (x) pre_t``.

    With the exact signal this is backpropagation through time, with the direct one the instantaneous three-factor rule.
    """

    local: ClassVar[bool] = True
    remembers: ClassVar[bool] = False
    equation: ClassVar[str] = "D_t = 0"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Leave ``into`` unchanged: ``D_t = 0``."""

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return InstantTrace(connection, step, trials)
