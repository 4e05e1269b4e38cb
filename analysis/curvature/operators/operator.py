"""A linear operator on the parameters of a network, defined by its products with vectors.

Shapes: P parameters, V vectors. The parameters are one flat vector of P numbers; several vectors are the columns of a
matrix.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from tca.utils.checks import checked
from tca.utils.cuda_graphs import Replays

__all__ = ["Operator"]

R = TypeVar("R")


class Operator(abc.ABC):
    """A square matrix ``A`` of P parameters by P at a point, known by its products.

    Args:
        theta: The point, shape ``(P,)``; it is copied. Products have its type and device.
        symmetric: Whether the matrix equals its transpose, default True.
        width: How many vectors are taken at once, at most, default 1: more need more memory.

    Attributes:
        theta: The point.
        symmetric: Whether the matrix equals its transpose.
        width: How many vectors are taken at once, at most.
        products: Number of products so far, every vector counted.
        groups: Where each parameter of a network lies in the vector, by name; empty where there is no network.

    Raises:
        ValueError: The point is no vector of at least one number.
    """

    def __init__(self, theta: Tensor, *, symmetric: bool = True, width: int = 1) -> None:
        """Take over the point."""
        if theta.ndim != 1 or not len(theta):
            raise ValueError(f"theta must be a vector of at least one number, got shape {tuple(theta.shape)}")
        self.theta = theta.detach().clone()
        self.symmetric = symmetric
        self.width = width
        self.products = 0
        self.groups: dict[str, slice] = {}
        self._replays: Replays | None = None  # of products that take the same operations on the same memory

    @abc.abstractmethod
    def _multiply(self, vectors: Tensor) -> Tensor:
        """Return ``A M``, shape ``(P, V)``, of at most ``width`` columns in the type of the point, without a graph."""

    def _aside(self, make: Callable[[], R]) -> R:
        """Return a result made on the stream of captures, to which autograd goes back in every product."""
        return make() if self._replays is None else self._replays.graphs.aside(make)

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return len(self.theta)

    @checked
    def product(self, vector: Tensor) -> Tensor:
        """Return ``A v``, shape ``(P,)``, without a graph.

        Args:
            vector: The vector v, shape ``(P,)``, of any type and on any device.

        Raises:
            ValueError: The shape is wrong, or the product is not finite.
        """
        if vector.shape != self.theta.shape:
            raise ValueError(f"vector must have shape {tuple(self.theta.shape)}, got {tuple(vector.shape)}")
        return self._checked(vector.unsqueeze(1)).squeeze(1)

    def __matmul__(self, vectors: Tensor) -> Tensor:
        """Return ``A v``, shape ``(P,)``, or ``A M``, shape ``(P, V)``, without a graph.

        Columns are taken ``width`` at a time, which for the networks that support it costs less than one after the
        other, and no more memory however many there are.

        Args:
            vectors: A vector of shape ``(P,)``, or a matrix of shape ``(P, V)``, of any type and on any device.

        Raises:
            ValueError: The shape is wrong, or a product is not finite.
        """
        if vectors.ndim == 1:
            return self.product(vectors)
        if vectors.ndim != 2 or len(vectors) != self.size:
            raise ValueError(f"vectors must have shape ({self.size}, V), got {tuple(vectors.shape)}")
        products = self.theta.new_empty(vectors.shape)
        for start in range(0, vectors.shape[1], self.width):
            some = slice(start, start + self.width)
            products[:, some] = self._checked(vectors[:, some])
        return products

    def matrix(self) -> Tensor:
        """Return the operator written out, shape ``(P, P)``, from P products; exactly symmetric if it is symmetric."""
        columns = self @ torch.eye(self.size, dtype=self.theta.dtype, device=self.theta.device)
        return (columns + columns.mT) / 2 if self.symmetric else columns

    def linear_operator(self) -> LinearOperator:
        """Return the operator as one of ``scipy.sparse.linalg``, in float64 on the CPU.

        It counts its products as this one does. Its adjoint is known only where the operator is symmetric.
        """

        def apply(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
            given = np.asarray(vectors, dtype=np.float64).reshape(self.size, -1)
            products = self @ torch.from_numpy(given)
            result: NDArray[np.float64] = products.to("cpu", torch.float64).numpy().reshape(vectors.shape)
            return result

        adjoint = {"rmatvec": apply, "rmatmat": apply} if self.symmetric else {}
        return LinearOperator((self.size, self.size), matvec=apply, matmat=apply, dtype=np.float64, **adjoint)

    @torch.inference_mode(False)
    def _checked(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[1]
        given = vectors.detach().to(self.theta)
        products = (self._replays(self._multiply, given) if self._replays else self._multiply(given)).detach()
        if not torch.isfinite(products).all():
            raise ValueError("the curvature is not finite at this point")
        return products
