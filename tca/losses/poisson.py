"""The Poisson likelihood of counts.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import moments
from tca.losses.admissibility import Admissibility
from tca.losses.loss import Likelihood, check_between
from tca.utils.numerics import check_real

__all__ = ["Poisson"]


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Poisson counts with the outputs as log rates, ``l = sum_o e^y_o - target_o y_o``, output error ``e^y - target``.

    The constant ``log(target!)`` is left out. Targets are nonnegative, shape ``(T, B, O)``; non-integers are mean
    counts. Rate and loss overflow for outputs above 88 in float32 and 709 in float64; the exponent is not clipped,
    since a clipped score need not have zero mean.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 0.0]]])
    >>> Poisson().value(outputs, targets).item(), Poisson().output_error(outputs, targets).tolist()
    (2.0, [[[-2.0, 1.0]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the rate is the conditional mean of the count"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.exp() - targets * outputs).sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``exp(outputs) - targets``."""
        return torch.exp(outputs).sub_(targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are nonnegative numbers of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("Poisson", targets, 0.0)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        return torch.diag_embed(outputs.exp())

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``e^y - target``."""
        return moments.signed(order, moments.poisson(outputs.exp(), order))
