"""Grids of runs: the Cartesian product of settings of any depth, in order."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tca.experiments.config.run import NetworkConfig, Optimizer, Seeds
from tca.experiments.sweep import (
    grid,
    settings,
    varying,
)
from tca.rule import Rule
from tests.support.sweeps import SMALL


def test_a_grid_is_the_cartesian_product_in_order() -> None:
    runs = grid(SMALL, {"rule": ["bptt", "eprop"], "optimizer.lr": [0.1, 0.2, 0.3]})
    assert [(run.rule, run.optimizer.lr) for run in runs] == [
        (rule, lr) for rule in ("bptt", "eprop") for lr in (0.1, 0.2, 0.3)
    ]
    assert all(dataclasses.replace(run, rule="bptt", optimizer=SMALL.optimizer) == SMALL for run in runs)


def test_a_grid_reaches_every_depth() -> None:
    """Fields, parts of fields, options in mappings, parts of rules, and settings that only fit together."""
    axes = {
        "net.size": [5],
        "task_options.dt": [25],
        "optimizer.options.momentum": [0.5],
        "optimizer.name": ["SGD"],
        "rule": [Rule(*_random_parts())],
        "rule.signal.scale": [2.0],
        ("seeds.net", "seeds.data"): [(1, 2)],
    }
    (run,) = grid(SMALL, axes)
    assert run == dataclasses.replace(
        SMALL,
        net=NetworkConfig(size=5),
        task_options={"dt": 25},
        optimizer=Optimizer("SGD", options={"momentum": 0.5}),
        rule=Rule(*_random_parts(2.0)),
        seeds=Seeds(net=1, data=2),
    )
    assert grid(SMALL, {}) == [SMALL]


def _random_parts(scale: float = 1.0) -> tuple[Any, Any]:
    from tca.eligibilities import Leak
    from tca.signals import Random

    return Random(scale=scale), Leak()


@pytest.mark.parametrize(
    ("axes", "kind", "message"),
    [
        ({"net.sise": [3]}, ValueError, "unknown option of LeakyRNN 'sise', did you mean 'size'"),
        ({"nett": [3]}, ValueError, "unknown setting 'nett', did you mean 'net'"),
        ({"rule.signal": [3]}, ValueError, "no setting 'rule.signal': 'bptt' has no parts, so none called 'signal'"),
        ({"rule": "bptt"}, TypeError, r"axes\['rule'\] must be a list or tuple, got 'bptt'"),
        ({"steps": 3}, TypeError, "must be a list or tuple, got 3"),
        ({"steps": []}, ValueError, "there are no values of 'steps'"),
        ({"steps": [0]}, ValueError, "steps must be at least 1, got 0"),
        ({("rule", "steps"): [("bptt",)]}, TypeError, "change together and take 2 values at a time, got"),
    ],
)
def test_mistakes_in_a_grid_are_named(axes: dict[Any, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        grid(SMALL, axes)


def test_settings_have_the_names_that_a_grid_takes() -> None:
    axes = {"rule": ["bptt", "eprop"], "net.size": [4, 5], "optimizer.lr": [1e-3, 0.3], "task_options.dt": [20, 25]}
    runs = grid(SMALL, axes)
    assert set(varying(runs)) == set(axes)
    assert [settings(run)["net.size"] for run in runs[:4]] == ["4", "4", "4", "4"]
    assert {settings(run)["optimizer.lr"] for run in runs} == {"0.001", "0.3"}
    assert varying([SMALL]) == []
