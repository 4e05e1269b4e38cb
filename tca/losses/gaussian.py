"""The Gaussian likelihood with predicted mean and variance.

Shapes: T time, B batch, O outputs, D = O / 2 targets.
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

__all__ = ["GaussianNLL"]


@dataclass(frozen=True)
class GaussianNLL(Likelihood):
    """The Gaussian likelihood with predicted mean and log variance, ``l = 1/2 sum_d v_d + (target_d - m_d)^2 / e^v_d``.

    The outputs are all means m, then all log variances v; targets have half as many, shape ``(T, B, D)``. The score is
    ``(m - target) / e^v`` and ``(1 - (target - m)^2 / e^v) / 2``. Its second half has zero mean as well and gives a
    broadcast more information than the squared error. The constant ``log(2 pi) / 2`` is left out.

    Nix and Weigend (1994), Estimating the mean and variance of the target probability distribution, ICNN.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[2.0]]])
    >>> GaussianNLL().value(outputs, targets).item(), GaussianNLL().output_error(outputs, targets).tolist()
    (2.0, [[[-2.0, -1.5]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "at its minimum mean and variance are the conditional ones of the target"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        mean, log_variance = outputs.chunk(2, -1)
        deviation = (targets - mean) * (-0.5 * log_variance).exp()
        return 0.5 * (log_variance + deviation.square()).sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the derivatives by the means and by the log variances, concatenated."""
        mean, log_variance = outputs.chunk(2, -1)
        precision_root = (-0.5 * log_variance).exp()
        deviation = (mean - targets) * precision_root
        return torch.cat([deviation * precision_root, 0.5 - 0.5 * deviation.square()], -1)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that outputs are even in number and targets finite real numbers, half as many."""
        *grid, n_out = outputs_shape
        if n_out % 2:
            raise ValueError(f"GaussianNLL needs a mean and a log variance for every target, got {n_out} outputs")
        check_real((*grid, n_out // 2), targets)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``diag(e^-v, 1/2)``, for means and log variances."""
        return torch.diag_embed(self.score_moment(outputs, 2))

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``n / e^(v/2)`` and of ``(1 - n^2) / 2`` for a standard normal n."""
        _, log_variance = outputs.chunk(2, -1)
        of_mean = moments.normal((-log_variance).exp(), order)
        of_variance = moments.gamma(torch.full_like(log_variance, 0.5), order)
        return torch.cat([of_mean, moments.signed(order, of_variance)], -1)
