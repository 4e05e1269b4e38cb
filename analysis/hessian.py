"""The Hessian of a loss as an operator: what it does to a vector, without ever being written down.

Shapes: P parameters, K chunks of data. The parameters are one flat vector of P numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Hessian"]


class Hessian:
    """``H = sum_k d2 loss_k / d theta2 + l2 I`` at a point, acting on vectors.

    The gradient is computed once and its graph is kept; every product is then one more backward pass through that
    graph, ``H v = d(g . v)/d theta``, exact and about twice the cost of a gradient. Where the graphs of all chunks do
    not fit into memory together, they are built and dropped one after the other for every product.

    Args:
        losses: Functions from the flat parameters to a scalar loss, one per chunk of the data; their sum is the loss.
        theta: The point, shape ``(P,)``; it is copied.
        l2: Coefficient c of an added ``c/2 |theta|^2``, default 0. It adds c to every eigenvalue.
        keep_graph: Whether to keep the graphs of all chunks between products, default True.

    Raises:
        ValueError: The loss or its gradient is not finite at this point, or there is nothing to differentiate.

    >>> toy = Hessian([lambda theta: 3 * theta[0] ** 2 + theta[0] * theta[1]], torch.tensor([1.0, 2.0]))
    >>> toy.product(torch.tensor([1.0, 0.0])).tolist()
    [6.0, 1.0]
    >>> toy.loss, toy.gradient.tolist()
    (5.0, [8.0, 1.0])
    """

    def __init__(
        self, losses: Sequence[Callable[[Tensor], Tensor]], theta: Tensor, *, l2: float = 0.0, keep_graph: bool = True
    ) -> None:
        """Compute the loss and its gradient."""
        if theta.ndim != 1 or not len(theta):
            raise ValueError(f"theta must be a vector of at least one number, got shape {tuple(theta.shape)}")
        if not losses:
            raise ValueError("losses must hold at least one function")
        self.losses = list(losses)
        self.l2 = l2
        self.keep_graph = keep_graph
        self.theta = theta.detach().clone().requires_grad_()
        self.products = 0
        self._gradients: list[Tensor] = []
        value = 0.5 * l2 * float(theta.detach().square().sum())
        gradient = l2 * theta.detach()
        for loss in self.losses:
            part, part_gradient = self._differentiate(loss)
            value += float(part)
            gradient = gradient + part_gradient.detach()
            if keep_graph:
                self._gradients.append(part_gradient)
        if not torch.isfinite(gradient).all() or value != value or abs(value) == float("inf"):
            raise ValueError(f"the loss and its gradient must be finite to have a curvature, got the loss {value:g}")
        self.loss = value
        self.gradient = gradient

    @property
    def size(self) -> int:
        """Number of parameters P."""
        return len(self.theta)

    def product(self, vector: Tensor) -> Tensor:
        """Return ``H v``, shape ``(P,)``, without a graph.

        Args:
            vector: The vector v, shape ``(P,)``.

        Raises:
            ValueError: The shape is wrong, or the product is not finite.
        """
        if vector.shape != self.theta.shape:
            raise ValueError(f"vector must have shape {tuple(self.theta.shape)}, got {tuple(vector.shape)}")
        self.products += 1
        vector = vector.to(self.theta)
        total = self.l2 * vector
        for part in self._product_of_chunks(vector):
            total += part
        if not torch.isfinite(total).all():
            raise ValueError("the curvature is not finite at this point")
        return total

    def matrix(self) -> Tensor:
        """Return the Hessian written out, shape ``(P, P)``, from P products and made exactly symmetric."""
        rows = torch.stack([self.product(row) for row in torch.eye(self.size).to(self.theta)])
        return (rows + rows.t()) / 2

    def _differentiate(self, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            value = loss(self.theta)
            if not value.requires_grad:
                return value.detach(), torch.zeros_like(self.theta)
            (gradient,) = torch.autograd.grad(value, self.theta, create_graph=True, materialize_grads=True)
        return value.detach(), gradient

    def _product_of_chunks(self, vector: Tensor) -> list[Tensor]:
        if self.keep_graph:
            return [self._second(gradient, vector, retain_graph=True) for gradient in self._gradients]
        return [self._second(self._differentiate(loss)[1], vector, retain_graph=False) for loss in self.losses]

    def _second(self, gradient: Tensor, vector: Tensor, *, retain_graph: bool) -> Tensor:
        if not gradient.requires_grad:  # the loss is linear in the parameters
            return torch.zeros_like(vector)
        (product,) = torch.autograd.grad(
            gradient, self.theta, vector, retain_graph=retain_graph, materialize_grads=True
        )
        return product
