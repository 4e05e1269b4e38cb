"""A run takes the optimizer that its rule is recommended with, unless it is given one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import tca
from studies.vision.vision_plan import ARMS, PANELS, falling, fast_readout
from tca.__main__ import main
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.comparison_table import tables
from tca.cli.compare.measurements import RunMeasurements
from tca.experiments import records
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.recipes import RECIPES, recommended
from tca.experiments.config.run import Run
from tca.experiments.records.result import COMPLETED
from tca.experiments.sweep import grid
from tca.losses import MSE, Brier, CrossEntropy, Logistic

DEFAULT = Optimizer("Adam", lr=1e-3, clip=1.0)
LOSSES = {"cross_entropy": CrossEntropy(), "mse": MSE(), "logistic": Logistic()}
MLP = NetworkConfig("mlp", {"sizes": [6]})
DIGITS: dict[str, Any] = {"net": MLP, "steps": 2, "n_train": 20, "n_test": 20, "batch_size": 5}


def test_recipes_are_those_of_the_study() -> None:
    """Every arm of a named rule, with the options its network has by default, and no rule or network beyond."""
    wanted = {}
    for arm in ARMS:
        for kind in arm.nets:
            if isinstance(arm.rule, str) and not arm.options:
                wanted[arm.rule, kind, type(LOSSES[arm.loss])] = arm.optimizer
    at_chance = {(rule, "dual_stream_cnn", Logistic) for rule in ("backprop", "dfa")}  # they learn nothing there
    found = {key: each for key, each in RECIPES.items() if key[0] != "bptt"}
    assert found == {key: each for key, each in wanted.items() if key not in at_chance}
    for (rule, kind, loss), each in RECIPES.items():
        assert rule != "bptt" or RECIPES["backprop", kind, loss] == each, "the same gradient in a feedforward network"
    assert {panel.kind for panel in PANELS} == {kind for _, kind, _ in RECIPES}


@pytest.mark.parametrize(
    ("rule", "net", "loss", "wanted"),
    [
        ("ebd", MLP, MSE(), fast_readout(3.0)),
        ("ebd", MLP, CrossEntropy(), fast_readout(3.0)),  # not looked for: that of the squared error
        ("dfa", MLP, CrossEntropy(), fast_readout(10.0)),
        ("dfa", MLP, MSE(), fast_readout(3.0)),
        ("dfa", MLP, Brier(), fast_readout(10.0)),
        ("bptt", MLP, MSE(), Optimizer(lr=1e-3, clip=None)),
        ("three_factor", MLP, CrossEntropy(), fast_readout(3.0)),  # the parts of backprop
        ("error_diffusion", NetworkConfig("dual_stream_mlp", {"sizes": [6]}), Logistic(), falling(15.0)),
        ("gevb", NetworkConfig("gevb_mnist_fc"), CrossEntropy(), Optimizer(lr=3e-3, clip=None)),
        ("gevb", NetworkConfig("gevb_mnist_conv"), CrossEntropy(), Optimizer(lr=1e-2, clip=None)),
        ("gevb", NetworkConfig("gevb_mnist_lc"), CrossEntropy(), DEFAULT),
        ("backprop", NetworkConfig("conventional_mnist_fc"), CrossEntropy(), DEFAULT),
        ("sign_symmetric", MLP, CrossEntropy(), DEFAULT),
        ("dfa", NetworkConfig("dual_stream_cnn", {"layers": [{"dense": 4}]}), Logistic(), DEFAULT),
        ("bptt", NetworkConfig(), CrossEntropy(), DEFAULT),
        ("sbd", NetworkConfig(), CrossEntropy(), DEFAULT),
        ("error_diffusion", NetworkConfig("dual_stream_rnn", {"n_rec": 4}), CrossEntropy(), DEFAULT),
    ],
)
def test_what_is_recommended(rule: str, net: Any, loss: Any, wanted: Optimizer) -> None:
    assert recommended(tca.RULES[rule], net, loss) == wanted


def test_a_run_takes_it_unless_it_is_given_one() -> None:
    """Given values stay as they are, also when they are those of the default; the run writes down what it takes."""
    run = Run("images", "ebd", task_options={"loss": "mse"}, **DIGITS)
    assert run.optimizer == run.recommended == fast_readout(3.0)
    assert run.to_json()["optimizer"]["lr_multipliers"] == {"w_out": 3.0, "b_out": 3.0}
    assert Run.from_json(run.to_json()) == run
    for given in (Optimizer(), Optimizer(lr=0.5)):
        assert Run("images", "ebd", optimizer=given, **DIGITS).optimizer == given
    assert Run("images", tca.RULES["ebd"], task_options={"loss": "mse"}, **DIGITS).optimizer == run.optimizer
    assert Run("delayed_xor").optimizer == DEFAULT
    assert run.with_rule("dfa").optimizer == fast_readout(3.0)
    assert Run("images", "dfa", **DIGITS).with_rule("sign_symmetric").optimizer == DEFAULT
    other = dataclasses.replace(run, optimizer=Optimizer(lr=0.5))
    assert other.with_rule("dfa").optimizer == Optimizer(lr=0.5)


def test_sweeps_take_it_and_the_form_along_with_the_rule() -> None:
    runs = grid(Run("images", **DIGITS), {"rule": ["bptt", "dfa"]})
    assert [run.optimizer for run in runs] == [fast_readout(3.0), fast_readout(10.0)]
    runs = grid(Run("images", **DIGITS), {("rule", "optimizer.lr"): [("dfa", 0.5)]})
    assert runs[0].optimizer == dataclasses.replace(fast_readout(10.0), lr=0.5)
    runs = grid(Run("delayed_xor"), {"rule": ["bptt", "rflo", "eprop_random"], "net.size": [5, 6]})
    assert [(run.net.form, run.net.size) for run in runs] == [(form, size) for form in "ABA" for size in (5, 6)]


def test_commands_say_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recommended, or given and which would be, also where what is given is the default."""
    network = json.dumps({"kind": "mlp", "options": {"sizes": [6]}})
    words = ["train", "--task=images", "--rule=dfa", f"--network={network}", "--steps=1", "--n_train=20", "--n_test=20",
             "--batch_size=5", f"--folder={tmp_path}", "--quiet"]  # fmt: skip
    assert main(words) == 0
    first = capsys.readouterr().out
    chosen = "Adam 0.001 (w_out x 10, b_out x 10), not clipped"
    assert f"optimizer: {chosen} (recommended for this rule and network)" in first
    (made,) = tmp_path.iterdir()
    assert records.read(made).run.optimizer == fast_readout(10.0)
    assert main([*words, "--optimizer.lr=0.001"]) == 0
    assert f"optimizer: Adam 0.001, clipped at 1 (given; recommended: {chosen})" in capsys.readouterr().out
    config = tmp_path / "given.yaml"
    config.write_text("optimizer: {lr: 0.001}\n")
    assert main([*words, f"--config={config}"]) == 0
    assert "clipped at 1 (given; recommended" in capsys.readouterr().out


