"""The derivative of a rule's own update, as an operator.

Shapes: P parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from analysis.curvature.operators.operator import Operator
from tca.utils.checks import checked

__all__ = ["UpdateJacobian"]

STEP = 1e-3  # balances a truncation error of the fourth power of it and the round-off of float64 divided by it


@checked
class UpdateJacobian(Operator):
    """``K = d gh / d theta``, how the gradient ``gh`` that a rule descends changes with the parameters.

    Near a place where the rule rests, its step ``theta <- theta - eta gh(theta)`` acts as ``I - eta K``. For
    backpropagation K is the Hessian; for an approximate rule it is in general not symmetric, and its eigenvalues may be
    complex. Products are differences of fourth order along the vector,
    ``K v = [8 (gh(+h) - gh(-h)) - (gh(+2h) - gh(-2h))] / 12h``, since rules are no derivatives of anything: four
    gradients each, in float64 right to about 1e-11 where ``gh`` is smooth. Within 2e-3 of a kink of a rectifier they
    mix its sides.

    Args:
        field: The gradient that the rule descends as a function of the flat parameters, float64, shape ``(P,)``.
        theta: The point, shape ``(P,)``, float64; it is copied.

    Raises:
        TypeError: The point is not float64.
        ValueError: The gradient is not finite.

    >>> turning = UpdateJacobian(lambda theta: torch.stack([theta[1], -theta[0]]), torch.zeros(2).double())
    >>> turning.matrix().round(decimals=9).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """

    def __init__(self, field: Callable[[Tensor], Tensor], theta: Tensor) -> None:
        """Compute the gradient at the point."""
        if theta.dtype != torch.float64:
            raise TypeError(f"theta must be float64, as differences lose half the digits, got {theta.dtype}")
        super().__init__(theta, symmetric=False)
        self.field = field
        self.gradient = field(self.theta)
        if not torch.isfinite(self.gradient).all():
            raise ValueError("the gradient of the rule must be finite to have a derivative")

    def _multiply(self, vectors: Tensor) -> Tensor:
        return torch.stack([self._along(each) for each in vectors.mT], 1)

    def _along(self, vector: Tensor) -> Tensor:
        length = vector.norm()
        if length == 0:
            return torch.zeros_like(vector)
        move = STEP / length * vector

        def difference(steps: int) -> Tensor:
            return self.field(self.theta + steps * move) - self.field(self.theta - steps * move)

        product: Tensor = (8 * difference(1) - difference(2)) * (length / (12 * STEP))
        return product
