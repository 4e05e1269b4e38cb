"""How many dimensions activity fills.

Shapes: M samples, N units.
"""

from __future__ import annotations

from analysis.representations.activity import Activity, centred, joint_uncertainty
from tca.utils.checks import checked

__all__ = ["participation_ratio"]


@checked
def participation_ratio(activity: Activity, *, debiased: bool = False) -> float:
    """Return the participation ratio of the covariance of activity, ``(sum_i lambda_i)^2 / sum_i lambda_i^2``.

    It is 1 if all variance lies along one line, and d if it is spread evenly over d dimensions. That of the covariance
    of a sample is never more than the number of samples less one, and far below that of the population with few of
    them: 32.5 instead of 100 for 50 samples of 100 independent units. The debiased ratio is that of unbiased
    estimates of ``(tr C)^2`` and ``tr C^2`` of the population's covariance C, means over all sets of four different
    samples, of ``|x_i - x_j|^2 |x_k - x_l|^2 / 4`` and ``((x_i - x_j) . (x_k - x_l))^2 / 4``. It holds for independent
    samples of any distribution. The remaining bias is that of a ratio, which falls as one over the number of samples.
    Not corrected are samples that depend on each other, as the steps of a trial do, noise of the recording, and units
    that stand for others that were not recorded.

    Args:
        activity: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        debiased: Whether to use the unbiased estimates, default ``False``; needs four samples.

    Raises:
        ValueError: The shape is wrong, there are too few samples, a value is not finite, or values are equal.

    Papers: Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy and Ganguli (2017), bioRxiv 214262; Chun, Canatar, Chung and Lee
    (2025), arXiv:2509.26560, for the correction for few samples.

    >>> import torch
    >>> square = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    >>> participation_ratio(square)
    2.0
    """
    values = centred("activity", activity)
    small = values if values.shape[0] <= values.shape[1] else values.mT  # both have the same nonzero spectrum
    gram = small @ small.mT
    total, squares = gram.trace().square(), gram.square().sum()
    if not debiased:
        return (total / squares).item()
    count = len(values)
    if count < 4:
        raise ValueError(f"samples must be at least 4 for a debiased estimate, got {count}")
    fourth = values.square().sum(1).square().sum()
    upper = (count**2 - 3 * count + 1) * total - count * (count - 1) * fourth + 2 * squares
    lower = (count - 1) * (count - 2) * squares - count * (count - 1) * fourth + total
    if lower <= 8 * count**2 * joint_uncertainty(activity) / values.norm() * squares:
        raise ValueError("samples are too few for a debiased estimate: that of the squared variances is not positive")
    return (upper / lower).item()
