"""What every signal promises: what each cell is told at each step.

Shapes: T time, B batch, N cells, O outputs, C consecutive steps.

A signal is read population by population, from the last to the first, and window by window, from the last step to the
first, as a *state* signal ``L_t`` (see ``tca.tape``). Most signals are made from the score of the present step alone
and address rates, ``G_t``; the tape's slope turns those into ``L_t``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Link
from tca.eligibilities.eligibility import Eligibility
from tca.tape.local_step import Moment
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = [
    "Buffers",
    "CausalSignal",
    "CustomSignal",
    "DelayFunction",
    "DelayedSignal",
    "InstantSignal",
    "OnlineFunction",
    "Signal",
    "WindowFunction",
]

Buffers = dict[str, Tensor]
WindowFunction = Callable[[slice], Tensor]
OnlineFunction = Callable[[Tensor], Tensor]
DelayFunction = Callable[[Moment, Tensor], Tensor]


@dataclass(frozen=True)
class Signal(abc.ABC):
    """What every cell is told."""

    local: ClassVar[bool]  # whether the signal is made without reading recurrent weights
    needs_reward: ClassVar[bool] = False  # whether it is what a trial was worth, one number to all cells
    unfilters: ClassVar[bool] = False  # whether it is made by taking out of a signal what a propagator remembers

    @property
    @abc.abstractmethod
    def horizon(self) -> int | None:
        """Steps of later error that ``L_t`` needs; ``None`` for the whole rest of the trial."""

    @property
    def fitted(self) -> bool:
        """Whether the eligibility it is paired with must have a single propagator; ``False`` for most."""
        return False

    @property
    def couples_trials(self) -> bool:
        """Whether what a trial's cells are told depends on the other trials of its batch; ``False`` for most."""
        return False

    @property
    def executions(self) -> tuple[str, ...]:
        """How it can be carried out, of what an eligibility can: both ways for most."""
        return ("reverse", "forward")

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The signal in one line."""

    @abc.abstractmethod
    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to the state signal there, a new tensor of shape ``(C, B, N)``.

        Args:
            tape: The forward pass, scored.
            buffers: The signal's state.
            eligibility: The eligibility it is paired with, for signals made to fit one.

        The function must be called with the windows of the tape in their order, last to first.
        """

    def check(self, population: Population) -> None:  # noqa: B027 - most signals work everywhere
        """Raise if the signal cannot be made in a population.

        Args:
            population: Where the population stands.

        Raises:
            ValueError: The reason.
        """

    def check_training(self, updates: int, readout_rate: float | None) -> None:  # noqa: B027 - most need no check
        """Warn if the signal's own constants do not suit a training.

        Args:
            updates: Number of updates.
            readout_rate: Learning rate of the readout; ``None`` if it does not learn.
        """

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return the signal's state in a population before learning; most signals have none.

        Args:
            population: Where the population stands.
            generator: Source of whatever is drawn.
        """
        return {}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:  # noqa: B027 - most signals have nothing to follow
        """Let the signal's state, if it has one, follow what the optimizer has done.

        Args:
            population: Where the population stands; its readout weights may be changed in place.
            buffers: The signal's state, changed in place.
        """

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:  # noqa: B027 - most signals learn nothing from a batch
        """Take in what a batch shows, before anything is told, if the signal has a state.

        Args:
            tape: The forward pass of the population, scored.
            buffers: The signal's state, changed in place.
        """


@dataclass(frozen=True)
class CustomSignal(Signal):
    """A signal with an output signal, or with products of signals and activity, of its own."""

    factored: ClassVar[bool] = False  # whether ``gather_`` needs the signal to be the product that was made

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Return what the readout's weights and biases learn from, each ``(T + 1, B, O)``: the score, for most signals.

        Args:
            tape: The forward pass of the last population, scored.
            buffers: The signal's state there, and that in each population by its full name.
        """
        return tape.score, tape.raw_score

    def gather_(self, tape: Tape, link: Link, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t driven_t (x) pre_t`` of a connection to its gradient in place, in the reverse execution.

        A signal that knows more of what it told, for instance that it is a product, may gather it in less time.

        Args:
            tape: The forward pass of the population.
            link: The connection and what it carried.
            gradient: What has been gathered, in the shape of the weight.
            driven: Filtered drive signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
        """
        tape.gather_(link, gradient, driven, steps)


@dataclass(frozen=True)
class CausalSignal(Signal):
    """A signal made from the errors of present and past steps, so that it exists online."""

    local: ClassVar[bool] = True

    @property
    def horizon(self) -> int:
        """Zero: no later error is needed."""
        return 0

    @abc.abstractmethod
    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return a function from the score of a step, shape ``(B, O)``, to the rate signal of that step, ``(B, N)``.

        It belongs to one run of trials, is called once a step in the order of time, and keeps what the signal must
        remember. The score is the derivative of the loss by the outputs, not taken back through a readout's filter.

        Args:
            population: Where the population stands; its readout weights may change in place between the steps.
            buffers: The signal's state; may change in place between the steps.
        """


@dataclass(frozen=True)
class DelayedSignal(Signal):
    """A signal that exists online, a part of which meets the traces of the step before."""

    @abc.abstractmethod
    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return what gives the rate signal that meets the traces of the step; see `CausalSignal`.

        Args:
            population: Where the population stands.
            buffers: The signal's state.
        """

    @abc.abstractmethod
    def delayed_signal(self, population: Population, readout_leak: float) -> DelayFunction:
        """Return a function from a step and its score, ``(B, O)``, to the rate signal that meets the traces before it.

        Args:
            population: Where the population stands.
            readout_leak: Leak per step of the readout's filter, 0 without one.

        Raises:
            ValueError: It cannot be had online in this population.
        """


@dataclass(frozen=True)
class InstantSignal(CausalSignal):
    """A signal made from the score of the present step alone."""

    @abc.abstractmethod
    def rate_signal(self, score: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return the rate signal ``G``, a new tensor of shape ``(..., N)``.

        Args:
            score: Score, shape ``(..., O)``.
            population: Where the population stands.
            buffers: The signal's state.
        """

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the rate signal of the step, which needs no memory."""
        return lambda score: self.rate_signal(score, population, buffers)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to ``slope_t * G_t``."""

        def read(steps: slice) -> Tensor:
            return tape.lift(self.rate_signal(tape.score[steps], tape.population, buffers), steps)

        return read
