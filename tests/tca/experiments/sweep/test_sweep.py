"""Sweeps: every run once, the same bits whoever trains it, and an outcome whatever happens to it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

from tca.cli.sweep_command import csv_of
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.records.record import Record
from tca.experiments.sweep import (
    ExecutorError,
    SourceError,
    Swept,
    grid,
    jobs,
    read_runs,
    schedule,
    settings,
    sweep,
    sweep_loop,
    varying,
)
from tca.experiments.sweep.devices import held_number, placed
from tca.experiments.sweep.executors import Executor, InProcess, Job, JobResult, WorkerDiedError
from tca.experiments.sweep.processes import Processes
from tca.experiments.training.train import train
from tca.rule import Rule
from tests.tca.experiments.records.test_records import content

ROOT = Path(__file__).resolve().parents[4]
SMALL = Run("delayed_xor", net=NetworkConfig(size=6), batch_size=4, steps=6, n_train=10, n_test=6, evaluate_every=3)
GRID = grid(SMALL, {"rule": ["bptt", "eprop"], "seeds.net": [0, 1]})
DIVERGING = dataclasses.replace(
    SMALL, net=NetworkConfig(size=6, activation="relu"), optimizer=Optimizer("SGD", lr=1e6, clip=None), steps=200
)
needs_dask = pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="the extra `scale` is missing")


def outcomes(found: Iterator[Swept]) -> dict[str, str]:
    return {each.run.name: each.outcome for each in found}


def quiet(runs: list[Run], folder: Path, scheduler: str | None = "here", **options: Any) -> list[Swept]:
    return list(sweep(runs, folder, scheduler, progress=False, **options))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which every run of the grid has been trained by `train` alone."""
    folder = tmp_path_factory.mktemp("reference")
    for run in GRID:
        train(run, run.folder(folder), progress=False)
    return folder


def assert_same_bits(folder: Path, reference: Path) -> None:
    for run in GRID:
        assert content(run.folder(folder)) == content(run.folder(reference)), run


# Grids.


def test_a_grid_is_the_cartesian_product_in_order() -> None:
    runs = grid(SMALL, {"rule": ["bptt", "eprop"], "optimizer.lr": [0.1, 0.2, 0.3]})
    assert [(run.rule, run.optimizer.lr) for run in runs] == [
        (rule, lr) for rule in ("bptt", "eprop") for lr in (0.1, 0.2, 0.3)
    ]
    assert all(dataclasses.replace(run, rule="bptt", optimizer=SMALL.optimizer) == SMALL for run in runs)


def test_a_grid_reaches_every_depth() -> None:
    """Fields, parts of fields, options in mappings, parts of rules, and settings that only fit together."""
    axes = {
        "net.size": [5],
        "task_options.dt": [25],
        "optimizer.options.momentum": [0.5],
        "optimizer.name": ["SGD"],
        "rule": [Rule(*_random_parts())],
        "rule.signal.scale": [2.0],
        ("seeds.net", "seeds.data"): [(1, 2)],
    }
    (run,) = grid(SMALL, axes)
    assert run == dataclasses.replace(
        SMALL,
        net=NetworkConfig(size=5),
        task_options={"dt": 25},
        optimizer=Optimizer("SGD", options={"momentum": 0.5}),
        rule=Rule(*_random_parts(2.0)),
        seeds=Seeds(net=1, data=2),
    )
    assert grid(SMALL, {}) == [SMALL]


def _random_parts(scale: float = 1.0) -> tuple[Any, Any]:
    from tca.eligibilities import Leak
    from tca.signals import Random

    return Random(scale=scale), Leak()


