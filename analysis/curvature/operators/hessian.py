"""The Hessian of a loss as an operator.

Shapes: P parameters, V vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from analysis.curvature.operators.operator import Operator
from analysis.curvature.operators.second_order import GraphExpansion, LossExpansion
from tca.utils.checks import Count, NotNegative, checked
from tca.utils.cuda_graphs import replays_on

__all__ = ["Hessian"]


@checked
class Hessian(Operator):
    """``H = sum_k d2 loss_k / d theta2 + l2 I`` at a point, acting on vectors.

    Values that do not depend on a vector are computed once and kept between products; where they do not fit into memory
    for all chunks together, they are computed for one chunk after the other in every product.

    Args:
        losses: Functions from the flat parameters to a scalar loss, one per chunk of the data; their sum is the loss.
        theta: The point, shape ``(P,)``; it is copied.
        l2: Coefficient c of an added ``c/2 |theta|^2``, default 0. It adds c to every eigenvalue.
        keep: Whether to keep the expansions of all chunks between products, default True.
        expansions: For every loss a function that returns its expansion at the point; ``None`` (default) for autograd.
        width: How many vectors the expansions take at once, at most, default 1.

    Attributes:
        losses: The functions.
        l2: The coefficient.
        loss: The loss at the point, with the added term.
        gradient: Its gradient, shape ``(P,)``.

    Raises:
        ValueError: The loss or its gradient is not finite at this point, there is no loss, or there is
            not one expansion for each loss.

    >>> toy = Hessian([lambda theta: 3 * theta[0] ** 2 + theta[0] * theta[1]], torch.tensor([1.0, 2.0]))
    >>> toy.product(torch.tensor([1.0, 0.0])).tolist()
    [6.0, 1.0]
    >>> (toy @ torch.eye(2)).tolist()
    [[6.0, 1.0], [1.0, 0.0]]
    >>> toy.loss, toy.gradient.tolist()
    (5.0, [8.0, 1.0])
    """

    def __init__(
        self,
        losses: Sequence[Callable[[Tensor], Tensor]],
        theta: Tensor,
        *,
        l2: NotNegative = 0.0,
        keep: bool = True,
        expansions: Sequence[Callable[[], LossExpansion]] | None = None,
        width: Count = 1,
    ) -> None:
        """Compute the loss and its gradient."""
        super().__init__(theta, width=width)
        if not losses:
            raise ValueError("losses must hold at least one function")
        self.losses = list(losses)
        self.l2 = l2
        self._expand = (
            [partial(GraphExpansion.of, each, self.theta) for each in losses] if expansions is None else expansions
        )
        if len(self._expand) != len(self.losses):
            raise ValueError(f"expansions must be one for each of {len(self.losses)} losses, got {len(self._expand)}")
        if keep:
            self._replays = replays_on(self.theta.device, "products")
        self._kept: list[LossExpansion] = []
        value = 0.5 * l2 * float(self.theta.square().sum())
        gradient = l2 * self.theta
        for expand in self._expand:
            expansion = self._aside(expand)
            value += expansion.value
            gradient = gradient + expansion.gradient
            if keep:
                self._kept.append(expansion)
        if not torch.isfinite(gradient).all() or value != value or abs(value) == float("inf"):
            raise ValueError(f"the loss and its gradient must be finite to have a curvature, got the loss {value:g}")
        self.loss = value
        self.gradient = gradient

    def _multiply(self, vectors: Tensor) -> Tensor:
        total = self.l2 * vectors
        for index, expand in enumerate(self._expand):
            total += (self._kept[index] if self._kept else expand()).second(vectors)
        return total
