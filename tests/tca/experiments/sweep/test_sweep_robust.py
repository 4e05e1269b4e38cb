"""What a sweep, a comparison and the command outlast: deaths at the start, interruptions, files that leave."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tca.__main__ import main
from tca.cli.compare.comparison import MOST_RUNS, Comparison
from tca.experiments import records
from tca.experiments.records.files import RecordError
from tca.experiments.records.record import Record
from tca.experiments.sweep import ExecutorError, SourceError, grid, jobs, read_runs
from tca.experiments.sweep.devices import held_number
from tca.experiments.sweep.executors import Job
from tca.experiments.sweep.processes import Processes, _prepare_worker
from tca.experiments.training.train import train
from tests.support.sweeps import ROOT, quiet
from tests.tca.experiments.records.test_records import SMALL, StopError, content, raise_at_step


def die_at_first(mark: Path) -> None:
    """Die of a signal before anything is said, the first time; a file that is there says that it was the second."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    _prepare_worker()


def test_a_worker_that_is_killed_while_it_starts_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the sweep goes on without advice about scripts."""
    prepare = functools.partial(die_at_first, mark=tmp_path / "mark")
    monkeypatch.setattr("tca.experiments.sweep.processes._prepare_worker", prepare)
    found = []
    with contextlib.suppress(ExecutorError):
        found = quiet([SMALL], tmp_path / "out", "processes", workers=1)
    assert (tmp_path / "mark").exists()
    assert [each.outcome for each in found] == ["completed"]


def test_a_run_that_another_has_finished_meanwhile_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one finishes between the first look and the lock; the record stays as it was, to the byte."""
    whole = train(SMALL, tmp_path / "record", progress=False)
    before = {each.name: each.read_bytes() for each in (tmp_path / "record").iterdir() if each.name != ".lock"}
    finished, looks = records.finished, []

    def late(folder: Any) -> bool:
        looks.append(folder)
        return len(looks) > 1 and finished(folder)

    monkeypatch.setattr(records, "finished", late)
    monkeypatch.setattr("tca.experiments.records.record.finished", late)
    monkeypatch.setattr(Record, "add", lambda *_: pytest.fail("it was trained again"))
    again = None
    with contextlib.suppress(RecordError):  # of a run that goes on without its checkpoint
        again = train(SMALL, tmp_path / "record", progress=False)
    assert again is not None
    assert len(looks) >= 2
    assert again.metrics == whole.metrics
    assert before == {each.name: each.read_bytes() for each in (tmp_path / "record").iterdir() if each.name != ".lock"}


def test_remnants_of_killed_processes_go_when_the_run_has_ended(tmp_path: Path) -> None:
    with pytest.raises(StopError):
        train(SMALL, tmp_path, progress=False, observe=raise_at_step(6))
    for name in (".begun-0123456789ab", ".weights.safetensors.01234567.tmp"):
        (tmp_path / name).write_text(".")
    train(SMALL, tmp_path, progress=False)
    kept = {"run.json", "metrics.jsonl", "weights.safetensors", "learner.safetensors", "result.json", ".lock"}
    assert {each.name for each in tmp_path.iterdir()} == kept
    (tmp_path / ".begun-0123456789ab").write_text(".")
    (tmp_path / "checkpoint").write_bytes(b"of a process that was killed before it could remove it")
    train(SMALL, tmp_path, progress=False)
    assert {each.name for each in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys\nsys.exit(3)\n", "f.py: SystemExit: 3"),
        ("def runs():\n    raise SystemExit\n", r"runs\(\) failed: SystemExit"),
        ("def runs():\n    yield from iter(int, 1)\n", "must yield at most 10 runs"),
        ("raise ValueError('a\\nb\\x1b[2J')\n", r"f.py: ValueError: a b\\x1b\[2J"),
    ],
)
def test_a_sweep_file_that_leaves_or_never_ends_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr("tca.experiments.sweep.sweep_files.MOST_RUNS", 10)
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_runs(str(tmp_path / "f.py"))


def test_a_run_whose_code_leaves_has_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = grid(SMALL, {"seeds.net": [0, 1]})

    def leave(run: Any, *arguments: Any, **options: Any) -> Any:
        return sys.exit(3) if run == first else train(run, *arguments, **options)

    monkeypatch.setattr(jobs, "train", leave)
    found = {each.run: each for each in quiet([first, second], tmp_path)}
    assert (found[first].outcome, found[first].reason) == ("failed", "SystemExit: 3")
    assert found[second].outcome == "completed"


