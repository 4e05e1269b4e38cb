"""A learning signal plus activity regularisers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.connection import ConnectionInput
from tca.eligibilities.eligibility import Eligibility
from tca.signals.regularisers.activity_regularisers import Regulariser
from tca.signals.signal import Buffers, CustomSignal, WindowFunction
from tca.signals.wrapped import Wrapped
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import checked, instance

__all__ = ["Regularised"]


@checked
@dataclass(frozen=True)
class Regularised(Wrapped):
    """A learning signal plus the derivative of activity losses by the rates.

    Regularisers do not change the signal in lower populations. The state of the k-th regulariser is in the buffers
    ``regulariser_k.*``, that of the signal in its own.

    Args:
        signal: The signal.
        regularisers: Regularisers from `tca.regularisers`, a tuple or list of at least one.

    Raises:
        ValueError: No regulariser is given.

    >>> from tca.signals.regularisers.activity_regularisers import Power
    >>> from tca.signals import Direct
    >>> Regularised(Direct(), (Power(),)).equation
    'G_t = W_o^T score_t, and d/dz of 0.001 sum_i (mean z_i^2 - 0.25)^2'
    """

    regularisers: tuple[Regulariser, ...]

    def __post_init__(self) -> None:
        for index, each in enumerate(self.regularisers):
            instance(f"regularisers[{index}]", each, Regulariser, "one of tca.regularisers, such as Power()")
        if not self.regularisers:
            raise ValueError("regularisers must hold at least one regulariser, got none")

    @property
    def couples_trials(self) -> bool:
        return self.signal.couples_trials or any(each.couples_trials for each in self.regularisers)

    @property
    def equation(self) -> str:
        return f"{self.signal.equation}, and d/dz of {' + '.join(each.equation for each in self.regularisers)}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return the state of the signal and of every regulariser."""
        found = self.signal.buffers(population, generator)
        for index, each in enumerate(self.regularisers):
            found |= {_prefix(index) + name: value for name, value in each.buffers(population).items()}
        return found

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Update the state of the signal and every regulariser from a batch."""
        self.signal.update_statistics_(tape, buffers)
        for index, each in enumerate(self.regularisers):
            each.update_statistics_(tape, _own(index, buffers))

    def online(self) -> None:
        """Return none: regularisers need whole trials."""

    def gather_(self, tape: Tape, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Gather as the signal does, in full where that needs products."""
        if isinstance(self.signal, CustomSignal) and self.signal.factored:
            link.connection.outer_(gradient, driven, link.at(steps))
        else:
            super().gather_(tape, link, gradient, driven, steps)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the regularised signal, unregularised at time zero."""
        wrapped = self.signal.windowed_signal(tape, buffers, eligibility)
        added = [each.windowed_signal(tape, _own(index, buffers)) for index, each in enumerate(self.regularisers)]

        def read(steps: slice) -> Tensor:
            signal = wrapped(steps)
            if steps.start == 0:
                return signal
            further = added[0](steps)
            for each in added[1:]:
                further += each(steps)
            return signal.add_(tape.lift(further, steps))

        return read


def _prefix(index: int) -> str:
    return f"regulariser_{index}."


def _own(index: int, buffers: Buffers) -> Buffers:
    """Return the state of a regulariser by its own buffer names."""
    prefix = _prefix(index)
    return {name.removeprefix(prefix): each for name, each in buffers.items() if name.startswith(prefix)}
