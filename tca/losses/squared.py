"""The squared error.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import moments
from tca.losses.admissibility import Admissibility
from tca.losses.loss import Likelihood
from tca.utils.numerics import check_real

__all__ = ["MSE"]


@dataclass(frozen=True)
class MSE(Likelihood):
    """Half the squared error summed over outputs, ``l = 1/2 |y - target|^2``, output error ``y - target``.

    Targets are real, shape ``(T, B, O)``. As a likelihood: normal targets of unit variance.

    >>> outputs, targets = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> MSE().value(outputs, targets).item(), MSE().output_error(outputs, targets).tolist()
    (2.5, [[[1.0, 2.0]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(True, "its minimum is the conditional mean of the target")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 0.5 * (outputs - targets).square().sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``outputs - targets``."""
        return outputs - targets

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are finite real numbers of the outputs' shape."""
        check_real(outputs_shape, targets)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        return torch.diag_embed(torch.ones_like(outputs))

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        return moments.normal(torch.ones_like(outputs), order)
