"""What a worker does: train one run, and say how it ended whatever happens."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError, append, explained, make_folder
from tca.experiments.sweep.devices import placed
from tca.experiments.sweep.progress import plain_lock
from tca.experiments.sweep.sweep_files import load
from tca.experiments.sweep.swept_run import DIED, FAILED, IN_USE, Swept
from tca.experiments.training.train import train
from tca.utils.text import in_a_line

__all__ = ["Attempts", "Job", "ending", "one_line", "perform", "threads"]


@dataclass(frozen=True)
class Job:
    """A run to be trained, in what numbers, strings and booleans can say, so that any worker can read it.

    Args:
        run: The run, as ``Run.to_json`` describes it.
        folder: Its record.
        sweep: A name of the sweep that nothing else has.
        threads: Threads of torch.
        retries: How often the run is begun anew after the worker that trained it has died.
        source: A Python file to load before, for the parts of rules that it defines; empty for none.
    """

    run: dict[str, Any]
    folder: str
    sweep: str
    threads: int
    retries: int
    source: str


def perform(job: Job) -> dict[str, Any]:
    """Train a run and return how it ended, as `Swept.to_json` describes it; errors are an outcome too.

    Args:
        job: What to train.
    """
    plain_lock()
    folder = Path(job.folder)
    attempts = Attempts(folder, job.sweep)
    if attempts.begun > job.retries:
        return ending(DIED, attempts.reason())
    try:
        if job.source:
            load(Path(job.source))
        run = Run.from_json(job.run)
        counted = contextlib.nullcontext() if records.finished(folder) else attempts
        with counted, threads(job.threads), placed(run.device):
            return Swept.of(train(run, folder, progress=False), folder).to_json()
    except (Exception, SystemExit) as error:  # code of the user's may leave, which is no reason for a worker to
        # A second process is refused with an error behind which stands a lock that could not be had at once.
        held = isinstance(error, RecordError) and isinstance(error.__context__, BlockingIOError)
        return ending(IN_USE, str(error)) if held else ending(FAILED, one_line(error))


class Attempts:
    """How often this sweep has begun a run without coming to an end: once for every worker that died over it.

    It is counted in a file beside the record, one byte an attempt: a scheduler gives the run of a dead worker to the
    next without asking, and blames the runs that were only waiting there too.

    Args:
        folder: The record.
        sweep: The name of the sweep.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        """Remember where to count."""
        self._folder, self._count = folder, folder / f".begun-{sweep}"

    @property
    def begun(self) -> int:
        """Attempts begun and not ended."""
        return os.lstat(self._count).st_size if os.path.lexists(self._count) else 0

    def reason(self, last: str = "") -> str:
        """Return in words what has happened.

        Args:
            last: How the last worker died, as far as it is known.
        """
        times = "once" if self.begun == 1 else f"{self.begun} times"
        return f"the worker that trained it died, {times}" + (f", last: {last}" if last else "")

    def __enter__(self) -> None:
        """Begin an attempt."""
        with explained(self._folder):
            make_folder(self._folder)
            append(self._count, b".")

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.forget()

    def forget(self) -> None:
        """Count anew from none."""
        with contextlib.suppress(OSError):
            self._count.unlink(missing_ok=True)


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch use so many threads in here; what it sums, and so the last bits, depends on them.

    Args:
        number: How many.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ending(outcome: str, reason: str) -> dict[str, Any]:
    """Return how a run ended that has no finished record, as `Swept.to_json` describes it.

    Args:
        outcome: The outcome.
        reason: What was in the way.
    """
    return {"outcome": outcome, "reason": reason, "step": 0, "last": None}


def one_line(error: BaseException) -> str:
    r"""Return an error in one line with its type.

    Args:
        error: The error.

    >>> one_line(ValueError("no\nsuch task"))
    'ValueError: no such task'
    """
    return f"{type(error).__name__}: {in_a_line(error)}".rstrip(": ")
