"""Statistics over seeds: against SciPy, worked examples, and data whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from analysis.statistics.intervals import Estimate, bootstrap, holm, mean, paired_difference, verdict
from tests.support.same import assert_same

VALUES = np.random.default_rng(0).exponential(size=12)


@pytest.mark.parametrize("count", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_intervals_of_a_mean_are_those_of_students_t(count: int, confidence: float) -> None:
    found, values = mean(VALUES[:count], confidence=confidence), VALUES[:count]
    known = scipy.stats.ttest_1samp(values, 0.0)
    ends = known.confidence_interval(confidence)
    assert (found.low, found.high, found.p) == pytest.approx((ends.low, ends.high, known.pvalue), rel=1e-12)
    assert (found.value, found.spread) == pytest.approx((values.mean(), values.std(ddof=1)), rel=1e-12)


def test_the_interval_of_a_worked_example() -> None:
    """Differences of Student's sleep data (1908): mean 1.58, interval .70 to 2.46, t 4.0621, p .002833."""
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = mean(gained)
    assert found.value == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.00283289, abs=1e-7)


def test_bootstrap_intervals_are_those_of_scipy() -> None:
    found = bootstrap(VALUES, np.var, resamples=999, seed=5)
    known = scipy.stats.bootstrap((VALUES,), np.var, n_resamples=999, method="BCa", rng=np.random.default_rng(5))
    assert (found.low, found.high) == (known.confidence_interval.low, known.confidence_interval.high)
    assert found.value == pytest.approx(VALUES.var(), rel=1e-12)
    plain = bootstrap(VALUES, np.var, resamples=999, seed=5, method="percentile")
    assert abs(found.high - plain.high) > 0.01 * plain.high  # the correction does something
    assert math.isnan(found.p)
    assert verdict(found) == "undecided"  # no p value, no verdict
    assert_same(bootstrap(VALUES, np.var, seed=1), bootstrap(VALUES, np.var, seed=1))
    assert bootstrap(VALUES, np.var, seed=1).low != bootstrap(VALUES, np.var, seed=2).low


def test_bootstraps_that_say_nothing_have_no_interval() -> None:
    assert math.isnan(bootstrap([1.0, 2.0], np.median).low)
    assert math.isnan(bootstrap([1.0, 1.0, 1.0, 1.0, 2.0], np.median).low)  # SciPy calls it degenerate
    assert bootstrap([2.0] * 4, np.median).high == 2.0
    assert bootstrap([], np.median).count == 0


def test_the_missing_are_left_out_and_counted() -> None:
    whole = mean(VALUES)
    with_gaps = mean([*VALUES[:5], math.nan, *VALUES[5:], math.inf])
    assert (with_gaps.count, with_gaps.asked) == (12, 14)
    assert (with_gaps.value, with_gaps.low, with_gaps.high) == (whole.value, whole.low, whole.high)
    assert str(with_gaps).endswith("(12/14)")
    median = bootstrap([*VALUES, math.nan], np.median)
    assert (median.count, median.asked) == (12, 13)
    nobody = mean([math.nan] * 3)
    assert (nobody.count, nobody.asked) == (0, 3)
    assert math.isnan(nobody.value)
    assert str(nobody) == "- [-, -] (0/3)"


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_with_fewer_than_two_values_there_is_no_interval(values: list[float]) -> None:
    found = mean(values)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.p)
    assert not found.excludes_zero
    assert verdict(found) == "undecided"


@pytest.mark.parametrize(("count", "decided"), [(2, False), (3, False), (4, False), (5, True), (8, True)])
def test_fewer_than_five_values_decide_nothing(count: int, decided: bool) -> None:
    """However far from zero: the interval is there, but neither it nor its p value decides."""
    found = mean([1.0 + 1e-6 * each for each in range(count)])
    assert found.low > 0.99
    assert found.excludes_zero is decided
    assert verdict(found, 1e-12) == verdict(found) == ("holds" if decided else "undecided")


