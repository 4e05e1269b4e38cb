"""The multi-class hinge loss.

Shapes: T time, B batch, O outputs, one a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.losses.admissibility import Admissibility
from tca.losses.loss import Loss, check_classes
from tca.utils.checks import Positive, checked

__all__ = ["Hinge"]


@checked
@dataclass(frozen=True)
class Hinge(Loss):
    """The hinge loss, ``l = sum_{c != target} max(0, margin + y_c - y_target)``.

    The output error is 1 for every class within the margin and minus their number for the target class; 0 at a kink.
    Targets are class indices, shape ``(T, B)``.

    Weston and Watkins (1999), Support vector machines for multi-class pattern recognition, ESANN.

    Args:
        margin: Margin between the outputs of the target and other classes, default 1.

    >>> import torch
    >>> outputs, targets = torch.tensor([[[0.5, 0.0, -2.0]]]), torch.tensor([[1]])
    >>> Hinge().value(outputs, targets).item(), Hinge().output_error(outputs, targets).tolist()
    (1.5, [[[1.0, -1.0, 0.0]]])
    """

    margin: Positive = 1.0
    admissibility: ClassVar[Admissibility] = Admissibility(
        False, "it is smallest at a kink, where it has no derivative and the mean of its subgradient is not zero"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self._excess(outputs, targets).relu().sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return 1 for every class within the margin and minus their number for the target class."""
        within = (self._excess(outputs, targets) > 0).to(outputs.dtype)
        return within.scatter_(-1, targets.unsqueeze(-1), -within.sum(-1, keepdim=True))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices below the number of outputs, shape ``(T, B)``."""
        check_classes("Hinge", outputs_shape, targets)

    def _excess(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``margin + y_c - y_target``, and zero for the target class."""
        own = targets.unsqueeze(-1)
        return (outputs - outputs.gather(-1, own) + self.margin).scatter(-1, own, 0.0)