def test_a_comparison_gives_each_rule_its_own_and_says_so() -> None:
    shared = {name: value for name, value in DIGITS.items() if name != "net"}
    comparison = Comparison(tasks="images", rules="backprop,dfa", seeds=1, net=MLP, **shared)
    assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison
    assert [each.run.optimizer for each in comparison.runs()] == [fast_readout(3.0), fast_readout(10.0)]
    assert said(comparison) == [
        ["backprop", "Adam 0.001 (w_out x 3, b_out x 3), not clipped", "recommended"],
        ["dfa", "Adam 0.001 (w_out x 10, b_out x 10), not clipped", "recommended"],
    ]
    same = dataclasses.replace(comparison, optimizer=DEFAULT)
    assert [each.run.optimizer for each in same.runs()] == [DEFAULT, DEFAULT]
    assert said(same) == [[rule, "Adam 0.001, clipped at 1", "given"] for rule in ("backprop", "dfa")]


def said(comparison: Comparison) -> list[list[str]]:
    """Return entry, optimizer and whose choice it is from the table of entries."""
    measured = [RunMeasurements(each.entry, each.run, COMPLETED) for each in comparison.runs()]
    (entries,) = [table for table in tables(ComparisonResult(comparison, measured)) if table.title == "Entries"]
    place = entries.head.index("optimizer")
    return [[row[0], row[place], row[place + 1]] for row in entries.rows]
