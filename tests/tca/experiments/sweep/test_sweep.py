"""Sweeps: every run once, the same bits whoever trains it, and an outcome whatever happens to it."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tca.cli.sweep_command import csv_of
from tca.experiments.config.run import Run
from tca.experiments.records.record import Record
from tca.experiments.sweep import (
    jobs,
    read_runs,
    schedule,
    sweep,
    varying,
)
from tca.experiments.training.train import train
from tests.support.sweeps import DIVERGING, GRID, ROOT, SMALL, assert_same_bits, needs_dask, outcomes, quiet
from tests.tca.experiments.records.test_records import content


def test_every_scheduler_gives_the_same_bits(reference: Path, tmp_path: Path) -> None:
    """Here and in two processes, whose order differs."""
    assert outcomes(sweep(GRID, tmp_path / "here", "here", progress=False)) == {run.name: "completed" for run in GRID}
    assert len(quiet(GRID, tmp_path / "two", "processes", workers=2)) == len(GRID)
    for name in ("here", "two"):
        assert_same_bits(tmp_path / name, reference)


@needs_dask
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_workers_of_dask_give_the_same_bits(reference: Path, tmp_path: Path) -> None:
    """By the address of a scheduler, here one within this process."""
    import distributed

    with distributed.LocalCluster(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as cluster:
        assert len(quiet(GRID, tmp_path, cluster.scheduler_address)) == len(GRID)
    assert_same_bits(tmp_path, reference)


def test_other_threads_could_give_other_bits_so_their_number_is_set() -> None:
    """A worker uses as many threads as the sweep says, and this process has its own number back."""
    before = torch.get_num_threads()
    with jobs.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_what_has_ended_is_skipped_and_read(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = quiet(GRID[:3], tmp_path)

    def only_the_last(run: Run, *arguments: Any, **options: Any) -> Any:
        assert run == GRID[3]
        return train(run, *arguments, **options)

    monkeypatch.setattr(jobs, "train", only_the_last)
    again = list(sweep([GRID[0], *GRID, GRID[3]], tmp_path, "here"))
    assert "3 of 4 runs had ended before" in capsys.readouterr().err
    assert again[:3] == first
    assert [each.run for each in again] == GRID
    assert again[3].outcome == "completed"
    assert_same_bits(tmp_path, reference)
    assert again[3].result().last == again[3].last


def test_divergence_and_errors_are_outcomes(tmp_path: Path) -> None:
    """Neither stops the sweep, and what failed is tried again by the next."""
    nowhere = dataclasses.replace(SMALL, device="cuda:99")
    found = {each.run: each for each in quiet([DIVERGING, nowhere, SMALL], tmp_path)}
    assert found[DIVERGING].outcome == "diverged"
    assert found[DIVERGING].ended
    assert "became" in found[DIVERGING].reason
    assert found[nowhere].outcome == "failed"
    assert not found[nowhere].ended
    assert found[nowhere].last is None
    assert found[SMALL].outcome == "completed"
    spoilt = SMALL.folder(tmp_path) / "weights.safetensors"
    spoilt.write_bytes(b"\0" * 20)
    assert quiet([SMALL], tmp_path)[0].reason.startswith(f"{spoilt} was edited or comes from another run")
    description = SMALL.folder(tmp_path) / "run.json"
    description.write_text(description.read_text().replace('"batch_size": 4', '"batch_size": 5'))
    assert f"{description} cannot be read: it was edited or damaged" in quiet([SMALL], tmp_path)[0].reason
    unfinished = SMALL.folder(tmp_path / "unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "checkpoint").write_bytes(b"\0" * 20)
    (found_spoilt,) = quiet([SMALL], tmp_path / "unfinished", wait=False)
    assert found_spoilt.outcome == "failed"
    assert found_spoilt.reason.startswith("RecordError: cannot resume from")


class StopError(Exception):
    pass


def test_an_unfinished_run_goes_on_from_its_checkpoint(reference: Path, tmp_path: Path) -> None:
    run, seen = GRID[0], 0

    def stop(*_: object) -> dict[str, float]:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise StopError
        return {}

    with pytest.raises(StopError):
        train(run, run.folder(tmp_path), progress=False, observe=stop)
    before = (run.folder(tmp_path) / "metrics.jsonl").read_text().splitlines()[0]
    quiet(GRID, tmp_path)
    assert (run.folder(tmp_path) / "metrics.jsonl").read_text().splitlines()[0] == before  # its time is in it
    assert_same_bits(tmp_path, reference)


def test_a_run_in_use_is_reported_or_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(schedule, "SECONDS_TO_LOOK_AGAIN", 0.01)
    held = Record(SMALL.folder(tmp_path), SMALL, {"n_in": 2, "n_out": 2, "dt": 10.0})
    with held:
        (report,) = quiet([SMALL], tmp_path, wait=False)
        assert report.outcome == "in_use"
        assert f"number {os.getpid()}" in report.reason
        assert not report.ended
    held.__enter__()
    tries = 0

    def let_go(run: Run, *arguments: Any, **options: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 3:
            held.__exit__(None, None, None)
        return train(run, *arguments, **options)

    monkeypatch.setattr(jobs, "train", let_go)
    assert [each.outcome for each in sweep([SMALL], tmp_path, "here")] == ["completed"]
    assert tries == 3
    shown = capsys.readouterr().err
    assert shown.count("waiting: the record in") == 1
    assert not list(tmp_path.glob("*/.begun-*"))


def test_two_sweeps_on_one_folder_train_every_run_once(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at the same time, each of which looks for work in the same order; both have all results."""
    monkeypatch.setattr(schedule, "SECONDS_TO_LOOK_AGAIN", 0.05)
    measured: list[tuple[str, int]] = []

    def counted(run: Run, folder: Path, **options: Any) -> Any:
        def slowly(learner: Any, batch: Any) -> dict[str, float]:
            measured.append((run.name, threading.get_ident()))
            time.sleep(0.02)
            return {}

        return train(run, folder, observe=slowly, **options)

    monkeypatch.setattr(jobs, "train", counted)
    with ThreadPoolExecutor(2) as pool:
        both = [each.result() for each in [pool.submit(quiet, GRID, tmp_path) for _ in range(2)]]
    for found in both:
        assert {each.run.name: each.outcome for each in found} == {run.name: "completed" for run in GRID}
    assert Counter(name for name, _ in measured) == {run.name: 3 for run in GRID}  # at steps 0, 3 and 6
    assert len({thread for _, thread in measured}) == 2
    for run in GRID:
        whole, shared = (content(run.folder(root)) for root in (reference, tmp_path))
        assert shared["weights.safetensors"] == whole["weights.safetensors"]


