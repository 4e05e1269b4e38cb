"""Statistics over seeds: against SciPy, against a regression on dummies, and on data whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from analysis.bootstrap import bootstrap
from analysis.statistics import Estimate, mean, paired_difference, rank_correlation

VALUES = np.random.default_rng(0).exponential(size=12)


@pytest.mark.parametrize("method", ["bca", "percentile"])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_intervals_of_a_mean_are_those_of_scipy(method: str, confidence: float) -> None:
    """With the same resamples, which both draw in the same way from the same seed."""
    found = mean(VALUES, confidence=confidence, resamples=999, seed=3, method=method)
    known = scipy.stats.bootstrap(
        (VALUES,), np.mean, confidence_level=confidence, n_resamples=999, method=method.replace("bca", "BCa"),
        rng=np.random.default_rng(3), vectorized=True,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=1e-12)
    assert (found.value, found.spread) == pytest.approx((VALUES.mean(), VALUES.std(ddof=1)), rel=1e-12)


def test_intervals_of_a_skewed_statistic_are_those_of_scipy() -> None:
    known = scipy.stats.bootstrap((VALUES,), np.var, n_resamples=999, method="BCa", rng=np.random.default_rng(5))
    found = bootstrap(lambda picks: VALUES[picks].var(-1), 12, resamples=999, seed=5)
    ends = known.confidence_interval
    assert found == pytest.approx((ends.low, ends.high), rel=1e-12)
    plain = bootstrap(lambda picks: VALUES[picks].var(-1), 12, resamples=999, seed=5, method="percentile")
    assert abs(found[1] - plain[1]) > 0.01 * plain[1]  # the correction does something


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """95 of 100 for normal numbers, but for what small samples cost: between 86 and 98 of 100 with ten of them."""
    source = np.random.default_rng(7)
    found = [mean(source.normal(size=10), resamples=500) for _ in range(300)]
    covered = np.mean([each.low < 0 < each.high for each in found])
    assert 0.86 < covered < 0.98


def test_the_missing_are_left_out_and_counted() -> None:
    whole = mean(VALUES)
    with_gaps = mean([*VALUES[:5], math.nan, *VALUES[5:], math.inf])
    assert (with_gaps.count, with_gaps.asked) == (12, 14)
    assert (with_gaps.value, with_gaps.low, with_gaps.high) == (whole.value, whole.low, whole.high)
    assert str(with_gaps).endswith("(12/14)")
    nobody = mean([math.nan] * 3)
    assert (nobody.count, nobody.asked) == (0, 3)
    assert math.isnan(nobody.value)
    assert str(nobody) == "- [-, -] (0/3)"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0]])
def test_with_fewer_than_three_values_there_is_no_interval(values: list[float]) -> None:
    found = mean(values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes_zero


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean([2.0] * 5) == Estimate(2.0, 2.0, 2.0, 0.0, 5, 5, 0.95)


def test_pairing_takes_away_what_seeds_have_in_common() -> None:
    """Seeds that differ by a hundred and arms that differ by one: only the paired difference can tell."""
    source = np.random.default_rng(1)
    base = {seed: 100 * source.normal() for seed in range(10)}
    better = {seed: value + 1 + 0.1 * source.normal() for seed, value in base.items()}
    found = paired_difference(better, base)
    assert found.excludes_zero
    assert found.value == pytest.approx(1.0, abs=0.1)
    assert found.value == pytest.approx(np.mean([better[seed] - base[seed] for seed in base]), rel=1e-12)
    assert not mean([*better.values(), *(-value for value in base.values())]).excludes_zero
    shuffled = dict(reversed(better.items()))
    assert paired_difference(shuffled, base) == found


def test_pairs_count_where_both_sides_have_a_value() -> None:
    found = paired_difference({0: 2.0, 1: math.nan, 2: 5.0, 3: 1.0}, {0: 1.0, 1: 1.0, 2: 2.0, 4: 7.0})
    assert (found.value, found.count, found.asked) == (2.0, 2, 5)


def data(runs: int, rules: int, slope: float, between: float, seed: int = 0) -> tuple[list[float], ...]:
    source = np.random.default_rng(seed)
    x, y, seeds, groups = [], [], [], []
    for one in range(runs):
        for rule in range(rules):
            noise = source.normal(size=2)
            x.append(between * rule + noise[0])
            y.append(between * rule + slope * noise[0] + noise[1])
            seeds.append(one)
            groups.append(rule)
    return x, y, seeds, groups


def test_the_pooled_correlation_is_that_of_spearman() -> None:
    x, y, seeds, _ = data(10, 3, 1.0, 1.0)
    assert rank_correlation(x, y, seeds).value == pytest.approx(scipy.stats.spearmanr(x, y).statistic, rel=1e-12)
    tied = [round(value) for value in x]
    assert rank_correlation(tied, y, seeds).value == pytest.approx(scipy.stats.spearmanr(tied, y).statistic, rel=1e-12)


def test_the_correlation_within_groups_is_partial() -> None:
    """The correlation of what a regression of the ranks on the groups leaves unexplained."""
    x, y, seeds, groups = data(10, 3, 1.0, 3.0)
    dummies = np.eye(3)[groups]
    left = []
    for values in (x, y):
        ranks = scipy.stats.rankdata(values)
        left.append(ranks - dummies @ np.linalg.lstsq(dummies, ranks, rcond=None)[0])
    found = rank_correlation(x, y, seeds, groups)
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1], rel=1e-12)


def test_groups_that_differ_in_both_correlate_when_pooled_only() -> None:
    x, y, seeds, groups = data(20, 4, 0.0, 5.0)
    pooled, within = rank_correlation(x, y, seeds), rank_correlation(x, y, seeds, groups)
    assert pooled.excludes_zero
    assert pooled.value > 0.8
    assert not within.excludes_zero
    assert abs(within.value) < 0.3
    real = rank_correlation(*data(20, 4, 2.0, 5.0)[:3], groups)
    assert real.excludes_zero


def test_whole_seeds_are_resampled() -> None:
    """Copies of a run under its own seed add nothing: the interval stays as wide as it was."""
    x, y, seeds, _ = data(12, 1, 1.0, 0.0)
    once, thrice = rank_correlation(x, y, seeds), rank_correlation(3 * x, 3 * y, 3 * seeds)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-12)
    assert (once.runs, thrice.runs, thrice.seeds) == (12, 36, 12)
    apart = rank_correlation(3 * x, 3 * y, list(range(36)))
    assert apart.high - apart.low < 0.8 * (once.high - once.low)


def test_correlations_count_the_missing_and_need_variation() -> None:
    x, y, seeds, _ = data(8, 2, 1.0, 0.0)
    gaps = rank_correlation([math.nan, *x[1:]], [*y[:-1], math.nan], seeds)
    assert (gaps.runs, gaps.asked) == (14, 16)
    assert gaps.value == pytest.approx(scipy.stats.spearmanr(x[1:-1], y[1:-1]).statistic, rel=1e-12)
    assert str(gaps).endswith("(14/16 runs, 8 seeds)")
    assert math.isnan(rank_correlation([1.0] * 16, y, seeds).value)
    assert math.isnan(rank_correlation(x[:2], y[:2], seeds[:2]).low)


def test_the_seed_decides() -> None:
    x, y, seeds, groups = data(8, 2, 1.0, 0.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert mean(VALUES, seed=1) == mean(VALUES, seed=1)
    assert mean(VALUES, seed=1).low != mean(VALUES, seed=2).low
    assert rank_correlation(x, y, seeds, groups, seed=1) == rank_correlation(x, y, seeds, groups, seed=1)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mean(VALUES, confidence=1.0), "confidence must lie between 0 and 1, got 1.0"),
        (lambda: mean(VALUES, resamples=0), "resamples must be at least 1, got 0"),
        (lambda: mean(VALUES, method="BCa"), "method must be bca or percentile, got 'BCa'"),
        (lambda: rank_correlation([1.0], [1.0, 2.0], [0]), r"must be equally long, got lengths \[1, 2\]"),
        (lambda: rank_correlation([1.0], [1.0], [0], confidence=0.0), "confidence must lie between 0 and 1"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
