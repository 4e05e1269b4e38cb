"""A loss to second order at a point, as far as a chunk of trials adds to it, and how autograd differentiates it.

Shapes: P parameters, V vectors, the columns of a matrix.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GraphExpansion", "LossExpansion", "differentiating"]


@contextmanager
def differentiating() -> Iterator[None]:
    """Name the requirement on a model in the error of a failed derivative.

    >>> with differentiating():
    ...     torch.ones(()).backward()
    Traceback (most recent call last):
    ValueError: the model and its loss must be differentiable twice by autograd, got RuntimeError: element 0 of tensors
    does not require grad and does not have a grad_fn
    """
    try:
        with torch.enable_grad():
            yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            "the model and its loss must be differentiable twice by autograd, "
            f"got {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error


class LossExpansion(abc.ABC):
    """The share of a chunk of trials in a loss at a point: value, gradient, and products with its Hessian."""

    @property
    @abc.abstractmethod
    def value(self) -> float:
        """Its share in the loss."""

    @property
    @abc.abstractmethod
    def gradient(self) -> Tensor:
        """Its share in the gradient, shape ``(P,)``, without a graph."""

    @abc.abstractmethod
    def second(self, vectors: Tensor) -> Tensor:
        """Return its share in ``H M``, shape ``(P, V)``, without a graph.

        Args:
            vectors: The vectors, shape ``(P, V)``.
        """


@dataclass(frozen=True, eq=False)
class GraphExpansion(LossExpansion):
    """Any loss that autograd can differentiate twice, with the graph of its gradient.

    A product is one more backward pass through that graph, ``H v = d(g . v)/d theta``, exact and about twice the cost
    of a gradient; vectors are taken one after the other.

    Attributes:
        theta: The point, shape ``(P,)``, a leaf of the graph.
        loss: The loss.
        pulled: Its gradient with its graph.

    Paper: Pearlmutter (1994), Neural Computation 6:147.

    >>> toy = GraphExpansion.of(lambda theta: theta[0] ** 3, torch.tensor([2.0, 1.0]))
    >>> toy.value, toy.gradient.tolist(), toy.second(torch.eye(2)).tolist()
    (8.0, [12.0, 0.0], [[12.0, 0.0], [0.0, 0.0]])
    """

    theta: Tensor
    loss: Tensor
    pulled: Tensor

    @classmethod
    def of(cls, loss: Callable[[Tensor], Tensor], theta: Tensor) -> GraphExpansion:
        """Return a loss at a point.

        Args:
            loss: A function from the flat parameters to a scalar.
            theta: The point, shape ``(P,)``.
        """
        with differentiating():
            point = theta.detach().clone().requires_grad_()
            value = loss(point)
            if not value.requires_grad:
                return cls(point, value, torch.zeros_like(theta))
            (gradient,) = torch.autograd.grad(value, point, create_graph=True, materialize_grads=True)
        return cls(point, value.detach(), gradient)

    @property
    def value(self) -> float:
        """The loss."""
        return float(self.loss)

    @property
    def gradient(self) -> Tensor:
        """Its gradient."""
        return self.pulled.detach()

    def second(self, vectors: Tensor) -> Tensor:
        """Differentiate the gradient along one vector after the other."""
        if not self.pulled.requires_grad:  # the loss is linear in the parameters
            return torch.zeros_like(vectors)
        with differentiating():
            products = [
                torch.autograd.grad(self.pulled, self.theta, vector, retain_graph=True, materialize_grads=True)[0]
                for vector in vectors.mT
            ]
        return torch.stack(products, 1)
