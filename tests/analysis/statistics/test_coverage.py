"""How often intervals of few values hold the truth, and that the page says so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from benchmarks.coverage import REPETITIONS, covered, table

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


@pytest.mark.parametrize("count", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (5, 10, 20))])
def test_students_t_holds_the_truth_as_often_as_it_says(count: int) -> None:
    """95 of 100 for normal values at any number of them, within four standard errors of the simulation."""
    assert covered("normal", "Student's t", count, 1500) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 1500))


@pytest.mark.slow
def test_the_bootstrap_holds_the_truth_less_often_with_few_values() -> None:
    """73, 84 and 90 of 100 are known from an independent simulation."""
    for count, known in ((3, 0.73), (5, 0.84), (10, 0.90)):
        assert covered("normal", "BCa", count, 400) == pytest.approx(known, abs=0.06)


@pytest.mark.slow
def test_the_coverage_on_the_page_is_what_the_simulation_finds() -> None:
    assert table(REPETITIONS) in PAGE.read_text()
