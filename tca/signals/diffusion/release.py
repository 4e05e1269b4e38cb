"""How errors are released into a field and how cells hear it: one field for all errors, or one for each.

Shapes: N cells, O outputs, M numbers that a field keeps.

With ``P`` the placing of cells on sites, both are ``s^m = P^T Q^m err`` (release) and ``L_j = sum_m R^m_j c^m`` at the
place of cell j (reception).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.signals.feedback_weights import check_fraction
from tca.utils.checks import checked

__all__ = ["PerError", "Release", "Shared"]

FromCells = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Release(abc.ABC):
    """How errors get into the field, and from it to the cells."""

    @abc.abstractmethod
    def sites(self, n_cells: int, generator: torch.Generator) -> Tensor | None:
        """Return what is drawn about the places of release, shape ``(N,)``, ``None`` if nothing is.

        Args:
            n_cells: Number of cells N.
            generator: Source of random numbers.
        """

    @abc.abstractmethod
    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        """Return the feedback weights (N, O) that a settled field amounts to.

        Args:
            weights: Feedback weights, shape ``(N, O)``.
            sites: What ``sites`` has returned.
            spread: The settled field at the cells of a constant release at the cells, ``(..., N)`` to ``(..., N)``.
        """

    @abc.abstractmethod
    def emit(self, score: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        """Return what every step releases, in the coordinates of a run, a new tensor of shape ``(..., [O,] M)``.

        Args:
            score: Score, shape ``(..., O)``.
            weights: Feedback weights, shape ``(N, O)``.
            sites: What ``sites`` has returned.
            enter: From a release at the cells, shape ``(..., N)``, to the coordinates of the run, ``(..., M)``.
        """

    @abc.abstractmethod
    def hear(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        """Return what the cells are told, shape ``(..., N)``.

        Args:
            at_cells: Concentrations at the cells, shape ``(..., [O,] N)``.
            weights: Feedback weights, shape ``(N, O)``.
        """


@dataclass(frozen=True)
class Shared(Release):
    """One field: every cell releases the error it receives, ``Q = F``, and hears the concentration, ``R = 1``.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.
    """

    def sites(self, n_cells: int, generator: torch.Generator) -> None:
        """Draw nothing: the feedback weights say who releases."""
        return None

    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        """Return the weights blurred over the cells."""
        return spread(weights.t()).t().contiguous()

    def emit(self, score: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        """Return ``F err``, entered."""
        return score @ enter(weights.t())

    def hear(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        """Return the concentration."""
        return at_cells


@checked
@dataclass(frozen=True)
class PerError(Release):
    """One field per error: some cells release all of them, ``Q^m_jk = q_j 1[k=m]``, receptors weigh, ``R^m_j = F_jm``.

    Args:
        fraction: How many of the cells release, default 0.1, in (0, 1]; the nearest whole number, at least one.

    Raises:
        ValueError: ``fraction`` is out of range.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        """Check the fraction."""
        check_fraction("fraction of the cells that release", self.fraction)

    def sites(self, n_cells: int, generator: torch.Generator) -> Tensor:
        """Draw which cells release."""
        releasing = torch.zeros(n_cells, dtype=torch.float64, device="cpu")
        order = torch.randperm(n_cells, generator=generator, device="cpu")
        releasing[order[: max(1, round(self.fraction * n_cells))]] = 1
        return releasing

    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        """Return the weights times the concentration that a release of one leaves at the cell."""
        return weights * spread(_given(sites)).unsqueeze(-1)

    def emit(self, score: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        """Return ``q err_m``, entered, for every error m."""
        return score.unsqueeze(-1) * enter(_given(sites))

    def hear(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        """Return the concentrations weighed by the receptors."""
        return (at_cells * weights.t()).sum(-2)


def _given(sites: Tensor | None) -> Tensor:
    if sites is None:
        raise ValueError("the buffer 'sites' says which cells release and is missing")
    return sites
