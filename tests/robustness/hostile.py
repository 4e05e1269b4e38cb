"""Damaged and hostile records: `make test-hostile` tries the whole table, the ordinary suite a part of it.

Every row spoils one record in a folder that holds a good one as well. Then, in a process with little memory and little
time, `tca report` and `tca show` look at it, a sweep asks for both runs, and training asks for the spoilt one. Where a
row must be refused, it is one line with its path; the good one goes on in any case, and nothing outside changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import torch

from tca.__main__ import main
from tca.experiments.config.run import NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.records.files import RecordError
from tca.experiments.sweep import sweep
from tca.experiments.training.train import train
from tests.robustness.hostile_rows import ROWS, Row

SPOILT = Run("delayed_xor", "eprop_adaptive", net=NetworkConfig(size=6), batch_size=4, steps=6, n_train=8, n_test=6,
             evaluate_every=2, snapshot_losses=(0.715,), optimizer=Optimizer("SGD", lr=0.1))  # fmt: skip
GOOD = dataclasses.replace(SPOILT, seeds=Seeds(net=1))
SECONDS, MEMORY = 60, 2 << 30  # what one row may take, on a busy machine; bytes beyond what is taken before it
ACTIONS = ("report", "show", "sweep", "resume")


@dataclass(frozen=True)
class Outcome:
    """What became of a row: a complaint for everything that was not as it must be."""

    row: Row
    complaints: tuple[str, ...]


def prepare(root: Path) -> Path:
    """Train what every row starts from, below a folder: the good record, and the other at its end and on its way."""
    root.mkdir(parents=True, exist_ok=True)
    train(GOOD, root / "good", progress=False)
    for name, stop in (("finished", 99), ("unfinished", 3), ("again", 99), ("other", 99)):
        seen = iter(range(100))

        def observe(*_: object, stop: int = stop, seen: Iterator[int] = seen) -> dict[str, float]:
            if next(seen) == stop:
                raise KeyboardInterrupt
            return {}

        run = dataclasses.replace(SPOILT, steps=7) if name == "other" else SPOILT
        try:
            train(run, root / name, progress=False, observe=observe)
        except KeyboardInterrupt:
            assert (root / name / "checkpoint").exists()
    seen = iter(range(100))
    try:
        other = dataclasses.replace(SPOILT, steps=8)
        train(other, root / "other_unfinished", progress=False,
              observe=lambda *_: {} if next(seen) < 3 else 1 / 0)  # fmt: skip
    except ZeroDivisionError:
        pass
    return root


def attempt(row: Row, prepared: Path) -> Outcome:
    """Try a row in a child with limits."""
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        root, outside = here / "root", here / "outside"
        root.mkdir(), outside.mkdir()
        shutil.copytree(prepared / "good", GOOD.folder(root))
        record = SPOILT.folder(root)
        shutil.copytree(prepared / row.base, record)
        (outside / "victim").write_text("precious")
        row.spoil(record, outside, prepared)
        before = snapshot(outside)
        complaints = [*in_child(lambda: list(complaints_of(row, root, record)))]
        if snapshot(outside) != before:
            complaints.append("something outside was changed")
        for each in root.rglob("*"):
            if each.is_dir() and not each.is_symlink():
                each.chmod(0o700)
        return Outcome(row, tuple(complaints))


def snapshot(folder: Path) -> dict[str, object]:
    """Return what a folder holds, with the times at which it was changed; `/dev/zero` and the like are not read."""
    return {str(each): (os.lstat(each).st_mtime_ns, digest(each)) for each in (folder, *sorted(folder.rglob("*")))}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and path.stat().st_size < 1 << 20 else ""


def in_child(work: Callable[[], list[str]]) -> list[str]:
    """Return what a function returns in a forked child with limits, or what the child died of."""
    reading, writing = os.pipe()
    number = os.fork()
    if number == 0:
        try:
            os.close(reading)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            os.write(writing, "\0".join(work()).encode(errors="replace"))
        except BaseException as error:
            os.write(writing, f"{type(error).__name__} was raised: {error}".encode(errors="replace"))
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(number, 0)
    if os.WIFSIGNALED(status):
        return [f"killed by {signal.Signals(os.WTERMSIG(status)).name} (a hang, if by SIGALRM)"]
    return said.split("\0") if said else []


def complaints_of(row: Row, root: Path, record: Path) -> Iterator[str]:
    """Yield what is not as it must be."""
    status, out, err = command("report", str(root))
    yield from judged(row, "report", status != 0, record, out + err)
    if GOOD.name not in out:
        yield "report: the good record is not in it"
    status, out, err = command("show", str(record))
    yield from judged(row, "show", status != 0, record, out + err)
    found = {each.run: each for each in sweep([SPOILT, GOOD], root, "here", progress=False)}
    yield from judged(row, "sweep", not found[SPOILT].ended, record, found[SPOILT].reason or str(record))
    if not found[GOOD].ended:
        yield f"sweep: the good record has failed: {found[GOOD].reason}"
    refused, said = False, str(record)
    try:
        result = train(SPOILT, record, progress=False)
        _ = result.net, result.crossings
    except RecordError as error:
        refused, said = True, str(error)
    yield from judged(row, "resume", refused, record, said)


def judged(row: Row, action: str, refused: bool, record: Path, said: str) -> Iterator[str]:
    """Yield a complaint unless a row is refused where it must be, in one printable line with its path."""
    if refused != (action in row.refused):
        yield f"{action}: it was {'refused' if refused else 'accepted'}: {said[-300:]!r}"
    if "Traceback" in said or re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said):
        yield f"{action}: a traceback or an escape: {said!r}"
    lines = [line for line in said.splitlines() if record.name in line]
    if refused and len(lines) != 1:
        yield f"{action}: {len(lines)} lines with its path: {said[-300:]!r}"


def command(*words: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(words)
    return status, out.getvalue(), err.getvalue()


def whole_table(words: list[str]) -> int:
    """Try every row, or those whose names hold a word, and print what has become of them; return the exit status."""
    rows = [row for row in ROWS if not words or any(word in row.name for word in words)]
    torch.set_num_threads(1)
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        prepared = prepare(Path(place) / "prepared")
        for row in rows:
            outcome = attempt(row, prepared)
            tally["as it must be" if not outcome.complaints else "not as it must be"] += 1
            tally["refused"] += bool(row.refused)
            for complaint in outcome.complaints:
                print(f"{row.name}: {complaint}", flush=True)
    bad = tally["not as it must be"]
    print(f"{len(rows)} damaged or hostile records, {tally['refused']} to be refused: {bad} not as they must be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(whole_table(sys.argv[1:]))
