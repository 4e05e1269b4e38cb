"""Losses, optimizers, networks and cells of the user in runs and records, by name, class or import path."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tasks
import tca
from tca.__main__ import main
from tca.cli.compare.comparison_loop import read_comparison
from tca.cli.compare.entry import entries_of
from tca.cli.summary import report
from tca.experiments import records
from tca.experiments.config.loss_config import loss_of, loss_values
from tca.losses import LOSSES, MSE, CrossEntropy, Focal
from tests.support import user_parts
from tests.support.user_cells import LeakyA
from tests.support.user_parts import Huber, Perceptron, Smoothed

PARTS, CELLS = "tests.support.user_parts", "tests.support.user_cells"
SMALL: dict[str, Any] = {"steps": 4, "n_train": 8, "n_test": 8, "batch_size": 4, "evaluate_every": 2}
NET = tca.NetworkConfig(size=4)


def reread(run: tca.Run) -> tca.Run:
    """Return the run that the text of a record describes."""
    return tca.Run.from_json(json.loads(json.dumps(run.to_json())))


@pytest.mark.parametrize(
    ("given", "loss"),
    [
        ("mse", MSE()),
        ("Focal", Focal()),
        ({"class_path": "Focal", "init_args": {"gamma": 3.0}}, Focal(3.0)),
        ({"class": "focal", "gamma": 3.0}, Focal(3.0)),
        (f"{PARTS}:Huber", Huber()),
        (f"{PARTS}:narrow", Huber(0.5)),
        ({"class": f"{PARTS}:narrow"}, Huber(0.5)),
        ({"class_path": f"{PARTS}.Huber", "init_args": {"delta": 2.0}}, Huber(2.0)),
        (Huber, Huber()),
        (Huber(2.0), Huber(2.0)),
    ],
)
def test_a_loss_in_every_notation(given: Any, loss: Any) -> None:
    assert loss_of(given) == loss
    run = tca.Run("flip_flop" if isinstance(loss, Huber) else "delayed_match", net=NET, loss=given, **SMALL)
    assert reread(run) == run
    assert run.loss == (None if loss == run.make_task().loss and run.loss is None else loss)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_of_the_library_has_a_name_in_a_record(name: str) -> None:
    assert loss_of(loss_values(LOSSES[name])) == LOSSES[name]
    assert isinstance(loss_values(LOSSES[name]), str)


def test_a_loss_changes_the_gradient_and_not_the_score() -> None:
    """Classes become ones and zeros; trials, score and chance are those of the task."""
    run = tca.Run("delayed_match", net=NET, loss="mse", **SMALL)
    task, other = run.make_task(), tasks.make("delayed_match")
    there, here = other.split(8, 8, seed=0)[0].batch(), task.split(8, 8, seed=0)[0].batch()
    assert torch.equal(here.inputs, there.inputs)
    assert torch.equal(here.targets, nn.functional.one_hot(there.targets, 3).float())
    outputs = torch.randn(there.steps, 8, 3, generator=torch.Generator().manual_seed(0))
    assert task.accuracy(outputs, here) == other.accuracy(outputs, there)
    assert (task.measure, task.chance) == (other.measure, other.chance)
    result = tca.train(run, progress=False)
    outputs = result.net(here.inputs).detach()
    by_hand = (here.weights[..., None] * (outputs - here.targets).square()).sum() / 2 / 8
    assert result.last.train_loss == pytest.approx(float(by_hand), rel=1e-5)
    assert result.last.train_accuracy == other.accuracy(outputs, there)
    streamed = next(task.stream(3, seed=1))
    assert streamed.loss == MSE()
    assert torch.equal(streamed.targets.argmax(-1), next(other.stream(3, seed=1)).targets)
    assert list(streamed.info) == list(there.info)


def test_the_loss_of_the_task_is_no_other_run() -> None:
    plain = tca.Run("delayed_match", net=NET, **SMALL)
    assert tca.Run("delayed_match", net=NET, loss="cross_entropy", **SMALL) == plain
    assert "loss" not in plain.to_json()
    images = tca.Run("images", loss="mse", **SMALL)
    assert images.make_task() == tasks.make("images", loss="mse")
    assert images.optimizer == tca.Run("images", task_options={"loss": "mse"}, **SMALL).optimizer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "msee"}, "unknown loss 'msee', did you mean 'mse'"),
        ({"loss": "Focall"}, "did you mean 'Focal'"),
        ({"loss": f"{PARTS}:gru"}, "loss must be a class of Loss"),
        ({"loss": {"class": "Focal", "gama": 2}}, "unknown option of Focal 'gama', did you mean 'gamma'"),
        (
            {"loss": "tca.losses.loss:Loss"},
            "loss must be a class with all methods, got 'Loss', which lacks check, output_",
        ),
        (
            {"loss": tca.losses.Loss},
            "loss must be a class with all methods, got 'Loss', which lacks check, output_error",
        ),
        ({"loss": 3}, "loss must be a Loss, a name, an import path or a mapping with class_path, got 3"),
        ({"loss": f"{PARTS}:Uphill"}, "output_error of Uphill"),
        ({"task": "flip_flop", "loss": "cross_entropy"}, "does not fit the targets of FlipFlop"),
        (
            {"task": "PerceptualDecisionMaking-v0", "rule": "reward_eprop", "loss": "mse"},
            "loss must be None where a network learns from rewards",
        ),
        ({"optimizer": tca.Optimizer, "loss": "mse"}, "optimizer must be an Optimizer"),
    ],
)
def test_losses_that_do_not_fit(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    given = {"task": "delayed_match", "net": NET, **SMALL, **options}
    with pytest.raises((ValueError, TypeError), match=message):
        tca.train(tca.Run(**given), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [Smoothed, f"{PARTS}:Smoothed", f"{PARTS}.Smoothed"])
def test_an_optimizer_of_the_user(name: Any) -> None:
    optimizer = tca.Optimizer(name, lr=0.1, options={"kept": 0.5}, lr_multipliers={"w_out": 2.0})
    assert optimizer.name == f"{PARTS}:Smoothed"
    built = optimizer.build(NET.build(2, 1, dt=10.0, seed=0))
    assert isinstance(built, Smoothed)
    assert {(group["lr"], group["kept"]) for group in built.param_groups} == {(0.1, 0.5), (0.2, 0.5)}
    run = tca.Run("delayed_match", net=NET, optimizer=optimizer, **SMALL)
    assert reread(run) == run


def test_names_of_torch_are_one_optimizer() -> None:
    assert tca.Optimizer("torch.optim.SGD") == tca.Optimizer(torch.optim.SGD) == tca.Optimizer("SGD")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{PARTS}:gru", "must be a class of torch.optim.Optimizer"),
        (f"{PARTS}:WithClosure", "its step needs a closure"),
        (f"{PARTS}:Smooth", "has no 'Smooth', did you mean 'Smoothed'"),
        ("LBFGS", "it evaluates the loss several times a step"),
        ("Adan", "did you mean 'Adam'"),
        (int, "must be a class of torch.optim.Optimizer"),
    ],
)
def test_optimizers_that_do_not_fit(name: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tca.Optimizer(name)


class StopError(Exception):
    """Ends a training."""


def test_a_run_with_own_parts_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """The state of the optimizer keeps its types, which torch would convert to those of the parameters."""

    def stop(learner: tca.Learner, batch: tca.Batch) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 3:
            raise StopError
        return {}

    calls: list[int] = []
    run = tca.Run(
        "delayed_match",
        net=tca.NetworkConfig(Perceptron, width=4),
        loss=Huber(0.5),
        optimizer=tca.Optimizer(Smoothed, lr=0.1, options={"kept": 0.7}),
        **SMALL | {"steps": 6},
    )
    whole = tca.train(run, progress=False)
    with pytest.raises(StopError):
        tca.train(run, tmp_path / "run", progress=False, observe=stop)
    resumed = tca.train(run, tmp_path / "run", progress=False)
    assert resumed.step == 6
    for name, each in whole.net.state_dict().items():
        assert torch.equal(resumed.net.state_dict()[name], each), name
    again = records.read(tmp_path / "run")
    assert again.run == run
    assert torch.equal(again.net.get_parameter("model.hidden.weight"), whole.net.get_parameter("model.hidden.weight"))


def test_a_network_of_the_user_is_drawn_with_its_seed() -> None:
    config = tca.NetworkConfig(f"{PARTS}.Perceptron", width=3)
    assert config == tca.NetworkConfig(Perceptron, width=3)
    assert (config.kind, dict(config.options)) == (f"{PARTS}:Perceptron", {"width": 3})
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, other = (config.build(2, 1, dt=10.0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "model.hidden.weight"
    assert torch.equal(one.get_parameter(name), two.get_parameter(name))
    assert not torch.equal(one.get_parameter(name), other.get_parameter(name))
    assert config.build(2, 1, dt=10.0, seed=0, dtype=torch.float64).get_parameter(name).dtype == torch.float64
    given = tca.NetworkConfig(user_parts.drawn, tau=50.0).build(2, 1, dt=10.0, seed=3)
    wanted = tca.nets.LeakyRNN(2, 5, 1, dt=10.0, seed=3, tau=50.0)
    assert torch.equal(given.get_parameter("w_rec"), wanted.w_rec)


def test_a_cell_of_the_user_is_a_network_and_a_layer() -> None:
    config = tca.NetworkConfig(LeakyA, size=3, leak=0.25)
    assert config == tca.NetworkConfig(f"{CELLS}:LeakyA", size=3, leak=0.25)
    net = config.build(2, 1, dt=10.0, seed=4)
    wanted = tca.nets.CellRNN(LeakyA(0.25), 2, 3, 1, dt=10.0, seed=4)
    assert net.state_dict().keys() == wanted.state_dict().keys()
    inputs = torch.randn(5, 2, 2, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(net(inputs).detach(), wanted(inputs).detach())
    stack = tca.NetworkConfig("stacked_rnn", layers=[{"cells": f"{CELLS}:LeakyA", "size": 3}, {"size": 2}])
    assert stack.build(2, 1, dt=10.0, seed=0)(inputs).shape == (5, 2, 1)
    run = tca.Run("delayed_match", "rtrl", net=config, **SMALL)
    assert reread(run) == run
    assert tca.train(run, progress=False).outcome == "completed"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (f"{PARTS}:gru", {}, "gru needs the option 'cells', got"),
        (f"{PARTS}:gru", {"cell": 3}, "did you mean 'cells'"),
        (f"{PARTS}:nothing", {}, "has no 'nothing'"),
        (f"{PARTS}:narrow", {}, "must be a class of cells or modules, or a function that returns a network"),
        ("builtins:object", {}, "must be a class of cells or modules, or a function that returns a network"),
        ("builtins:int", {}, "must be a class of cells or modules, or a function that returns a network"),
        (f"{PARTS}:no_network", {}, "must return a torch.nn.Module, got 3"),
        (f"{PARTS}:too_wide", {}, "must have n_out = 1 as the task has, got 2"),
        (lambda n_in: None, {}, "must be defined at the top of a module"),
        ("stacked_rnn", {"layers": [{"cells": f"{PARTS}:gru", "size": 3}]}, "must be a class of tca.cells.Cell"),
        ("tca.cells.cell:Cell", {}, "network must be a class with all methods, got 'Cell', which lacks rate, step"),
        ("stacked_rnn", {"layers": [{"cells": "tca.cells.cell:Cell", "size": 3}]}, "cell must be a class with all met"),
        ("leaky_rn", {}, "did you mean 'leaky_rnn'"),
    ],
)  # fmt: skip
def test_networks_that_do_not_fit(kind: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        tca.NetworkConfig(kind, options).build(2, 1, dt=10.0, seed=0)


OWN = """
import tests.support.user_parts as parts
from tests.support.user_cells import LeakyA
Huber, Smoothed, gru = type("Huber", (parts.Huber,), {"__module__": __name__}), parts.Smoothed, parts.gru
"""
NAMED: list[dict[str, Any]] = [
    {"loss": "own_parts.Huber"},
    {"loss": {"class": "own_parts.Huber", "delta": 1.0}},
    {"optimizer": {"name": "own_parts:Smoothed"}},
    {"net": {"kind": "own_parts:gru", "cells": 3}},
    {"net": {"kind": "own_parts:LeakyA", "size": 3}},
    {"net": {"kind": "stacked_rnn", "layers": [{"cells": "own_parts:LeakyA", "size": 3}]}},
]


@pytest.mark.parametrize("named", NAMED, ids=[f"{next(iter(each))}{place}" for place, each in enumerate(NAMED)])
def test_a_record_imports_with_trust_alone(
    named: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    values = tca.Run("delayed_match", net=NET, **SMALL).to_json() | named
    comparison = {"tasks": ["delayed_match"], "net": NET.to_json(), "rules": [{"rule": "bptt", **named}]}
    (tmp_path / "comparison.json").write_text(json.dumps(comparison))
    for read in (lambda: tca.Run.from_json(values), lambda: read_comparison(tmp_path)):
        with pytest.raises((ValueError, records.RecordError), match=r"is not imported, as a record names it"):
            read()
    assert "own_parts" not in sys.modules
    assert tca.Run.from_json(values, trusted=True).to_json()["task"] == "delayed_match"
    del sys.modules["own_parts"]
    (entry,) = read_comparison(tmp_path, trusted=True).entries
    assert entry.name.startswith("bptt")
    del sys.modules["own_parts"]


def test_a_comparison_imports_its_tasks_with_trust_alone(tmp_path: Path) -> None:
    comparison = {"tasks": ["unheard_of:task"], "net": NET.to_json(), "rules": ["bptt"]}
    (tmp_path / "comparison.json").write_text(json.dumps(comparison))
    refused = r"task 'unheard_of:task' is not imported, as a record names it"
    for read in (read_comparison, report):
        with pytest.raises(records.RecordError, match=refused):
            read(tmp_path)
    with pytest.raises(records.RecordError, match="there is no module 'unheard_of'"):
        report(tmp_path, trusted=True)
    for part in ("net", "optimizer"):  # in either notation
        for given in ("unheard_of.Own", {"class_path": "unheard_of.Own"}):
            with pytest.raises(ValueError, match=r"'unheard_of.Own' is not imported, as a record names it"):
                entries_of([{"rule": "bptt", part: given}], trusted=False)


def test_own_parts_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--loss", f"{PARTS}:Huber", "--loss.delta", "0.25", "--optimizer", f"{PARTS}:Smoothed", "--net"]
    words += [f"{PARTS}:gru", "--net.cells", "3", "--rule", "three_factor", f"--folder={tmp_path}", "--quiet"]
    assert main(["train", "delayed_match", *words, *(f"--{name}={each}" for name, each in SMALL.items())]) == 0
    optimizer, net = tca.Optimizer(Smoothed), tca.NetworkConfig(user_parts.gru, cells=3)
    run = tca.Run("delayed_match", "three_factor", loss=Huber(0.25), optimizer=optimizer, net=net, **SMALL)
    assert run.name in capsys.readouterr().out
    again = dataclasses.replace(run, loss=CrossEntropy())
    assert again.loss is None