def test_counts_are_checked_before_anything_is_made() -> None:
    with pytest.raises(ValueError, match="the axes must make at most 1000000 runs, got 1002001"):
        grid(SMALL, {"seeds.net": range(1001), "seeds.data": range(1001)})
    with pytest.raises(ValueError, match="must be at most 1000000"):
        grid(SMALL, {"seeds.net": range(2 * 10**6)})
    for endless in (range(10**12), itertools.count()):
        with pytest.raises(ValueError, match=r"axes\['seeds.net'\] must be at most 10000000 entries, got"):
            grid(SMALL, {"seeds.net": endless})
    with pytest.raises(ValueError, match=f"at most {MOST_RUNS} runs, got 1000000000"):
        Comparison(rules="bptt", seeds=10**9)


@pytest.mark.parametrize("spoil", [lambda folder: folder.chmod(0o777), lambda folder: os.chown(folder, 12345, 12345)])
def test_a_shared_folder_that_others_can_write_to_is_refused(tmp_path: Path, spoil: Any) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / "devices"
    with held_number(folder) as number:
        assert number == 0
    assert folder.stat().st_mode & 0o777 == 0o700
    spoil(folder)
    with pytest.raises(PermissionError, match="only this user can write to"), held_number(folder):
        pass
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError), held_number(tmp_path / "link"):
        pass


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\ntask: delayed_xor\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: os.mkfifo(path), "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.write_bytes(b"#" * (1 << 22) + b"#"), "more than 4194304 bytes"),
        (lambda path: path.write_text(BOMB), r"must have no aliases, got \*a"),
        (lambda path: path.write_text("task: " + "[" * 1000), "nested at most 64 deep"),
        (lambda path: path.write_text("size: 4\nsize: 5\n"), "f.yaml must name each option once, got 'size' twice"),
        (lambda path: path.write_text("optimizer: {lr: 0.1, lr: 0.2}\n"), "must name each option once, got 'lr' twice"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "f.yaml must be text in UTF-8, got other bytes"),
        (lambda path: (os.mkfifo(path.with_name("p")), path.write_text("net: p\n")), "p cannot be read: it is no reg"),
    ],
)
@pytest.mark.parametrize("option", ["--config", "--net"])
def test_files_of_options_are_regular_small_and_shallow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, message: str, option: str
) -> None:
    make(tmp_path / "f.yaml")
    assert main(["train", "--task", "delayed_xor", f"{option}={tmp_path / 'f.yaml'}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert __import__("re").search(message, error)


@pytest.mark.usefixtures("no_figures")
def test_a_comparison_goes_on_without_a_damaged_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--rules=bptt,eprop", "--seeds=1", "--net.size=4", "--steps=2", "--n_train=8", "--n_test=6",
             "--batch_size=4", f"--folder={tmp_path}", "--workers=1", "--quiet"]  # fmt: skip
    assert main(words) == 0
    bad = sorted((tmp_path / "runs").iterdir())[0]
    (bad / "metrics.jsonl").write_bytes(b"")
    capsys.readouterr()
    for command in (words, ["report", str(tmp_path)]):
        assert main(command) == 1
        out = capsys.readouterr().out
        assert sum(str(bad) in line for line in out.splitlines()) == 1
        assert "report.html" in out


def test_an_interruption_while_importing_is_one_line() -> None:
    """As soon as the library is being imported; before that, it is Python's."""
    program = (
        "import os, signal, sys, threading, time; sys.argv[0] = 'tca'\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "import tca; time.sleep(60)"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert time.monotonic() - begun < 50
    assert (done.returncode, done.stderr) == (130, "tca: interrupted; the same command goes on where it was\n")


ORPHAN = """
import os, sys, time
from pathlib import Path
from tca.experiments.sweep.executors import Job
from tca.experiments.sweep.executors import Job
from tca.experiments.sweep.processes import Processes
if __name__ == "__main__":
    with Processes(2) as executor:
        for number in range(2):
            executor.submit(Job(str(number), time.sleep, (0.0 if number else 600.0,)))
        while not executor.next_result(0.1):
            pass
        os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_workers_whose_parent_dies_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "orphan.py")], capture_output=True, text=True, check=False, env=environment
    )  # which waits until nobody has the pipe any more, so until every worker has ended
    assert done.returncode == -signal.SIGKILL
    assert done.stderr == ""


def test_what_is_on_its_way_is_the_same_whoever_goes_on(tmp_path: Path) -> None:
    train(SMALL, tmp_path / "whole", progress=False)
    with pytest.raises(StopError):
        train(SMALL, SMALL.folder(tmp_path), progress=False, observe=raise_at_step(3))
    assert [each.outcome for each in quiet([SMALL], tmp_path)] == ["completed"]
    assert content(SMALL.folder(tmp_path)) == content(tmp_path / "whole")


def test_processes_are_shielded_only_while_they_start() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with Processes(1) as executor:
        executor.submit(Job("", os.getpid, ()))
        result = executor.next_result()
    assert result is not None
    assert result.value != os.getpid()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
