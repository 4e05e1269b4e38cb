"""Sweeps: many runs trained in parallel, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, loggers_of
from tca.experiments.records.files import explained
from tca.experiments.sweep.cluster import Cluster, installed, require
from tca.experiments.sweep.executors import Executor, InProcess
from tca.experiments.sweep.processes import Processes
from tca.experiments.sweep.progress import RunsBar, say
from tca.experiments.sweep.schedule import Schedule
from tca.experiments.sweep.settings import settings, varying
from tca.experiments.sweep.swept_run import Swept
from tca.utils.checks import Count, Folder, Whole, checked, whole
from tca.utils.names import lookup

__all__ = ["SCHEDULERS", "line", "sweep"]

SCHEDULERS: dict[str, Callable[[int], Executor]] = {
    "dask": lambda workers: Cluster(workers=workers),
    "processes": Processes,
    "here": lambda _: InProcess(),
}


@checked
def sweep(
    runs: Iterable[Run],
    folder: Folder,
    scheduler: str | None = None,
    workers: Count | None = None,
    *,
    threads: Count = 1,
    retries: Whole = 2,
    wait: bool = True,
    source: Folder | None = None,
    together: Count = 1,
    progress: bool = True,
    loggers: str | Sequence[str | Logger] = (),
) -> Iterator[Swept]:
    """Train runs in parallel and yield each when it ends; those with a finished record first.

    A run that diverges, raises an error or kills its worker is a result with that outcome; the others go on. Each run
    is trained once, also if it is given twice or if other sweeps share the folder: its record is locked. A stopped
    sweep continues when it is repeated, every run from its last checkpoint; runs that failed or killed their workers
    are then tried again. On the CPU a run gives the same bits for every scheduler and number of workers.

    If a run has the device ``cuda`` without a number and the machine has several, workers take them in turn.

    Args:
        folder: Folder of the records, at the same path for all workers.
        scheduler: ``"dask"``: a cluster of Dask on this machine, the default where Dask is installed;
            ``"processes"``: processes on this machine, the default elsewhere; ``"here"``: this process, one run after
            the other; or the address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``.
        workers: Number of workers; default one for each core available to this process, or one for each device if all
            runs have the device ``cuda``. A scheduler with an address has its own.
        threads: Threads of torch in each worker, default 1. Other numbers may change the last bits.
        retries: Number of restarts of a run after its worker died, default 2.
        wait: Whether to wait for runs in use by another process (default), or to report them as in use.
        source: Python file that workers load first, for parts of rules that it defines, at the same path for all
            workers; default none.
        together: Most runs that a worker trains together, see `tca.train_together`: runs that differ in seeds and
            optimizer alone. The others are trained singly. Default 1.
        progress: Whether to show a bar and a line for every run on stderr, default yes.
        loggers: Names or objects of loggers of every run that is trained, see `tca.train`; default none.

    Raises:
        ValueError: An argument is not allowed.
        TypeError: An argument is of the wrong type, or an entry of ``runs`` is not a run.
        RecordError: The folder cannot be made.
        ExecutorError: Dask is not installed, its scheduler cannot be reached, or processes cannot be started.

    >>> import tempfile
    >>> from tca.experiments.sweep import grid
    >>> runs = grid(Run("delayed_xor", steps=2, n_train=8, n_test=8), {"rule": ["bptt", "eprop"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [(each.run.rule, each.outcome) for each in sweep(runs, folder, "here", progress=False)]
    [('bptt', 'completed'), ('eprop', 'completed')]
    """
    unique = _unique(runs)
    whole("threads", threads, 1)
    whole("retries", retries, 0)
    senders = loggers_of(loggers)
    start = _starter(scheduler, workers, unique)
    root = Path(folder).absolute()
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
    loaded = "" if source is None else str(Path(source).absolute())
    options = {"threads": threads, "retries": retries, "wait": wait, "source": loaded, "loggers": senders}
    return _results(unique, root, start, progress, together=together, **options)


def _unique(runs: Iterable[Run]) -> list[Run]:
    """Return runs without duplicates, in order."""
    unique: dict[str, Run] = {}
    for each in runs:
        if not isinstance(each, Run):
            raise TypeError(f"runs must hold tca.Run objects, got {each!r}")
        unique.setdefault(each.name, each)
    return list(unique.values())


def _results(
    runs: list[Run], root: Path, start: Callable[[int], Executor], progress: bool, **options: Any
) -> Iterator[Swept]:
    """Yield how each run ended; workers exist only while the results are consumed."""
    schedule = Schedule(runs, root, say if progress else _silent, **options)
    if progress and schedule.ended:
        say(f"{len(schedule.ended)} of {len(runs)} runs had ended before")
    yield from schedule.ended
    if schedule.open:
        names, count = varying(runs), len(schedule.open)
        by_name = dict(schedule.open)
        bar = RunsBar(
            {name: run.steps for name, run in by_name.items()},
            lambda name: by_name[name].folder(root),
            lambda name: _label(by_name[name], names),
            bar=progress,
        )
        with start(count) as executor, bar.bar:
            for swept in schedule.trained(executor, bar.look if progress else _silent):
                if progress:
                    bar.ended(swept.run.name, line(swept, names))
                yield swept


def _silent(_: object) -> None:
    """Ignore the line, or the runs in training."""


def line(swept: Swept, names: Sequence[str]) -> str:
    """Return how a run ended in one line.

    Args:
        names: Settings to show; if there are none, the name of its folder.
    """
    which = _label(swept.run, names)
    reason = f" ({swept.reason})" if swept.reason else ""
    if swept.last is None:
        return f"{which}: {swept.outcome}{reason}"
    score = f"training loss {swept.last.train_loss:.4g}, test score {swept.last.test_accuracy:.3f}"
    return f"{which}: {swept.outcome} after {swept.step} updates{reason}, {score}"


def _label(run: Run, names: Sequence[str]) -> str:
    """Return the settings of a run that are shown, the name of its folder if there are none."""
    values = settings(run)
    return ", ".join(f"{name} {values[name]}" for name in names if name in values) or run.name


def _starter(scheduler: str | None, workers: int | None, runs: Sequence[Run]) -> Callable[[int], Executor]:
    """Return a function from the number of open runs to an executor."""
    if workers is not None:
        whole("workers", workers, 1)
    if scheduler is not None and ":" in scheduler:
        if workers is not None:
            raise ValueError(f"workers must be left out with the scheduler at {scheduler}, which has its own")
        require()
        return lambda _: Cluster(scheduler)
    default = "dask" if installed() else "processes"
    start = lookup(SCHEDULERS, default if scheduler is None else scheduler, "scheduler (or address with its port)")
    if scheduler == "dask":
        require()
    most = _default_workers(runs) if workers is None else workers
    return lambda jobs: start(min(most, jobs))


def _default_workers(runs: Sequence[Run]) -> int:
    """Return the number of devices or cores of this machine."""
    if runs and all(torch.device(run.device).type == "cuda" for run in runs):
        return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0))
