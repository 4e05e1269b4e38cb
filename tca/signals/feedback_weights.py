"""Sources of sparse feedback weights: initial readout, current readout or random.

Shapes: N cells, O outputs.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.tape.population import Population
from tca.utils.checks import Positive, checked, finite

__all__ = ["Drawn", "FeedbackWeights", "Frozen", "Tracked", "check_fraction"]


@checked
def check_fraction(argument: str, value: float) -> None:
    """Refuse fractions outside (0, 1].

    Args:
        argument: Name of the argument, for the message.
    """
    if not 0 < finite(argument, value) <= 1:
        raise ValueError(f"{argument} must lie in (0, 1], got {value}")


@dataclass(frozen=True)
class FeedbackWeights(abc.ABC):
    """Sparse feedback weights ``F`` (N, O).

    Args:
        fraction: Fraction of the N O weights that exist, default 0.1, in (0, 1]; rounded, at least one weight.
    """

    fraction: float = 0.1
    reads: ClassVar[bool] = True  # whether it reads the readout weights, or their shape alone

    def __post_init__(self) -> None:
        check_fraction("fraction of the feedback weights", self.fraction)

    def beside(self, population: Population) -> Tensor:
        """Return a population's readout weights, shape ``(O, N)``, zeros if not read.

        Raises:
            ValueError: The weights are read, and the population has none.
        """
        return (
            population.readout
            if self.reads
            else population.like.new_zeros(()).expand(population.n_out, population.cells)
        )

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of the feedback weights."""

    @property
    @abc.abstractmethod
    def follows(self) -> bool:
        """Whether the weights change with the readout."""

    @abc.abstractmethod
    def draw(self, readout: Tensor, generator: torch.Generator) -> Tensor:
        """Return the buffer of the feedback weights, shape ``(N, O)``.

        Args:
            readout: Readout weights before learning, shape ``(O, N)``.
        """

    @abc.abstractmethod
    def now(self, readout: Tensor, kept: Tensor) -> Tensor:
        """Return the feedback weights, shape ``(N, O)``.

        Args:
            readout: Readout weights, shape ``(O, N)``.
            kept: Value returned by ``draw``.
        """

    def existing(self, candidates: Tensor, generator: torch.Generator) -> Tensor:
        """Return a random mask with ``fraction`` of its entries among the candidates.

        Args:
            candidates: Entries that may exist, in the shape of the result.

        >>> Frozen(0.5).existing(torch.ones(3, 4), torch.Generator()).sum()
        tensor(6.)
        """
        positions = candidates.cpu().reshape(-1).nonzero().squeeze(1)
        count = max(1, round(self.fraction * candidates.numel()))
        chosen = positions[torch.randperm(len(positions), generator=generator, device="cpu")[:count]]
        mask = torch.zeros(candidates.numel(), dtype=candidates.dtype, device="cpu")
        mask[chosen] = 1
        return mask.view(candidates.shape)


@checked
@dataclass(frozen=True)
class Frozen(FeedbackWeights):
    """``F = M * W_o^T`` of the initial readout.

    The weights are drawn among the readout's synapses. A weak baseline once the readout has changed.

    Args:
        fraction: Fraction of the N O weights that exist, default 0.1, in (0, 1].

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.
    """

    follows: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        return f"F {self.fraction:.0%} of W_o^T at the start"

    def draw(self, readout: Tensor, generator: torch.Generator) -> Tensor:
        return readout.t() * _readout_synapses(self, readout, generator)

    def now(self, readout: Tensor, kept: Tensor) -> Tensor:
        return kept


@checked
@dataclass(frozen=True)
class Tracked(FeedbackWeights):
    """``F = M * W_o^T`` of the current readout: sparse symmetric feedback.

    The weights are drawn among the readout's synapses.

    Args:
        fraction: Fraction of the N O weights that exist, default 0.1, in (0, 1].
    """

    follows: ClassVar[bool] = True

    @property
    def equation(self) -> str:
        return f"F {self.fraction:.0%} of W_o^T"

    def draw(self, readout: Tensor, generator: torch.Generator) -> Tensor:
        return _readout_synapses(self, readout, generator)

    def now(self, readout: Tensor, kept: Tensor) -> Tensor:
        return readout.t() * kept


@checked
@dataclass(frozen=True)
class Drawn(FeedbackWeights):
    """Sparse fixed ``F`` drawn from ``N(0, scale^2 / N)``.

    Args:
        fraction: Fraction of the N O weights that exist, default 0.1, in (0, 1].
        scale: Standard deviation of the weights times ``sqrt(N)``, default 1, positive.

    Raises:
        ValueError: ``fraction`` is out of range, or ``scale`` is not positive and finite.
    """

    scale: Positive = 1.0
    reads: ClassVar[bool] = False
    follows: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()

    @property
    def equation(self) -> str:
        return f"F random and fixed, {self.fraction:.0%} of it"

    def draw(self, readout: Tensor, generator: torch.Generator) -> Tensor:
        n_out, n_cells = readout.shape
        draw = torch.randn(n_cells, n_out, generator=generator, dtype=torch.float64, device="cpu")
        draw = draw * self.scale / math.sqrt(n_cells)
        return (draw * self.existing(torch.ones_like(draw), generator)).to(readout)

    def now(self, readout: Tensor, kept: Tensor) -> Tensor:
        return kept


def _readout_synapses(weights: FeedbackWeights, readout: Tensor, generator: torch.Generator) -> Tensor:
    """Return a mask among the nonzero readout weights, if there are any."""
    synapses = readout.t() != 0
    return weights.existing(synapses if synapses.any() else torch.ones_like(synapses), generator).to(readout)
