"""Executors of jobs in processes, and the devices that they hold."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

from tca.experiments.config.run import Run
from tca.experiments.sweep import (
    grid,
    jobs,
)
from tca.experiments.sweep.devices import held_number, placed
from tca.experiments.sweep.executors import Job, WorkerDiedError
from tca.experiments.sweep.processes import Processes
from tca.experiments.training.train import train
from tests.support.sweeps import SMALL, quiet, wait_for


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
