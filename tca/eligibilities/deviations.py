"""Postsynaptic factors of node perturbation: the noise or the displaced drive.

Shapes: T time, B batch, N cells of a population.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.tape.tape import Tape

__all__ = ["Deviation", "Displaced", "Injected"]

ByPopulation = Mapping[str, Tensor]


@dataclass(frozen=True)
class Deviation(abc.ABC):
    """A postsynaptic factor of node perturbation and its divisor."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of the postsynaptic factor."""

    @abc.abstractmethod
    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        """Return postsynaptic factors ``(T, B, N)`` by population, and the divisor.

        Args:
            xi: Noise of variance one, shape ``(T, B, N)``, by population.
            size: Difference of the two runs in units of ``xi``.
        """


@dataclass(frozen=True)
class Injected(Deviation):
    """The noise ``xi`` itself: node perturbation, with the noise available to the synapse.

    Papers: Fiete and Seung (2006), Physical Review Letters 97:048104; Zuge, Klos and Memmesheimer (2023), Physical
    Review X 13:021006.
    """

    equation: ClassVar[str] = "xi_t"

    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        return xi, size


@dataclass(frozen=True)
class Displaced(Deviation):
    """The displaced drive, ``n du / |du|^2``: activity-based node perturbation.

    ``du`` is the difference of the drives of the two runs: the cell's own noise and the effect of the noise of other
    cells and earlier steps, so that the noise itself is not needed. The norm is over all n cells and steps of a trial.
    With the change of the loss ``dE`` this is the directional derivative ``dE / |du|`` times its direction, times n.

    Where the noise of a cell reaches no other drive, as in a single layer without recurrence, ``du = sigma xi``; with
    signs for noise this is then node perturbation to round-off. Elsewhere its mean is not the gradient:
    ``du = M sigma xi``, M the transmission between cells, and the mean is along ``M lambda`` instead of the adjoint
    ``lambda``.

    Args:
        by_step: Whether norm and n are taken per step, as published for recurrent networks, or per trial (default).

    Papers: Dalm, van Gerven and Ahmad (2023), arXiv:2310.00965, for layers; Garcia Fernandez, Keemink and van Gerven
    (2024), Frontiers in Neuroscience 18:1439155, arXiv:2405.08967, for recurrent networks. Both scale by the root of n,
    another learning rate; with n the mean over normal noise is the gradient where noise stays in its cell.
    """

    by_step: bool = False

    @property
    def equation(self) -> str:
        return "n du_t / |du_t|^2" if self.by_step else "n du_t / |du|^2"

    def of(self, xi: ByPopulation, size: float, noisy: Tape, against: Tape) -> tuple[ByPopulation, float]:
        """Return the normalised differences of drives, and 1."""
        pairs = zip(noisy.levels, against.levels, strict=True)
        moved = {one.population.name: size * xi[one.population.name] + _difference(one, other) for one, other in pairs}
        if noisy.over is not None:
            moved = {name: each.masked_fill(noisy.over[1:].unsqueeze(-1), 0.0) for name, each in moved.items()}
        square = sum((each.square().sum(-1) for each in moved.values()), start=noisy.rate.new_zeros(()))
        count: int | Tensor = sum(each.shape[-1] for each in moved.values())
        if not self.by_step:
            square, count = square.sum(0), count * noisy.to_go(0)
        factor = torch.where(square > 0, count / square, 0.0).unsqueeze(-1)  # no displacement, no update
        return {name: each * factor for name, each in moved.items()}, 1.0


def _difference(one: Tape, other: Tape) -> Tensor:
    """Return the difference of two runs' synaptic drives, ``(T, B, N)``, or ``(T, B, G N)`` for G drives."""
    total = one.rate.new_zeros(one.steps, one.rate.shape[1], one.population.cells * one.population.drives)
    for link, like in zip(one.links, other.links, strict=True):
        if link.pre is not like.pre:  # inputs are the same
            change = link.connection.drive(link.pre) - like.connection.drive(like.pre)
            for rows, places in one.rows_of(link.connection):
                total[..., places] += change[..., rows]
    return total
