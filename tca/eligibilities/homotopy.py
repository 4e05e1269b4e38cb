"""A share of recurrent transmission as propagator: between e-prop and RTRL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import InfluenceTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape
from tca.utils.checks import checked

__all__ = ["Homotopy"]


@checked
@dataclass(frozen=True)
class Homotopy(Eligibility):
    """``D_t = leak + s (J_t - leak)``: recurrent transmission scaled by ``s``.

    With the direct signal the weight change is a polynomial in ``s`` of degree T - 1, whose coefficient of ``s^r`` is
    the part of the gradient through exactly r recurrent synapses: e-prop at ``s = 0``, the true gradient at ``s = 1``.

    Args:
        share: The share ``s``, default 0.5, in [0, 1].
    """

    share: float = 0.5
    local: ClassVar[bool] = False
    joint: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share of the transmission must lie in [0, 1], got {self.share}")

    @property
    def equation(self) -> str:
        return f"D_t = leak + {self.share} (J_t - leak)"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        tape.leak_(t, into, later)
        tape.transmit_(t, into, self.share * later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return InfluenceTrace(connection, trials, self._propagator, step.components)

    def _propagator(self, step: LocalStep) -> Tensor:
        leak = step.leak_matrix()
        return leak + self.share * step.transmission()
