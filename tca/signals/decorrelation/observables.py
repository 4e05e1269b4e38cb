"""Functions of activity to be decorrelated from the score."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from tca.cells.activations import Tanh
from tca.utils.checks import Filled, checked

__all__ = ["Identity", "Observable", "Polynomial", "Square", "TanhOf"]


@dataclass(frozen=True)
class Observable(abc.ABC):
    """A function ``g`` of a rate."""

    @abc.abstractmethod
    def __call__(self, rate: Tensor) -> Tensor:
        """Return ``g(rate)``; may be the rate itself.

        Args:
            rate: Rates of any shape.
        """

    @abc.abstractmethod
    def times_slope_(self, signal: Tensor, rate: Tensor) -> None:
        """Multiply ``signal`` in place by ``g'(rate)``.

        Args:
            signal: The signal, changed in place.
            rate: The rates, same shape.
        """


@dataclass(frozen=True)
class Identity(Observable):
    """``g(z) = z``: the only one in published experiments."""

    def __call__(self, rate: Tensor) -> Tensor:
        return rate

    def times_slope_(self, signal: Tensor, rate: Tensor) -> None:
        """Leave the signal as it is."""


@dataclass(frozen=True)
class Square(Observable):
    """``g(z) = z^2``."""

    def __call__(self, rate: Tensor) -> Tensor:
        return rate.square()

    def times_slope_(self, signal: Tensor, rate: Tensor) -> None:
        """Multiply by twice the rate."""
        signal.mul_(rate).mul_(2)


@dataclass(frozen=True)
class TanhOf(Observable):
    """``g(z) = tanh z``."""

    def __call__(self, rate: Tensor) -> Tensor:
        return torch.tanh(rate)

    def times_slope_(self, signal: Tensor, rate: Tensor) -> None:
        """Multiply by ``1 - tanh^2``."""
        Tanh().times_slope_(signal, torch.tanh(rate))


@checked
@dataclass(frozen=True)
class Polynomial(Observable):
    """``g(z) = sum_k a_k z^k``.

    Args:
        coefficients: ``a_1, a_2, ...``, at least one.

    Raises:
        ValueError: There are none, or one is not finite.
        TypeError: They are not a list or tuple of numbers.

    >>> Polynomial((1, 0, 1))(torch.tensor([2.0])).tolist()
    [10.0]
    """

    coefficients: Annotated[Sequence[float], Filled]

    def __call__(self, rate: Tensor) -> Tensor:
        """Return the polynomial, by Horner's rule."""
        value = torch.zeros_like(rate)
        for each in reversed(self.coefficients):
            value.add_(each).mul_(rate)
        return value

    def times_slope_(self, signal: Tensor, rate: Tensor) -> None:
        """Multiply by ``sum_k k a_k z^(k-1)``."""
        slope = torch.zeros_like(rate)
        for power in range(len(self.coefficients), 0, -1):
            slope.mul_(rate).add_(power * self.coefficients[power - 1])
        signal.mul_(slope)
