"""Training of several runs together: an ensemble of networks through each pass."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.own.registry import data_of
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, Writer, logged, loggers_of
from tca.experiments.records.record import Record
from tca.experiments.records.result import Result
from tca.experiments.together.compatibility import difference, refusal
from tca.experiments.together.group import Group
from tca.experiments.training.training_loop import Observer, TrainingLoop
from tca.utils.checks import Count, Folder, checked
from tca.utils.progress_bar import ProgressBar

__all__ = ["AT_ONCE", "train_together", "trained"]

AT_ONCE = 8  # networks of a pass on a CPU, whose caches hold no more
TOGETHER = "several networks a pass"  # in the record of a run


@checked
@torch.inference_mode(False)
def train_together(
    runs: Sequence[Run],
    root: Folder | None = None,
    *,
    at_once: Count = AT_ONCE,
    progress: bool = True,
    observe: Observer | None = None,
    loggers: str | Sequence[str | Logger] = (),
) -> list[Result]:
    """Train runs that differ in seeds and optimizer, several networks through each pass, and return their results.

    Each run has the batches, optimizer, measurements, stopping, divergence and record that it has by itself, and the
    same numbers but for rounding. Runs that end leave the others; finished records are read, and unfinished ones
    resume, first those that have made the fewest updates.

    Args:
        runs: Runs of leaky networks with fixed constants, alike in all settings but ``seeds`` and ``optimizer``.
        root: Folder of the records, each in ``run.folder(root)``; ``None`` (default) for no records.
        at_once: Most networks of a pass, default 8; more gain on a GPU alone.
        progress: Whether to show a progress bar over the updates of all runs, default yes.
        observe: Callback at every measurement of a run, see `tca.train`; default none.
        loggers: Loggers that receive the measurements of the runs, see `tca.train`; default none.

    Raises:
        ValueError: Runs cannot be trained together; the reason is given. Or the task refuses its options, the device
            does not exist, or the rule refuses the weights that a run begins with.
        RecordError: A folder cannot be written, is in use by another process, or holds another run. Other runs of the
            group are trained to their end first.

    >>> from tca import Seeds
    >>> runs = [Run("delayed_xor", "eprop", steps=2, n_train=8, n_test=8, seeds=Seeds(net=seed)) for seed in range(3)]
    >>> [(each.run.seeds.net, each.step) for each in train_together(runs, progress=False)]
    [(0, 2), (1, 2), (2, 2)]
    """
    _check(runs)
    senders = loggers_of(loggers)
    keys = [each.name if root is not None else str(place) for place, each in enumerate(runs)]  # a record is made once
    unique = dict(zip(keys, runs, strict=True))
    found: dict[str, Any] = {}
    with ProgressBar(total=sum(each.steps for each in unique.values()), disable=not progress, unit="step") as bar:
        for names in batched(unique, at_once):
            group = [unique[name] for name in names]
            folders = [None if root is None else each.folder(root) for each in group]
            found |= dict(zip(names, trained(group, folders, bar.update, observe, senders), strict=True))
    for each in found.values():
        if isinstance(each, Exception):
            raise each
    return [found[key] for key in keys]


def trained(
    runs: Sequence[Run],
    folders: Sequence[Path | None],
    made: Callable[[int], object] = lambda _: None,
    observe: Observer | None = None,
    loggers: Sequence[Logger] = (),
) -> list[Result | Exception]:
    """Train a group of runs together and return the result of each, or the error that it raised.

    Args:
        folders: Folder of the record of each run; ``None`` for none.
        made: Callback with the number of updates that were just made, default none.
        observe: Callback at every measurement of a run, see `tca.train`; default none.
        loggers: Loggers that receive the measurements, default none.
    """
    ended: dict[int, Result | Exception] = {}
    loops: dict[int, TrainingLoop] = {}
    drawn: dict[int, TrainingLoop] = {}  # by the seed of their trials, which are all the same otherwise
    its_records: list[Record] = []
    writers: list[Writer] = []
    with contextlib.ExitStack() as stack:
        for place, (run, folder) in enumerate(zip(runs, folders, strict=True)):
            try:
                if folder is not None and records.finished(folder):
                    ended[place] = records.reread(folder, run)
                    continue
                loop = TrainingLoop(run, observe, drawn.get(run.seeds.data), together=len(runs) > 1)
                drawn[run.seeds.data] = loop
                about = loop.sizes, loop.task.measure, data_of(loop.task)
                passes = TOGETHER if len(runs) > 1 else loop.note
                record = stack.enter_context(Record(folder, run, *about, passes=passes))
                if record.ended and folder is not None:  # by another process, meanwhile
                    ended[place] = records.reread(folder, run)
                    continue
                loop.resume(record)
                writers.append(stack.enter_context(logged(loggers, run, folder, record.metrics)))
                loops[place] = loop
                its_records.append(record)
            except Exception as error:
                ended[place] = error
        made(sum(each.step for each in loops.values()))
        outcomes = Group(list(loops.values()), its_records, writers, made).results()
    return [ended[place] if place in ended else outcomes[list(loops).index(place)] for place in range(len(runs))]


def batched(names: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """Yield names in groups of a size; the last may be smaller."""
    left = iter(names)
    while group := tuple(itertools.islice(left, size)):
        yield group


def _check(runs: Sequence[Run]) -> None:
    """Raise unless runs can be trained together."""
    for place, run in enumerate(runs):
        if reason := refusal(run):
            raise ValueError(f"runs must be such as can be trained together, but of runs[{place}] {reason}: use train")
        if name := difference(runs[0], run):
            raise ValueError(
                f"runs must be alike but for seeds and optimizer, but runs[{place}] has {name} = "
                f"{getattr(run, name)!r} and runs[0] {getattr(runs[0], name)!r}"
            )
