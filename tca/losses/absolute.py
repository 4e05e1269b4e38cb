"""The absolute error.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses.admissibility import Admissibility
from tca.losses.loss import Loss
from tca.utils.numerics import check_real

__all__ = ["AbsoluteError"]


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """The absolute error summed over outputs, ``l = sum_o |y_o - target_o|``, output error ``sign(y - target)``.

    Minimised by the conditional median. Targets are real, shape ``(T, B, O)``.

    >>> outputs, targets = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.0, 5.0]]])
    >>> AbsoluteError().value(outputs, targets).item(), AbsoluteError().output_error(outputs, targets).tolist()
    (3.0, [[[1.0, -1.0]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        False,
        "its minimum, the conditional median, is a kink where a target value has positive probability; the mean of the "
        "score is zero only for targets with a density",
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).abs().sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.sign(outputs - targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are finite real numbers of the outputs' shape."""
        check_real(outputs_shape, targets)
