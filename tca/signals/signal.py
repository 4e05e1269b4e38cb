"""Interface of learning signals: one value per cell and step.

Shapes: T time, B batch, N cells, O outputs, C consecutive steps.

A learning signal is read population by population, last to first, and window by window, last step to first, as a
*state* signal ``L_t`` (see ``tca.tape``). Most signals depend on the output error of the present step alone and address
rates, ``G_t``; the surrogate gradient on the tape turns those into ``L_t``.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.batch import Batch
from tca.connections.connection import Connection, ConnectionInput
from tca.eligibilities.eligibility import Eligibility
from tca.tape.local_step import LocalStep
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
    "StateFunction",
    "StateSignal",
    "WindowFunction",
]

Buffers = dict[str, Tensor]
WindowFunction = Callable[[slice], Tensor]
OnlineFunction = Callable[[Tensor], Tensor]
DelayFunction = Callable[[LocalStep, Tensor], Tensor]
StateFunction = Callable[[LocalStep, Tensor, Tensor, Batch], Tensor]


@dataclass(frozen=True)
class Signal(abc.ABC):
    """A learning signal: one value per cell and step."""

    local: ClassVar[bool]  # whether the signal is computed without recurrent weights
    needs_reward: ClassVar[bool] = False  # whether it is a scalar reward signal, broadcast to all cells
    unfilters: ClassVar[bool] = False  # whether it inverts the filter of the eligibility's propagator
    capturable: ClassVar[bool] = True  # whether updates keep its state in tensors of the device alone

    @property
    @abc.abstractmethod
    def horizon(self) -> int | None:
        """Later steps whose errors ``L_t`` needs; ``None`` for the rest of the trial."""

    @property
    def fitted(self) -> bool:
        """Whether its eligibility must have a single propagator; default ``False``."""
        return False

    @property
    def couples_trials(self) -> bool:
        """Whether the signal depends on other trials of the batch; default ``False``."""
        return False

    @property
    def executions(self) -> tuple[str, ...]:
        """Executions that the signal supports; default both."""
        return ("reverse", "forward")

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of the signal."""

    @abc.abstractmethod
    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from windows to state signals ``(C, B, N)``.

        The function returns a new tensor and must be called with the windows of the tape in order, last to first.

        Args:
            tape: The forward pass with its output errors.
            eligibility: The eligibility it is paired with, for signals that depend on its propagator.
        """

    def check(self, population: Population) -> None:  # noqa: B027 - optional
        """Raise if the signal cannot be made in a population.

        Raises:
            ValueError: The reason.
        """

    def check_training(self, updates: int, readout_rate: float | None) -> None:  # noqa: B027 - optional
        """Warn if the signal's constants do not suit the training.

        Args:
            readout_rate: Learning rate of the readout; ``None`` if it does not learn.
        """

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return the signal's initial state in a population; default none."""
        return {}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:  # noqa: B027 - optional
        """Update the signal's state after an optimizer step; default none.

        Args:
            population: The population; its readout weights may be changed in place.
            buffers: The signal's state, changed in place.
        """

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:  # noqa: B027 - optional
        """Update the signal's state from a batch, before the signal is read.

        Args:
            tape: The forward pass of the population with its output errors.
            buffers: The signal's state, changed in place.
        """

    def online(self) -> CausalSignal | DelayedSignal | StateSignal | None:
        """Return the signal that runs online; ``None`` (default) if there is none."""
        return None

    def kernel(self) -> tuple[float, ...]:
        """Return leaks of filters in series that output errors and traces pass online; default none."""
        return ()


