"""Statistics over seeds: bootstrap intervals, differences paired by seed, rank correlations, and who is missing.

A run that never reached what is measured is a missing value, NaN. It is left out of every mean and counted in every
result: means over survivors alone are biased, and the counts say so.

Shapes: N runs, R resamples, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.bootstrap import FEWEST, RESAMPLES, Array, Picks, between, bootstrap, check_confidence
from tca.checks import whole

__all__ = ["Correlation", "Estimate", "mean", "paired_difference", "rank_correlation"]


@dataclass(frozen=True)
class Estimate:
    """A number with its bootstrap interval.

    Attributes:
        value: The estimate; NaN if there is nothing to estimate it from.
        low: Lower end of the interval; NaN with fewer than three values.
        high: Upper end.
        spread: Standard deviation of the values over seeds; NaN with fewer than two.
        count: Values that it rests on.
        asked: Values that there would be if none were missing.
        confidence: Probability with which such intervals hold the truth.
    """

    value: float
    low: float
    high: float
    spread: float
    count: int
    asked: int
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval; never without an interval."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Return value, interval and counts in one line."""
        return f"{_shown(self.value)} [{_shown(self.low)}, {_shown(self.high)}] ({self.count}/{self.asked})"


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its bootstrap interval.

    Attributes:
        value: The correlation, from -1 to 1; NaN if one side does not vary.
        low: Lower end of the interval; NaN with fewer than three seeds.
        high: Upper end.
        runs: Runs that it rests on.
        asked: Runs that there would be if none were missing.
        seeds: Different seeds among them, which are what is resampled.
        confidence: Probability with which such intervals hold the truth.
    """

    value: float
    low: float
    high: float
    runs: int
    asked: int
    seeds: int
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval; never without an interval."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Return value, interval and counts in one line."""
        interval = f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
        return f"{interval} ({self.runs}/{self.asked} runs, {self.seeds} seeds)"


