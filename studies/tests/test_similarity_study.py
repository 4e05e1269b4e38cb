"""Comparing networks at equal error: what error is, when samples are taken, and what is compared with what."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import analysis.figures.similarity_at_error as figure
from analysis.representations.activity import rates
from analysis.representations.similarity import procrustes_distance
from analysis.representations.similarity_study import (
    UNTRAINED,
    Sample,
    constant_loss,
    distances_at,
    sample,
)
from tasks.measures import r_squared
from tca.batch import Batch
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.training.train import train
from tca.losses import MSE, CrossEntropy
from tests.support.cases import Case

SMALL = Run(
    "delayed_xor",
    task_options={"delay": 100.0, "noise": 0.0},
    net=NetworkConfig(size=16, tau=200.0),
    optimizer=Optimizer(lr=0.02),
    batch_size=8,
    steps=60,
    evaluate_every=5,
    n_train=16,
    n_test=4,
)


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_best_constant_answer_in_closed_form() -> None:
    batch = Case("study").batch()
    shares = batch.weights / batch.weights.sum()
    mean = (shares[..., None] * batch.targets).sum((0, 1))
    exact = batch.loss.mean(mean.expand_as(batch.targets), batch.targets, batch.weights).item()
    assert constant_loss(batch, 2) == pytest.approx(exact, rel=1e-10)
    classes = torch.tensor([[0, 1, 1, 1]])
    coin = Batch(torch.zeros(1, 4, 1), classes, torch.ones(1, 4), CrossEntropy())
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert constant_loss(coin, 2) == pytest.approx(entropy, rel=1e-10)


def test_a_loss_beside_that_of_the_best_constant_is_what_is_left_to_explain() -> None:
    targets = normal(0, 7, 4, 2)
    batch = Batch(torch.zeros(7, 4, 1).double(), targets, torch.full((7, 4), 1 / 7).double(), MSE())
    outputs = targets + 0.3 * normal(1, 7, 4, 2)
    error = batch.loss.mean(outputs, batch.targets, batch.weights).item() / constant_loss(batch, 2)
    assert error == pytest.approx(1 - r_squared(outputs, batch), rel=1e-9)


def test_samples_are_taken_where_each_threshold_is_crossed(tmp_path: Path) -> None:
    probe = normal(0, 6, 3, 2)
    found = sample(SMALL, probe, (0.9, 0.6), tmp_path, progress=False)
    assert [each.threshold for each in found] == [UNTRAINED, 0.9, 0.6]
    assert found[0].step == 0 < found[1].step <= found[2].step < 60
    # The same training, watched from outside.
    seen: list[tuple[int, torch.Tensor]] = []
    trials = SMALL.make_task().split(16, 4, seed=0)[0].batch()
    least = constant_loss(trials, 2)
    asked = dataclasses.replace(SMALL, snapshot_losses=(0.9 * least, 0.6 * least))
    result = train(asked, progress=False, observe=lambda learner, _: seen.append(rates(learner.net, probe)) or {})
    assert torch.equal(found[0].activity, seen[0])
    assert found[0].error == pytest.approx(result.metrics[0].train_loss / least, rel=1e-12)
    for one, crossing in zip(found[1:], result.crossings, strict=True):
        assert one.error == pytest.approx(one.threshold, rel=0.01)
        loss = trials.loss.mean(crossing.net(trials.inputs), trials.targets, trials.weights).item()
        assert one.error == pytest.approx(loss / least, rel=1e-6)
        assert crossing.metrics.step == one.step
        assert torch.equal(one.activity, rates(crossing.net, probe))
    again = sample(SMALL, probe, (0.9, 0.6), tmp_path, progress=False)  # from the file
    assert [(each.threshold, each.step, each.error) for each in again] == [
        (each.threshold, each.step, each.error) for each in found
    ]
    assert all(torch.equal(a.activity, b.activity) for a, b in zip(found, again, strict=True))
    other = sample(SMALL, probe + 1, (0.9,), tmp_path, progress=False)  # another probe: not from the file
    assert not torch.equal(other[0].activity, found[0].activity)
    with pytest.raises(ValueError, match="thresholds must lie between 0 and 1"):
        sample(SMALL, probe, (1.5,))


def test_every_sample_is_compared_with_those_at_its_own_threshold() -> None:
    seeds = iter(range(20))
    samples = [
        Sample(rule, seed, threshold, 1, threshold, normal(next(seeds), 5, 4, 3))
        for rule in ("bptt", "eprop")
        for seed in (0, 1, 2)
        for threshold in (0.5, 0.1)
    ]
    recorded = normal(99, 5, 4, 6)
    rows = distances_at(samples, recorded)
    at = {(each.rule, each.seed, each.threshold): each.activity for each in samples}
    for row in rows:
        rule, seed, threshold = row["rule"], row["seed"], row["threshold"]
        own = at[str(rule), int(seed), float(threshold)]
        assert row["to_recorded"] == procrustes_distance(own, recorded)
        others = [at["bptt", other, float(threshold)] for other in range(3) if other != seed]
        assert row["to_other_seeds"] == pytest.approx(sum(procrustes_distance(own, each) for each in others) / 2)
        if rule == "bptt":
            assert math.isnan(float(row["to_reference"]))
        else:
            assert row["to_reference"] == procrustes_distance(own, at["bptt", int(seed), float(threshold)])
    assert all(math.isnan(float(row["to_recorded"])) for row in distances_at(samples))


def test_the_command_compares_with_a_recording(tmp_path: Path) -> None:
    probe, signal = normal(0, 6, 3, 2), normal(1, 6, 3, 5)
    np.save(tmp_path / "probe.npy", probe.numpy())
    np.save(tmp_path / "cells.npy", (signal + 0.3 * normal(2, 4, 6, 3, 5)).numpy())
    words = [
        "--task",
        "delayed_xor",
        "--task-options",
        '{"delay": 100.0, "noise": 0.0}',
        "--seeds",
        "2",
        "--size",
        "16",
    ]
    words += ["--steps", "40", "--every", "4", "--lr", "0.02", "--probe", str(tmp_path / "probe.npy")]
    words += ["--runs", str(tmp_path / "runs"), "--recorded", str(tmp_path / "cells.npy"), "--thresholds"]
    text = figure.main([*words, "0.99", "0.95", "--out", str(tmp_path / "similarity")])
    for part in ("untrained", "eprop", "noise ceiling", "mean of conditions", "0.456", "0.484"):
        assert part in text
    assert {each.suffix for each in tmp_path.glob("similarity.*")} == {".svg", ".png", ".csv"}
    head, *lines = (tmp_path / "similarity.csv").read_text().splitlines()
    assert head == "panel,label,seed,error,distance"
    assert any(line.startswith("to the recording,eprop,1,0.95,") for line in lines)
    with pytest.raises(ValueError, match="no pair of runs has met"):
        figure.main([*words, "0.001", "--out", str(tmp_path / "no")])
    np.save(tmp_path / "cells.npy", signal[:4].numpy())
    with pytest.raises(ValueError, match="times and conditions of the probe"):
        figure.main([*words, "0.99", "--out", str(tmp_path / "no")])
