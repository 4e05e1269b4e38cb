"""Entries of a comparison: networks, optimizers, rates, tasks and seeds of their own; what does not fit is left out."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import tca
from tca.__main__ import main
from tca.cli.compare.combinations import misfit, misfits
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import read_comparison
from tca.cli.compare.entry import RuleEntry, entries_of
from tca.experiments.config.run import NetworkConfig, Optimizer, Run
from tests.tca.cli.test_cli import refusal, rows

MLP = {"kind": "mlp", "sizes": [6]}
MIXED: list[Any] = [
    "eprop",
    {"rule": "ebd", "net": MLP, "tasks": ["images"], "task_options": {"loss": "mse"}},
    {"rule": "bptt", "name": "slow", "net": {"size": 5}, "lr": 1e-4, "seeds": 1},
    {"rule": "bptt", "name": "SGD", "optimizer": {"name": "SGD", "lr": 0.1, "options": {"momentum": 0.9}}},
]
SMALL: dict[str, Any] = {"n_train": 12, "n_test": 8, "steps": 2, "batch_size": 6, "evaluate_every": 1}


def mixed(**changes: Any) -> Comparison:
    return Comparison(
        **{"tasks": "images,sequential_digits", "rules": MIXED, "seeds": 2, "net": NetworkConfig(size=4), **SMALL,
           "task_options": {"images": {"name": "digits"}}, **changes}
    )  # fmt: skip


def test_entries_have_what_is_their_own_and_share_the_rest() -> None:
    comparison = mixed()
    runs = {(each.run.task, each.entry, each.run.seeds.net): each.run for each in comparison.runs()}
    assert {key[1] for key in runs} == {"eprop", "ebd, mlp", "slow", "SGD"}
    assert [key for key in runs if key[1] == "ebd, mlp"] == [("images", "ebd, mlp", 0), ("images", "ebd, mlp", 1)]
    assert [key[2] for key in runs if key[1] == "slow"] == [0, 0]
    images = {"name": "digits"}
    shared: dict[str, Any] = {"seeds": tca.Seeds(1, 1, 1, 1), **SMALL}
    assert runs["images", "ebd, mlp", 1] == Run(
        "images", "ebd", task_options={**images, "loss": "mse"}, net=NetworkConfig("mlp", sizes=[6]), **shared
    )
    assert runs["images", "SGD", 1] == Run(
        "images", "bptt", task_options=images, net=NetworkConfig("mlp", size=4), **shared,
        optimizer=Optimizer("SGD", lr=0.1, options={"momentum": 0.9}),
    )  # fmt: skip
    slow = runs["sequential_digits", "slow", 0]
    assert (slow.net.size, slow.optimizer) == (5, Optimizer(lr=1e-4))
    ebd = runs["images", "ebd, mlp", 0]
    assert ebd.optimizer == ebd.recommended != Optimizer()


def test_images_at_once_have_perceptrons_unless_another_network_is_meant() -> None:
    def kinds(**options: Any) -> dict[tuple[str, str], str]:
        runs = mixed(rules=["backprop", "rflo"], seeds=1, net=NetworkConfig(**options)).runs()
        return {(each.run.task, each.entry): each.run.net.kind for each in runs}

    leaky = {(task, entry): "leaky_rnn" for task in ("images", "sequential_digits") for entry in ("backprop", "rflo")}
    assert kinds(size=6) == kinds() == leaky | {("images", "backprop"): "mlp"}
    assert kinds(size=6, tau=20.0) == leaky


def test_a_rate_of_an_entry_keeps_the_rest_of_the_recommended_optimizer() -> None:
    (each,) = mixed(rules=[{**MIXED[1], "lr": 0.5}], tasks="images", seeds=1).runs()
    assert each.run.optimizer == dataclasses.replace(each.run.recommended, lr=0.5)
    assert each.run.optimizer.lr_multipliers


def test_a_mixed_comparison_survives_its_description() -> None:
    comparison = mixed(tune_lr=3, match_loss="auto", reference="slow")
    again = Comparison.from_json(json.loads(json.dumps(comparison.to_json())))
    assert again == comparison
    assert again.entries == comparison.entries
    assert again.runs() == comparison.runs()


def test_rules_of_a_file_are_parts_or_import_paths(tmp_path: Path) -> None:
    parts = {"signal": {"class_path": "Random", "init_args": {"scale": 2.0}}, "eligibility": "Leak"}
    (entry,) = entries_of([{"rule": parts, "name": "mine"}])
    assert entry.rule == tca.Rule(tca.signals.Random(scale=2.0), tca.eligibilities.Leak())
    assert entries_of([entry.to_json()]) == (entry,)
    comparison = mixed(rules=[{"rule": parts}], tasks="sequential_digits", task_options={})
    assert comparison.runs()[0].run.rule == entry.rule
    foreign = {**comparison.to_json(), "rules": ["not_imported_yet.module:RULE"]}
    (tmp_path / "comparison.json").write_text(json.dumps(foreign))
    with pytest.raises(RuntimeError, match="not_imported_yet"):
        read_comparison(tmp_path)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"rle": "bptt"}], "unknown key of an entry of rules 'rle', did you mean 'rule'?"),
        ([{"net": MLP}], "an entry of rules must have the key 'rule', got ['net']"),
        ([3], "an entry of rules must be a name or a mapping with a rule, got 3"),
        ([{"rule": "epro"}], "unknown rule 'epro', did you mean 'eprop'?"),
        ([{"rule": "bptt", "net": "mlpp"}], "unknown kind of network 'mlpp', did you mean 'mlp'?"),
        ([{"rule": "bptt", "lr": 0}], "lr must be greater than 0"),
        ([{"rule": "bptt", "seeds": 0}], "seeds must be at least 1, got 0"),
        ([{"rule": "bptt", "lr": 0.1}, "bptt"], "entries of rules must have different names, got 'bptt' twice"),
        ([{"rule": "bptt", "tasks": ["flip_flo"]}], "unknown task of the entry 'bptt'"),
        ([], "rules must hold at least one name"),
    ],
)
def test_careless_entries_are_refused(rules: list[Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        mixed(rules=rules)
    assert message in str(error.value)


def test_networks_and_optimizers_of_entries_in_every_notation() -> None:
    """Those of Lightning, of records, and names."""
    sgd = Optimizer("SGD", lr=0.1, options={"momentum": 0.9})
    for given in (
        {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}},
        {"name": "SGD", "lr": 0.1, "options": {"momentum": 0.9}},
    ):
        assert entries_of([{"rule": "bptt", "optimizer": given}])[0].optimizer == sgd
    assert entries_of([{"rule": "bptt", "optimizer": "SGD", "lr": 0.1}])[0].optimizer == Optimizer("SGD")
    net = {"class_path": "tca.nets.LeakyRNN", "init_args": {"size": 6}}
    assert entries_of([{"rule": "bptt", "net": net}])[0].net == NetworkConfig(size=6)


def test_equal_entries_are_one() -> None:
    assert entries_of("bptt, bptt rflo") == (RuleEntry("bptt"), RuleEntry("rflo"))


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (Run("images", "mdgl", net=MLP, task_options={"name": "digits"}), "needs recurrent synapses"),
        (Run("images", "gevb", net=MLP, task_options={"name": "digits"}), "cells that carry a vector"),
        (
            Run("images", net={"kind": "cnn", "layers": [{"conv": 2, "kernel": 9}]}, task_options={"name": "digits"}),
            "9",
        ),
        (Run("delayed_xor", optimizer=Optimizer(lr_multipliers={"w": 2.0})), "unknown parameter"),
        (Run("delayed_xor", "modprop", net={"kind": "spiking_rnn", "size": 4}), "spikes"),
        (Run("images", net=MLP, task_options={"name": "digits"}, n_train=10_000), "10000"),
    ],
)
def test_what_does_not_fit_is_seen_before_the_training(run: Run, reason: str) -> None:
    assert reason in misfit(run)


def test_what_fits_has_no_reason_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert misfit(Run("delayed_xor", "mdgl", net={"size": 40}, n_train=4, n_test=4)) == ""
        assert list(misfits(mixed())) == []


@pytest.mark.usefixtures("no_figures")
def test_entries_that_do_not_fit_are_left_out_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One needs another network, one an option that its task lacks; the rest is trained, and status is 0."""
    file = tmp_path / "compare.yaml"
    file.write_text(
        "tasks: [delayed_xor, flip_flop]\n"
        "rules:\n"
        "  - bptt\n"
        "  - {rule: gevb, name: vectors}\n"
        "  - {rule: eprop, tasks: [delayed_xor], lr: 1e-2, task_options: {bits: 2}}\n"
        "net: {size: 4}\nseeds: 1\nsteps: 2\nn_train: 8\nn_test: 6\n"
    )
    words = ["compare", f"--config={file}", "--quiet", "--workers=1", f"--folder={tmp_path / 'out'}"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    needs = "GlobalVector needs cells that carry a vector"
    assert f"left out: vectors on delayed_xor: {needs}" in shown
    assert f"left out: vectors on flip_flop: {needs}" in shown
    assert "left out: eprop on delayed_xor: " in shown
    found = rows(tmp_path / "out", "left_out.csv")
    assert [(row["task"], row["entry"]) for row in found] == [
        ("delayed_xor", "vectors"), ("delayed_xor", "eprop"), ("flip_flop", "vectors")
    ]  # fmt: skip
    assert needs in (tmp_path / "out" / "report.html").read_text()
    assert [row["entry"] for row in rows(tmp_path / "out", "table.csv")] == ["bptt", "bptt"]
    assert main(["report", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == shown
    strict = tmp_path / "strict"
    assert needs in refusal(capsys, *words, "--strict", f"--folder={strict}")
    assert not strict.exists()
    assert needs in refusal(capsys, "compare", "--rules=gevb", f"--folder={strict}")
    assert not strict.exists()