def mean(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0, method: str = "bca"
) -> Estimate:
    """Return the mean of the values that are finite, with its bootstrap interval.

    Args:
        values: One value a seed; NaN where it is missing.
        confidence: Of the interval, default 0.95.
        resamples: Bootstrap resamples, default 4000.
        seed: Seed of the resamples, default 0.
        method: ``"bca"`` (default) or ``"percentile"``.

    Raises:
        ValueError: A number is out of range or the method is unknown.

    >>> found = mean([1.0, 2.0, 3.0, float("nan")])
    >>> found.value, found.count, found.asked, found.low < 2 < found.high
    (2.0, 3, 4, True)
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    kept = given[np.isfinite(given)]
    low, high = bootstrap(
        lambda picks: np.asarray(kept[picks].mean(-1)), len(kept),
        confidence=confidence, resamples=resamples, seed=seed, method=method,
    )  # fmt: skip
    value = float(kept.mean()) if len(kept) else math.nan
    spread = float(kept.std(ddof=1)) if len(kept) > 1 else math.nan
    return Estimate(value, low, high, spread, len(kept), len(given), confidence)


def paired_difference(
    first: Mapping[int, float],
    second: Mapping[int, float],
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    method: str = "bca",
) -> Estimate:
    """Return the mean over seeds of ``first - second``, with its bootstrap interval.

    Runs of one seed share their trials and initial weights, so the spread between seeds cancels in the difference. A
    seed counts where both values are finite; ``asked`` is the number of seeds that either side holds.

    Args:
        first: One value a seed, by seed.
        second: The values to compare with, by seed.
        confidence: Of the interval, default 0.95.
        resamples: Bootstrap resamples, default 4000.
        seed: Seed of the resamples, default 0.
        method: ``"bca"`` (default) or ``"percentile"``.

    Raises:
        ValueError: A number is out of range or the method is unknown.

    >>> found = paired_difference({0: 5.0, 1: 7.0, 2: 9.0}, {2: 8.0, 1: 6.0, 0: 4.0, 3: 1.0})
    >>> found.value, found.low, found.high, found.count, found.asked
    (1.0, 1.0, 1.0, 3, 4)
    """
    seeds = sorted({*first, *second})
    differences = [first.get(each, math.nan) - second.get(each, math.nan) for each in seeds]
    return mean(differences, confidence=confidence, resamples=resamples, seed=seed, method=method)


def rank_correlation(
    x: Sequence[float],
    y: Sequence[float],
    seeds: Sequence[int],
    within: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Correlation:
    """Return Spearman's rank correlation of two measures over runs, pooled or within groups, with its interval.

    Pooled, it is the correlation of the ranks. Within groups, such as rules, it is the partial correlation given the
    group: the correlation of what is left of the ranks when the mean rank of its group is taken from each, so that
    differences between groups count for nothing. Runs of one seed share trials and initial weights and are not
    independent: whole seeds are resampled, and the interval is between percentiles.

    Args:
        x: One measure, such as the largest curvature, one value a run; NaN where it is missing.
        y: The other, such as the gap.
        seeds: Seed of every run.
        within: Group of every run; ``None`` (default) pools all.
        confidence: Of the interval, default 0.95.
        resamples: Bootstrap resamples of the seeds, default 4000.
        seed: Seed of the resamples, default 0.

    Raises:
        ValueError: The sequences differ in length, or a number is out of range.

    >>> curvature, gap, rules = [1, 2, 3, 11, 12, 13], [3, 2, 1, 13, 12, 11], ["a", "a", "a", "b", "b", "b"]
    >>> rank_correlation(curvature, gap, [0, 1, 2, 0, 1, 2]).value > 0.5           # rules differ in both
    True
    >>> round(rank_correlation(curvature, gap, [0, 1, 2, 0, 1, 2], rules).value, 12)    # within a rule it is reversed
    -1.0
    """
    lengths = {len(each) for each in (x, y, seeds, seeds if within is None else within)}
    if len(lengths) != 1:
        raise ValueError(f"x, y, seeds and within must be equally long, got lengths {sorted(lengths)}")
    whole("resamples", resamples, 1)
    check_confidence(confidence)
    xs, ys = (np.asarray(each, dtype=np.float64) for each in (x, y))
    kept = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    names = list(dict.fromkeys([None] * len(xs) if within is None else within))
    groups = np.array([0 if within is None else names.index(within[run]) for run in kept], dtype=np.intp)
    xs, ys = xs[kept], ys[kept]
    clusters, cluster_of = np.unique([seeds[run] for run in kept], return_inverse=True)
    low = high = math.nan
    if len(clusters) >= FEWEST:
        draws = np.random.default_rng(seed).integers(0, len(clusters), (resamples, len(clusters)))
        drawn = np.apply_along_axis(np.bincount, 1, draws, minlength=len(clusters))
        found = _correlations(xs, ys, groups, drawn[:, cluster_of].astype(np.float64))
        low, high = between(found[np.isfinite(found)], (1 - confidence) / 2, (1 + confidence) / 2)
    value = float(_correlations(xs, ys, groups, np.ones((1, len(xs))))[0])
    return Correlation(value, low, high, len(xs), len(x), len(clusters), confidence)


def _correlations(x: Array, y: Array, groups: Picks, counts_RN: Array) -> Array:
    """Return for each row of counts the correlation of runs that occur so often, NaN where a side does not vary.

    The rank of a run is the number of those below it and half of those equal to it, itself included. From each rank the
    mean of its group is taken.
    """
    if len(x) < FEWEST:
        return np.full(len(counts_RN), math.nan)
    members = (groups[:, None] == np.unique(groups)).astype(np.float64)
    sizes_RG = np.maximum(counts_RN @ members, 1e-300)

    def left(values: Array) -> Array:
        ranks_RN = counts_RN @ ((values[:, None] < values) + 0.5 * (values[:, None] == values))
        means_RG = (counts_RN * ranks_RN) @ members / sizes_RG
        rest: Array = ranks_RN - means_RG @ members.T
        return rest

    x_RN, y_RN = left(x), left(y)
    squares = (counts_RN * x_RN**2).sum(1) * (counts_RN * y_RN**2).sum(1)
    vary = squares > (1e-9 * len(x) ** 3) ** 2
    found: Array = np.where(vary, (counts_RN * x_RN * y_RN).sum(1) / np.sqrt(np.where(vary, squares, 1.0)), math.nan)
    return found


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"
