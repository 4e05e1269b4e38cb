"""Bootstrap intervals: what a statistic could have been, from the observations alone.

Shapes: R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tca.checks import whole

__all__ = ["FEWEST", "RESAMPLES", "Array", "Picks", "between", "bootstrap", "check_confidence"]

Array = NDArray[np.float64]
Picks = NDArray[np.intp]
RESAMPLES = 4000
FEWEST = 3  # observations without which an interval would say nothing


def bootstrap(
    statistic: Callable[[Picks], Array],
    count: int,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: str = "bca",
) -> tuple[float, float]:
    """Return a bootstrap interval of a statistic of some observations, NaN with fewer than three of them.

    The percentile interval lies between percentiles of the statistic of observations drawn with replacement. The BCa
    interval shifts these percentiles by the bias of the median, ``z0``, and by the acceleration of the standard error,
    estimated by leaving out one observation at a time.

    Args:
        statistic: Takes indices of observations, shape ``(R, count)``, and returns R numbers, one for each row.
        count: Number of observations.
        confidence: Of the interval, default 0.95.
        resamples: Number of resamples R, default 4000.
        seed: Seed of the resamples, default 0.
        method: ``"bca"`` (default) or ``"percentile"``.

    Raises:
        ValueError: A number is out of range or the method is unknown.

    Paper: Efron (1987), Better bootstrap confidence intervals, J Am Stat Assoc 82:171.

    >>> import numpy as np
    >>> values = np.array([1.0, 2.0, 3.0, 4.0])
    >>> bootstrap(lambda picks: values[picks].max(-1), 4, method="percentile")[1]
    4.0
    """
    whole("resamples", resamples, 1)
    check_confidence(confidence)
    if method not in ("bca", "percentile"):
        raise ValueError(f"method must be bca or percentile, got {method!r}")
    if count < FEWEST:
        return math.nan, math.nan
    picks = np.random.default_rng(seed).integers(0, count, (resamples, count))
    found = np.asarray(statistic(picks), dtype=np.float64)
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        tails = _accelerated(tails, found, statistic, count)
    return between(found[np.isfinite(found)], *map(float, tails))


def _accelerated(tails: Array, found: Array, statistic: Callable[[Picks], Array], count: int) -> Array:
    """Return the percentiles between which the BCa interval lies."""
    estimate = float(np.asarray(statistic(np.arange(count)[None]))[0])
    below = (np.sum(found < estimate) + np.sum(found <= estimate)) / (2 * len(found))
    if not 0 < below < 1:
        return tails  # the statistic does not vary, or is the end of its own range: there is no bias to correct
    others = np.array([np.delete(np.arange(count), each) for each in range(count)])
    left_out = np.asarray(statistic(others), dtype=np.float64)
    away = left_out.mean() - left_out
    cubes, squares = float((away**3).sum()), float((away**2).sum())
    acceleration = cubes / (6 * squares**1.5) if squares > 0 else 0.0
    shifted = norm.ppf(below) + norm.ppf(tails)
    corrected: Array = norm.cdf(norm.ppf(below) + shifted / (1 - acceleration * shifted))
    return corrected


def between(found: Array, lower: float, upper: float) -> tuple[float, float]:
    """Return two quantiles, NaN of nothing.

    Args:
        found: The numbers.
        lower: Fraction below the first.
        upper: Fraction below the second.
    """
    if not len(found):
        return math.nan, math.nan
    low, high = np.quantile(found, [lower, upper])
    return float(low), float(high)


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is no probability between 0 and 1.

    Args:
        confidence: The confidence.

    Raises:
        ValueError: It is not.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}")
