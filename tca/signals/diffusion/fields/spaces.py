"""Spaces of diffusion: grids with a boundary, and graphs.

Shapes: S sites. The sites of a grid are counted row by row, the last axis fastest.

A space is given by one symmetric Laplacian per axis, ``(Lap C)_x = sum_y w_xy (C_y - C_x)``; that of the whole space is
their Kronecker sum. Distances are counted in sites, so that a coefficient of diffusion has the unit sites^2 per ms.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import torch
from torch import Tensor

from tca.utils.checks import Positive, Size, checked, positive, settle, whole
from tca.utils.names import lookup

__all__ = ["BOUNDARIES", "Graph", "Grid", "Space", "kronecker_product", "kronecker_sum"]

Beyond = Callable[[int], tuple[int | None, int | None]]

# Site used beyond the first and beyond the last of n: the other end, the last itself, or none (zero).
BOUNDARIES: dict[str, Beyond] = {
    "periodic": lambda n: (n - 1, 0),
    "no-flux": lambda n: (0, n - 1),
    "absorbing": lambda n: (None, None),
}


@dataclass(frozen=True)
class Space(abc.ABC):
    """Sites and the exchange between them."""

    @property
    @abc.abstractmethod
    def axes(self) -> tuple[int, ...]:
        """Number of sites along each axis."""

    @abc.abstractmethod
    def laplacians(self) -> tuple[Tensor, ...]:
        """Return the Laplacian of every axis, float64."""

    @property
    def sites(self) -> int:
        """Number of sites S."""
        return math.prod(self.axes)

    def laplacian(self) -> Tensor:
        """Return the Laplacian of the space, shape ``(S, S)``, float64."""
        return kronecker_sum(self.laplacians())

    @cached_property
    def degree(self) -> float:
        """Largest weighted degree of a site, ``2 d`` inside a d-dimensional grid."""
        return sum(float(-each.diagonal().min()) for each in self.laplacians())


@checked
@dataclass(frozen=True)
class Grid(Space):
    """A grid of any dimension with exchange between nearest neighbours.

    Args:
        shape: Number of sites along each axis, each at least 1.
        boundary: ``"periodic"`` (default), ``"no-flux"`` (a missing neighbour is left out) or ``"absorbing"`` (a
            missing neighbour is zero, so that mass is lost at the rim).

    Raises:
        ValueError: The shape is empty or has an axis without sites, or the name of the boundary is unknown.

    >>> Grid((3,), boundary="no-flux").laplacian().tolist()
    [[-1.0, 1.0, 0.0], [1.0, -2.0, 1.0], [0.0, 1.0, -1.0]]
    """

    shape: tuple[int, ...]
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        if not self.shape:
            raise ValueError("shape must hold at least one axis, got ()")
        settle(self, shape=tuple(whole("every axis of shape", each, 1) for each in self.shape))
        lookup(BOUNDARIES, self.boundary, "boundary")

    @property
    def axes(self) -> tuple[int, ...]:
        return self.shape

    @property
    def beyond(self) -> Beyond:
        """Sites used beyond the first and last of an axis."""
        return BOUNDARIES[self.boundary]

    def laplacians(self) -> tuple[Tensor, ...]:
        return tuple(_second_difference(each, self.beyond) for each in self.shape)


@checked
@dataclass(frozen=True)
class Graph(Space):
    """Sites joined by weighted edges, for instance irregular positions.

    Args:
        size: Number of sites S.
        edges: Triples of two different sites and the weight of the exchange between them, positive, 1 / ms per unit of
            diffusion; each pair at most once.

    Raises:
        ValueError: A site does not exist, an edge is a loop, a pair is repeated or a weight is not positive.

    >>> Graph(2, ((0, 1, 0.5),)).laplacian().tolist()
    [[-0.5, 0.5], [0.5, -0.5]]
    """

    size: Size
    edges: tuple[tuple[int, int, float], ...]

    def __post_init__(self) -> None:
        seen: set[frozenset[int]] = set()
        for one, other, weight in self.edges:
            if one == other or not (0 <= one < self.size and 0 <= other < self.size):
                raise ValueError(f"an edge must join two different sites of 0 to {self.size - 1}, got {(one, other)}")
            positive(f"the weight of the edge {(one, other)}", weight)
            if {one, other} in seen:
                raise ValueError(f"a pair of sites may be joined once, got {(one, other)} again")
            seen.add(frozenset((one, other)))

    @classmethod
    @checked
    def of_points(cls, points: Sequence[Sequence[float]] | Tensor, reach: Positive) -> Graph:
        """Return the graph of points within ``reach``, with weights 1 / distance^2.

        On the points of a square lattice of unit spacing and with a reach of one this is the grid without flux.

        Args:
            points: Coordinates of every site, in any number of dimensions, no two alike.
            reach: Longest edge.

        Raises:
            ValueError: Two points coincide, no two are within reach, or a coordinate or ``reach`` is invalid.

        >>> Graph.of_points([(0.0,), (2.0,), (9.0,)], reach=3.0)
        Graph(size=3, edges=((0, 1, 0.25),))
        """
        places = torch.as_tensor(points, dtype=torch.float64, device="cpu")
        if places.ndim != 2 or not places.isfinite().all():
            raise ValueError(f"points must be finite coordinates of shape (sites, dimensions), got {points!r}")
        distance = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")
        near = torch.triu(distance <= reach * (1 + 1e-12), diagonal=1).nonzero().tolist()
        if not near:
            raise ValueError(f"no two points are within reach {reach}")
        edges = []
        for one, other in near:
            length = float(distance[one, other])
            if length == 0:
                raise ValueError(f"points {one} and {other} are alike")
            edges.append((one, other, 1 / length**2))
        return cls(len(points), tuple(edges))

    @property
    def axes(self) -> tuple[int, ...]:
        return (self.size,)

    def laplacians(self) -> tuple[Tensor, ...]:
        """Return the Laplacian of the graph."""
        matrix = torch.zeros(self.size, self.size, dtype=torch.float64, device="cpu")
        for one, other, weight in self.edges:
            matrix[one, other] = matrix[other, one] = weight
        return (matrix - matrix.sum(1).diag(),)


def kronecker_product(matrices: Sequence[Tensor]) -> Tensor:
    """Return the Kronecker product of some matrices."""
    return reduce(torch.kron, matrices)


def kronecker_sum(matrices: Sequence[Tensor]) -> Tensor:
    """Return ``sum_a 1 x ... x M_a x ... x 1``, each matrix on its axis."""
    ones = [torch.eye(len(each), dtype=each.dtype, device="cpu") for each in matrices]
    terms = [kronecker_product([*ones[:a], each, *ones[a + 1 :]]) for a, each in enumerate(matrices)]
    return torch.stack(terms).sum(0)


def _second_difference(sites: int, beyond: Beyond) -> Tensor:
    matrix = -2 * torch.eye(sites, dtype=torch.float64, device="cpu")
    for site in range(sites - 1):
        matrix[site, site + 1] = matrix[site + 1, site] = 1
    for site, neighbour in zip((0, sites - 1), beyond(sites), strict=True):
        if neighbour is not None:
            matrix[site, neighbour] += 1
    return matrix
