"""The logistic loss of independent binary targets.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from tca.losses import moments
from tca.losses.admissibility import Admissibility
from tca.losses.loss import Likelihood, check_between
from tca.utils.numerics import check_real

__all__ = ["Logistic"]


@dataclass(frozen=True)
class Logistic(Likelihood):
    """Independent logistic losses, ``l = sum_o log(1 + e^y_o) - target_o y_o``, output error ``sigmoid(y) - target``.

    Targets are probabilities between 0 and 1, shape ``(T, B, O)``. As a likelihood: targets are 0 or 1.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    >>> round(Logistic().value(outputs, targets).item(), 4), Logistic().output_error(outputs, targets).tolist()
    (1.3863, [[[-0.5, 0.5]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the sigmoid is the conditional mean of the target"
    )
    bounded_by_outputs: ClassVar[bool] = True

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``sigmoid(outputs) - targets``."""
        return torch.sigmoid(outputs).sub_(targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are numbers in [0, 1] of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("Logistic", targets, 0.0, 1.0)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``diag(p (1 - p))`` with ``p = sigmoid(outputs)``."""
        return torch.diag_embed(self.score_moment(outputs, 2))

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``p - target``."""
        return moments.signed(order, moments.bernoulli(torch.sigmoid(outputs), order))
