"""What an engine returns: a vector at each end of the spectrum.

Shapes: P parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.hessian import Hessian

__all__ = ["Ends", "Engine", "Pair"]


@dataclass(frozen=True, eq=False)
class Pair:
    """A value and a unit vector of an operator, and how far they are from being an eigenpair.

    Attributes:
        value: Rayleigh quotient ``lambda = v . H v`` of the vector.
        vector: Unit vector v, float64, shape ``(P,)``.
        residual: ``|H v - lambda v|``: some eigenvalue lies within this distance of the value.
    """

    value: float
    vector: Tensor
    residual: float

    @classmethod
    def of(cls, hessian: Hessian, vector: Tensor) -> Pair:
        """Return the Rayleigh quotient of a vector and its residual, from one product.

        Args:
            hessian: The operator.
            vector: Any vector but zero, shape ``(P,)``.
        """
        vector = vector.to(torch.float64)
        vector = vector / vector.norm()
        product = hessian.product(vector).to(vector)
        value = vector @ product
        return cls(value.item(), vector, (product - value * vector).norm().item())


@dataclass(frozen=True, eq=False)
class Ends:
    """Both ends of a spectrum.

    Attributes:
        largest: The largest algebraic eigenvalue found.
        smallest: The smallest algebraic eigenvalue found.
        trace: The exact trace, if the engine has come to know it.
    """

    largest: Pair
    smallest: Pair
    trace: float | None = None

    @classmethod
    def of(cls, hessian: Hessian, first: Tensor, second: Tensor, trace: float | None = None) -> Ends:
        """Return the two vectors in the order of their Rayleigh quotients.

        Args:
            hessian: The operator.
            first: A vector, shape ``(P,)``.
            second: Another one.
            trace: The exact trace, if known.
        """
        smallest, largest = sorted((Pair.of(hessian, first), Pair.of(hessian, second)), key=lambda pair: pair.value)
        return cls(largest, smallest, trace)

    @property
    def magnitude(self) -> float:
        """Largest modulus of the two values."""
        return max(abs(self.largest.value), abs(self.smallest.value))


Engine = Callable[[Hessian, float, int, int], Ends]
"""A function of the operator, the relative tolerance, the most products for each end, and the seed."""
