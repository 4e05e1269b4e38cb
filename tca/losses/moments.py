"""Central moments of order 2, 3 and 4 of the distributions of likelihoods."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bernoulli", "gamma", "normal", "poisson", "signed"]


def bernoulli(probability: Tensor, order: int) -> Tensor:
    """Return ``E[(y - p)^order]`` of a Bernoulli variable.

    Args:
        probability: Probability p of 1, any shape.
        order: 2, 3 or 4.

    >>> [bernoulli(torch.tensor(0.25), order).item() for order in (2, 3, 4)]
    [0.1875, 0.09375, 0.08203125]
    """
    variance = probability * (1 - probability)
    return variance * _pick(order, torch.ones_like(variance), 1 - 2 * probability, 1 - 3 * variance)


def normal(variance: Tensor, order: int) -> Tensor:
    """Return ``E[(y - m)^order]`` of a normal variable.

    Args:
        variance: Variance, any shape.
        order: 2, 3 or 4.
    """
    return _pick(order, variance, torch.zeros_like(variance), 3 * variance.square())


def poisson(rate: Tensor, order: int) -> Tensor:
    """Return ``E[(y - rate)^order]`` of a Poisson count.

    Args:
        rate: Rate, any shape.
        order: 2, 3 or 4.
    """
    return _pick(order, rate, rate, rate + 3 * rate.square())


def gamma(shape: Tensor, order: int) -> Tensor:
    """Return ``E[(y - shape)^order]`` of a gamma variable of unit scale.

    Args:
        shape: Shape parameter, any shape.
        order: 2, 3 or 4.
    """
    return _pick(order, shape, 2 * shape, 3 * shape.square() + 6 * shape)


def signed(order: int, moment: Tensor) -> Tensor:
    """Return the moment of the negated variable."""
    return -moment if order % 2 else moment


def _pick(order: int, *of_order_two_to_four: Tensor) -> Tensor:
    if order not in (2, 3, 4):
        raise ValueError(f"order must be 2, 3 or 4, got {order!r}")
    return of_order_two_to_four[order - 2]
