"""Runs at a training loss that all of them reach, and the choices of trained networks by a graded variable."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import analysis
from tca.cli.compare.common_loss import common_losses
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare, read_result
from tca.cli.compare.comparison_table import tables
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.report import write_report
from tca.experiments import records
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tests.tca.cli.test_cli import rows

RUN = Run("delayed_xor")


def one(entry: str, losses: list[float], outcome: str = "completed", **changes: Any) -> RunMeasurements:
    metrics = tuple(Metrics(step, loss, 0.5, loss, 0.5, 1.0) for step, loss in enumerate(losses))
    return RunMeasurements(entry, dataclasses.replace(RUN, **changes), outcome, metrics=metrics)


def common(*measured: RunMeasurements, loss: Any = "auto") -> Any:
    (found,) = common_losses(measured, loss).values()
    return found


def test_the_common_loss_is_the_lowest_that_every_run_reaches() -> None:
    slow, fast = one("slow", [0.7, 0.6, 0.5, 0.55]), one("fast", [0.8, 0.1, 0.01], seeds=Seeds(1, 1, 1, 1))
    found = common(slow, fast)
    assert (found.task, found.loss, found.highest, found.without) == ("delayed_xor", "CrossEntropy", ("slow", 0), ())
    assert found.value == pytest.approx(0.5, rel=2e-3)
    assert found.value >= 0.5


def test_runs_that_diverge_fail_or_do_not_learn_take_no_part() -> None:
    good = [one("a", [0.7, 0.2]), one("b", [0.7, 0.3])]
    bad = [
        one("hot", [0.7, math.nan], "diverged"), one("dead", [], "failed"), one("flat", [0.7, 0.9]),
        one("high", [9.0, 0.8]), one("late", [0.7, 0.6], "diverged"),
    ]  # fmt: skip
    found = common(*good, *bad)
    assert found.value == pytest.approx(0.3, rel=2e-3)
    assert found.without == (("hot", 0), ("dead", 0), ("flat", 0), ("high", 0), ("late", 0))
    assert math.isnan(common(one("a", [0.7, 0.2]), one("hot", [0.7], "diverged")).value)


def test_a_loss_that_is_given_counts_the_runs_that_reach_it() -> None:
    found = common(one("a", [0.7, 0.2]), one("b", [0.7, 0.3]), one("c", [0.24, 0.1]), loss=0.25)
    assert (found.value, found.without, found.highest) == (0.25, (("b", 0), ("c", 0)), ())


def test_losses_of_other_tasks_and_functions_are_apart() -> None:
    other = one("m", [2.0, 1.0], task="flip_flop")
    assert set(common_losses([one("a", [0.7, 0.2]), one("b", [0.7, 0.3]), other], "auto")) == {
        ("delayed_xor", "CrossEntropy"), ("flip_flop", "MSE")
    }  # fmt: skip


SMALL = Comparison(
    tasks="perceptual_decision",
    rules=["bptt", {"rule": "eprop", "lr": 0.01}],
    seeds=2,
    net=NetworkConfig(size=5, tau=50.0),
    optimizer=Optimizer(lr=0.02),
    match_loss="auto",
    steps=15,
    n_train=30,
    n_test=40,
    batch_size=10,
    evaluate_every=5,
    curvature_trials=8,
    task_options={"perceptual_decision": {"stimulus": 200.0}},
)


@pytest.fixture(scope="module")
def matched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a comparison at equal loss."""
    folder = tmp_path_factory.mktemp("matched")
    write_report(compare(SMALL, folder, workers=1, progress=False), folder)
    return folder


@pytest.mark.slow
def test_every_run_is_measured_within_two_percent_of_the_others(matched: Path) -> None:
    """Loss, gaps and curvature again from the networks in the records, by another way than the command's."""
    result = read_result(matched)
    (found,) = result.outcomes.losses.values()
    assert found.without == ()
    losses = [run.value("matched_train_loss") for run in result.measured]
    assert max(losses) / min(losses) < 1.02
    assert all(loss == pytest.approx(found.value, rel=0.01) for loss in losses)
    kept = {(each.run.rule, each.run.seeds.net): each for each in map(records.read, (matched / "matched").iterdir())}
    for run in result.measured:
        there = kept[run.run.rule, run.run.seeds.net]
        assert there.run == dataclasses.replace(run.run, snapshot_losses=(found.value,), stop_loss=found.value)
        net = there.crossings[0].net
        train, test = (each.batch() for each in run.run.make_task().split(30, 40, seed=run.run.seeds.data))
        loss = [each.loss.mean(net(each.inputs).detach(), each.targets, each.weights).item() for each in (train, test)]
        assert run.value("matched_train_loss") == pytest.approx(loss[0], rel=1e-6)
        assert run.value("matched_loss_gap") == pytest.approx(loss[1] - loss[0], rel=1e-4, abs=1e-6)
        curved = analysis.curvature(net, train.select(slice(0, 8)), "w_rec", engine="dense")
        assert run.value("matched_largest") == pytest.approx(curved.largest.value, rel=1e-3)
        ended = records.read(run.run.folder(matched / "runs")).net
        assert not torch.equal(ended.w_rec, net.w_rec) or run.steps <= there.step
    assert [table.title for table in tables(result)][:4] == [
        "Results", "At equal training loss", "Differences", "Differences at equal loss"
    ]  # fmt: skip
    assert {row["measure"] for row in rows(matched, "differences.csv")} > {"largest", "matched_largest", "loss_gap"}


def test_choices_of_a_graded_variable_are_measured_and_drawn(matched: Path) -> None:
    """The proportions again from the outputs; slope and threshold as the function of analysis has them."""
    result = read_result(matched)
    for run in result.measured:
        net = records.read(run.run.folder(matched / "runs")).net
        _, test = (each.batch() for each in run.run.make_task().split(30, 40, seed=run.run.seeds.data))
        outputs = net(test.inputs).detach() * test.decision_steps[..., None]
        chosen = outputs.sum(0)[:, 1:].argmax(1) + 1  # fixation is no choice
        assert run.curve is not None
        assert (run.curve.variable, run.curve.response) == ("evidence", "2")
        for level, proportion in zip(run.curve.levels, run.curve.proportions, strict=True):
            there = torch.from_numpy(np.asarray(test.info["evidence"]) == level)
            assert proportion == pytest.approx((chosen[there] == 2).double().mean().item())
    found = analysis.psychometric(net, test)
    slope = result.measured[-1].value("psychometric_slope")
    assert slope == pytest.approx(found.slope.value) or not math.isfinite(found.slope.value)
    drawn = rows(matched, "psychometric_functions.csv")
    assert len(drawn) == sum(len(run.curve.levels) for run in result.measured if run.curve)
    assert {row["panel"] for row in drawn} == {"perceptual_decision: choices of class 2"}
    assert "Psychometric functions" in (matched / "report.html").read_text()
