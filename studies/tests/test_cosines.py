"""The study of cosines to exact RTRL: where rules are exact, the published order, and its files from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import tasks
import tca
from studies import cosines
from studies.cosines import ARMS, PUBLISHED, Setting, cosines_of, tables
from tca.rules import RULES

TINY = Setting(cells=6, trials=3, updates=2)


def test_rules_that_keep_the_leak_are_exact_without_recurrent_weights_and_random_feedback_is_not() -> None:
    task = tasks.make("rotation", steps=8)
    trials, _ = task.split(4, 2, seed=0)
    net = tca.NetworkConfig(size=6, form="B", tau=50.0).build(task.n_in, task.n_out, dt=task.dt, seed=0)
    before = cosines_of(net, trials, 1)
    with torch.no_grad():
        net.get_parameter("w_rec").zero_()
    after = cosines_of(net, trials, 1)
    for rule in ("RFLO, own weights", "SnAp-1"):
        assert after[rule] == pytest.approx(1.0, abs=1e-5)
        assert before[rule] < 0.999
    assert after["RFLO"] < 0.9


def test_the_cosine_is_that_of_the_gradients_of_all_weights_but_the_readout() -> None:
    task = tasks.make("anbn", longest=4)
    trials, _ = task.split(3, 2, seed=0)
    net = tca.NetworkConfig(size=6, form="B", tau=50.0).build(task.n_in, task.n_out, dt=task.dt, seed=0)
    hidden = [name for name, _ in net.named_parameters() if not name.endswith("_out")]
    flat = []
    for rule in (RULES["rtrl"], ARMS["SnAp-1"]):
        grads, _ = tca.Learner(net, rule).grads(trials.batch(), execution="forward")
        flat.append(np.concatenate([grads[name].double().numpy().ravel() for name in hidden]))
    expected = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert cosines_of(net, trials, 0)["SnAp-1"] == pytest.approx(expected, abs=1e-5)


def test_claims_follow_the_published_order_of_every_task(tmp_path: Path) -> None:
    """Cosines that are the published ones, and in one task their reverse."""
    source = np.random.default_rng(0)
    lines = ["task,rule,seed,when,of,cosine"]
    for task, known in PUBLISHED.items():
        for rule, value in known.items():
            name = "RFLO, own weights" if rule == "RFLO" else rule
            for seed in range(6):
                cosine = (-value if task == "copy" else value) + 1e-4 * source.normal()
                lines.append(f'{task},"{name}",{seed},{cosines.START},{cosines.ONE},{cosine:.6f}')
    path = tmp_path / "cosines.csv"
    path.write_text("\n".join(lines) + "\n")
    table = tables(path)["cosines_claims"]()
    verdicts = {row[0]: row[-1] for row in table.rows if cosines.START in row[0]}
    assert len(verdicts) == 12
    assert verdicts.get(f"rotation, {cosines.START}: KF-RTRL above SnAp-1") == "**holds**"
    assert {verdict for name, verdict in verdicts.items() if not name.startswith("copy")} == {"**holds**"}
    assert {verdict for name, verdict in verdicts.items() if name.startswith("copy")} == {"**reversed**"}


def test_a_tiny_study_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosines, "SEEDS", 2)
    assert cosines.main([f"--out={tmp_path}"], TINY) == 0
    made = tables(tmp_path / "cosines_rows.csv")["cosines"]()
    assert [row[0] for row in made.rows] == [f"{task}, {rule}" for task in cosines.TASKS for rule in ARMS]
    assert {row[2] for row in made.rows} == {"2"}
    published = {row[0]: row[1] for row in made.rows}
    assert published["adding, RFLO, own weights"] == "0.622"
    assert tables(tmp_path / "absent.csv") == {}


def test_the_figure_shows_single_trials_beside_what_is_published() -> None:
    rows = [{"task": "copy", "rule": rule, "seed": str(seed), "when": when, "of": of, "cosine": f"{seed / 10}"}
            for rule in cosines.ARMS for seed in (1, 2) for when in (cosines.START, cosines.LEARNT)
            for of in (cosines.ONE, cosines.MEAN)]  # fmt: skip
    found = cosines.points(rows)
    assert sum(each.label == cosines.START for each in found) == 2 * len(cosines.ARMS)
    reported = {each.x[0]: each.y[0] for each in found if (each.panel, each.label) == ("copy", cosines.REPORTED)}
    assert reported == {1: 0.413, 2: 0.743, 3: 0.479, 4: 0.051}, "RFLO's stands where the readout's own weights are"
    assert "n = 2 of each task" in str(cosines.drawn(found).legends[0].get_title().get_text())
