"""The leak as propagator: the eligibility trace of e-prop and RFLO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.connections.connection import Connection, Initial
from tca.eligibilities.blocks import AdaptationTrace, synaptic_trace
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import PresynapticTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape

__all__ = ["Leak"]


@dataclass(frozen=True)
class Leak(Eligibility):
    """``D_t = leak``: memory in the cell's own leak and in no synapse.

    With the leak on the potential the trace is ``eps_j,t = kappa eps_j,t-1 + z_j,t-1``, presynaptic only, one number
    per cell and time constant; with the leak on the rate it is ``p_ij,t = (1 - alpha) p_ij,t-1 + alpha f'(u_i,t)
    r_j,t-1``. An adaptive spiking cell also has memory in its threshold, which its own spikes raise:
    ``leak_t = [[kappa, 0], [(1 - rho) psi_t-1, rho - (1 - rho) beta psi_t-1]]`` on (potential, adaptation).

    Papers: Murray (2019), eLife 8:e43299; Bellec et al. (2020), Nature Communications 11:3625.
    """

    local: ClassVar[bool] = True
    equation: ClassVar[str] = "D_t = leak"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``leak_t^T later``."""
        tape.leak_(t, into, later)

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        if type(self).propagate_back_ is not Leak.propagate_back_:  # the propagator of a subclass
            return super().filter_(tape, signal, steps, later)
        return tape.filter_leak_(signal, steps, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Return a presynaptic trace if leak and gain are constant, else synaptic."""
        if step.constant_leak is None or isinstance(connection, Initial):
            return synaptic_trace(connection, step, trials, lambda now: now.leak)
        trace = PresynapticTrace(connection, step, trials)
        return trace if step.components == 1 else AdaptationTrace(trace, step)
