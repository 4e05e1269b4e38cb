"""Runs and sweeps for tests of sweeps, with sources that kill their workers or slow them down."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tca.experiments.config.run import NetworkConfig, Optimizer, Run
from tca.experiments.sweep import (
    Swept,
    grid,
    sweep,
)
from tests.tca.experiments.records.test_records import content

ROOT = Path(__file__).resolve().parents[2]
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


def assert_same_bits(folder: Path, reference: Path) -> None:
    for run in GRID:
        assert content(run.folder(folder)) == content(run.folder(reference)), run


# A source that kills its workers from within: those of the run of 3 cells always, that of 4 cells once.
DEADLY = """
import os, signal
from pathlib import Path
from tca.experiments.sweep import grid, jobs
from tests.support.sweeps import SMALL

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
# A source whose runs last.
SLOW = """
import time
from tca.experiments.sweep import grid, jobs
from tests.support.sweeps import GRID

train = jobs.train

def slow(run, folder, **options):
    wait = lambda *_: time.sleep(0.2) or {}
    return train(run, folder, observe=wait, **options)

jobs.train = slow

def runs():
    return GRID
"""


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


def locked(folder: Path) -> bool:
    with open(folder / ".lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
