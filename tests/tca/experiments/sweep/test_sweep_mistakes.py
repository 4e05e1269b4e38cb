"""Sweeps that ask for the wrong thing, and files that describe sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tca.experiments import records
from tca.experiments.sweep import (
    ExecutorError,
    SourceError,
    read_runs,
    sweep,
    sweep_loop,
    varying,
)
from tca.experiments.sweep.executors import Executor, InProcess
from tests.support.sweeps import SMALL, needs_dask, quiet


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
        "from tca.experiments.sweep import grid\nfrom tests.support.sweeps import SMALL\n"
        "@dataclass(frozen=True)\nclass Mine(Leak):\n    half: float = 0.5\n"
        "def runs():\n    return grid(SMALL, {'rule': [Rule(Direct(), Mine(each)) for each in SCALES]})\n"
    )
    runs = read_runs(str(file))
    assert varying(runs) == ["rule"]
    found = quiet(runs, tmp_path / "out", "processes", workers=1, source=file)
    assert [each.outcome for each in found] == ["completed"] * 2
    (named,) = quiet(runs[:1], tmp_path / "named", "processes", workers=1)
    assert (named.outcome, named.reason) == ("completed", ""), "its run names the import path"
