"""Scores with their centred second and higher moments.

Shapes: O outputs.

A function of the score with nonzero mean, such as its square, correlates with activity even at the best predictor. The
mean subtracted here is that of the likelihood; if targets are distributed otherwise, these channels have nonzero mean,
unlike the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.losses import Admissibility, Likelihood
from tca.losses.expansions.expansion import Buffers, Expansion, Seen
from tca.utils.checks import checked, whole

__all__ = ["Bartlett", "ScorePowers"]


def _likelihood(expansion: Expansion, seen: Seen) -> Likelihood:
    if not isinstance(seen.loss, Likelihood):
        raise ValueError(
            f"{expansion!r} needs a negative log likelihood as loss (a tca.losses.Likelihood), got {seen.loss!r}"
        )
    return seen.loss


@dataclass(frozen=True)
class Bartlett(Expansion):
    """``[s; vec(s s^T - C)]`` with the covariance C of the score under the prediction (second Bartlett identity).

    ``C = diag(p) - p p^T`` for cross-entropy, ``diag(p (1 - p))`` for the logistic loss, ``diag(rate)`` for counts and
    the identity for the squared error (normal targets of unit variance). There are ``O + O^2`` channels, of zero mean
    only if the likelihood is that of the data.

    Bartlett (1953), Approximate confidence intervals, Biometrika 40:12-19.

    >>> import torch
    >>> from tca.losses import MSE
    >>> Bartlett().expand(torch.tensor([[2.0]]), Seen(torch.zeros(1, 1), MSE())).tolist()
    [[2.0, 3.0]]
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "the covariance under the likelihood is subtracted, exact if targets follow the likelihood"
    )
    needs: ClassVar[tuple[str, ...]] = ("outputs", "loss")
    equation: ClassVar[str] = "[s; vec(s s^T - E[s s^T | y])]"

    def further_channels(self, n_out: int) -> int:
        return n_out**2

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return ``vec(s s^T - C)``."""
        expected = _likelihood(self, seen).score_covariance(seen.outputs)
        return (score.unsqueeze(-1) * score.unsqueeze(-2)).sub_(expected).flatten(-2)


@checked
@dataclass(frozen=True)
class ScorePowers(Expansion):
    """``[s; s^k - E[s^k]]`` elementwise, with the mean of the power under the prediction.

    For ``k = 2`` and the squared error, ``(y - target)^2 - variance``. Zero mean only if the likelihood is that of the
    data.

    Args:
        order: Power k, from 2 (default) to 4.

    >>> import torch
    >>> from tca.losses import MSE
    >>> ScorePowers(4).expand(torch.tensor([[2.0]]), Seen(torch.zeros(1, 1), MSE())).tolist()
    [[2.0, 13.0]]
    """

    order: int = 2
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "the mean under the likelihood is subtracted, exact if targets follow the likelihood"
    )
    needs: ClassVar[tuple[str, ...]] = ("outputs", "loss")

    def __post_init__(self) -> None:
        if whole("order", self.order, 2) > 4:
            raise ValueError(f"order must be at most 4, got {self.order}")

    @property
    def equation(self) -> str:
        return f"[s; s^{self.order} - E[s^{self.order} | y]]"

    def further_channels(self, n_out: int) -> int:
        return n_out

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return ``s^k - E[s^k]``."""
        return score.pow(self.order).sub_(_likelihood(self, seen).score_moment(seen.outputs, self.order))
