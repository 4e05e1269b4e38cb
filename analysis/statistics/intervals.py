"""Statistics over seeds: Student's t, differences paired by seed, corrected p values and verdicts.

A run without the measured event is a missing value, NaN. It is left out of every mean and counted in every
result: means over survivors alone are biased, and the counts say so.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from tca.utils.checks import Count, Measured, Named, Probability, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["DECIDING", "RESAMPLES", "Estimate", "Number", "bootstrap", "holm", "mean",
           "paired_difference", "verdict"]  # fmt: skip

Number = Measured
RESAMPLES = 4000
METHODS = ("BCa", "percentile", "basic")  # of intervals of `scipy.stats.bootstrap`
DECIDING = 5  # values below which no interval decides a claim


@dataclass(frozen=True)
class Estimate(Tabular):
    """A number with its interval.

    Attributes:
        value: The estimate; NaN without values.
        low: Lower end of the interval; NaN where the values are too few for one.
        high: Upper end.
        spread: Standard deviation of the values over seeds; NaN with fewer than two.
        count: Values that it rests on.
        asked: Values that there would be if none were missing.
        confidence: Probability with which such intervals hold the truth.
        p: Two-sided p value of a mean of zero; NaN with fewer than two values, and of other statistics.
    """

    value: float
    low: float
    high: float
    spread: float
    count: int
    asked: int
    confidence: float
    p: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval of at least five values."""
        return self.count >= DECIDING and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        return f"{_shown(self.value)} [{_shown(self.low)}, {_shown(self.high)}] ({self.count}/{self.asked})"


