"""The Brier score: squared distance between predicted probabilities and the class that occurred.

Shapes: T time, B batch, O outputs, which are the logits of as many classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.losses.admissibility import Admissibility
from tca.losses.classes import softmax, take_from_target_
from tca.losses.loss import Loss, check_classes

__all__ = ["Brier"]


@dataclass(frozen=True)
class Brier(Loss):
    """The Brier score, ``l = |p - onehot(target)|^2`` with ``p = softmax(y)``.

    The output error is ``2 (diag(p) - p p^T)(p - onehot(target))``. A proper scoring rule, bounded by 2 and not convex
    in the logits: a confident error has zero gradient. Targets are class indices, shape ``(T, B)``.

    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78:1-3.

    >>> import torch
    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[1]])
    >>> Brier().value(outputs, targets).item(), Brier().output_error(outputs, targets).tolist()
    (0.5, [[[0.5, -0.5]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "it is a proper scoring rule, minimised by the conditional distribution of the classes"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return take_from_target_(softmax(outputs).clone(), targets, 1.0).square().sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``2 p (d - p.d)`` with ``d = p - onehot(targets)``."""
        p = softmax(outputs)
        difference = take_from_target_(p.clone(), targets, 1.0)
        along = (p * difference).sum(-1, keepdim=True)
        return difference.sub_(along).mul_(p).mul_(2)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices below the number of outputs, shape ``(T, B)``."""
        check_classes("Brier", outputs_shape, targets)
