"""The bar of a sweep counts updates within runs and names those in training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tca
from tca.experiments.sweep import sweep
from tca.experiments.sweep.progress import RunsBar, updates_made


def measured(folder: Path, *steps: int, tail: str = "") -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"step": step, "train_loss": 1.0}) for step in steps]
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines) + tail)


def test_updates_made_are_those_of_the_last_whole_measurement(tmp_path: Path) -> None:
    """A line that is being written, an empty file and damage do not count."""
    assert updates_made(tmp_path) is None
    measured(tmp_path)
    assert updates_made(tmp_path) is None
    measured(tmp_path, 0, 50, 100, tail='{"step": 15')
    assert updates_made(tmp_path) == 100
    measured(tmp_path, 0, 50, tail="damaged\n")
    assert updates_made(tmp_path) is None
    measured(tmp_path, *range(5000))
    assert updates_made(tmp_path) == 4999


def test_the_bar_adds_runs_in_training_to_those_that_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It never goes back, names three runs at most, and a run that ends early counts whole."""
    runs = {name: 100 for name in "abcde"}
    bar = RunsBar(runs, lambda name: tmp_path / name, lambda name: f"rule {name}", bar=True)
    assert bar.bar.total == 500
    for name, steps in (("a", 30), ("b", 120), ("c", 0), ("d", 10)):
        measured(tmp_path / name, steps)
    bar.look(["a", "b", "c", "d", "e"])
    assert bar.bar.n == 30 + 100 + 0 + 10
    assert bar.bar.postfix == "rule a 30/100; rule b 120/100; rule c 0/100; 1 more"
    bar.ended("b", "b ended")
    assert bar.bar.n == 140
    bar.look(["a", "c"])
    assert bar.bar.n == 140, "100 of b and 30 of a are less than was shown"
    bar.ended("a", "a ended")
    assert bar.bar.n == 200
    measured(tmp_path / "c", 90)
    bar.look(["c"])
    assert bar.bar.n == 290
    runs["d"] = bar._runs["d"] = 10
    bar.ended("d", "d ended")
    assert bar.bar.n == 290, "a run that ends takes nothing from those in training"
    bar.bar.close()
    assert "a ended" in capsys.readouterr().err


def test_a_sweep_shows_updates_and_ends_with_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"net": tca.NetworkConfig(size=4), "n_train": 4, "n_test": 4}
    runs = [tca.Run("delayed_xor", rule, steps=steps, **small) for rule, steps in (("bptt", 2), ("eprop", 3))]  # type: ignore[arg-type]
    assert [each.outcome for each in sweep(runs, tmp_path, "here")] == ["completed"] * 2
    shown = capsys.readouterr().err
    assert "5/5" in shown
    assert "update" in shown
    assert "rule bptt, steps 2: completed after 2 updates" in shown
