"""Intervals over seeds and differences to the reference, against SciPy."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

import tasks
from tca import nets
from tca.cli.compare.choices import choice_curve
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_files import csv_files
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.comparison_table import notes, tables
from tca.cli.compare.estimates import COMPARED, differences, estimate, grouped, reference_of
from tca.cli.compare.measurements import Measured, RunMeasurements
from tca.cli.compare.report import printed
from tca.experiments.config.components import Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run

TEST, LARGEST = (next(each for each in COMPARED if each.name == name) for name in ("test_accuracy", "largest"))
BASE = [0.5, 0.61, 0.72, 0.8, 0.93]


def runs(entry: str, scores: list[float], **changes: Any) -> list[RunMeasurements]:
    run = dataclasses.replace(Run("delayed_xor"), **changes)
    return [
        RunMeasurements(
            entry, dataclasses.replace(run, seeds=Seeds(seed, seed, seed, seed)), "completed", steps=5,
            values={"test_accuracy": score, "largest": 10 * score}, parameters=("w_rec",),
        )
        for seed, score in enumerate(scores)
    ]  # fmt: skip


def shifted(by: float, noise: float, seed: int) -> list[float]:
    return [x + by + noise * e for x, e in zip(BASE, np.random.default_rng(seed).standard_normal(5), strict=True)]


def test_intervals_are_those_of_student() -> None:
    found = estimate(runs("a", BASE), TEST)
    interval = scipy.stats.t.interval(0.95, 4, np.mean(BASE), scipy.stats.sem(BASE))
    assert (found.low, found.high) == pytest.approx(interval, rel=1e-12)
    (row,) = tables(ComparisonResult(Comparison(seeds=5), runs("bptt", BASE)))[0].rows
    assert f"{np.mean(BASE):.3f} ±{interval[1] - np.mean(BASE):.3f}" in row


def test_differences_are_paired_and_corrected_over_the_entries_of_all_tasks() -> None:
    others = {"b": shifted(0.05, 0.01, 1), "c": shifted(0.01, 0.01, 2), "d": shifted(0.0, 0.02, 3)}
    measured = runs("a", BASE) + [one for name, scores in others.items() for one in runs(name, scores)]
    found = differences(grouped(measured), None, [TEST])
    p = {name: scipy.stats.ttest_rel(scores, BASE).pvalue for name, scores in others.items()}
    order = sorted(p, key=p.__getitem__)
    corrected: dict[str, float] = {}
    for place, name in enumerate(order):
        corrected[name] = max([*corrected.values(), min(1.0, (3 - place) * p[name])])
    for each in found:
        assert (each.reference, each.estimate.count) == ("a", 5)
        assert each.estimate.value == pytest.approx(np.mean(others[each.entry]) - np.mean(BASE), rel=1e-12)
        assert each.p == pytest.approx(corrected[each.entry], rel=1e-9)
        assert each.decided == (corrected[each.entry] < 0.05)
    assert [each.decided for each in found] == [True, False, False]


def test_fewer_than_five_pairs_decide_no_difference() -> None:
    far = [0.1, 0.2001, 0.3, 0.4]
    measured = runs("a", far) + runs("b", [score + 0.5 + 1e-4 * seed for seed, score in enumerate(far)])
    (found,) = differences(grouped(measured), None, [TEST])
    assert found.p < 1e-6
    assert not found.decided
    result = ComparisonResult(Comparison(rules="bptt", seeds=4), measured)
    made = {table.title: table for table in tables(result)}["Differences"]
    assert not any("*" in cell for row in made.rows for cell in row)
    assert "Here there are at most 4: no difference is decided." in made.notes[0]
    assert "Fewer than 5 seeds: intervals are wide, and no difference is decided." in notes(result)
    mixed = ComparisonResult(Comparison(rules="bptt", seeds=5), runs("a", BASE) + runs("b", far))
    assert "Fewer than 5 seeds of b: intervals are wide, and no difference is decided." in notes(mixed)
    assert not any("Fewer" in note for note in notes(ComparisonResult(mixed.comparison, runs("a", BASE))))


def test_a_reference_of_ones_own_and_missing_values() -> None:
    measured = runs("a", BASE) + runs("b", [*shifted(0.1, 0.01, 1)[:4], math.nan])
    groups = grouped(measured)
    assert [reference_of(groups, "delayed_xor", name) for name in (None, "b", "other")] == ["a", "b", "a"]
    (found,) = differences(groups, "b", [TEST])
    assert (found.entry, found.reference, found.estimate.count, found.estimate.asked) == ("a", "b", 4, 5)


def test_what_means_another_thing_is_not_compared() -> None:
    """Hessians of other kinds of networks; scores of the same task are compared all the same."""
    measured = runs("a", BASE) + runs("b", BASE, net=NetworkConfig("mlp", sizes=[4])) + runs("c", shifted(0.1, 0.1, 1))
    found = {(each.entry, each.column.name) for each in differences(grouped(measured), None, [TEST, LARGEST])}
    assert found == {("b", "test_accuracy"), ("c", "test_accuracy"), ("c", "largest")}


def test_the_files_hold_numbers_only() -> None:
    measured = runs("a", BASE) + runs("b", [*shifted(0.05, 0.01, 1)[:4], math.nan])
    made = csv_files(ComparisonResult(Comparison(tasks="delayed_xor", rules="bptt"), measured), Path("runs"))
    assert set(made) == {"table.csv", "runs.csv", "differences.csv"}
    text = {"task", "entry", "rule", "network", "form", "loss", "optimizer", "outcome", "hessian", "record", "reason",
            "unfitted", "reference", "measure", "verdict"}  # fmt: skip
    table = list(csv.DictReader(made["table.csv"].splitlines()))
    assert all(float(row["largest_low"]) < float(row["largest"]) < float(row["largest_high"]) for row in table)
    for content in made.values():
        head, *lines = (line.split(",") for line in content.strip().split("\n"))
        for line in lines:
            for name, cell in zip(head, line, strict=True):
                assert name in text or cell == "" or math.isfinite(float(cell)), (name, cell)


def test_an_infinite_measurement_counts_as_missing() -> None:
    """A step of a psychometric function has an infinite slope, which must not end the tables of a comparison."""
    measured = [*runs("a", BASE), *runs("b", [*BASE[:4], math.inf])]
    (found,) = differences(grouped(measured), "a", [TEST])
    assert (found.estimate.count, found.estimate.asked, found.estimate.value) == (4, 5, 0.0)
    assert math.isnan(measured[-1].value("test_accuracy"))


def test_few_trials_or_levels_have_no_choice_curve() -> None:
    task = tasks.make("perceptual_decision")
    net = nets.LeakyRNN(task.n_in, 4, task.n_out)
    trials = task.split(1, 20, seed=0)[1]
    assert choice_curve(net, trials)[0] is not None
    assert choice_curve(net, trials.subset(19)) == (
        None, "19 test trials have a level of evidence, at least 20 are required"
    )  # fmt: skip
    batch = trials.batch()
    batch.info["evidence"][:] = [-1.0, 1.0] * 10
    reason = "evidence has 2 levels in the test trials, 3 to 40 are required"
    assert choice_curve(net, tasks.TrialSet(batch)) == (None, reason)
    assert choice_curve(net, tasks.make("delayed_xor").split(1, 30, seed=0)[1]) == (None, ""), "no graded variable"


def test_flat_choices_have_no_threshold() -> None:
    """A network that always gives one answer has proportions and no threshold."""
    task = tasks.make("perceptual_decision")
    net = nets.LeakyRNN(task.n_in, 4, task.n_out)
    with torch.no_grad():
        net.w_out.zero_()
        net.b_out.copy_(torch.arange(task.n_out))
    curve, reason = choice_curve(net, task.split(1, 100, seed=0)[1])
    assert curve is not None
    assert set(curve.proportions) == {1.0}
    assert math.isnan(curve.threshold)
    assert reason == "the fitted function of evidence has no threshold near the levels, its choices are flat"


def test_reasons_are_listed_by_entry_and_run(tmp_path: Path) -> None:
    measured = runs("a", BASE)
    measured[1:3] = [dataclasses.replace(one, unfitted="too few") for one in measured[1:3]]
    result = ComparisonResult(Comparison(tasks="delayed_xor", rules="bptt"), measured)
    table = tables(result)[-1]
    assert table.title == "Psychometric functions that were not fitted"
    assert [row[1:] for row in table.rows] == [("a", "1, 2", "too few")]
    assert "too few" in printed(result, tables(result), tmp_path)
    rows = list(csv.DictReader(csv_files(result, tmp_path)["runs.csv"].splitlines()))
    assert [row["unfitted"] for row in rows[:4]] == ["", "too few", "too few", ""]
    again = Measured.from_json(Measured({}, (), None, "too few").to_json())
    assert again.unfitted == "too few"
