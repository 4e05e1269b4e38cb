"""Eigenpairs at both ends of a spectrum, the result of every eigensolver.

Shapes: P parameters, M vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from analysis.curvature.operators import Operator
from tca.utils.checks import Count, checked

__all__ = ["Ends", "Engine", "Pair"]


@checked
@dataclass(frozen=True, eq=False)
class Pair:
    """An approximate eigenpair of an operator with its residual.

    Attributes:
        value: Rayleigh quotient ``lambda = v . A v`` of the vector.
        vector: Unit vector v, float64, shape ``(P,)``.
        residual: ``|A v - lambda v|``: some eigenvalue lies within this distance of the value.
        gap: Estimate of the distance to all other eigenvalues; 0 (default) if it is unknown.
    """

    value: float
    vector: Tensor
    residual: float
    gap: float = 0.0

    @property
    def error(self) -> float:
        """Estimate of the error of the value, ``residual^2 / gap``, at most the residual (Kato and Temple)."""
        return self.residual * min(1.0, self.residual / self.gap) if self.gap > 0 else self.residual

    @classmethod
    @checked
    def of(cls, operator: Operator, vectors: Tensor) -> list[Pair]:
        """Return the Rayleigh quotients of vectors and their residuals, from one product each.

        Args:
            vectors: Vectors other than zero, as the columns of a matrix of shape ``(P, M)``.
        """
        vectors = vectors.to(torch.float64)
        vectors = vectors / vectors.norm(dim=0)
        products = (operator @ vectors).to(vectors)
        values = (vectors * products).sum(0)
        residuals = (products - values * vectors).norm(dim=0)
        return [
            cls(value, vector, residual)
            for value, vector, residual in zip(values.tolist(), vectors.mT, residuals.tolist(), strict=True)
        ]


@checked
@dataclass(frozen=True, eq=False)
class Ends:
    """Both ends of a spectrum.

    Attributes:
        tops: The largest algebraic eigenvalues, falling.
        bottoms: The smallest algebraic eigenvalues, rising.
        trace: The exact trace, if the eigensolver computes it.
    """

    tops: tuple[Pair, ...]
    bottoms: tuple[Pair, ...]
    trace: float | None = None

    @classmethod
    @checked
    def of(cls, operator: Operator, vectors: Tensor, k: Count = 1, trace: float | None = None) -> Ends:
        """Return vectors in the order of their Rayleigh quotients.

        Args:
            vectors: At least k vectors, as the columns of a matrix of shape ``(P, M)``.
            k: Number of pairs at each end, default 1.
            trace: The exact trace, if known.
        """
        rising = sorted(Pair.of(operator, vectors), key=lambda pair: pair.value)
        return cls(tuple(rising[: -k - 1 : -1]), tuple(rising[:k]), trace)

    @property
    def largest(self) -> Pair:
        """The largest algebraic eigenvalue."""
        return self.tops[0]

    @property
    def smallest(self) -> Pair:
        """The smallest algebraic eigenvalue."""
        return self.bottoms[0]

    @property
    def magnitude(self) -> float:
        """Largest modulus of the values."""
        return max(abs(self.largest.value), abs(self.smallest.value))


class Engine(Protocol):
    """An eigensolver for both ends of a spectrum."""

    def __call__(self, operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
        """Return the ends.

        Args:
            operator: The operator, symmetric.
            tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus.
            products: Bound of the number of products.
            seed: Seed of random vectors.
            k: Number of eigenvalues at each end.
        """
        ...
