"""What every eligibility promises: a propagator, run backwards over signals or forwards over traces.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic.

With a propagator ``D_t`` the trace of a synapse is ``e_t = D_t e_{t-1} + gain_t (x) pre_t`` and the weight change of a
rule ``sum_t L_t e_t``. Exchanging the sums gives ``sum_t nu_t (gain_t (x) pre_t)`` with ``nu_t = L_t + D_{t+1}^T
nu_{t+1}``: the reverse filter, which needs no trace. The two agree to round-off.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection, Initial, Link
from tca.eligibilities.traces import Trace
from tca.tape.local_step import Moment
from tca.tape.perturbed_pass import Replay
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["Eligibility", "Gather", "following"]

Gather = Callable[[Tape, Link, Tensor, Tensor, slice], None]


@dataclass(frozen=True)
class Eligibility(abc.ABC):
    """What every synapse remembers, fixed by the choice of the propagator ``D_t``."""

    @property
    @abc.abstractmethod
    def local(self) -> bool:
        """Whether the trace of a synapse depends on its own two cells alone, that is whether ``D`` is diagonal."""

    remembers: ClassVar[bool] = True  # whether D differs from zero at all
    shared: ClassVar[bool] = True  # whether one D serves all synapses, or each postsynaptic cell has its own
    of_states: ClassVar[bool] = True  # whether D acts on states, so that a signal can be made that it makes exact
    joint: ClassVar[bool] = False  # whether D is that of the whole network, so that memory passes between populations
    executions: ClassVar[tuple[str, ...]] = ("reverse", "forward")  # how it can be carried out, the first by default
    why_not: ClassVar[str] = ""  # why it cannot be carried out otherwise
    couples_trials: ClassVar[bool] = False  # whether traces of a trial depend on the others of its batch
    tries: ClassVar[bool] = False  # whether it runs trials again with something changed, to learn what that was worth

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The propagator in one line."""

    def check(self, population: Population) -> None:  # noqa: B027 - most work everywhere
        """Raise if a population cannot remember in this way.

        Args:
            population: Where the population stands.

        Raises:
            ValueError: The reason.
        """

    def buffers(self, population: Population, generator: torch.Generator) -> dict[str, Tensor]:
        """Return what the eligibility keeps from batch to batch in a population; most keep nothing.

        Args:
            population: Where the population stands.
            generator: Source of whatever is drawn.
        """
        return {}

    def follow_weights_(self, population: Population, buffers: dict[str, Tensor]) -> None:  # noqa: B027 - most keep nothing
        """Go on to the next batch; most eligibilities do nothing.

        Args:
            population: Where the population stands.
            buffers: What it keeps, changed in place.
        """

    def begin(self, tape: Tape, replay: Replay, buffers: dict[str, Tensor]) -> Tape:
        """Return the tape as the eligibility needs it; most take it as it is.

        Args:
            tape: The forward pass of the last population, scored.
            replay: Runs the trials again.
            buffers: What it keeps, of all populations by their full names.
        """
        return tape

    @abc.abstractmethod
    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``D_t^T later`` to ``into`` in place.

        Args:
            tape: The forward pass.
            t: The step whose propagator is meant, 1 to T.
            into: State signal of step t - 1, shape ``(B, N)``.
            later: State signal of step t, shape ``(B, N)``; not changed.
        """

    @abc.abstractmethod
    def trace(self, connection: Connection, moment: Moment, trials: int) -> Trace:
        """Return the trace of a connection before its first step.

        Args:
            connection: The connection.
            moment: The first step, which shows what is constant.
            trials: Number of trials B.
        """

    def traces(
        self, connections: Sequence[Connection], moment: Moment, trials: int, buffers: dict[str, Tensor]
    ) -> list[Trace]:
        """Return the traces of all connections into a population before its first step.

        Args:
            connections: The connections, in the order of the links of the tape.
            moment: The first step, which shows what is constant.
            trials: Number of trials B.
            buffers: What it keeps; may be changed in place while the traces advance.
        """
        return [self.trace(connection, moment, trials) for connection in connections]

    def gather_(self, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: dict[str, Tensor]) -> None:
        """Add what a window tells every synapse of a population to the gradients in place, but for constant gains.

        Args:
            gather: What adds ``sum_t driven_t (x) pre_t`` of a connection to its gradient.
            tape: The forward pass.
            filtered: Filtered state signal of these steps, shape ``(C, B, N)``; used up.
            steps: The steps, counted from the initial state.
            gradients: What has been gathered, by the names of the connections.
        """
        driven = tape.drive(filtered, steps) if steps.start > 0 else filtered
        for link in tape.links:
            if isinstance(link.connection, Initial) == (steps.start == 0):
                gather(tape, link, gradients[link.connection.name], driven, steps)

    def finish_(self, tape: Tape, gradients: dict[str, Tensor]) -> None:
        """Multiply what has been gathered in a population by its constant gains in place.

        Args:
            tape: The forward pass.
            gradients: What has been gathered, by the names of the connections.
        """
        for link in tape.links:
            if not isinstance(link.connection, Initial):
                tape.scale_gain_(gradients[link.connection.name])

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Turn ``L_t`` into ``nu_t = L_t + D_{t+1}^T nu_{t+1}`` in place, from the last step of a window to its first.

        Returns what the window before this one must be given as ``later``.

        Args:
            tape: The forward pass.
            signal: State signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: What came back from the window after this one: the filtered signal of its first step, shape
                ``(B, N)``; ``None`` at the end of the trial.
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
        """Return the signal that ``filter_`` turns into the one given, ``L_t = nu_t - D_{t+1}^T nu_{t+1}``.

        The second value is what the window before this one must be given as ``later``.

        Args:
            tape: The forward pass.
            filtered: Filtered state signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: What came back from the window after this one; ``None`` at the end of the trial.
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
            tape: The forward pass.
            signal: State signal of C steps, shape ``(C, B, N)``.
            first: The first of them.
        """
        returned = torch.zeros_like(signal)
        if self.remembers:
            for index, each in enumerate(signal.unbind(0)):
                self.propagate_back_(tape, first + index, returned[index], each)
        return returned


def following(signal: Tensor, later: Tensor | None) -> Tensor:
    """Return a signal one step later: all but its first step, and the step after the window if there is one.

    Args:
        signal: Signal of a window, shape ``(C, B, N)``.
        later: Signal of the step after, shape ``(B, N)``; ``None`` at the end of the trial.
    """
    return signal[1:] if later is None else torch.cat([signal[1:], later.unsqueeze(0)])
