"""Rank correlation of two measures over runs, with an interval over arms and seeds.

Shapes: N runs, R resamples, G groups.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import DECIDING, RESAMPLES, Number
from tca.utils.checks import Count, Probability, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["Correlation", "rank_correlation"]

FEWEST = 3  # runs without which there is no correlation, and seeds without which there is no interval


@dataclass(frozen=True)
class Correlation(Tabular):
    """A rank correlation with its bootstrap interval.

    Attributes:
        value: The correlation, from -1 to 1; NaN if one side does not vary.
        low: Lower end of the interval; NaN with fewer than three seeds.
        high: Upper end.
        runs: Runs that it rests on.
        asked: Runs that there would be if none were missing.
        seeds: Different seeds among them.
        arms: Different arms among them.
        confidence: Probability with which such intervals hold the truth, for many seeds and arms.
    """

    value: float
    low: float
    high: float
    runs: int
    asked: int
    seeds: int
    arms: int
    confidence: float

    @property
    def decides(self) -> bool:
        """Whether there are five seeds and, unless it is about one arm alone, five arms."""
        return self.seeds >= DECIDING and (self.arms == 1 or self.arms >= DECIDING)

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside an interval that decides."""
        return self.decides and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        """Return value, interval, counts and whether the sign is undecided in one line."""
        interval = f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
        counts = f"({self.runs}/{self.asked} runs, {self.seeds} seeds, {self.arms} arms)"
        return f"{interval} {counts}{'' if self.excludes_zero else ', undecided'}"


@checked
def rank_correlation(
    x: Sequence[Number],
    y: Sequence[Number],
    seeds: Sequence[Hashable],
    arms: Sequence[Hashable],
    *,
    within: bool = False,
    confidence: Probability = 0.95,
    resamples: Count = RESAMPLES,
    seed: Seed = 0,
) -> Correlation:
    """Return Spearman's rank correlation of two measures over runs, with its interval.

    Pooled, it is the correlation of the ranks. Within arms, such as rules, it is the partial correlation given the
    arm: the correlation of ranks minus the mean rank of their arm, so that
    differences between arms do not count. Runs of one seed share trials and initial weights, and runs of one arm
    share what makes it an arm: neither are independent, so whole seeds and whole arms are drawn with replacement,
    each on its own, and a run counts as often as both were drawn. The interval is between percentiles.

    Args:
        x: One measure, such as the largest curvature, one value a run; NaN where it is missing.
        y: The other, such as the gap.
        arms: Arm of every run, such as its rule.
        within: Whether to correlate within arms, default no: pooled.
        confidence: Of the interval, default 0.95.
        resamples: Bootstrap resamples, default 4000.
        seed: Seed of the resamples, default 0.

    Raises:
        ValueError: The sequences differ in length, or a number is out of range.

    Paper: Owen (2007), The pigeonhole bootstrap, Ann Appl Stat 1:386.

    >>> curvature, gap, rules = [1, 2, 3, 11, 12, 13], [3, 2, 1, 13, 12, 11], ["a", "a", "a", "b", "b", "b"]
    >>> rank_correlation(curvature, gap, [0, 1, 2, 0, 1, 2], rules).value > 0.5           # rules differ in both
    True
    >>> result = rank_correlation(curvature, gap, [0, 1, 2, 0, 1, 2], rules, within=True)  # within a rule reversed
    >>> round(result.value, 12), result.arms, result.decides
    (-1.0, 2, False)
    """
    xs, ys = (np.array(each, dtype=np.float64) for each in (x, y))
    lengths = {len(each) for each in (xs, ys, seeds, arms)}
    if len(lengths) != 1:
        raise ValueError(f"x, y, seeds and arms must be equally long, got lengths {sorted(lengths)}")
    kept = np.flatnonzero(np.isfinite(xs) & np.isfinite(ys))
    xs, ys = xs[kept], ys[kept]
    of_seed, of_arm = (_numbered([each[run] for run in kept]) for each in (seeds, arms))
    groups = of_arm if within else np.zeros_like(of_arm)
    counts = {"seeds": len(set(of_seed)), "arms": len(set(of_arm))}
    low = high = math.nan
    if counts["seeds"] >= FEWEST:
        source = np.random.default_rng(seed)
        drawn = _drawn(counts["seeds"], resamples, source)[:, of_seed]
        found = _correlations(xs, ys, groups, drawn * _drawn(counts["arms"], resamples, source)[:, of_arm])
        found = found[np.isfinite(found)]
        if len(found):
            low, high = (float(each) for each in np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2]))
    value = float(_correlations(xs, ys, groups, np.ones((1, len(xs))))[0])
    return Correlation(value, low, high, len(xs), len(x), **counts, confidence=confidence)


def _numbered(names: Sequence[Hashable]) -> NDArray[np.intp]:
    """Return the number of every name, in the order in which they first occur."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.intp)


def _drawn(count: int, resamples: int, source: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each of some clusters is drawn, shape ``(R, count)``."""
    return source.multinomial(count, np.full(count, 1 / count), resamples).astype(np.float64)


def _correlations(
    x: NDArray[np.float64], y: NDArray[np.float64], groups: NDArray[np.intp], counts_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return for each row of counts the correlation of runs that occur so often, NaN where a side does not vary.

    The rank of a run is the number of those below it and half of those equal to it, itself included. From each rank the
    mean of its group is taken.
    """
    if len(x) < FEWEST:
        return np.full(len(counts_RN), math.nan)
    members = (groups[:, None] == np.unique(groups)).astype(np.float64)
    sizes_RG = np.maximum(counts_RN @ members, 1e-300)

    def left(values: NDArray[np.float64]) -> NDArray[np.float64]:
        ranks_RN = counts_RN @ ((values[:, None] < values) + 0.5 * (values[:, None] == values))
        means_RG = (counts_RN * ranks_RN) @ members / sizes_RG
        rest: NDArray[np.float64] = ranks_RN - means_RG @ members.T
        return rest

    x_RN, y_RN = left(x), left(y)
    squares = (counts_RN * x_RN**2).sum(1) * (counts_RN * y_RN**2).sum(1)
    vary = squares > (1e-9 * len(x) ** 3) ** 2
    found: NDArray[np.float64] = np.where(
        vary, (counts_RN * x_RN * y_RN).sum(1) / np.sqrt(np.where(vary, squares, 1.0)), math.nan
    )
    return found
