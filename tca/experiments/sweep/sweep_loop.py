"""Sweeps: many runs, trained by many workers, each once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch

from tca.experiments.config.run import Run
from tca.experiments.records.files import explained
from tca.experiments.sweep.cluster import Cluster, installed, require
from tca.experiments.sweep.executors import Crew, Here
from tca.experiments.sweep.processes import Processes
from tca.experiments.sweep.progress import say, shown
from tca.experiments.sweep.schedule import Ledger, Terms
from tca.experiments.sweep.settings import settings, varying
from tca.experiments.sweep.swept_run import Swept
from tca.utils.checks import Count, Folder, Whole, checked, whole
from tca.utils.names import lookup

__all__ = ["SCHEDULERS", "line", "sweep"]

SCHEDULERS: dict[str, Callable[[int], Crew]] = {
    "dask": lambda workers: Cluster(workers=workers),
    "processes": Processes,
    "here": lambda workers: Here(),
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
    progress: bool = True,
) -> Iterator[Swept]:
    """Train runs at the same time and yield how each ended, as soon as it has; those with a finished record first.

    A run that diverges, raises an error or kills its worker is a result with that outcome; the others go on. Each run
    is trained once, also if it comes twice or if other sweeps share the folder: its record is locked. A sweep that was
    stopped goes on where it was, every run from its last checkpoint, when it is asked for again; runs that failed or
    killed their workers are then tried again. On the CPU a run gives the same bits whatever the scheduler and the
    number of workers.

    Where a run names the device ``cuda`` without a number and a machine has several, its workers take them in turn.

    Args:
        runs: The runs.
        folder: Where the records are kept. All workers must find it under this path.
        scheduler: ``"dask"``: a cluster of Dask on this machine, the default where Dask is installed;
            ``"processes"``: processes on this machine, the default elsewhere; ``"here"``: this process, one run after
            the other; or the address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``.
        workers: How many train at the same time; default one for each core that this process may use, or one for each
            device if all runs name ``cuda``. A scheduler with an address has its own.
        threads: Threads of torch in each worker, default 1. Other numbers may change the last bits.
        retries: How often a run is begun anew after the worker that trained it has died, default 2.
        wait: Whether to wait for runs that another process is training (default), or to report them as in use.
        source: A Python file that workers load first, for parts of rules that are defined in it; default none. All
            workers must find it under this path.
        progress: Whether to show on stderr a bar and a line for every run, default yes.

    Raises:
        ValueError: An argument is not allowed.
        TypeError: An argument is of the wrong type, or something that is no run is among the runs.
        RecordError: The folder cannot be made.
        CrewError: Dask is not installed, its scheduler cannot be reached, or processes cannot be started.

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
    crew = _crew(scheduler, workers, unique)
    root = Path(folder).absolute()
    with explained(root):
        root.mkdir(parents=True, exist_ok=True)
    terms = Terms(threads, retries, wait, "" if source is None else str(Path(source).absolute()))
    return _results(unique, root, terms, crew, progress)


def _unique(runs: Iterable[Run]) -> list[Run]:
    """Return runs once each, in the order in which they came."""
    found: dict[str, Run] = {}
    for each in runs:
        if not isinstance(each, Run):
            raise TypeError(f"runs must hold tca.Run objects, got {each!r}")
        found.setdefault(each.name, each)
    return list(found.values())


def _results(runs: list[Run], root: Path, terms: Terms, crew: Callable[[int], Crew], progress: bool) -> Iterator[Swept]:
    """Yield how each run ended; workers are there only while the results are asked for."""
    ledger = Ledger(runs, root, terms, say if progress else _silent)
    if progress and ledger.ended:
        say(f"{len(ledger.ended)} of {len(runs)} runs had ended before")
    yield from ledger.ended
    if ledger.open:
        names = varying(runs)
        with crew(len(ledger.open)) as members:
            ending = ledger.trained(members)
            yield from shown(ending, len(ledger.open), lambda each: line(each, names)) if progress else ending


def _silent(_: str) -> None:
    """Say nothing."""


def line(swept: Swept, names: Sequence[str]) -> str:
    """Return how a run ended in one line.

    Args:
        swept: The run.
        names: The settings by which it is told from others; its folder's name is shown if there are none.
    """
    values = settings(swept.run)
    which = ", ".join(f"{name} {values[name]}" for name in names if name in values) or swept.run.name
    reason = f" ({swept.reason})" if swept.reason else ""
    if swept.last is None:
        return f"{which}: {swept.outcome}{reason}"
    score = f"training loss {swept.last.train_loss:.4g}, test score {swept.last.test_accuracy:.3f}"
    return f"{which}: {swept.outcome} after {swept.step} updates{reason}, {score}"


def _crew(scheduler: str | None, workers: int | None, runs: Sequence[Run]) -> Callable[[int], Crew]:
    """Return how to make a crew for a number of open runs."""
    if workers is not None:
        whole("workers", workers, 1)
    if scheduler is not None and ":" in scheduler:
        if workers is not None:
            raise ValueError(f"workers must be left out with the scheduler at {scheduler}, which has its own")
        require()
        return lambda _: Cluster(scheduler)
    default = "dask" if installed() else "processes"
    make = lookup(SCHEDULERS, default if scheduler is None else scheduler, "scheduler (or address with its port)")
    if scheduler == "dask":
        require()
    most = _most(runs) if workers is None else workers
    return lambda jobs: make(min(most, jobs))


def _most(runs: Sequence[Run]) -> int:
    """Return how many workers this machine has room for."""
    if runs and all(torch.device(run.device).type == "cuda" for run in runs):
        return max(1, torch.cuda.device_count())
    return len(os.sched_getaffinity(0))
