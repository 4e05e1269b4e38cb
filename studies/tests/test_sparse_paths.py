"""Online adaptation over a few paths: its errors, what is kept of RTRL's gain, and the files of the study."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import tca
from studies import sparse_paths
from studies.sparse_paths import ALL, ARMS, NONE, Job, Setting, points, tables, work

TINY = Setting(cells=6, before=1, after=2, steps=40)


def test_errors_are_those_of_outputs_before_each_change() -> None:
    """A rate of nearly zero leaves the network as it is: errors of a run without learning."""
    found = work(Job(ALL, 1e-12, 3), TINY)
    net = tca.NetworkConfig(size=6, form="B", tau=5.0).build(1, 1, dt=10.0, seed=3)
    inputs = torch.randn(80, 1, 1, generator=torch.Generator().manual_seed(3)).sign()
    outputs = net.run(inputs).outputs.detach()
    targets = torch.cat([inputs[:1], inputs[:39], inputs[38:78]])
    errors = (outputs - targets).square().flatten()
    assert found.before == pytest.approx(float(errors[32:40].mean()), rel=1e-5)
    assert found.after == pytest.approx(float(errors[40:].mean()), rel=1e-5)
    assert found.end == pytest.approx(float(errors[72:].mean()), rel=1e-5)


def test_arms_are_what_they_are_called() -> None:
    """With as many cells as paths all inputs are RTRL; fewer are neither RTRL nor e-prop."""
    few = Setting(cells=4, before=1, after=2, steps=40)
    found = {arm: work(Job(arm, 1e-2, 0), few).after for arm in ARMS}
    for arm in ("16 inputs of each cell", "4 inputs of each cell", "4 rows of the Jacobian"):
        assert found[arm] == pytest.approx(found[ALL], rel=1e-5)
    assert len({round(found[arm], 6) for arm in (ALL, "1 input of each cell", NONE)}) == 3


def test_what_is_kept_of_the_gain(tmp_path: Path) -> None:
    """Errors .5 without a path and .1 of RTRL: .2 keeps three quarters."""
    rows = [("arm", "rate", "seed", "before", "after", "end")]
    for seed in range(5):
        shift = 0.01 * seed
        rows += [(ALL, "1", f"{seed}", "0", f"{0.1 + shift}", "0"), (NONE, "1", f"{seed}", "0", f"{0.5 + shift}", "0")]
        rows += [("4 inputs of each cell", "1", f"{seed}", "0", f"{0.2 + shift}", "0")]
    path = tmp_path / "sparse_paths.csv"
    path.write_text("\n".join(map(",".join, rows)))
    errors, claimed = (tables(path)[name]() for name in ("sparse_paths", "sparse_paths_claims"))
    kept = {row[0]: row[-1] for row in errors.rows}
    assert kept == {ALL: "by definition", NONE: "by definition", "4 inputs of each cell": "0.75 [0.75, 0.75]"}
    assert [row[1].split()[0] for row in claimed.rows] == ["-0.300", "+0.100"]
    assert tables(tmp_path / "absent.csv") == {}


def test_a_tiny_study_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_paths, "SEEDS", 2)
    monkeypatch.setattr(sparse_paths, "HELD_OUT", 1)
    assert sparse_paths.main([f"--out={tmp_path}"], TINY) == 0
    searched, found = (
        list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        for name in ("sparse_paths_rates.csv", "sparse_paths.csv")
    )
    assert (len(searched), len(found)) == (21, 14)
    for arm in ARMS:  # the rate of least error on other seeds
        here = {row["rate"]: float(row["after"]) for row in searched if row["arm"] == arm}
        assert {row["rate"] for row in found if row["arm"] == arm} == {min(here, key=lambda rate: here[rate])}
    assert not {row["seed"] for row in searched} & {row["seed"] for row in found}
    assert len(points(found)) == 28
    assert (tmp_path / "sparse_paths_figure.svg").exists()
