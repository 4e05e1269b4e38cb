"""The focal loss: cross-entropy with less weight on well-classified examples.

Shapes: T time, B batch, O outputs, which are the logits of as many classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from tca.losses.admissibility import Admissibility
from tca.losses.classes import lead, others
from tca.losses.loss import Loss, check_classes
from tca.utils.checks import NotNegative, checked

__all__ = ["Focal"]


@checked
@dataclass(frozen=True)
class Focal(Loss):
    """The focal loss, ``l = -(1 - q)^gamma log q`` with ``q = softmax(y)[target]``.

    With ``p' = p`` over the other classes, rescaled to sum to one, the output error is ``h (onehot(target) - p')``
    where ``h = gamma q (1 - q)^gamma log q - (1 - q)^(gamma + 1)``. Not a proper scoring rule: the minimum is nearer to
    the uniform distribution than the true one, but the output error has zero mean there. Not convex in the logits.
    Targets are class indices, shape ``(T, B)``, of at least two classes.

    Lin et al. (2017), Focal loss for dense object detection, ICCV.

    Args:
        gamma: Focusing exponent, default 2; 0 gives cross-entropy.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[1]])
    >>> round(Focal(1.0).value(outputs, targets).item(), 4), Focal(0.0).output_error(outputs, targets).tolist()
    (0.3466, [[[0.5, -0.5]]])
    """

    gamma: NotNegative = 2.0
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "it is smooth in the logits and unbounded as the probability of any possible class vanishes"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        odds = lead(outputs, targets)
        return -(self.gamma * functional.logsigmoid(-odds)).exp() * functional.logsigmoid(odds)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``h (onehot(target) - p')``."""
        odds = lead(outputs, targets)
        missed = torch.sigmoid(-odds)
        h = self.gamma * torch.sigmoid(odds) * functional.logsigmoid(odds) - missed
        h = h * (self.gamma * functional.logsigmoid(-odds)).exp()
        shares = others(outputs, targets).softmax(-1).neg_().scatter_(-1, targets.unsqueeze(-1), 1.0)
        return shares.mul_(h.unsqueeze(-1))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices, shape ``(T, B)``, of at least two classes."""
        if outputs_shape[-1] < 2:
            raise ValueError(f"Focal needs at least 2 outputs, got {outputs_shape[-1]}")
        check_classes("Focal", outputs_shape, targets)
