"""Noise of mean zero for stochastic rules, in float64 on the CPU for every network.

Shapes are arguments.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tca.utils.checks import Positive, checked

__all__ = ["NoiseDistribution", "Normal", "Rare", "Signs", "Uniform", "by_steps", "source"]


@dataclass(frozen=True)
class NoiseDistribution(abc.ABC):
    """A distribution of mean zero."""

    @abc.abstractmethod
    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return independent numbers, float64 on the CPU."""

    def steps(self, steps: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return independent numbers for every step, shape ``(T, *shape)``; see `by_steps`."""
        return by_steps(steps, lambda: self.draw(shape, generator))


@dataclass(frozen=True)
class Signs(NoiseDistribution):
    """Plus one or minus one, each half of the time: variance one.

    >>> Signs().draw((1000,), torch.Generator().manual_seed(0)).square().mean().item()
    1.0
    """

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randint(2, shape, generator=generator, device="cpu").double() * 2 - 1


@dataclass(frozen=True)
class Normal(NoiseDistribution):
    """Normal numbers of variance one."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")


@checked
@dataclass(frozen=True)
class Uniform(NoiseDistribution):
    """Uniform numbers between ``-size`` and ``size``: variance ``size^2 / 3``, which is one for the square root of 3.

    Args:
        size: Half the width, default 1, positive.
    """

    size: Positive = 1.0

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return (torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu") * 2 - 1) * self.size


@checked
@dataclass(frozen=True)
class Rare(NoiseDistribution):
    """Another noise now and then, and zero otherwise.

    Args:
        probability: How often each number is not zero, default 0.003, in (0, 1].
        noise: Its distribution then, default uniform between -1 and 1.

    Raises:
        ValueError: The probability is not in (0, 1].
    """

    probability: float = 0.003
    noise: NoiseDistribution = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability of the noise must lie in (0, 1], got {self.probability}")

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return mostly zeros."""
        there = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu") < self.probability
        return self.noise.draw(shape, generator) * there


def by_steps(steps: int, draw: Callable[[], Tensor]) -> Tensor:
    """Return stacked draws, one step after another.

    So the numbers of a step are the same however many steps follow: padding changes no noise.

    Args:
        steps: How many, at least 1.

    >>> few, many = (by_steps(n, lambda g=source(torch.tensor(0)): torch.rand(3, generator=g)) for n in (2, 5))
    >>> torch.equal(few, many[:2])
    True
    """
    return torch.stack([draw() for _ in range(steps)])


@checked
def source(seed: Tensor) -> torch.Generator:
    """Return a fresh generator."""
    return torch.Generator().manual_seed(int(seed))
