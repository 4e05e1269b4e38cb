"""Interface of eligibilities: a propagator, filtering signals backwards or traces forwards.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic.

With a propagator ``D_t`` the eligibility trace of a synapse is ``e_t = D_t e_{t-1} + gain_t (x) pre_t`` and the weight
change of a rule ``sum_t L_t e_t``. Exchanging the sums gives ``sum_t nu_t (gain_t (x) pre_t)`` with
``nu_t = L_t + D_{t+1}^T nu_{t+1}``: the reverse filter, which needs no trace. The two agree to round-off.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.dense_trace import dense_traces
from tca.eligibilities.traces import Trace
from tca.tape.dense_step import DenseStep
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["Eligibility"]


@dataclass(frozen=True)
class Eligibility(abc.ABC):
    """The eligibility trace of every synapse, given by a propagator ``D_t``."""

    @property
    @abc.abstractmethod
    def local(self) -> bool:
        """Whether traces depend on pre- and postsynaptic cells alone (``D`` diagonal)."""

    remembers: ClassVar[bool] = True  # whether D differs from zero
    shared: ClassVar[bool] = True  # whether all synapses share one D, or each postsynaptic cell has its own
    of_states: ClassVar[bool] = True  # whether D acts on states, so that an exact signal exists
    joint: ClassVar[bool] = False  # whether D spans the whole network, across populations
    executions: ClassVar[tuple[str, ...]] = ("reverse", "forward")  # supported executions, the default first
    why_not: ClassVar[str] = ""  # why other executions are not supported
    couples_trials: ClassVar[bool] = False  # whether traces of a trial depend on other trials of its batch
    perturbs: ClassVar[bool] = False  # whether it runs trials again with a perturbation
    capturable: ClassVar[bool] = True  # whether updates keep its state in tensors of the device alone

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of the propagator."""

    def check(self, population: Population) -> None:  # noqa: B027 - optional
        """Raise if a population cannot have these traces.

        Raises:
            ValueError: The reason.
        """

    def buffers(self, population: Population, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the eligibility's initial state in a population; default none."""
        return {}

    def follow_weights_(self, population: Population, buffers: dict[str, Tensor]) -> None:  # noqa: B027 - optional
        """Update the state for the next batch; default none.

        Args:
            buffers: The eligibility's state, changed in place.
        """

    @abc.abstractmethod
    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``D_t^T later`` to ``into`` in place.

        Args:
            t: The step of the propagator, 1 to T.
            into: State signal of step t - 1, shape ``(B, N)``.
            later: State signal of step t, shape ``(B, N)``; not changed.
        """

    @abc.abstractmethod
    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Return the trace of a connection before its first step.

        Args:
            step: The first step, which states the constants.
        """

    def traces(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, buffers: dict[str, Tensor]
    ) -> list[Trace]:
        """Return the traces of a population's connections before the first step.

        Args:
            connections: The connections, in the order of the links of the tape.
            step: The first step, which states the constants.
            buffers: The eligibility's state; may be changed in place while the traces advance.
        """
        if isinstance(step, DenseStep):
            return dense_traces(connections, step, trials, self.propagate_back_)
        return [self.trace(connection, step, trials) for connection in connections]

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter ``L_t`` into ``nu_t = L_t + D_{t+1}^T nu_{t+1}`` in place.

        Returns the filtered signal of the window's first step: ``later`` of the window before.

        Args:
            signal: State signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: Filtered signal of the first step of the window after, shape ``(B, N)``; ``None`` at the end of the
                trial.
        """
        if not self.remembers:
            return signal[0]
        return tape.filter_back_(partial(self.propagate_back_, tape), signal, steps, later)
