"""Reliability and noise ceilings: recordings whose signal and noise are known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from analysis.representations.noise_ceiling import conditions_averaged, noise_ceiling, reliability, spearman_brown
from analysis.representations.similarity import procrustes_distance


def recording(repeats: int, noise: float, samples: tuple[int, int] = (60, 50), units: int = 3) -> tuple[Tensor, Tensor]:
    """Repeats of one response with independent noise, and the response."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(*samples, units, generator=generator, dtype=torch.float64)
    drawn = torch.randn(repeats, *samples, units, generator=generator, dtype=torch.float64)
    return truth + noise * drawn, truth


def test_spearman_brown_is_the_correlation_of_longer_means() -> None:
    for half in (0.0, 0.3, 0.9, 1.0):
        assert spearman_brown(half) == pytest.approx(2 * half / (1 + half))
        assert spearman_brown(spearman_brown(half, 3.0), 1 / 3) == pytest.approx(half)
        assert spearman_brown(spearman_brown(half), 2.0) == pytest.approx(spearman_brown(half, 4.0))


@pytest.mark.parametrize("repeats", [2, 4, 9])
def test_reliability_is_the_share_of_the_signal(repeats: int) -> None:
    """Signal of variance 1, noise of variance s^2: the mean of K repeats has reliability ``1 / (1 + s^2 / K)``."""
    given, _ = recording(repeats, 1.5)
    given[..., 0] = 7.0  # a unit that is silent
    found = reliability(given, splits=50)
    used = 2 * (repeats // 2)
    assert found[1:].tolist() == pytest.approx([1 / (1 + 1.5**2 / used)] * 2, abs=0.03)
    assert math.isnan(found[0])
    assert reliability(given + 3.0, splits=50)[1:].tolist() == pytest.approx(found[1:].tolist(), abs=1e-12)


def test_the_ceiling_foretells_the_distance_of_the_mean_from_the_truth() -> None:
    given, truth = recording(8, 2.0)
    other = recording(16, 2.0)[0][8:]
    found = noise_ceiling(given)
    assert found.truth == pytest.approx(procrustes_distance(given.mean(0), truth), abs=0.01)
    assert found.repeat == pytest.approx(procrustes_distance(given.mean(0), other.mean(0)), abs=0.02)
    assert found.truth < found.repeat < found.half
    assert found.spread < 0.02
    assert noise_ceiling(recording(8, 0.0)[0]).truth == pytest.approx(0.0, abs=1e-6)


def test_the_ceiling_is_optimistic_where_units_are_many_and_samples_few() -> None:
    """The rotation that is fitted to one half fits some of its noise."""
    given, truth = recording(8, 2.0, samples=(10, 5), units=40)
    assert noise_ceiling(given).truth < procrustes_distance(given.mean(0), truth) - 0.02


def test_splits_depend_on_the_seed_alone() -> None:
    given, _ = recording(6, 2.0, samples=(5, 4))
    torch.manual_seed(1)
    first, state = noise_ceiling(given, seed=3), torch.get_rng_state()
    assert noise_ceiling(given, seed=3) == first
    assert noise_ceiling(given, seed=4) != first
    assert torch.equal(torch.get_rng_state(), state)


def test_the_mean_over_conditions_knows_the_time_course_alone() -> None:
    course = torch.randn(30, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alike = course.expand(-1, 5, -1)
    assert procrustes_distance(conditions_averaged(alike), alike) < 1e-7
    different, _ = recording(1, 0.0, samples=(30, 5), units=4)
    flat = conditions_averaged(different[0])
    assert torch.equal(flat, flat[:, :1].expand_as(flat))
    assert torch.equal(flat[:, 0], different[0].mean(1))
    # With condition means e and data x = e + d: |x^T e|_* = |e|^2, so the cosine is |e| / |x|.
    moved = different[0] - different[0].flatten(0, 1).mean(0)
    centred = flat - flat.flatten(0, 1).mean(0)
    expected = math.acos((centred.norm() / moved.norm()).item()) / (math.pi / 2)
    assert procrustes_distance(flat, different[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spearman_brown(1.2), "correlation must lie between -1 and 1"),
        (lambda: spearman_brown(-0.9, 3.0), "factor must be positive and small enough"),
        (lambda: spearman_brown(0.5, 0.0), "factor must be positive"),
        (lambda: reliability(torch.zeros(3, 4, 5)), "repeats must have shape"),
        (lambda: noise_ceiling(torch.zeros(1, 3, 4, 5)), "at least two repeats"),
        (lambda: noise_ceiling(torch.full((2, 3, 4, 5), math.nan)), "repeats must be finite"),
        (lambda: noise_ceiling(torch.zeros(2, 3, 4, 5), splits=0), "splits must be at least 1"),
        (lambda: conditions_averaged(torch.zeros(3, 4)), "recorded must have shape"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