@dataclass(frozen=True)
class CustomSignal(Signal):
    """A signal with its own readout signal or its own gradient product."""

    factored: ClassVar[bool] = False  # whether ``gather_`` relies on the signal's being a product

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Return the learning signals of readout weights and biases.

        Each has shape ``(T + 1, B, O)``; the default is the output error.

        Args:
            tape: The forward pass of the last population with its output errors.
            buffers: The signal's state there, and in each population by full name.
        """
        return tape.filtered_error, tape.output_error

    def gather_(self, tape: Tape, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t driven_t (x) pre_t`` of a connection to its gradient.

        Used by the reverse execution. A signal with structure, for instance a product, may override it to save time.

        Args:
            tape: The forward pass of the population.
            link: The connection and its presynaptic activity.
            gradient: Gradient so far, in the shape of the weight, changed in place.
            driven: Filtered drive signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
        """
        tape.gather_(link, gradient, driven, steps)

    def observe_readout_(self, readout: Connection, inputs: Tensor, weights: Tensor, buffers: Buffers) -> None:
        """Update the state of the readout from its inputs; default none.

        Args:
            readout: The connection of the readout's weights.
            inputs: Inputs of the readout after its filter, shape ``(M, J)``.
            weights: Their weights in the loss, not negative, shape ``(M,)``.
            buffers: The signal's state, changed in place.
        """

    def condition_readout_(self, weight: Tensor, bias: Tensor, buffers: Buffers) -> None:
        """Change the gradients of readout weights and biases in place; default none.

        Args:
            weight: Gradient of the weights, shape ``(O, J)``.
            bias: Gradient of the biases, shape ``(O,)``.
            buffers: The signal's state.
        """


@dataclass(frozen=True)
class CausalSignal(Signal):
    """A signal made from present and past errors, available online."""

    local: ClassVar[bool] = True

    @property
    def horizon(self) -> int:
        """Zero: no later error is needed."""
        return 0

    def online(self) -> CausalSignal:
        return self

    @abc.abstractmethod
    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return a function from output errors to rate signals.

        Shapes are ``(B, O)`` and ``(B, N)``. The function belongs to one run of trials, is called once a step in the
        order of time, and holds the signal's memory. The output error is ``dL/dy`` of the step, before the readout
        filter.

        Args:
            population: The population; its readout weights may change in place between the steps.
            buffers: The signal's state; may change in place between the steps.
        """


@dataclass(frozen=True)
class DelayedSignal(Signal):
    """An online signal, part of which multiplies the previous step's traces."""

    def online(self) -> DelayedSignal:
        return self

    @abc.abstractmethod
    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the rate signal for the present traces; see `CausalSignal`."""

    @abc.abstractmethod
    def delayed_signal(self, population: Population, readout_leak: float) -> DelayFunction:
        """Return the rate signal for the previous step's traces.

        The function takes the local quantities of a step and its output error, shape ``(B, O)``.

        Args:
            readout_leak: Leak per step of the readout filter, 0 without one.

        Raises:
            ValueError: The signal is not available online in this population.
        """


@dataclass(frozen=True)
class StateSignal(Signal):
    """An online signal that addresses states and meets unfiltered traces."""

    def online(self) -> StateSignal:
        return self

    def online_eligibility(self, eligibility: Eligibility) -> Eligibility:
        """Return the eligibility whose traces the signal meets online; default the same.

        Args:
            eligibility: The eligibility of the rule.
        """
        return eligibility

    @abc.abstractmethod
    def state_signal(self, population: Population, buffers: Buffers, readout_leak: float) -> StateFunction:
        """Return a function to state signals, called once a step in the order of time.

        It takes the local quantities of the step, its rates ``(B, N)``, its output error ``(B, O)`` and its trials, a
        batch of one step.

        Args:
            population: The population; its readout weights may change in place between the steps.
            buffers: The signal's state; the function may change it in place.
            readout_leak: Leak per step of the readout filter, 0 without one.

        Raises:
            ValueError: The signal is not available online in this population.
        """


@dataclass(frozen=True)
class InstantSignal(CausalSignal):
    """A signal made from the output error of the present step alone."""

    @abc.abstractmethod
    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return the rate signal ``G``, a new tensor of shape ``(..., N)``.

        Args:
            error: Output error, shape ``(..., O)``.
        """

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the rate signal of the step, without memory."""
        return lambda error: self.rate_signal(error, population, buffers)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to ``slope_t * G_t``."""

        def read(steps: slice) -> Tensor:
            return tape.lift(self.rate_signal(tape.filtered_error[steps], tape.population, buffers), steps)

        return read
