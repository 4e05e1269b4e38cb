"""Workers and clients that die: runs are tried again, given up or gone on with, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tca.experiments import records
from tca.experiments.sweep import (
    ExecutorError,
    jobs,
    read_runs,
    schedule,
)
from tca.experiments.sweep.executors import InProcess, JobResult, WorkerDiedError
from tca.experiments.training.train import train
from tests.support.sweeps import DEADLY, GRID, SLOW, SMALL, assert_bounded, kill_client, locked, quiet, wait_for
from tests.tca.experiments.records.test_records import content


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file whose runs kill their workers: the one of 3 cells always, the one of 4 cells once."""
    monkeypatch.setattr(jobs, "train", train)  # which loading the file replaces in this process as well
    file = tmp_path / "deadly.py"
    file.write_text(DEADLY)
    return file


def test_a_worker_that_dies_is_replaced_and_a_run_that_kills_is_given_up(deadly: Path, tmp_path: Path) -> None:
    found = quiet(read_runs(str(deadly)), tmp_path / "out", "processes", workers=1, retries=2, source=deadly)
    assert assert_bounded(found, tmp_path / "out").endswith(", last: killed by SIGKILL")


def test_a_scheduler_that_begins_anew_by_itself_is_stopped_by_the_count(tmp_path: Path) -> None:
    """Without a word to the sweep, as Dask does; another sweep counts for itself."""
    folder = SMALL.folder(tmp_path)
    attempts = jobs.Attempts(folder, "one")
    for deaths in range(4):
        assert attempts.begun == deaths
        if deaths < 3:
            attempts.__enter__()
    assert jobs.perform(SMALL.to_json(), folder, "one", 1, 2, "")["outcome"] == "died"
    assert "3 times" in jobs.perform(SMALL.to_json(), folder, "one", 1, 2, "")["reason"]
    assert jobs.perform(SMALL.to_json(), folder, "two", 1, 2, "")["outcome"] == "completed"


class Unlucky(InProcess):
    """Loses the first jobs, as if workers died before they had begun anything."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def next_result(self, seconds: float | None = None) -> JobResult | None:
        if self.times and self._waiting:
            self.times -= 1
            return JobResult(self._waiting.popleft().key, error=WorkerDiedError("killed in the queue"))
        return super().next_result(seconds)


@pytest.mark.parametrize(("times", "outcome"), [(19, "completed"), (20, "died")])
def test_a_run_that_never_began_is_not_blamed_but_not_tried_for_ever(tmp_path: Path, times: int, outcome: str) -> None:
    """A run that only waited on a worker that died goes on however few retries there are."""
    book = schedule.Schedule([SMALL], tmp_path, lambda _: None, threads=1, retries=0, wait=True, source="")
    assert [each.outcome for each in book.trained(Unlucky(times), lambda _: None)] == [outcome]


def leave() -> None:
    os._exit(3)


def test_a_worker_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As when a script starts workers without asking whether it is the main one: no use in trying again."""
    monkeypatch.setattr("tca.experiments.sweep.processes._prepare_worker", leave)
    with pytest.raises(
        ExecutorError, match=r"could not start: ended with status 3; .* below if __name__ == '__main__'"
    ):
        quiet([SMALL], tmp_path, "processes", workers=1)


@pytest.mark.slow
def test_a_killed_client_takes_its_workers_along_and_the_next_goes_on(reference: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "slow.py", tmp_path / "out"
    file.write_text(SLOW)
    kill_client(file, out, "processes")
    begun = list(out.glob("*/checkpoint"))
    assert begun
    assert not all(records.finished(run.folder(out)) for run in GRID)
    wait_for(lambda: not any(locked(path.parent) for path in begun))
    assert not any(records.finished(path.parent) for path in begun)  # the worker has ended at once, not after its run
    lines = [(path.parent / "metrics.jsonl").read_text().splitlines()[0] for path in begun]
    assert {each.outcome for each in quiet(GRID, out)} == {"completed"}
    assert [(path.parent / "metrics.jsonl").read_text().splitlines()[0] for path in begun] == lines
    for run in GRID:
        whole, resumed = (content(run.folder(root)) for root in (reference, out))
        assert resumed["weights.safetensors"] == whole["weights.safetensors"]
