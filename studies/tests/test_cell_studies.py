"""The studies of cells run, write a row a run and draw; the claim about the copy task holds."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from studies import copy_task, gated_alignment
from studies.copy_task import ARMS, Job, Setting, train


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_copying_writes_a_row_a_run_and_a_figure(tmp_path: Path) -> None:
    """With few short trials; the curves begin at the loss of a network that has not learned."""
    small = Setting(cells=4, symbols=2, length=1, delay=2, batches=2, trials=2, every=1, tested=4)
    assert copy_task.main([f"--out={tmp_path}"], small) == 0
    found = rows(tmp_path / "copy_task_rows.csv")
    assert len(found) == copy_task.SEEDS * len(ARMS)
    assert {(each["network"], each["rule"]) for each in found} == {(net, copy_task.TITLES[rule]) for net, rule in ARMS}
    drawn = rows(tmp_path / "copy_task.csv")
    assert {each["batches"] for each in drawn} == {"0", "1", "2"}
    last = [each["test_loss"] for each in drawn if each["batches"] == "2"]
    assert sorted(float(each) for each in last) == pytest.approx(
        sorted(float(each["test loss"]) for each in found), abs=1e-5
    )


@pytest.mark.slow
def test_an_lru_learns_to_copy_online_and_a_leaky_network_does_not() -> None:
    """E-prop reaches the loss of BPTT in one layer of LRU, far below that of no memory."""
    setting, losses = Setting(), {}
    for net, rule in ARMS:
        losses[net, rule] = train(Job(net, rule, 0), setting).losses[-1]
    assert losses["LRU", "eprop"] < losses["LRU", "bptt"] < 0.1 * setting.chance
    assert losses["leaky", "eprop"] > 0.4 * setting.chance


def test_alignment_of_gated_cells_is_drawn(tmp_path: Path) -> None:
    """E-prop of a cell without recurrent synapses is exact; elsewhere it departs as weights grow."""
    small = gated_alignment.Setting(cells=6, trials=4, gains=(0.1, 2.0), seeds=1)
    assert gated_alignment.main([f"--out={tmp_path}"], small) == 0
    found = {
        (each["cell"], each["rule"], each["gain"]): float(each["cosine"])
        for each in rows(tmp_path / "gated_alignment_rows.csv")
    }
    assert len(found) == 4 * 3 * 2
    assert found["MinGRU", "eprop", "2"] == pytest.approx(1.0, abs=1e-4)
    for cell in ("GRU", "LSTM", "MGU"):
        assert found[cell, "eprop", "0.1"] > found[cell, "eprop", "2"]
    assert (tmp_path / "gated_alignment.svg").exists()
