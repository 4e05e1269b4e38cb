"""What the commands that draw figures share: where a figure goes, recorded networks, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tca.batch import Batch
from tca.experiments import records
from tca.experiments.records.result import Result

__all__ = ["command", "options", "recorded", "training_trials"]


def options(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser that knows where the figure goes.

    Args:
        name: Name of the figure.
        description: What it shows.

    >>> options("loss_line", "Draw.").parse_args([]).out
    PosixPath('loss_line')
    """
    parser = argparse.ArgumentParser(prog=f"python -m analysis.figures.{name}", description=description)
    parser.add_argument("--out", type=Path, default=Path(name), help=f"the figure, without a suffix, default {name}")
    return parser


def command(work: Callable[[Sequence[str] | None], str], words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after an error, which is one line on stderr.

    Args:
        work: The command, which returns what to print.
        words: The words of the command line, ``None`` (default) for those of this process.
    """
    try:
        print(work(words))
    except (ValueError, TypeError, OSError, records.RecordError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def recorded(folders: Sequence[Path]) -> list[Result]:
    """Return the finished runs whose records lie in some folders or below, those that diverged left out.

    Args:
        folders: Records, folders of records, or comparisons.

    Raises:
        ValueError: There is none.
        RecordError: A record cannot be read.
    """
    paths = [path.parent for folder in folders for path in sorted(folder.rglob("result.json"))]
    found = [
        one for one in map(records.read, paths) if all(torch.isfinite(each).all() for each in one.net.parameters())
    ]
    if not found:
        raise ValueError(f"{', '.join(map(str, folders))} must hold a finished run, got no result.json there or below")
    return sorted(found, key=lambda one: (one.run.task, str(one.run.rule), one.run.seeds.net))


def training_trials(result: Result, count: int) -> Batch:
    """Return the first trials of the set that a run was trained on.

    Args:
        result: The run.
        count: How many trials, at most.

    >>> from tca import Run, train
    >>> training_trials(train(Run("delayed_xor", steps=1, n_train=8, n_test=8), progress=False), 3).trials
    3
    """
    run = result.run
    train_set, _ = run.make_task().split(run.n_train, run.n_test, seed=run.seeds.data)
    return train_set.subset(min(count, len(train_set))).batch()


def _finite(result: Result) -> bool:
    return all(bool(torch.isfinite(each).all()) for each in result.net.parameters())
