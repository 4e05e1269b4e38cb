"""The Hessian of a loss as an operator.

Shapes: P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from analysis.operators.base import Operator

__all__ = ["Hessian"]


class Hessian(Operator):
    """``H = sum_k d2 loss_k / d theta2 + l2 I`` at a point, acting on vectors.

    The gradient is computed once and its graph is kept; every product is then one more backward pass through that
    graph, ``H v = d(g . v)/d theta``, exact and about twice the cost of a gradient. Where the graphs of all chunks do
    not fit into memory together, they are built and dropped one after the other for every product.

    Args:
        losses: Functions from the flat parameters to a scalar loss, one per chunk of the data; their sum is the loss.
        theta: The point, shape ``(P,)``; it is copied.
        l2: Coefficient c of an added ``c/2 |theta|^2``, default 0. It adds c to every eigenvalue.
        keep_graph: Whether to keep the graphs of all chunks between products, default True.

    Attributes:
        loss: The loss at the point, with the added term.
        gradient: Its gradient, shape ``(P,)``.

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
        super().__init__(theta)
        if not losses:
            raise ValueError("losses must hold at least one function")
        self.losses = list(losses)
        self.l2 = l2
        self.keep_graph = keep_graph
        self._gradients: list[Tensor] = []
        value = 0.5 * l2 * float(self.theta.square().sum())
        gradient = l2 * self.theta
        self._point = self.theta.clone().requires_grad_()
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

    def _product(self, vector: Tensor) -> Tensor:
        total = self.l2 * vector
        for part in self._products_of_chunks(vector):
            total += part
        return total

    def _differentiate(self, loss: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            value = loss(self._point)
            if not value.requires_grad:
                return value.detach(), torch.zeros_like(self.theta)
            (gradient,) = torch.autograd.grad(value, self._point, create_graph=True, materialize_grads=True)
        return value.detach(), gradient

    def _products_of_chunks(self, vector: Tensor) -> list[Tensor]:
        if self.keep_graph:
            return [self._second(gradient, vector, retain_graph=True) for gradient in self._gradients]
        return [self._second(self._differentiate(loss)[1], vector, retain_graph=False) for loss in self.losses]

    def _second(self, gradient: Tensor, vector: Tensor, *, retain_graph: bool) -> Tensor:
        if not gradient.requires_grad:  # the loss is linear in the parameters
            return torch.zeros_like(vector)
        (product,) = torch.autograd.grad(
            gradient, self._point, vector, retain_graph=retain_graph, materialize_grads=True
        )
        return product
