"""What the studies share: their command line, worker processes, and runs whose records are read instead of repeated."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tca.experiments.training.train import Observer, train
from tca.utils.checks import whole

__all__ = ["Learned", "command", "learn", "options_of", "spread"]

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Learned:
    """What is kept of a run: no network, so that it is small enough to come back from a worker process.

    Attributes:
        run: The run.
        outcome: How it ended, see `tca.experiments.records.result.Result`.
        metrics: What was measured while it was trained.
    """

    run: Run
    outcome: str
    metrics: tuple[Metrics, ...]


def learn(runs: Sequence[Run], folder: Path, workers: int, observe: Observer | None = None) -> list[Learned]:
    """Train runs, each with a record of its own; finished records are read, unfinished ones resumed.

    Args:
        runs: What to train.
        folder: Where the records are kept.
        workers: Processes that train at the same time.
        observe: What else to measure, see `tca.train`; a function of a module, since it goes to other processes.
    """
    return spread(partial(_learn, folder=folder, observe=observe), runs, workers, _title)


def spread(
    work: Callable[[Job], Done], jobs: Sequence[Job], workers: int, title: Callable[[Job], str] = str
) -> list[Done]:
    """Return what a function makes of every job, in the order of the jobs; a line on stderr says when one is done.

    Args:
        work: The function, of a module, since it goes to other processes.
        jobs: Its arguments.
        workers: Processes, one thread each; one works here.
        title: What a job is called.

    Raises:
        ValueError: ``workers`` is less than 1.

    >>> spread(abs, [-1, 2, -3], workers=1)
    [1, 2, 3]
    """
    whole("workers", workers, 1)
    done: dict[int, Done] = {}
    for place, result in _results(work, jobs, workers):
        done[place] = result
        print(f"{len(done)} of {len(jobs)}: {title(jobs[place])}", file=sys.stderr, flush=True)
    return [done[place] for place in range(len(jobs))]


def _results(work: Callable[[Job], Done], jobs: Sequence[Job], workers: int) -> Iterator[tuple[int, Done]]:
    if workers == 1:
        yield from ((place, work(job)) for place, job in enumerate(jobs))
        return
    context = multiprocessing.get_context("spawn")  # a forked process would inherit the threads of torch
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = {pool.submit(work, job): place for place, job in enumerate(jobs)}
        try:
            for each in as_completed(waiting):
                yield waiting[each], each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _learn(run: Run, folder: Path, observe: Observer | None) -> Learned:
    result = train(run, run.folder(folder), progress=False, observe=observe)
    return Learned(run, result.outcome, result.metrics)


def _title(run: Run) -> str:
    return run.label


def command(name: str, description: str, short: str, full: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every study has.

    Args:
        name: Name of the study's module.
        description: What the study asks.
        short: What is run by default.
        full: What ``--full`` runs.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m studies.{name}", description=f"{description} By default: {short}."
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="folder of records, tables and figures")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at the same time")
    parser.add_argument("--full", action="store_true", help=f"instead: {full}")
    return parser


def options_of(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, with the folder made; this process is kept to one thread, as its workers are.

    Args:
        parser: What `command` has returned.
        words: The words of the command line, ``None`` for those of this process.
    """
    options = parser.parse_args(words)
    if options.workers < 1:
        parser.error(f"--workers must be 1 or greater, got {options.workers}")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # networks of this size gain nothing from more, and lose on a busy machine
    return options
