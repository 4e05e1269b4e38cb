"""A metric of the outputs carried back to the parameters: Gauss-Newton and Fisher matrices as operators.

Shapes: P parameters, V vectors; outputs of any shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from analysis.curvature.operators.operator import Operator
from analysis.curvature.operators.second_order import differentiating
from tca.utils.checks import Count, NotNegative, checked
from tca.utils.cuda_graphs import replays_on

__all__ = ["Carrier", "Linearization", "Metric", "Pullback"]

Metric = Callable[[Tensor], Tensor]
"""The product of a symmetric matrix between the outputs of a chunk with a tensor of their shape, ``u -> S u``.

Metrics of networks take any number of axes before those of the outputs, and do the same to each tensor of them.
"""


class Carrier(Protocol):
    """A function of the parameters at a point that carries a metric of its outputs back to them."""

    @property
    def value(self) -> Tensor:
        """Its outputs at the point, without a graph."""
        ...

    def carry(self, metric: Metric, vectors: Tensor) -> Tensor:
        """Return ``J^T S J M``, shape ``(P, V)``, without a graph.

        Args:
            metric: The product with S.
            vectors: The vectors M, shape ``(P, V)``.
        """
        ...


@dataclass(frozen=True, eq=False)
class Linearization:
    """A function at a point, with products of its Jacobian J from both sides.

    Products with J differentiate ``u -> J^T u`` once more, which needs no more of the function than that it
    can be differentiated once.

    Attributes:
        theta: The point, shape ``(P,)``, a leaf of the graph.
        outputs: Value of the function.
        probe: The u of the next, in the shape of the outputs.
        pulled: ``J^T u`` with its graph, shape ``(P,)``.

    >>> twice = Linearization.of(lambda theta: 2 * theta[:1], torch.tensor([3.0, 1.0]))
    >>> twice.push(torch.tensor([5.0, 7.0])).tolist(), twice.pull(torch.tensor([1.0])).tolist()
    ([10.0], [2.0, 0.0])
    """

    theta: Tensor
    outputs: Tensor
    probe: Tensor
    pulled: Tensor

    @classmethod
    def of(cls, function: Callable[[Tensor], Tensor], theta: Tensor) -> Linearization:
        """Return the function at a point.

        Args:
            function: The function, of the flat parameters.
            theta: The point, shape ``(P,)``.
        """
        with differentiating():
            point = theta.detach().clone().requires_grad_()
            outputs = function(point)
            if not outputs.requires_grad:  # they do not depend on these parameters
                outputs = outputs + 0 * point.sum()
            probe = torch.zeros_like(outputs, requires_grad=True)
            (pulled,) = torch.autograd.grad(outputs, point, probe, create_graph=True)
        return cls(point, outputs, probe, pulled)

    def push(self, vector: Tensor) -> Tensor:
        """Return ``J v`` in the shape of the outputs.

        Args:
            vector: The vector v, shape ``(P,)``.
        """
        with differentiating():
            (product,) = torch.autograd.grad(self.pulled, self.probe, vector, retain_graph=True)
        return product

    def pull(self, cotangent: Tensor) -> Tensor:
        """Return ``J^T u``, shape ``(P,)``.

        Args:
            cotangent: The u, in the shape of the outputs.
        """
        (product,) = torch.autograd.grad(self.outputs, self.theta, cotangent, retain_graph=True)
        return product

    @property
    def value(self) -> Tensor:
        """Value of the function without a graph."""
        return self.outputs.detach()

    def carry(self, metric: Metric, vectors: Tensor) -> Tensor:
        """Return ``J^T S J M``, shape ``(P, V)``, one column after the other.

        Args:
            metric: The product with S.
            vectors: The vectors M, shape ``(P, V)``.
        """
        return torch.stack([self.pull(metric(self.push(vector))) for vector in vectors.mT], 1)


@checked
class Pullback(Operator):
    """``G = sum_k J_k^T S_k J_k + l2 I``: matrices ``S_k`` between outputs, carried back by their Jacobians ``J_k``.

    With the loss's own second derivatives for S this is the generalized Gauss-Newton matrix, the Hessian less the
    curvature of the network itself; with outer products of scores it is a Fisher matrix. By autograd a product
    costs about as much as one of the Hessian.

    Args:
        functions: Functions from the flat parameters to outputs, one per chunk of the data.
        metrics: For each chunk a function from its outputs, without a graph, to the product with S.
        theta: The point, shape ``(P,)``; it is copied.
        l2: Coefficient c of an added ``c/2 |theta|^2``, default 0.
        keep: Whether to keep the carriers of all chunks between products, default True.
        carriers: For every function one that returns its carrier at the point; ``None`` (default) for autograd.
        width: How many vectors the carriers take at once, at most, default 1.

    Raises:
        ValueError: There is no chunk, or not one metric and one carrier for each.

    Papers: Schraudolph (2002), Neural Computation 14:1723, for the products; Martens (2020), Journal of Machine
    Learning Research 21:146, for their meaning.

    >>> toy = Pullback([lambda theta: theta.prod().view(1)], [lambda y: lambda u: 3 * u], torch.tensor([2.0, 5.0]))
    >>> toy.matrix().tolist()
    [[75.0, 30.0], [30.0, 12.0]]
    """

    def __init__(
        self,
        functions: Sequence[Callable[[Tensor], Tensor]],
        metrics: Sequence[Callable[[Tensor], Metric]],
        theta: Tensor,
        *,
        l2: NotNegative = 0.0,
        keep: bool = True,
        carriers: Sequence[Callable[[], Carrier]] | None = None,
        width: Count = 1,
    ) -> None:
        """Run the functions."""
        super().__init__(theta, width=width)
        self.l2 = l2
        self._metrics = list(metrics)
        by_autograd = [partial(Linearization.of, each, self.theta) for each in functions]
        self._make: Sequence[Callable[[], Carrier]] = by_autograd if carriers is None else carriers
        if not functions or {len(functions), len(metrics), len(self._make)} != {len(functions)}:
            raise ValueError(
                "functions, metrics and carriers must be one for each chunk, "
                f"got {len(functions)}, {len(metrics)} and {len(self._make)}"
            )
        if keep:
            self._replays = replays_on(self.theta.device, "products")
        chunks = range(len(functions)) if keep else ()
        self._kept = [self._aside(partial(self._chunk, index)) for index in chunks]

    def _chunk(self, index: int) -> tuple[Carrier, Metric]:
        carrier = self._make[index]()
        return carrier, self._metrics[index](carrier.value)

    def _multiply(self, vectors: Tensor) -> Tensor:
        total = self.l2 * vectors
        for index in range(len(self._metrics)):
            carrier, metric = self._kept[index] if self._kept else self._chunk(index)
            total += carrier.carry(metric, vectors)
        return total
