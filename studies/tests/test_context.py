"""The study of context integration: the published trials, what is counted, and its tables and figure."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

import tasks
from studies import context
from studies.context import AT_CHANCE, BASE, PublishedTrials, tables


def test_trials_are_the_published_ones() -> None:
    """Every condition once; shares of dots of norm one with fixation, a context and the order; each step counts 1/T."""
    batch = BASE.make_task().split(72, 72, seed=3)[0].batch()
    known = tasks.make("context_integration").conditions()
    assert batch.inputs.shape == (113, 72, 9)
    assert torch.equal(batch.targets, known.targets)
    assert torch.allclose(batch.inputs.norm(dim=-1), torch.ones(113, 72))
    assert batch.weights.unique().tolist() == pytest.approx([1 / 113])
    for trial in (0, 40, 71):
        motion, colour = (float(known.info[name][trial]) for name in ("motion", "colour"))
        shares = [(1 - motion) / 2, (1 + motion) / 2, (1 - colour) / 2, (1 + colour) / 2]
        which = [1.0, 0.0] if known.info["context"][trial] == 0 else [0.0, 1.0]
        shown = np.array([1.0, *shares, *which, 0.0, 1.0])
        before = np.array([1.0, 0.0, 0.0, 0.0, 0.0, *which, 0.0, 1.0])
        assert batch.inputs[40, trial].tolist() == pytest.approx((shown / np.linalg.norm(shown)).tolist())
        for step in (5, 80):
            assert batch.inputs[step, trial].tolist() == pytest.approx((before / np.linalg.norm(before)).tolist())
        assert batch.inputs[100, trial].tolist() == [0.0] * 8 + [1.0]
    again = PublishedTrials().split(72, 100, seed=9)
    assert torch.equal(again[0].batch().inputs, batch.inputs)
    assert torch.equal(again[1].batch().inputs[:, 72:], batch.inputs[:, :28])


def test_an_answer_at_chance_with_the_right_timing_costs_what_the_page_says() -> None:
    batch = BASE.make_task().split(72, 72, seed=0)[0].batch()
    late = (batch.targets > 0).unsqueeze(-1)
    outputs = torch.where(late, torch.tensor([-60.0, 0.0, 0.0]), torch.tensor([60.0, 0.0, 0.0])).double()
    assert batch.loss.mean(outputs, batch.targets, batch.weights.double()).item() == pytest.approx(AT_CHANCE, abs=1e-9)


def test_a_tiny_study_counts_updates_to_each_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "SEEDS", 2)
    net = BASE.net.with_options(size=6)
    short = {"dt": 75.0}
    base = replace(BASE, net=net, task_options=short, steps=40, optimizer=replace(BASE.optimizer, lr=0.02))
    assert context.main([f"--out={tmp_path}"], base) == 0
    rows = list(csv.DictReader((tmp_path / "context_runs.csv").read_text().splitlines()))
    points = list(csv.DictReader((tmp_path / "context.csv").read_text().splitlines()))
    assert {(row["rule"], row["seed"]) for row in rows} == {(rule, seed) for rule in context.RULES for seed in "01"}
    reached = 0
    for row in rows:
        curve = [(float(each["updates"]), float(each["cross_entropy"])) for each in points
                 if (each["label"], each["seed"]) == (row["rule"], row["seed"])]  # fmt: skip
        for error in context.ERRORS:
            soon = [update for update, value in curve if value <= error]
            assert row[f"{error:g}"] == (f"{soon[0]:g}" if soon else "")
            reached += bool(soon)
    assert 0 < reached < len(rows) * len(context.ERRORS)


def test_claims_pair_the_runs_that_reached_an_error(tmp_path: Path) -> None:
    """Six seeds, of which one never reaches .1 by e-prop: five pairs, and SciPy's paired t test."""
    source, path = np.random.default_rng(0), tmp_path / "runs.csv"
    updates = {rule: source.uniform(100, 200, (6, 4)) for rule in ("BPTT", "e-prop")}
    updates["e-prop"][2, 3] = math.nan
    lines = [",".join(context.HEAD)]
    for rule, each in updates.items():
        for seed, values in enumerate(each):
            right = 0.7 + 0.01 * seed + 0.05 * (rule == "BPTT" and seed > 0)
            soon = ["" if math.isnan(value) else repr(float(value)) for value in values]
            lines.append(",".join([rule, str(seed), *soon, repr(right)]))
    path.write_text("\n".join(lines))
    made = tables(path)
    row = {row[0]: row for row in made["context"]().rows}["e-prop, 0.1"]
    assert row[1:4] == ("456", "6", "5/6")
    claim = made["context_claims"]().rows[3]
    found = scipy.stats.ttest_rel(updates["e-prop"][:, 3], updates["BPTT"][:, 3], nan_policy="omit")
    assert claim[1] == "5"
    assert claim[3] == f"{found.pvalue:.2g}"
    points = scipy.stats.ttest_1samp([0.0, *([5.0] * 5)], 0.0)
    assert made["context_claims"]().rows[4][:2] == ("accuracy at the end, points: BPTT above e-prop", "6")
    assert made["context_claims"]().rows[4][3] == f"{points.pvalue:.2g}"
    assert tables(tmp_path / "absent.csv") == {}
