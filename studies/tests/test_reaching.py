"""Reaching beside recorded neurons: times of the probe, pairs that are compared, and a tiny study."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.representations.similarity import procrustes_distance
from analysis.representations.similarity_study import UNTRAINED, Sample
from studies import reaching
from studies.reaching import BASE, MEASURES, compared, probe_of, tables
from tca.experiments.config.components import Optimizer


def activity(seed: int) -> torch.Tensor:
    return torch.randn(30, 8, 25, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cumsum(0)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two measures: the search of `dsa` takes a third of a second a pair."""
    monkeypatch.setattr(reaching, "MEASURES", {name: MEASURES[name] for name in ("Procrustes", "CKA")})


def test_the_probe_has_the_times_of_the_recording_and_a_trial_of_every_target() -> None:
    """From 800 ms before the movement to 400 ms after its onset: the go cue is 150 ms before it."""
    probe = probe_of(BASE)
    assert probe.shape == (121, 8, 3)
    assert torch.equal(probe[:20, :, :2], torch.zeros(20, 8, 2))
    angles = torch.atan2(probe[20, :, 1], probe[20, :, 0]).rad2deg().remainder(360)
    assert angles.tolist() == pytest.approx([45.0 * place for place in range(8)], abs=1e-3)
    assert probe[:, 0, 2].tolist() == [1.0] * 65 + [0.0] * 56
    with pytest.raises(TypeError, match="center_out_reach"):
        probe_of(replace(BASE, task="delayed_xor", task_options={}))


@pytest.mark.usefixtures("few")
def test_activity_is_compared_with_its_own_start_and_the_other_rule_at_the_same_error() -> None:
    keys = [(rule, error, seed) for rule in ("bptt", "eprop") for error in (UNTRAINED, 0.1) for seed in (0, 1)]
    made = {key: activity(place) for place, key in enumerate(keys)}
    samples = [Sample(rule, seed, error, 3, 0.1, each) for (rule, error, seed), each in made.items()]
    recorded = activity(99)[..., :20]
    found = {row[:3] + row[5:7]: float(row[7]) for row in compared(samples, recorded) if row[5] == "Procrustes"}
    for key, (one, other) in {
        ("e-prop", "0.1", "1", "Procrustes", reaching.RECORDING): (made["eprop", 0.1, 1], recorded),
        ("e-prop", "0.1", "1", "Procrustes", reaching.START): (made["eprop", 0.1, 1], made["eprop", UNTRAINED, 1]),
        ("e-prop", "0.1", "1", "Procrustes", reaching.OTHER): (made["eprop", 0.1, 1], made["bptt", 0.1, 1]),
        ("e-prop", "0.1", "1", "Procrustes", reaching.ANOTHER): (made["eprop", 0.1, 1], made["bptt", 0.1, 0]),
        ("BPTT", "0.1", "0", "Procrustes", reaching.ANOTHER): (made["bptt", 0.1, 0], made["bptt", 0.1, 1]),
    }.items():
        assert found[key] == pytest.approx(procrustes_distance(one, other), abs=1e-5)
    assert ("BPTT", "0.1", "0", "Procrustes", reaching.OTHER) not in found
    assert ("e-prop", "inf", "0", "Procrustes", reaching.START) not in found
    assert sum(key[0] == reaching.HALF for key in found) == reaching.HALVES
    assert not [row for row in compared(samples, None) if row[6] == reaching.RECORDING]


def test_claims_compare_rules_at_the_same_error_by_seed(tmp_path: Path) -> None:
    """E-prop .1 farther from the recording at every error, and nothing else differs: as many claims hold as errors."""
    source, rows = np.random.default_rng(0), []
    for seed in range(6):
        near = source.normal() * 0.01
        for rule, shift in (("BPTT", 0.0), ("e-prop", 0.1)):
            for error in (math.inf, *reaching.THRESHOLDS):
                for to in (reaching.RECORDING, reaching.ANOTHER, reaching.OTHER):
                    for measure in MEASURES:
                        moved = shift if math.isfinite(error) and to == reaching.RECORDING else 0.0
                        value = 0.5 + near + moved + 1e-4 * source.normal()
                        rows.append((rule, f"{error:g}", seed, 10, 0.1, measure, to, value))
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([reaching.HEAD, *rows])
    made = tables(path)
    verdicts = {row[0]: row[-1] for row in made["reaching_claims"]().rows}
    farther = [text for text in verdicts if "e-prop farther" in text]
    assert len(farther) == len(MEASURES) * len(reaching.THRESHOLDS)
    assert all(verdicts[text] == "**holds**" for text in farther)
    assert all(verdicts[text] == "**reversed**" for text in verdicts if text.endswith("recording than e-prop"))
    first = made["reaching_updates"]().rows[0]
    assert first == ("BPTT, 0.5", "64", "6", "10 ± 0")
    assert tables(tmp_path / "absent.csv") == {}


@pytest.mark.usefixtures("few")
def test_a_tiny_study_from_end_to_end_is_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = replace(BASE, net=BASE.net.with_options(size=24), optimizer=Optimizer(lr=0.02), batch_size=8, steps=60,
                    n_train=8, n_test=4, evaluate_every=10)  # fmt: skip
    source = np.random.default_rng(0)
    np.savez(tmp_path / "cells.npz", rate=source.random((30, 121, 8)).cumsum(1).astype(np.float32))
    words = [f"--out={tmp_path}", f"--recording={tmp_path / 'cells.npz'}", "--seeds=2"]
    assert reaching.main(words, small) == 0
    rows = list(csv.DictReader((tmp_path / "reaching_rows.csv").read_text().splitlines()))
    assert {row["error"] for row in rows} >= {"inf", "0.5", ""}
    assert {row["measure"] for row in rows} == {"Procrustes", "CKA"}
    assert (tmp_path / "reaching.svg").read_text().count("to the recording") == 2
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "activity").iterdir()}
    assert len(kept) == 4
    assert reaching.main(words, small) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "activity").iterdir()} == kept
    np.savez(tmp_path / "short.npz", rate=np.ones((30, 100, 8), np.float32))
    with pytest.raises(SystemExit):
        reaching.main([f"--out={tmp_path}", f"--recording={tmp_path / 'short.npz'}"], small)
    assert "steps and targets" in capsys.readouterr().err
