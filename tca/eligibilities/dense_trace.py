"""Eligibility traces of the parameters of a cell module.

Shapes: B batch, M numbers in the state of a trial, P numbers in a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from torch import Tensor

from tca.connections.connection import Connection
from tca.connections.module_parameter import InitialPart
from tca.eligibilities.traces import Trace
from tca.tape.dense_step import DenseStep, check_size, trace_bytes
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape

__all__ = ["DenseTrace", "dense_traces"]


class DenseTrace(Trace):
    """``e_t = D_t e_{t-1} + ds_t/dtheta``: one number per state, parameter and trial; one at a learned initial state.

    With ``D = J`` this is real-time recurrent learning, ``e_t`` the derivative of the state by the parameter.
    """

    def __init__(
        self, connection: Connection, step: DenseStep, trials: int, propagator: Callable[[DenseStep], Tensor]
    ) -> None:
        """Start at zero, an initial state at one.

        Args:
            propagator: The propagator at a step, shape ``(B, M, M)``.
        """
        self.name, self.propagator = connection.name, propagator
        self.value = step.s.new_zeros(trials, step.s.shape[-1], connection.weight.numel())
        if isinstance(connection, InitialPart):
            connection.part(self.value.mT).diagonal(dim1=-2, dim2=-1).fill_(1.0)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Propagate the trace and add the derivative of the step."""
        assert isinstance(step, DenseStep), "a module has dense steps"
        self.value = self.propagator(step) @ self.value
        if self.name in step.direct:
            self.value += step.direct[self.name]

    def dense(self) -> Tensor:
        """Return the trace, shape ``(B, M, 1, P)``."""
        return self.value.unsqueeze(2)


def dense_traces(
    connections: Sequence[Connection],
    step: DenseStep,
    trials: int,
    propagate_back_: Callable[[Tape, int, Tensor, Tensor], None],
) -> list[Trace]:
    """Return the traces of all parameters of a cell module before the first step.

    Args:
        connections: The parameters.
        step: The first step.
        trials: Number of trials B.
        propagate_back_: The filter of the eligibility, which adds ``D_t^T later`` to a signal in place.

    Raises:
        ValueError: They would need more than 1 GiB.
    """
    states, numbers = step.s.shape[-1], sum(each.weight.numel() for each in connections)
    size = trace_bytes(trials, states, numbers, step.s.element_size())
    check_size(f"the traces of {trials} trials, {states} states and {numbers} parameters", size)
    propagator = lru_cache(maxsize=1)(lambda now: now.propagator(propagate_back_))  # all parameters share it
    return [DenseTrace(each, step, trials, propagator) for each in connections]
