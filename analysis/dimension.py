"""How many dimensions activity fills.

Shapes: M samples, N units.
"""

from __future__ import annotations

from analysis.activity import Activity, centred
from tca.checks import checked

__all__ = ["participation_ratio"]


@checked
def participation_ratio(activity: Activity) -> float:
    """Return the participation ratio of the covariance of activity, ``(sum_i lambda_i)^2 / sum_i lambda_i^2``.

    It is 1 if all variance lies along one line, and d if it is spread evenly over d dimensions, never more than the
    number of units or of samples less one.

    Args:
        activity: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.

    Raises:
        ValueError: The shape is wrong, there are fewer than two samples, a value is not finite, or nothing varies.

    Paper: Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy and Ganguli (2017), bioRxiv 214262.

    >>> import torch
    >>> square = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    >>> participation_ratio(square)
    2.0
    """
    values = centred("activity", activity)
    small = values if values.shape[0] <= values.shape[1] else values.mT  # both have the same nonzero spectrum
    gram = small @ small.mT
    return (gram.trace().square() / gram.square().sum()).item()
