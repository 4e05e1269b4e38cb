"""Training of one run of a sweep by a worker."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger
from tca.experiments.records.files import RecordError, append, explained, make_folder
from tca.experiments.sweep.devices import placed
from tca.experiments.sweep.sweep_files import load
from tca.experiments.sweep.swept_run import DIED, FAILED, IN_USE, Swept
from tca.experiments.together.train_together import trained
from tca.experiments.training.train import train
from tca.utils.text import in_a_line

__all__ = ["Attempts", "ending", "one_line", "perform", "perform_together", "threads"]


def perform(
    run: Mapping[str, Any],
    folder: Path,
    sweep: str,
    thread_count: int,
    retries: int,
    source: str,
    loggers: Sequence[Logger] = (),
) -> dict[str, Any]:
    """Train a run and return its outcome as in `Swept.to_json`; errors are outcomes.

    Args:
        run: The run, as in ``Run.to_json``.
        retries: Number of restarts of the run after its worker died.
        source: Python file to load first, for parts of rules that it defines; empty for none.
        loggers: Receivers of the measurements, default none.
    """
    attempts = Attempts(folder, sweep)
    if attempts.begun > retries:
        return ending(DIED, attempts.reason())
    try:
        if source:
            load(Path(source))
        its = Run.from_json(run, trusted=True)  # the user's own run
        counted = contextlib.nullcontext() if records.finished(folder) else attempts
        with counted, threads(thread_count), placed(its.device):
            return Swept.of(train(its, folder, progress=False, loggers=loggers), folder).to_json()
    except (Exception, SystemExit) as error:  # SystemExit of the user's code must not end the worker
        # The error of a locked record has the refused lock as its context.
        held = isinstance(error, RecordError) and isinstance(error.__context__, BlockingIOError)
        return ending(IN_USE, str(error)) if held else ending(FAILED, one_line(error))


def perform_together(
    runs: Sequence[Mapping[str, Any]],
    folders: Sequence[Path],
    thread_count: int,
    source: str,
    loggers: Sequence[Logger] = (),
) -> None:
    """Train runs together as far as it goes; `perform` then finds a finished record, resumes or reports the error.

    Args:
        runs: The runs, as in ``Run.to_json``.
        folders: Their records.
        source: Python file to load first, empty for none.
        loggers: Receivers of the measurements, default none.
    """
    with contextlib.suppress(Exception, SystemExit):
        if source:
            load(Path(source))
        its = [Run.from_json(each, trusted=True) for each in runs]
        with threads(thread_count), placed(its[0].device):
            trained(its, folders, loggers=loggers)


class Attempts:
    """Number of attempts of a sweep at a run that were begun and not ended: one for every worker that died.

    The number is the size of a file beside the record: Dask restarts the runs of a dead worker without notice, and
    counts its death against runs that were only queued there.

    Args:
        folder: The record.
        sweep: Name of the sweep.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        self._folder, self._count = folder, folder / f".begun-{sweep}"

    @property
    def begun(self) -> int:
        """Number of attempts begun and not ended."""
        return os.lstat(self._count).st_size if os.path.lexists(self._count) else 0

    def reason(self, last: str = "") -> str:
        """Return how often workers died over the run.

        Args:
            last: Cause of the last death, if known.
        """
        times = "once" if self.begun == 1 else f"{self.begun} times"
        return f"the worker that trained it died, {times}" + (f", last: {last}" if last else "")

    def __enter__(self) -> None:
        with explained(self._folder):
            make_folder(self._folder)
            append(self._count, b".")

    def __exit__(self, *_: object) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset the number to zero."""
        with contextlib.suppress(OSError):
            self._count.unlink(missing_ok=True)


@contextlib.contextmanager
def threads(number: int) -> Iterator[None]:
    """Set the number of threads of torch, on which the order of sums and so the last bits depend."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ending(outcome: str, reason: str) -> dict[str, Any]:
    """Return the outcome of a run without a finished record, as in `Swept.to_json`."""
    return {"outcome": outcome, "reason": reason, "step": 0, "last": None}


def one_line(error: BaseException) -> str:
    r"""Return type and message of an error in one line.

    >>> one_line(ValueError("no\nsuch task"))
    'ValueError: no such task'
    """
    return f"{type(error).__name__}: {in_a_line(error)}".rstrip(": ")
