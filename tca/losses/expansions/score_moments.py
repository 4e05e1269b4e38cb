"""Scores with their own second and higher moments, less what the network predicts of these.

Shapes: O outputs.

A function of the score whose mean is not zero, such as its square, correlates with activity even at the best predictor.
Less its mean it does not, and that mean is known where the loss is a likelihood and the targets are distributed as it
says. If they are not, the mean of these channels is not zero, unlike that of the score.
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
            f"{expansion!r} needs a loss that says how targets are distributed (a tca.losses.Likelihood), "
            f"got {seen.loss!r}"
        )
    return seen.loss


@dataclass(frozen=True)
class Bartlett(Expansion):
    """``[s; vec(s s^T - C)]`` with C the covariance of the score under the prediction: the second Bartlett identity.

    For cross-entropy ``C = diag(p) - p p^T``, for the logistic loss ``diag(p (1 - p))``, for counts ``diag(rate)``, for
    the squared error, which stands for normal targets of unit variance, the unit matrix. There are ``O + O^2``
    channels. Zero in the mean only where the likelihood is that of the data: its own covariance is taken off. On
    distorted digits they were below the plain score. These channels are derived for this library, not those of the
    authors of broadcast decorrelation.

    Bartlett (1953), Approximate confidence intervals, Biometrika 40:12-19.

    >>> import torch
    >>> from tca.losses import MSE
    >>> Bartlett().expand(torch.tensor([[2.0]]), Seen(torch.zeros(1, 1), MSE())).tolist()
    [[2.0, 3.0]]
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "the covariance under the likelihood is taken off, if targets are distributed as it says"
    )
    needs: ClassVar[tuple[str, ...]] = ("outputs", "loss")

    @property
    def equation(self) -> str:
        """The longer score in one line."""
        return "[s; vec(s s^T - E[s s^T | y])]"

    def further_channels(self, n_out: int) -> int:
        """Return the square of the number of outputs."""
        return n_out**2

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return ``vec(s s^T - C)``."""
        expected = _likelihood(self, seen).score_covariance(seen.outputs)
        return (score.unsqueeze(-1) * score.unsqueeze(-2)).sub_(expected).flatten(-2)


@checked
@dataclass(frozen=True)
class ScorePowers(Expansion):
    """``[s; s^k - E[s^k]]``, each output by itself, with the mean of the power under the prediction.

    With ``k = 2`` and a score that is prediction less target, ``(y - m)^2 - variance``. Zero in the mean only where the
    likelihood is that of the data: its own mean is taken off. On distorted digits the second power was below the plain
    score. These channels are derived for this library, not those of the authors of broadcast decorrelation.

    Args:
        order: The power k, from 2 (default) to 4.

    Raises:
        ValueError: ``order`` is out of range.
        TypeError: ``order`` is no integer.

    >>> import torch
    >>> from tca.losses import MSE
    >>> ScorePowers(4).expand(torch.tensor([[2.0]]), Seen(torch.zeros(1, 1), MSE())).tolist()
    [[2.0, 13.0]]
    """

    order: int = 2
    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "the mean under the likelihood is taken off, if targets are distributed as it says"
    )
    needs: ClassVar[tuple[str, ...]] = ("outputs", "loss")

    def __post_init__(self) -> None:
        """Check the power."""
        if whole("order", self.order, 2) > 4:
            raise ValueError(f"order must be at most 4, got {self.order}")

    @property
    def equation(self) -> str:
        """The longer score in one line."""
        return f"[s; s^{self.order} - E[s^{self.order} | y]]"

    def further_channels(self, n_out: int) -> int:
        """Return the number of outputs."""
        return n_out

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return the powers less their means."""
        return score.pow(self.order).sub_(_likelihood(self, seen).score_moment(seen.outputs, self.order))
