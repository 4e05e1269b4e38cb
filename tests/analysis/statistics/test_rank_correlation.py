"""Rank correlations over runs: against SciPy, against a regression on dummies, and over arms and seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from analysis.statistics.rank_correlation import rank_correlation


def data(runs: int, rules: int, slope: float, between: float, seed: int = 0) -> tuple[list[float], ...]:
    source = np.random.default_rng(seed)
    x, y, seeds, arms = [], [], [], []
    for one in range(runs):
        for rule in range(rules):
            noise = source.normal(size=2)
            x.append(between * rule + noise[0])
            y.append(between * rule + slope * noise[0] + noise[1])
            seeds.append(one)
            arms.append(rule)
    return x, y, seeds, arms


def test_the_pooled_correlation_is_that_of_spearman() -> None:
    x, y, seeds, arms = data(10, 3, 1.0, 1.0)
    known = scipy.stats.spearmanr(x, y).statistic
    assert rank_correlation(x, y, seeds, arms).value == pytest.approx(known, rel=1e-12)
    tied = [round(value) for value in x]
    known = scipy.stats.spearmanr(tied, y).statistic
    assert rank_correlation(tied, y, seeds, arms).value == pytest.approx(known, rel=1e-12)


def test_the_correlation_within_arms_is_partial() -> None:
    """The correlation of what a regression of the ranks on the arms leaves unexplained."""
    x, y, seeds, arms = data(10, 3, 1.0, 3.0)
    dummies = np.eye(3)[arms]
    left = []
    for values in (x, y):
        ranks = scipy.stats.rankdata(values)
        left.append(ranks - dummies @ np.linalg.lstsq(dummies, ranks, rcond=None)[0])
    found = rank_correlation(x, y, seeds, arms, within=True)
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1], rel=1e-12)


def test_arms_that_differ_in_both_correlate_when_pooled_only() -> None:
    x, y, seeds, arms = data(20, 6, 0.0, 5.0)
    pooled, within = rank_correlation(x, y, seeds, arms), rank_correlation(x, y, seeds, arms, within=True)
    assert pooled.excludes_zero
    assert pooled.value > 0.8
    assert not within.excludes_zero
    assert abs(within.value) < 0.3
    assert rank_correlation(*data(20, 6, 2.0, 5.0), within=True).excludes_zero


@pytest.mark.parametrize("within", [False, True])
def test_resamples_are_those_of_arms_and_seeds_written_out(within: bool) -> None:
    """Every run as often as its seed was drawn times its arm: the interval from SciPy's ranks of the repeated runs."""
    x, y, seeds, arms = data(6, 5, 1.0, 0.5)
    source = np.random.default_rng(4)
    of_seeds, of_arms = (source.multinomial(count, np.full(count, 1 / count), 300) for count in (6, 5))
    found = []
    for seed_counts, arm_counts in zip(of_seeds, of_arms, strict=True):
        often = [seed_counts[seed] * arm_counts[arm] for seed, arm in zip(seeds, arms, strict=True)]
        ranks = [scipy.stats.rankdata(np.repeat(values, often)) for values in (x, y)]
        if within:
            members = np.repeat(arms, often)
            ranks = [each - np.array([each[members == arm].mean() for arm in members]) for each in ranks]
        found.append(np.corrcoef(*ranks)[0, 1])
    known = np.quantile(found, [0.025, 0.975])
    ends = rank_correlation(x, y, seeds, arms, within=within, resamples=300, seed=4)
    assert (ends.low, ends.high) == pytest.approx(tuple(known), rel=1e-9)


def test_whole_seeds_are_resampled() -> None:
    """Copies of a run under its own seed add nothing: the interval stays as wide as it was."""
    x, y, seeds, arms = data(12, 1, 1.0, 0.0)
    once, thrice = rank_correlation(x, y, seeds, arms), rank_correlation(3 * x, 3 * y, 3 * seeds, 3 * arms)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert (once.runs, thrice.runs, thrice.seeds) == (12, 36, 12)
    apart = rank_correlation(3 * x, 3 * y, list(range(36)), 3 * arms)
    assert apart.high - apart.low < 0.8 * (once.high - once.low)


def test_whole_arms_are_resampled() -> None:
    """Four rules that differ in both: seeds alone would call their correlation certain, four rules do not."""
    source = np.random.default_rng(3)
    places = [(0.0, 0.0), (1.0, 2.0), (2.0, 1.0), (3.0, 3.0)]
    x, y, seeds, arms = [], [], [], []
    for seed in range(10):
        for arm, (across, up) in enumerate(places):
            x.append(across + 0.05 * source.normal())
            y.append(up + 0.05 * source.normal())
            seeds.append(seed)
            arms.append(arm)
    apart, alike = rank_correlation(x, y, seeds, arms), rank_correlation(x, y, seeds, [0] * 40)
    assert (apart.arms, apart.seeds, alike.arms) == (4, 10, 1)
    assert alike.excludes_zero
    assert alike.low > 0.5
    assert apart.low < 0
    assert not apart.decides
    assert str(apart).endswith("(40/40 runs, 10 seeds, 4 arms), undecided")


def test_five_seeds_and_five_arms_decide() -> None:
    """Or one arm, about which the correlation then is."""
    for runs, rules, decides in ((5, 5, True), (4, 5, False), (5, 4, False), (5, 1, True), (4, 1, False)):
        x, y, seeds, arms = data(runs, rules, 50.0, 50.0)
        found = rank_correlation(x, y, seeds, arms)
        assert found.low > 0
        assert found.excludes_zero is found.decides is decides
        assert str(found).endswith("undecided") is not decides


def test_correlations_count_the_missing_and_need_variation() -> None:
    x, y, seeds, arms = data(8, 2, 1.0, 0.0)
    gaps = rank_correlation([math.nan, *x[1:]], [*y[:-1], math.nan], seeds, arms)
    assert (gaps.runs, gaps.asked) == (14, 16)
    assert gaps.value == pytest.approx(scipy.stats.spearmanr(x[1:-1], y[1:-1]).statistic, rel=1e-12)
    assert "(14/16 runs, 8 seeds, 2 arms)" in str(gaps)
    assert math.isnan(rank_correlation([1.0] * 16, y, seeds, arms).value)
    assert math.isnan(rank_correlation(x[:2], y[:2], seeds[:2], arms[:2]).low)
    nothing = rank_correlation([], [], [], [])
    assert (nothing.runs, nothing.arms) == (0, 0)
    assert math.isnan(nothing.value)


def test_the_seed_decides() -> None:
    x, y, seeds, arms = data(8, 2, 1.0, 0.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    found = [rank_correlation(x, y, seeds, arms, within=True, seed=seed) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert found[0].low != found[2].low
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: rank_correlation([1.0], [1.0, 2.0], [0], [0]), ValueError, r"must be equally long, got lengths"),
        (
            lambda: rank_correlation([1.0], [1.0], [0], [0], confidence=0.0),
            ValueError,
            "confidence must be greater",
        ),
        (lambda: rank_correlation([1.0], [1.0], [0], [0], resamples=0), ValueError, "resamples must be at least 1"),
        (lambda: rank_correlation(["a"], [1.0], [0], [0]), TypeError, r"x\[0\] must be a number, got 'a'"),
    ],
)
def test_mistakes_are_named(make, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        make()
