"""Runs at matched training loss: who is measured where, and that the missing are counted."""

from __future__ import annotations

import dataclasses
import math

import pytest

import tca
from analysis.generalization.matched_loss import Matched, at_loss, matched
from tca.experiments.config.components import Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.records.result import Result, Snapshot

RUN = tca.Run("delayed_xor", net=NetworkConfig(size=8), steps=30, evaluate_every=2, n_train=40, n_test=4,
              optimizer=tca.Optimizer(lr=0.02), snapshot_losses=(0.6, 0.5, 0.0))  # fmt: skip


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [tca.train(dataclasses.replace(RUN, seeds=Seeds(net=seed)), progress=False) for seed in range(4)]


def step(crossing: Snapshot) -> dict[str, float]:
    return {"step": crossing.metrics.step, "loss": crossing.metrics.train_loss}


@pytest.mark.parametrize("loss", [0.6, 0.5, 0.0])
def test_each_run_is_measured_where_it_first_crossed_the_loss(loss: float, results: list[Result]) -> None:
    found = matched(results, loss, step)
    for result in results:
        lower = [each for each in result.metrics if each.train_loss <= loss]
        row = found.rows[result.run.seeds.net]
        assert (row is not None) == bool(lower)
        if row is not None:
            assert lower[0].step - RUN.evaluate_every <= row["step"] <= lower[0].step
            assert row["loss"] == pytest.approx(loss, rel=0.01)
    assert (found.asked, found.reached) == (4, sum(row is not None for row in found.rows.values()))


def test_losses_that_nobody_reaches_leave_only_counts(results: list[Result]) -> None:
    found = matched(results, 0.0, step)
    estimate = found.estimate("step")
    assert (found.reached, estimate.count, estimate.asked) == (0, 0, 4)
    assert math.isnan(estimate.value)
    assert all(math.isnan(each) for each in found.column("step").values())


def test_means_are_over_those_that_reached_it() -> None:
    found = Matched(0.1, {0: {"a": 1.0}, 1: None, 2: {"a": 3.0}, 3: {"b": 9.0}})
    estimate = found.estimate("a")
    assert (estimate.value, estimate.count, estimate.asked, found.reached) == (2.0, 2, 4, 3)


def test_mistakes_are_named(results: list[Result]) -> None:
    with pytest.raises(ValueError, match=r"loss must be one of snapshot_losses, \(0.6, 0.5, 0.0\), got 0.3"):
        at_loss(results[0], 0.3)
    with pytest.raises(ValueError, match="results must have different seeds of the weights, got 0 twice"):
        matched(results[:1] * 2, 0.6, step)
