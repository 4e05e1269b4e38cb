"""Interface of eligibilities: a propagator, filtering signals backwards or traces forwards.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic.

With a propagator ``D_t`` the eligibility trace of a synapse is ``e_t = D_t e_{t-1} + gain_t (x) pre_t`` and the weight
change of a rule ``sum_t L_t e_t``. Exchanging the sums gives ``sum_t nu_t (gain_t (x) pre_t)`` with
``nu_t = L_t + D_{t+1}^T nu_{t+1}``: the reverse filter, which needs no trace. The two agree to round-off.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection, ConnectionInput, Initial
from tca.eligibilities.traces import Trace
from tca.tape.local_step import LocalStep
from tca.tape.perturbed_pass import Replay
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["Eligibility", "Gather", "following"]

Gather = Callable[[Tape, ConnectionInput, Tensor, Tensor, slice], None]


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

    def begin(self, tape: Tape, replay: Callable[[], Replay], buffers: dict[str, Tensor]) -> Tape:
        """Return the tape that the traces are computed on.

        Args:
            tape: The forward pass of the last population with its output errors.
            replay: Returns how to run the trials again.
            buffers: The eligibility's state in all populations, by full name.
        """
        return tape

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
        return [self.trace(connection, step, trials) for connection in connections]

    def gather_(self, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: dict[str, Tensor]) -> None:
        """Add a window's contribution to the gradients, without constant gains.

        Args:
            gather: Adds ``sum_t driven_t (x) pre_t`` of a connection to its gradient.
            filtered: Filtered state signal of these steps, shape ``(C, B, N)``; overwritten.
            steps: The steps, counted from the initial state.
            gradients: Gradients by the names of the connections, changed in place.
        """
        driven = tape.drive(filtered, steps) if steps.start > 0 else filtered
        for link in tape.links:
            if isinstance(link.connection, Initial) == (steps.start == 0):
                gather(tape, link, gradients[link.connection.name], driven, steps)

    def finish_(self, tape: Tape, gradients: dict[str, Tensor]) -> None:
        """Multiply the gradients of a population by its constant gains.

        Args:
            gradients: Gradients by the names of the connections, changed in place.
        """
        for link in tape.links:
            if not isinstance(link.connection, Initial):
                tape.scale_gain_(gradients[link.connection.name])

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
        entries = signal.unbind(0)
        if later is not None:
            self.propagate_back_(tape, steps.stop, entries[-1], later)
        for index in range(len(entries) - 2, -1, -1):
            self.propagate_back_(tape, steps.start + index + 1, entries[index], entries[index + 1])
        return entries[0].clone()

    def unfilter(self, tape: Tape, filtered: Tensor, steps: slice, later: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the inverse of ``filter_``, ``L_t = nu_t - D_{t+1}^T nu_{t+1}``.

        The second value is ``later`` of the window before.

        Args:
            filtered: Filtered state signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: Second value of the window after; ``None`` at the end of the trial.
        """
        if not self.remembers:
            return filtered, filtered[0]
        after = following(filtered, later)
        signal = filtered.clone()
        signal[: len(after)].sub_(self.remembered(tape, after, steps.start + 1))
        return signal, filtered[0].clone()

    def remembered(self, tape: Tape, signal: Tensor, first: int) -> Tensor:
        """Return ``D_t^T signal_t`` of consecutive steps, shape ``(C, B, N)``.

        Args:
            signal: State signal of C steps, shape ``(C, B, N)``.
        """
        returned = torch.zeros_like(signal)
        if self.remembers:
            for index, each in enumerate(signal.unbind(0)):
                self.propagate_back_(tape, first + index, returned[index], each)
        return returned


def following(signal: Tensor, later: Tensor | None) -> Tensor:
    """Return a signal shifted one step later.

    Args:
        signal: Signal of a window, shape ``(C, B, N)``.
        later: Signal of the step after, shape ``(B, N)``; ``None`` at the end of the trial.
    """
    return signal[1:] if later is None else torch.cat([signal[1:], later.unsqueeze(0)])