def test_verdicts_follow_the_corrected_p_value_and_the_side() -> None:
    found = mean([1.0, 1.2, 0.8, 1.1, 0.3])
    assert found.p < 0.05
    assert (verdict(found), verdict(found, sign=-1), verdict(found, 0.06)) == ("holds", "reversed", "undecided")
    assert verdict(mean([-1.0, -1.2, -0.8, -1.1, -0.3])) == "reversed"
    assert verdict(mean([1.0, -1.0, 0.5, -0.4, 0.3])) == "undecided"
    assert verdict(found, math.nan) == "undecided"
    assert verdict(mean([0.0] * 6)) == "undecided"
    strict = mean([1.0, 1.2, 0.8, 1.1, 0.3], confidence=0.999)
    assert verdict(strict) == "undecided"  # its p value lies above .001


def test_holms_correction_of_a_worked_example() -> None:
    """p of .01, .04, .03 and .005 become .03, .06, .06 and .02: 4 x .005, 3 x .01, 2 x .03, and .04 raised to .06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-12)
    assert holm([0.5, 0.4]) == pytest.approx([0.8, 0.8])
    assert holm([0.9]) == [0.9]
    assert holm([]) == []
    with_gaps = holm([0.01, math.nan, 0.04])
    assert with_gaps[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(with_gaps[1])


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    """Compare with alpha / m, alpha / (m - 1), ... from the smallest p value, up to the first that is larger."""
    source = np.random.default_rng(2)
    for _ in range(200):
        p = source.uniform(size=6) ** 4
        rejected = np.zeros(6, dtype=bool)
        for place, which in enumerate(np.argsort(p)):
            if p[which] > 0.05 / (6 - place):
                break
            rejected[which] = True
        assert (np.array(holm(list(p))) <= 0.05).tolist() == rejected.tolist()


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert mean([2.0] * 5) == Estimate(2.0, 2.0, 2.0, 0.0, 5, 5, 0.95, 0.0)
    assert mean([0.0] * 5) == Estimate(0.0, 0.0, 0.0, 0.0, 5, 5, 0.95, 1.0)
    assert mean([0.1] * 3).value == 0.1  # not what round-off makes of the mean


def test_pairing_takes_away_what_seeds_have_in_common() -> None:
    """Seeds that differ by a hundred and arms that differ by one: only the paired difference shows it."""
    source = np.random.default_rng(1)
    base = {seed: 100 * source.normal() for seed in range(10)}
    better = {seed: value + 1 + 0.1 * source.normal() for seed, value in base.items()}
    found = paired_difference(better, base)
    assert found.excludes_zero
    assert found.value == pytest.approx(1.0, abs=0.1)
    known = scipy.stats.ttest_rel([better[seed] for seed in base], list(base.values()))
    assert found.p == pytest.approx(known.pvalue, rel=1e-6)
    assert not mean([*better.values(), *(-value for value in base.values())]).excludes_zero
    shuffled = dict(reversed(better.items()))
    assert paired_difference(shuffled, base) == found


def test_pairs_count_where_both_sides_have_a_value() -> None:
    found = paired_difference({0: 2.0, 1: math.nan, 2: 5.0, 3: 1.0}, {0: 1.0, 1: 1.0, 2: 2.0, 4: 7.0})
    assert (found.value, found.count, found.asked) == (2.0, 2, 5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: mean(VALUES, confidence=1.0), ValueError, "confidence must be below 1, got 1.0"),
        (lambda: mean(VALUES, confidence="a"), TypeError, "confidence must be a number, got 'a'"),
        (lambda: paired_difference(3, {0: 1.0}), TypeError, "first must be"),
        (lambda: verdict(mean(VALUES), "a"), TypeError, "corrected must be a number"),
        (lambda: mean(["a"]), TypeError, r"values must hold real numbers, got \['a'\]"),
        (lambda: mean([1j]), TypeError, "values must hold real numbers"),
        (lambda: mean([None, 1.0]), TypeError, "values must hold real numbers"),
        (lambda: paired_difference({0: "a"}, {0: 1.0}), TypeError, r"first\[0\] must be a number"),
        (lambda: bootstrap(VALUES, np.mean, resamples=0), ValueError, "resamples must be at least 1, got 0"),
        (lambda: bootstrap(VALUES, np.mean, method="bca"), ValueError, "unknown method 'bca'"),
        (lambda: holm([0.5, 1.5]), ValueError, "p must hold probabilities between 0 and 1"),
        (lambda: holm(["a"]), TypeError, r"p\[0\] must be a number"),
    ],
)
def test_mistakes_are_named(make, error: type[Exception], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        make()
