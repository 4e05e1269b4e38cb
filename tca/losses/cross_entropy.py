"""Softmax cross-entropy, with and without label smoothing.

Shapes: T time, B batch, O outputs, which are the logits of as many classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import moments
from tca.losses.admissibility import Admissibility
from tca.losses.classes import softmax, take_from_target_
from tca.losses.loss import Likelihood, Loss, check_classes
from tca.utils.checks import NotNegative, checked

__all__ = ["CrossEntropy", "SmoothedCrossEntropy"]


@dataclass(frozen=True)
class CrossEntropy(Likelihood):
    """Softmax cross-entropy, ``l = -log softmax(y)[target]``, output error ``softmax(y) - onehot(target)``.

    Targets are class indices, an integer tensor of shape ``(T, B)``.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[1]])
    >>> round(CrossEntropy().value(outputs, targets).item(), 4), CrossEntropy().output_error(outputs, targets).tolist()
    (0.6931, [[[0.5, -0.5]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the softmax is the conditional distribution of the classes"
    )
    bounded_by_outputs: ClassVar[bool] = True

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.logsumexp(-1) - outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``softmax(outputs) - onehot(targets)``."""
        return take_from_target_(softmax(outputs), targets, 1.0)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices below the number of outputs, shape ``(T, B)``."""
        check_classes("CrossEntropy", outputs_shape, targets)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``diag(p) - p p^T`` with ``p = softmax(outputs)``."""
        p = softmax(outputs)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``p_o - onehot(class)_o``."""
        return moments.signed(order, moments.bernoulli(softmax(outputs), order))


@checked
@dataclass(frozen=True)
class SmoothedCrossEntropy(Loss):
    """Cross-entropy with smoothed labels, ``l = -sum_c q_c log softmax(y)_c``, ``q = (1 - a) onehot(target) + a / O``.

    The output error is ``softmax(y) - q`` with smoothing a. Targets are class indices, shape ``(T, B)``. Minimised by
    the smoothed conditional distribution, which has no zeros if a > 0.

    Szegedy et al. (2016), Rethinking the Inception architecture for computer vision, CVPR.

    Args:
        smoothing: Fraction of the target spread over all classes, in [0, 1), default 0.1.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[1]])
    >>> SmoothedCrossEntropy(0.5).output_error(outputs, targets).tolist()
    [[[0.25, -0.25]]]
    """

    smoothing: NotNegative = 0.1
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the softmax is the smoothed conditional distribution of the classes"
    )
    bounded_by_outputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.smoothing >= 1:
            raise ValueError(f"smoothing must be less than 1, got {self.smoothing:g}")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        own = outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        return outputs.logsumexp(-1) - own + self.smoothing * (own - outputs.mean(-1))

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``softmax(outputs) - q``."""
        score = softmax(outputs).sub_(self.smoothing / outputs.shape[-1])
        return take_from_target_(score, targets, 1 - self.smoothing)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices below the number of outputs, shape ``(T, B)``."""
        check_classes("SmoothedCrossEntropy", outputs_shape, targets)
