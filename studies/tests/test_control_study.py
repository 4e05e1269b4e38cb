"""The study of returns: rates chosen on other seeds with one budget, and files from which its page is made."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean

import pytest

import tasks
from studies import control
from studies.control import CASES, FACTORS, Case, diffusion
from tca.experiments.training.training_loop import TrainingLoop
from tca.nets.dual_stream.dual_stream_networks import DualStreamMLP

TINY = Case("CartPole-v1", 2, 1024, measurements=2, tuned=(1000,))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_rule_has_the_same_steps_and_measurements(case: Case) -> None:
    pytest.importorskip("mujoco") if "v4" in case.name else None
    task = tasks.make(case.name)
    assert task.components == case.components  # type: ignore[attr-defined]
    for label in case.arms:
        run = case.run(label, 1.0, 3)
        assert run.agent is not None
        assert run.steps * run.batch_size * run.agent.steps == case.steps
        assert run.steps == case.measurements * run.evaluate_every
        assert run.seeds.net == run.seeds.data == 3
        assert run.agent.discount == case.discount
    assert not set(case.tuned) & set(range(case.seeds))
    net = case.run("ED", 1.0, 0).net.build(task.n_in, task.n_out + 1, dt=task.dt, seed=0)
    assert isinstance(net, DualStreamMLP)
    assert str(net.hidden_layers[0].activation) == "ReLU()"
    assert diffusion(2, centred=True) != diffusion(2)


def test_the_files_hold_every_run_at_the_best_of_its_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three, chosen on another seed; a second call trains nothing and writes the same."""
    assert control.main([f"--out={tmp_path}", "--seeds=2"], [TINY]) == 0
    searched = rows(tmp_path / "control_search.csv")
    assert len(searched) == len(FACTORS) * len(TINY.arms)
    best = {}
    for label in TINY.arms:
        own = [row for row in searched if row["rule"] == label]
        means = {row["rate"]: float(row["return_over_training"]) for row in own}
        (best[label],) = [row["rate"] for row in own if row["chosen"]]
        assert len(means) == len(FACTORS)
        assert means[best[label]] == max(means.values())
    runs, points = rows(tmp_path / "control_runs.csv"), rows(tmp_path / "control_returns.csv")
    assert [(row["rule"], row["seed"]) for row in runs] == [(label, seed) for seed in "01" for label in TINY.arms]
    for row in runs:
        assert row["rate"] == best[row["rule"]]
        own = [each for each in points if (each["label"], each["seed"]) == (row["rule"], row["seed"])]
        assert [each["steps"] for each in own] == ["0", "512", "1024"]
        returns = [float(each["test_return"]) for each in own]
        assert float(row["return_at_the_end"]) == pytest.approx(returns[-1], abs=1e-3)
        assert float(row["return_over_training"]) == pytest.approx(fmean(returns[1:]), abs=1e-3)
    assert (tmp_path / "control_returns.svg").exists()
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    assert control.main([f"--out={tmp_path}", "--seeds=2"], [TINY]) == 0
    assert rows(tmp_path / "control_runs.csv") == runs
