"""Likelihoods of exponential families.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.losses.admissibility import Admissibility
from tca.losses.families import Family
from tca.losses.loss import Likelihood
from tca.utils.checks import checked

__all__ = ["ExponentialFamily"]


@checked
@dataclass(frozen=True)
class ExponentialFamily(Likelihood):
    """The negative log likelihood ``l = A(eta) - eta.T(target)`` with ``eta = eta(y)``, up to a constant.

    The score is ``J^T (grad A(eta) - T(target))`` with ``J = d eta / dy``, the identity if every real vector is a
    natural parameter. Its mean is zero if prediction and data have the same mean of T (moment matching).

    Args:
        family: Exponential family, one of `tca.losses.families`.

    >>> import torch
    >>> from tca.losses import families
    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 1.0]]])
    >>> exponential = ExponentialFamily(families.GammaFamily(shape=1.0))
    >>> exponential.value(outputs, targets).item(), exponential.output_error(outputs, targets).tolist()
    (4.0, [[[-2.0, 0.0]]])
    """

    family: Family
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum the predicted mean of the sufficient statistic is the conditional one"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        inner = self.family.natural(outputs) * self.family.statistic(outputs, targets)
        return self.family.log_partition(outputs) - inner.sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``J^T (grad A(eta) - T(targets))``."""
        return self.family.output_error(outputs, targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets lie in the support of the family."""
        self.family.check(outputs_shape, targets)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        return self.family.score_covariance(outputs)

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        return self.family.score_moment(outputs, order)