@checked
def mean(values: ArrayLike, *, confidence: Probability = 0.95) -> Estimate:
    """Return the mean of the finite values with Student's t interval.

    The interval is ``m -+ t s / sqrt(n)`` with ``t`` the quantile of Student's distribution of n - 1 degrees of
    freedom, and the p value that of the t test of a mean of zero. Of equal values the interval has no width; p is then
    1 for zeros and 0 otherwise.

    Args:
        values: One value a seed; NaN where it is missing.
        confidence: Of the interval, default 0.95.

    Paper: Student (1908), The probable error of a mean, Biometrika 6:1.

    >>> result = mean([1.0, 2.0, 3.0, float("nan")])
    >>> result.value, round(result.low, 3), round(result.high, 3), result.count, result.asked
    (2.0, -0.484, 4.484, 3, 4)
    """
    given, kept = _finite(values)
    count = len(kept)
    value = float(kept.mean()) if count else math.nan
    if count < 2:
        return Estimate(value, math.nan, math.nan, math.nan, count, len(given), confidence)
    if np.ptp(kept) == 0:
        value = float(kept[0])  # a mean of equal numbers may differ from them by round-off
        return Estimate(value, value, value, 0.0, count, len(given), confidence, 0.0 if value else 1.0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # of values equal to within round-off
        test = scipy.stats.ttest_1samp(kept, 0.0)
    low, high = test.confidence_interval(confidence)
    spread = float(kept.std(ddof=1))
    return Estimate(value, float(low), float(high), spread, count, len(given), confidence, float(test.pvalue))


@checked
def paired_difference(
    first: Mapping[int, Number], second: Mapping[int, Number], *, confidence: Probability = 0.95
) -> Estimate:
    """Return the mean over seeds of ``first - second``, with Student's t interval.

    Runs of one seed share their trials and initial weights, so the spread between seeds cancels in the difference. A
    seed counts where both values are finite; ``asked`` is the number of seeds that either side holds.

    Args:
        first: One value a seed, by seed.
        second: The values to compare with, by seed.
        confidence: Of the interval, default 0.95.

    >>> result = paired_difference({0: 5.0, 1: 7.0, 2: 9.0}, {2: 8.0, 1: 6.0, 0: 4.0, 3: 1.0})
    >>> result.value, result.low, result.high, result.count, result.asked
    (1.0, 1.0, 1.0, 3, 4)
    """
    seeds = sorted({*first, *second})
    return mean([first.get(seed, math.nan) - second.get(seed, math.nan) for seed in seeds], confidence=confidence)


@checked
def bootstrap(
    values: ArrayLike,
    statistic: Callable[..., ArrayLike],
    *,
    confidence: Probability = 0.95,
    resamples: Count = RESAMPLES,
    seed: Seed = 0,
    method: Annotated[str, Named(METHODS)] = "BCa",
) -> Estimate:
    """Return a statistic of the finite values with a bootstrap interval of `scipy.stats.bootstrap`.

    For statistics other than a mean, such as a median; few values make these intervals too narrow, see
    ``benchmarks/coverage.py``. There is none with fewer than three values, nor where SciPy finds the resamples
    degenerate.

    Args:
        values: One value a seed; NaN where it is missing.
        statistic: Takes an array and ``axis``, as `numpy.median` does.
        confidence: Of the interval, default 0.95.
        resamples: Bootstrap resamples, default 4000.
        seed: Seed of the resamples, default 0.
        method: ``"BCa"`` (default), ``"percentile"`` or ``"basic"``.

    Raises:
        ValueError: A number is out of range or the method is unknown.

    Paper: Efron (1987), Better bootstrap confidence intervals, J Am Stat Assoc 82:171.

    >>> result = bootstrap([1.0, 2.0, 3.0, 4.0, 50.0], np.median)
    >>> result.value, result.low, result.high
    (3.0, 1.0, 50.0)
    """
    given, kept = _finite(values)
    value = float(np.asarray(statistic(kept, axis=-1))) if len(kept) else math.nan
    low = high = math.nan
    if len(kept) >= 3 and np.ptp(kept) == 0:
        low = high = value
    elif len(kept) >= 3:
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", scipy.stats.DegenerateDataWarning)  # its interval is NaN then
            ends = scipy.stats.bootstrap(
                (kept,), statistic, confidence_level=confidence, n_resamples=resamples, method=method, vectorized=True,
                rng=np.random.default_rng(seed),
            ).confidence_interval  # fmt: skip
        low, high = float(ends.low), float(ends.high)
    spread = float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
    return Estimate(value, low, high, spread, len(kept), len(given), confidence)


@checked
def holm(p: Sequence[Number]) -> list[float]:
    """Return p values corrected for their number by Holm's method.

    The k-th smallest of m becomes ``max_{j <= k} min(1, (m - j + 1) p_j)``. Rejecting those at most alpha keeps the
    probability of a single false rejection at alpha. Missing values, NaN, stay and do not count.

    Args:
        p: The p values of one family of claims.

    Raises:
        ValueError: One is no probability.

    Paper: Holm (1979), A simple sequentially rejective multiple test procedure, Scand J Stat 6:65.

    >>> [round(each, 12) for each in holm([0.01, 0.04, 0.03, 0.005])]
    [0.03, 0.06, 0.06, 0.02]
    """
    given = np.array(p, dtype=np.float64)
    if ((given < 0) | (given > 1)).any():
        raise ValueError(f"p must hold probabilities between 0 and 1, got {list(p)!r}")
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    scaled = np.minimum(given[order] * np.arange(len(order), 0, -1), 1.0)
    corrected = np.full(len(given), math.nan)
    corrected[order] = np.maximum.accumulate(scaled)
    return [float(each) for each in corrected]


@checked
def verdict(difference: Estimate, corrected: Number | None = None, sign: int = 1) -> str:
    """Return whether a claimed difference holds, is reversed, or is undecided.

    Undecided are differences of fewer than five values and those whose p value is at least ``1 - confidence``.

    Args:
        corrected: Its p value after a correction for several claims, default its own.
        sign: 1 (default) if the claim is a positive difference, -1 if a negative one.

    >>> verdict(mean([1.0, 1.1, 1.2, 0.9, 1.0])), verdict(mean([1.0, 1.1, 1.2, 0.9]))
    ('holds', 'undecided')
    """
    p = difference.p if corrected is None else corrected
    if difference.count < DECIDING or not p < 1 - difference.confidence or not difference.value:
        return "undecided"
    return "holds" if difference.value * sign > 0 else "reversed"


def _finite(values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values as one row in float64, and the finite ones among them."""
    try:
        given = np.asarray(values).ravel()
        if given.size and given.dtype.kind not in "biuf":
            raise TypeError(given.dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"values must hold real numbers, got {values!r}") from error
    given = given.astype(np.float64)
    return given, given[np.isfinite(given)]


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
