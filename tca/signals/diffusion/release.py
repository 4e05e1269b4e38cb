"""Release and reception of output errors: one field for all, or one each.

Shapes: N cells, O outputs, M coordinates of a field.

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
    """Release of errors into a field and reception by the cells."""

    @abc.abstractmethod
    def sites(self, n_cells: int, generator: torch.Generator) -> Tensor | None:
        """Return the random weights of release, shape ``(N,)``, ``None`` without any."""

    @abc.abstractmethod
    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        """Return the effective feedback weights (N, O) of a stationary field.

        Args:
            weights: Feedback weights, shape ``(N, O)``.
            sites: Value returned by ``sites``.
            spread: Function from a constant release to the stationary field at the cells, ``(..., N)`` to ``(..., N)``.
        """

    @abc.abstractmethod
    def emit(self, error: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        """Return the release of every step, a new tensor ``(..., [O,] M)``.

        Args:
            error: Output error, shape ``(..., O)``.
            weights: Feedback weights, shape ``(N, O)``.
            sites: Value returned by ``sites``.
            enter: Function from a release at the cells, ``(..., N)``, to the coordinates of the run, ``(..., M)``.
        """

    @abc.abstractmethod
    def receive(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        """Return the learning signal of the cells, shape ``(..., N)``.

        Args:
            at_cells: Concentrations at the cells, shape ``(..., [O,] N)``.
            weights: Feedback weights, shape ``(N, O)``.
        """


@dataclass(frozen=True)
class Shared(Release):
    """One field: cells release the errors they receive, ``Q = F``, and read the concentration, ``R = 1``.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.
    """

    def sites(self, n_cells: int, generator: torch.Generator) -> None:
        """Return ``None``: feedback weights determine the release."""
        return None

    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        return spread(weights.t()).t().contiguous()

    def emit(self, error: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        return error @ enter(weights.t())

    def receive(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        return at_cells


@checked
@dataclass(frozen=True)
class PerError(Release):
    """One field per error: few cells release all, ``Q^m_jk = q_j 1[k=m]``, receptors weigh, ``R^m_j = F_jm``.

    Args:
        fraction: Fraction of the cells that release, default 0.1, in (0, 1]; rounded, at least one cell.
    """

    fraction: float = 0.1

    def __post_init__(self) -> None:
        check_fraction("fraction of the cells that release", self.fraction)

    def sites(self, n_cells: int, generator: torch.Generator) -> Tensor:
        """Draw the releasing cells."""
        releasing = torch.zeros(n_cells, dtype=torch.float64, device="cpu")
        order = torch.randperm(n_cells, generator=generator, device="cpu")
        releasing[order[: max(1, round(self.fraction * n_cells))]] = 1
        return releasing

    def folded(self, weights: Tensor, sites: Tensor | None, spread: FromCells) -> Tensor:
        return weights * spread(_given(sites)).unsqueeze(-1)

    def emit(self, error: Tensor, weights: Tensor, sites: Tensor | None, enter: FromCells) -> Tensor:
        return error.unsqueeze(-1) * enter(_given(sites))

    def receive(self, at_cells: Tensor, weights: Tensor) -> Tensor:
        return (at_cells * weights.t()).sum(-2)


def _given(sites: Tensor | None) -> Tensor:
    if sites is None:
        raise ValueError("the buffer 'sites' of releasing cells is missing")
    return sites
