"""The study of returns: rates chosen on other seeds with one budget, and files from which its page is made."""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import scipy.stats

import tasks
from studies import control
from studies.control import CASES, CLAIMED, CONTROL, FACTORS, Case, diffusion
from studies.page_tables import tables
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
    rule, control = case.run("ED", 1.0, 0), case.run(CONTROL, 1.0, 0)
    assert control.rule == "backprop"
    assert (control.net, control.optimizer) == (rule.net, rule.optimizer), "the control differs by the rule alone"
    net = rule.net.build(task.n_in, task.n_out + 1, dt=task.dt, seed=0)
    assert isinstance(net, DualStreamMLP)
    assert str(net.hidden_layers[0].activation) == "ReLU()"
    assert diffusion(2, centred=True) != diffusion(2)


def test_the_tables_of_the_page_are_those_of_the_file(tmp_path: Path) -> None:
    """Means, differences from backpropagation paired by seed, and claims with the p values of SciPy."""
    source, lines = np.random.default_rng(0), ["environment,rule,rate,seed,return_at_the_end,return_over_training"]
    values: dict[tuple[str, str], list[float]] = {}
    for environment in ("CartPole-v1", "Pendulum-v1"):
        for place, rule in enumerate(TINY.arms):
            values[environment, rule] = [round(each, 3) for each in 100 + 20 * place + 5 * source.normal(size=6)]
            lines += [f'{environment},"{rule}",0.003,{seed},{2 * value:.3f},{value:.3f}'
                      for seed, value in enumerate(values[environment, rule])]  # fmt: skip
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "control_runs.csv").write_text("\n".join(lines) + "\n")
    made = tables(tmp_path)
    returns, claimed = made["control_returns"](), made["control_claims"]()
    for row, ((environment, rule), own) in zip(returns.rows, values.items(), strict=True):
        assert row[:4] == (environment, rule, "0.003", "6")
        assert row[4] == f"{np.mean(own):.1f} ± {np.std(own, ddof=1):.1f}"
        assert row[5] == f"{2 * np.mean(own):.1f} ± {2 * np.std(own, ddof=1):.1f}"
        difference = np.mean(own) - np.mean(values[environment, "backprop"])
        assert row[6].startswith(f"{difference:+.3f} ± ") if rule != "backprop" else row[6] == ""
    assert len(claimed.rows) == 2 * len(CLAIMED)
    for row, (first, second) in zip(claimed.rows, CLAIMED, strict=False):
        one, two = values["CartPole-v1", first], values["CartPole-v1", second]
        assert row[0] == f"CartPole-v1: {first} above {second}"
        assert row[2].startswith(f"{np.mean(one) - np.mean(two):+.1f} [")
        assert row[3] == f"{scipy.stats.ttest_rel(one, two).pvalue:.2g}"
        assert row[5] == "**reversed**"


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
