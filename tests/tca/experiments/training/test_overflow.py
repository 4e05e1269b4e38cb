"""A run that ends with numbers beyond all bounds has diverged, wherever they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tca
from tca.experiments import records
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.training import outcome
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop

SMALL = Run("delayed_xor", net=NetworkConfig(size=5), steps=1, n_train=8, n_test=8, batch_size=4, evaluate_every=1)
HUGE = Optimizer("Adam", lr=1e38, clip=None)
Spoil = Callable[[TrainingLoop], torch.Tensor]


@pytest.mark.parametrize(
    ("activation", "lr", "reason"),
    [
        ("tanh", 1e38, "w_in is not finite, w_rec is not finite, b is not finite after step 1"),
        ("relu", 1e30, "training loss is nan, test loss is nan after step 1"),
    ],
)
def test_one_step_of_any_size_is_no_success(activation: str, lr: float, reason: str, tmp_path: Path) -> None:
    """Adam moves every weight by its rate: 1e38 takes weights out of single precision, 1e30 their products."""
    net = NetworkConfig(size=5, activation=activation)
    result = train(replace(SMALL, net=net, optimizer=replace(HUGE, lr=lr)), tmp_path, progress=False)
    assert (result.outcome, result.step, result.reason) == ("diverged", 1, reason)
    again = records.read(tmp_path)
    assert (again.outcome, again.reason) == (result.outcome, result.reason)
    assert train(SMALL, progress=False).outcome == "completed"


SPOILT: dict[str, Spoil] = {
    "w_rec": lambda training: training.net.w_rec,
    "b_out": lambda training: training.net.b_out,
    "w_out": lambda training: training.net.w_out,
    "feedback of the rule": lambda training: training.learner.buffers["feedback"],
    "exp_avg of the optimizer for w_in": lambda training: training.updates.optimizer.state[training.net.w_in][
        "exp_avg"
    ],
}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("stop_loss", [None, 100.0])
def test_every_number_that_updates_change_is_looked_at(
    name: str, value: float, stop_loss: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One number spoilt by the last update, while losses are taken before: that is no success, low loss or not."""
    update = TrainingLoop.update
    good = train(SMALL, progress=False).metrics[0]

    def spoil(training: TrainingLoop) -> str:
        trouble = update(training)
        SPOILT[name](training).data.view(-1)[0] = value
        return trouble

    def measured(training: TrainingLoop) -> object:
        return replace(good, step=training.step, train_loss=0.5 if training.step else 200.0)

    monkeypatch.setattr(TrainingLoop, "update", spoil)
    monkeypatch.setattr(TrainingLoop, "measure", measured)
    run = replace(SMALL, rule="eprop_random", stop_loss=stop_loss, snapshot_losses=(1.0,))
    result = train(run, progress=False)
    assert (result.outcome, result.step) == ("diverged", 1)
    assert result.reason == f"{name} is not finite after step 1"
    assert result.crossings == (), "no network is kept whose numbers are not finite"


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["train_loss", "test_loss"])
def test_a_loss_that_is_not_finite_is_no_success(which: str, loss: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even minus infinity, which is below every loss to stop at."""
    good = train(SMALL, progress=False).metrics[0]
    monkeypatch.setattr(
        TrainingLoop,
        "measure",
        lambda training: replace(good, step=training.step, **({which: loss} if training.step else {})),
    )
    result = train(replace(SMALL, steps=3, stop_loss=0.0, snapshot_losses=(0.0,)), progress=False)
    assert (result.outcome, result.step, result.crossings) == ("diverged", 1, ())
    assert result.reason == f"{which.replace('_', 'ing ' if which == 'train_loss' else ' ')} is {loss} after step 1"


def test_a_resumed_run_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after its last checkpoint and before its outcome, it reads the outcome off the checkpoint."""
    run = replace(SMALL, optimizer=HUGE)

    def interrupt(training: TrainingLoop, found: object) -> str:
        if training.step:
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr(outcome, "_reason", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, progress=False)
    monkeypatch.undo()
    result = train(run, tmp_path, progress=False)
    assert (result.outcome, result.step) == ("diverged", 1)


@pytest.mark.parametrize(
    "net",
    [
        NetworkConfig("mlp", {"sizes": [4]}),
        NetworkConfig("spiking_rnn", {"n_rec": 4}),
        NetworkConfig("vector_mlp", {"sizes": [4]}),
    ],
)
def test_networks_of_every_kind_are_looked_at(net: NetworkConfig) -> None:
    task = {"task": "images", "task_options": {"name": "digits"}} if net.kind != "spiking_rnn" else {}
    run = replace(SMALL, net=net, optimizer=HUGE, rule="gevb" if net.kind == "vector_mlp" else "bptt", **task)
    result = train(run, progress=False)
    assert result.outcome == "diverged"
    assert tca.RULES
