"""What the synapses of a cell go by when noise has been added to its drive: the noise, or how far the drive went.

Shapes: T time, B batch, N cells of a population.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.tape.tape import Tape

__all__ = ["Deviation", "Displaced", "Injected"]

ByPopulation = Mapping[str, Tensor]


@dataclass(frozen=True)
class Deviation(abc.ABC):
    """What a cell contributes to the traces of its synapses, and what the change of the loss is divided by."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """What a cell contributes, in one line."""

    @abc.abstractmethod
    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        """Return what every cell contributes at every step, ``(T, B, N)`` by population, and the divisor.

        Args:
            xi: Noise of variance one, shape ``(T, B, N)``, by population.
            size: How far the two runs are apart, in units of ``xi``.
            noisy: The run with noise.
            against: The run that it is compared with.
        """


@dataclass(frozen=True)
class Injected(Deviation):
    """The noise itself, ``xi``: node perturbation. A synapse must know what noise its cell was given.

    Papers: Fiete and Seung (2006), Physical Review Letters 97:048104; Zuge, Klos and Memmesheimer (2023), Physical
    Review X 13:021006.
    """

    @property
    def equation(self) -> str:
        """What a cell contributes, in one line."""
        return "xi_t"

    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        """Return the noise and the size."""
        return xi, size


@dataclass(frozen=True)
class Displaced(Deviation):
    """How far its drive went, ``n du / |du|^2``: activity-based node perturbation.

    ``du`` is the difference of the drives of the two runs: the noise of the cell and all that the noise of other cells
    and earlier steps has done to it, so that nobody must know the noise. The norm is that over all cells of all
    populations and all steps of a trial, and n is how many numbers these are. With the change of the loss ``dE`` this
    is the derivative along the direction in which activity has gone, ``dE / |du|``, times that direction, times n.

    Where the noise of a cell reaches no other drive, as in a single layer without recurrence, ``du = sigma xi``; with
    signs for noise this is then node perturbation to round-off. Elsewhere its mean is not the gradient:
    ``du = M sigma xi``, M what passes between the cells, and the mean is along ``M lambda`` in the place of the
    adjoint ``lambda``.

    Args:
        by_step: Whether norm and number are those of every step by itself, as published for recurrent networks, or of
            the whole trial (default).

    Papers: Dalm, van Gerven and Ahmad (2023), arXiv:2310.00965, for layers; Garcia Fernandez, Keemink and van Gerven
    (2024), Frontiers in Neuroscience 18:1439155, arXiv:2405.08967, for recurrent networks. Both scale by the root of n,
    which makes another learning rate; n makes the mean over normal noise the gradient itself where noise stays put.
    """

    by_step: bool = False

    @property
    def equation(self) -> str:
        """What a cell contributes, in one line."""
        return "n du_t / |du_t|^2" if self.by_step else "n du_t / |du|^2"

    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        """Return the normalised differences of drives, and one."""
        pairs = zip(noisy.levels, against.levels, strict=True)
        moved = {one.population.name: size * xi[one.population.name] + _difference(one, other) for one, other in pairs}
        if noisy.over is not None:
            moved = {name: each.masked_fill(noisy.over[1:].unsqueeze(-1), 0.0) for name, each in moved.items()}
        square = sum((each.square().sum(-1) for each in moved.values()), start=noisy.rate.new_zeros(()))
        count: int | Tensor = sum(each.shape[-1] for each in moved.values())
        if not self.by_step:
            square, count = square.sum(0), count * noisy.to_go(0)
        factor = torch.where(square > 0, count / square, 0.0).unsqueeze(-1)  # nothing moved: nothing to go by
        return {name: each * factor for name, each in moved.items()}, 1.0


def _difference(one: Tape, other: Tape) -> Tensor:
    """Return how far the drives of two runs are apart through what their synapses carried, shape ``(T, B, N)``."""
    total = torch.zeros_like(one.rate[1:])
    for link, like in zip(one.links, other.links, strict=True):
        if link.pre is not like.pre:  # inputs are the same
            total += link.connection.drive(link.pre) - like.connection.drive(like.pre)
    return total