def test_the_csv_holds_what_the_records_hold(reference: Path, tmp_path: Path) -> None:
    nowhere = dataclasses.replace(GRID[0], device="cuda:99")
    swept = [*quiet(GRID, reference), *quiet([nowhere], tmp_path)]
    table = list(csv.DictReader(csv_of(swept).splitlines()))
    assert list(table[0])[:3] == ["rule", "seeds.net", "device"]
    for row, run in zip(table, GRID, strict=False):
        ending = json.loads((run.folder(reference) / "result.json").read_text())
        assert (row["rule"], row["seeds.net"]) == (run.rule, str(run.seeds.net))
        assert row["record"] == run.folder(reference).name
        assert (row["outcome"], int(row["step"])) == (ending["outcome"], ending["step"])
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "elapsed"):
            assert float(row[name]) == ending["last"][name]
    assert (table[4]["outcome"], table[4]["step"], table[4]["test_loss"]) == ("failed", "", "")
    assert table[4]["reason"]


def test_the_example_of_the_page_is_a_sweep(tmp_path: Path) -> None:
    """The file that it shows yields what its words say: every rule at every size, three times."""
    page = (ROOT / "docs" / "sweeps.md").read_text()
    (tmp_path / "sizes.py").write_text(page.split("```python\n")[1].split("```")[0])
    runs = read_runs(str(tmp_path / "sizes.py"))
    assert varying(runs) == ["rule", "net.size", "seeds.net"]
    assert len({run.name for run in runs}) == 2 * 2 * 3