@pytest.mark.parametrize(
    ("axes", "kind", "message"),
    [
        ({"net.sise": [3]}, ValueError, "unknown option of LeakyRNN 'sise', did you mean 'size'"),
        ({"nett": [3]}, ValueError, "unknown setting 'nett', did you mean 'net'"),
        ({"rule.signal": [3]}, ValueError, "no setting 'rule.signal': 'bptt' has no parts, so none called 'signal'"),
        ({"rule": "bptt"}, TypeError, r"axes\['rule'\] must be a list or tuple, got 'bptt'"),
        ({"steps": 3}, TypeError, "must be a list or tuple, got 3"),
        ({"steps": []}, ValueError, "there are no values of 'steps'"),
        ({"steps": [0]}, ValueError, "steps must be at least 1, got 0"),
        ({("rule", "steps"): [("bptt",)]}, TypeError, "change together and take 2 values at a time, got"),
    ],
)
def test_mistakes_in_a_grid_are_named(axes: dict[Any, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        grid(SMALL, axes)


def test_settings_have_the_names_that_a_grid_takes() -> None:
    axes = {"rule": ["bptt", "eprop"], "net.size": [4, 5], "optimizer.lr": [1e-3, 0.3], "task_options.dt": [20, 25]}
    runs = grid(SMALL, axes)
    assert set(varying(runs)) == set(axes)
    assert [settings(run)["net.size"] for run in runs[:4]] == ["4", "4", "4", "4"]
    assert {settings(run)["optimizer.lr"] for run in runs} == {"0.001", "0.3"}
    assert varying([SMALL]) == []


# Sweeps, whoever does the work.


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


# Workers that die. A source file kills them, from within.

DEADLY = """
import os, signal
from pathlib import Path
from tca.experiments.sweep import grid, jobs
from tests.tca.experiments.sweep.test_sweep import SMALL

train, here = jobs.train, Path(__file__).parent

def dying(run, folder, **options):
    with open(here / f"begun_{run.net.size}", "a") as count:
        count.write(".")
    if run.net.size == 3 or (run.net.size == 4 and os.path.getsize(here / "begun_4") == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return train(run, folder, **options)

jobs.train = dying

def runs():
    yield from grid(SMALL, {"net.size": [3, 4, 5]})
"""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file whose runs kill their workers: the one of 3 cells always, the one of 4 cells once."""
    monkeypatch.setattr(jobs, "train", train)  # which loading the file replaces in this process as well
    file = tmp_path / "deadly.py"
    file.write_text(DEADLY)
    return file


def assert_bounded(found: list[Swept], folder: Path) -> str:
    """One run has died three times, one once, one never; nothing is left of the counting."""
    by_size = {each.run.net.size: each for each in found}
    assert [by_size[size].outcome for size in (3, 4, 5)] == ["died", "completed", "completed"]
    begun = {size: (folder.parent / f"begun_{size}").stat().st_size for size in (3, 4)}
    assert begun[3] == 3, begun
    assert begun[4] >= 2, begun  # its result may get lost with a worker, and is then read once more
    assert by_size[3].reason.startswith("the worker that trained it died, 3 times")
    assert not list(folder.glob("*/.begun-*"))
    assert not by_size[3].ended
    return by_size[3].reason


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


# A client that is killed.

SLOW = """
import time
from tca.experiments.sweep import grid, jobs
from tests.tca.experiments.sweep.test_sweep import GRID

train = jobs.train

def slow(run, folder, **options):
    wait = lambda *_: time.sleep(0.2) or {}
    return train(run, folder, observe=wait, **options)

jobs.train = slow

def runs():
    return GRID
"""


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def kill_client(file: Path, out: Path, scheduler: str) -> None:
    """Start a sweep by the command line and kill it, and nothing else, when it has measured something."""
    words = ["-m", "tca", "sweep", str(file), f"--out={out}", f"--scheduler={scheduler}", "--workers=1", "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    client = subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: list(out.glob("*/checkpoint")) or client.poll() is not None)
    assert client.poll() is None
    client.send_signal(signal.SIGKILL)
    client.wait()


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


def locked(folder: Path) -> bool:
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# Runs in use elsewhere.


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


# Executors.


class StubbornError(Exception):
    """An error that can be pickled but not unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


def double(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    if number == 13:
        os.kill(os.getpid(), signal.SIGTERM)
    if number == 77:
        raise StubbornError("no", "way")
    if number == 99:
        return lambda: None  # type: ignore[return-value]
    return 2 * number


def test_every_job_of_processes_has_its_own_result() -> None:
    """Values, errors, deaths and results that cannot be sent; never more processes than slots."""
    numbers = [1, -1, 13, 99, 77, 4]
    with Processes(2) as executor:
        for number in numbers:
            executor.submit(Job(str(number), double, (number,)))
        found = {}
        while len(found) < len(numbers):
            if result := executor.next_result(0.2):
                found[result.key] = result
            assert len(executor._idle) + len(executor._busy) <= 2
        assert executor.next_result(0.01) is None
    assert (found["1"].value, found["4"].value) == (2, 8)
    assert (found["1"].error, found["4"].error) == (None, None)
    assert isinstance(found["-1"].error, ValueError)
    assert "in double" in str(found["-1"].error.__cause__)  # the traceback of the worker
    assert isinstance(found["13"].error, WorkerDiedError)
    assert str(found["13"].error) == "killed by SIGTERM"
    assert "local object 'double.<locals>.<lambda>'" in str(found["99"].error)  # cannot be pickled
    assert isinstance(found["77"].error, BrokenProcessPool)
    assert "missing 1 required positional argument: 'other'" in str(found["77"].error.__cause__)


def test_a_process_that_dies_idle_is_replaced() -> None:
    with Processes(1) as executor:
        executor.submit(Job("a", os.getpid, ()))
        first = executor.next_result()
        assert first is not None
        os.kill(first.value, signal.SIGKILL)
        wait_for(lambda: executor._idle[0].pool._broken)
        executor.submit(Job("b", os.getpid, ()))
        second = executor.next_result()
        assert second is not None
        assert second.error is None
        assert second.value not in (first.value, os.getpid())


# Devices.


def test_numbers_are_held_by_one_each_and_given_back(tmp_path: Path) -> None:
    with held_number(tmp_path) as first, held_number(tmp_path) as second:
        assert (first, second) == (0, 1)
    with held_number(tmp_path) as again:
        assert again == 0
        with held_number(tmp_path) as other:
            assert other == 1


def test_workers_take_the_devices_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With two devices that only seem to be there; a run that names its device has that one, also if it is the CPU."""
    chosen: list[int] = []
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    class Chosen:
        def __init__(self, index: int) -> None:
            chosen.append(index)

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "device", Chosen)
    with placed("cuda"), placed("cuda"), placed("cuda"), placed("cpu"), placed("cuda:1"):
        assert chosen == [0, 1, 0]
    with placed("cuda"):
        assert chosen == [0, 1, 0, 0]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with placed("cuda"):
        assert chosen == [0, 1, 0, 0]


def test_a_worker_trains_on_the_device_that_it_has_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    taken: list[str] = []

    @contextlib.contextmanager
    def noted(device: str) -> Iterator[None]:
        taken.append(device)
        yield
        taken.append("given back")

    def seen(run: Run, *arguments: Any, **options: Any) -> Any:
        taken.append("trained")
        return train(run, *arguments, **options)

    monkeypatch.setattr(jobs, "placed", noted)
    monkeypatch.setattr(jobs, "train", seen)
    quiet([SMALL], tmp_path)
    assert taken == ["cpu", "trained", "given back"]


@pytest.mark.cuda
def test_runs_on_a_gpu(tmp_path: Path) -> None:
    """Two workers share a device, or take two; the numbers are those of training alone."""
    runs = grid(dataclasses.replace(SMALL, device="cuda"), {"rule": ["bptt", "eprop"]})
    found = quiet(runs, tmp_path, "processes", workers=2)
    assert {each.outcome for each in found} == {"completed"}
    for each in found:
        alone = train(each.run, progress=False)
        assert each.last is not None
        assert each.last.test_loss == pytest.approx(alone.last.test_loss, rel=1e-4)


# Asking for the wrong thing.


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"scheduler": "dsk"}, ValueError, "unknown scheduler .* 'dsk', did you mean 'dask'"),
        ({"workers": 0}, ValueError, "workers must be at least 1, got 0"),
        ({"threads": 0}, ValueError, "threads must be at least 1, got 0"),
        ({"retries": -1}, ValueError, "retries must be at least 0, got -1"),
        (
            {"scheduler": "tcp://127.0.0.1:1", "workers": 2},
            ValueError,
            "workers must be left out with the scheduler at",
        ),
        ({"runs": ["bptt"]}, TypeError, r"runs\[0\] must be a Run, got 'bptt'"),
        ({"folder": "/dev/null/x"}, records.RecordError, "cannot write the record in /dev/null/x"),
    ],
)
def test_mistakes_are_named_before_anything_starts(
    options: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message):
        sweep(**{"runs": [SMALL], "folder": tmp_path, **options})


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:1", "dask"])
def test_without_dask_a_scheduler_names_the_extra_and_the_default_is_processes(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tca.experiments.sweep.cluster.installed", lambda: False)
    monkeypatch.setattr(sweep_loop, "installed", lambda: False)
    with pytest.raises(
        ExecutorError, match=r"needs the extra `scale`: pip install 'temporal-credit-assignment\[scale\]'"
    ):
        sweep([SMALL], tmp_path, scheduler)
    asked: list[int] = []

    def here(workers: int) -> Executor:
        asked.append(workers)
        return InProcess()

    monkeypatch.setitem(sweep_loop.SCHEDULERS, "processes", here)
    assert [each.outcome for each in sweep([SMALL], tmp_path, workers=3, progress=False)] == ["completed"]
    assert asked == [1]  # no more workers than runs


@needs_dask
def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tca.experiments.sweep.cluster.SECONDS_TO_CONNECT", 0.5)
    with pytest.raises(ExecutorError, match=r"no Dask scheduler can be used at tcp://127.0.0.1:9: [^\n]+$"):
        quiet([SMALL], tmp_path, "tcp://127.0.0.1:9")


# Files that describe sweeps.


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        ("def runs():\n    return [1]\n", "f.py", r"runs\(\) must yield tca.Run objects, got 1"),
        ("def runs():\n    return 1 / 0\n", "f.py", r"runs\(\) failed: ZeroDivisionError: division by zero"),
        ("def runs(x):\n    return []\n", "f.py", r"runs\(\) failed: TypeError: .* missing 1 required positional"),
        ("def large():\n    return []\n", "f.py:lage", "unknown function 'lage', did you mean 'large'"),
        ("def large(\n", "f.py", "f.py: SyntaxError"),
        ("", "g.py", "there is no file .*g.py"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, target: str, message: str) -> None:
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        read_runs(str(tmp_path / target))
    assert "\n" not in str(caught.value)


def test_parts_of_rules_defined_in_a_file_reach_the_workers(tmp_path: Path) -> None:
    """A signal that no module of the library knows, and a neighbouring file that is imported."""
    (tmp_path / "sweep_neighbour.py").write_text("SCALES = [0.5, 2.0]\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\nfrom sweep_neighbour import SCALES\nfrom tca import Rule\n"
        "from tca.eligibilities import Leak\nfrom tca.signals import Direct\n"
        "from tca.experiments.sweep import grid\nfrom tests.tca.experiments.sweep.test_sweep import SMALL\n"
        "@dataclass(frozen=True)\nclass Mine(Leak):\n    half: float = 0.5\n"
        "def runs():\n    return grid(SMALL, {'rule': [Rule(Direct(), Mine(each)) for each in SCALES]})\n"
    )
    runs = read_runs(str(file))
    assert varying(runs) == ["rule"]
    found = quiet(runs, tmp_path / "out", "processes", workers=1, source=file)
    assert [each.outcome for each in found] == ["completed"] * 2
    (named,) = quiet(runs[:1], tmp_path / "named", "processes", workers=1)
    assert (named.outcome, named.reason) == ("completed", ""), "its run names the import path"


# Tables.


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
