"""A learning signal around another one, which it completes."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.connection import Connection, ConnectionInput
from tca.eligibilities.eligibility import Eligibility
from tca.signals.signal import Buffers, CausalSignal, CustomSignal, DelayedSignal, Signal, StateSignal, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["Wrapped"]


@dataclass(frozen=True)
class Wrapped(CustomSignal, abc.ABC):
    """A learning signal that delegates to another one; subclasses override parts.

    Args:
        signal: The signal inside.
    """

    signal: Signal

    @property
    def local(self) -> bool:  # type: ignore[override]
        """Whether the signal is computed without recurrent weights."""
        return self.signal.local

    @property
    def fitted(self) -> bool:
        return self.signal.fitted

    @property
    def unfilters(self) -> bool:  # type: ignore[override]
        return self.signal.unfilters

    @property
    def capturable(self) -> bool:  # type: ignore[override]
        """Whether updates keep its state in tensors of the device alone."""
        return self.signal.capturable

    @property
    def couples_trials(self) -> bool:
        return self.signal.couples_trials

    @property
    def executions(self) -> tuple[str, ...]:
        return self.signal.executions

    @property
    def horizon(self) -> int | None:
        return self.signal.horizon

    @property
    def equation(self) -> str:
        return self.signal.equation

    def check(self, population: Population) -> None:
        self.signal.check(population)

    def check_training(self, updates: int, readout_rate: float | None) -> None:
        self.signal.check_training(updates, readout_rate)

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        return self.signal.buffers(population, generator)

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        self.signal.follow_weights_(population, buffers)

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        self.signal.update_statistics_(tape, buffers)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        return self.signal.windowed_signal(tape, buffers, eligibility)

    def online(self) -> CausalSignal | DelayedSignal | StateSignal | None:
        """Return the signal inside if it runs online."""
        return self.signal.online()

    def kernel(self) -> tuple[float, ...]:
        return self.signal.kernel()

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        if not isinstance(self.signal, CustomSignal):
            return super().output_signal(tape, buffers)
        return self.signal.output_signal(tape, buffers)

    def gather_(self, tape: Tape, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        if isinstance(self.signal, CustomSignal):
            self.signal.gather_(tape, link, gradient, driven, steps)
        else:
            super().gather_(tape, link, gradient, driven, steps)

    def observe_readout_(self, readout: Connection, inputs: Tensor, weights: Tensor, buffers: Buffers) -> None:
        if isinstance(self.signal, CustomSignal):
            self.signal.observe_readout_(readout, inputs, weights, buffers)

    def condition_readout_(self, weight: Tensor, bias: Tensor, buffers: Buffers) -> None:
        if isinstance(self.signal, CustomSignal):
            self.signal.condition_readout_(weight, bias, buffers)
