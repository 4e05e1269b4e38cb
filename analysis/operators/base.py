"""A linear operator on the parameters of a network: what it does to a vector, without ever being written down.

Shapes: P parameters. The parameters are one flat vector of P numbers.
"""

from __future__ import annotations

import abc

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

__all__ = ["Operator"]


class Operator(abc.ABC):
    """A square matrix ``A`` of P parameters by P at a point, known by its products.

    Args:
        theta: The point, shape ``(P,)``; it is copied. Products have its type and device.
        symmetric: Whether the matrix equals its transpose, default True.

    Attributes:
        theta: The point.
        symmetric: Whether the matrix equals its transpose.
        products: Number of products so far.
        groups: Where each parameter of a network lies in the vector, by name; empty where there is no network.

    Raises:
        ValueError: The point is no vector of at least one number.
    """

    def __init__(self, theta: Tensor, *, symmetric: bool = True) -> None:
        """Take over the point."""
        if theta.ndim != 1 or not len(theta):
            raise ValueError(f"theta must be a vector of at least one number, got shape {tuple(theta.shape)}")
        self.theta = theta.detach().clone()
        self.symmetric = symmetric
        self.products = 0
        self.groups: dict[str, slice] = {}

    @abc.abstractmethod
    def _product(self, vector: Tensor) -> Tensor:
        """Return ``A v`` of a vector in the type of the point, without a graph."""

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return len(self.theta)

    def product(self, vector: Tensor) -> Tensor:
        """Return ``A v``, shape ``(P,)``, without a graph.

        Args:
            vector: The vector v, shape ``(P,)``, of any type and on any device.

        Raises:
            ValueError: The shape is wrong, or the product is not finite.
        """
        if vector.shape != self.theta.shape:
            raise ValueError(f"vector must have shape {tuple(self.theta.shape)}, got {tuple(vector.shape)}")
        self.products += 1
        product = self._product(vector.detach().to(self.theta)).detach()
        if not torch.isfinite(product).all():
            raise ValueError("the curvature is not finite at this point")
        return product

    def matrix(self) -> Tensor:
        """Return the operator written out, shape ``(P, P)``, from P products; exactly symmetric if it is symmetric."""
        identity = torch.eye(self.size, dtype=self.theta.dtype, device=self.theta.device)
        columns = torch.stack([self.product(column) for column in identity], 1)
        return (columns + columns.mT) / 2 if self.symmetric else columns

    def linear_operator(self) -> LinearOperator:
        """Return the operator as one of ``scipy.sparse.linalg``, in float64 on the CPU whatever its own type.

        It counts its products as this one does. Its adjoint is known only where the operator is symmetric.
        """

        def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            product = self.product(torch.from_numpy(np.ravel(vector).astype(np.float64)))
            result: NDArray[np.float64] = product.to("cpu", torch.float64).numpy()
            return result

        adjoint = {"rmatvec": apply} if self.symmetric else {}
        return LinearOperator((self.size, self.size), matvec=apply, dtype=np.float64, **adjoint)
