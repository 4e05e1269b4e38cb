"""Parts of the commands that draw figures: options, recorded networks, and errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from analysis.landscape.planes import Landscape, landscape
from tca.batch import Batch
from tca.experiments import records
from tca.experiments.records.result import Result

__all__ = ["around", "command", "options", "recorded", "surroundings", "training_trials"]


def options(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser with the option ``--out`` for the path of the figure.

    >>> options("loss_line", "Draw.").parse_args([]).out
    PosixPath('loss_line')
    """
    parser = argparse.ArgumentParser(prog=f"python -m analysis.figures.{name}", description=description)
    parser.add_argument("--out", type=Path, default=Path(name), help=f"the figure, without a suffix, default {name}")
    return parser


def command(work: Callable[[Sequence[str] | None], str], words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after an error, which is one line on stderr.

    Args:
        work: The command, which returns the text to print.
        words: The words of the command line, ``None`` (default) for those of this process.
    """
    try:
        print(work(words))
    except (ValueError, TypeError, OSError, records.RecordError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def recorded(folders: Sequence[Path], task: str | None = None, one_task: bool = False) -> list[Result]:
    """Return the finished runs whose records lie in some folders or below, those that diverged left out.

    Args:
        folders: Records, folders of records, or comparisons.
        task: Name of the task to keep, default all.
        one_task: Whether records of several tasks are refused, default no.

    Raises:
        ValueError: There is none, or there are several tasks.
        RecordError: A record cannot be read.
    """
    paths = [path.parent for folder in folders for path in sorted(folder.rglob("result.json"))]
    found = [
        one for one in map(records.read, paths) if all(torch.isfinite(each).all() for each in one.net.parameters())
    ]
    if not found:
        raise ValueError(f"{', '.join(map(str, folders))} must hold a finished run, got no result.json there or below")
    found = [one for one in found if task in (None, one.run.task)]
    tasks = sorted({one.run.task for one in found})
    if one_task and len(tasks) != 1:
        raise ValueError(f"records must be of one task, got {', '.join(tasks) or 'none'}; choose one with --task")
    return sorted(found, key=lambda one: (one.run.task, str(one.run.rule), one.run.seeds.net))


def training_trials(result: Result, count: int) -> Batch:
    """Return the first trials of the training set of a run.

    Args:
        count: Number of trials, at most.

    >>> from tca import Run, train
    >>> training_trials(train(Run("delayed_xor", steps=1, n_train=8, n_test=8), progress=False), 3).trials
    3
    """
    run = result.run
    train_set, _ = run.make_task().split(run.n_train, run.n_test, seed=run.seeds.data)
    return train_set.subset(min(count, len(train_set))).batch()


def surroundings(parser: argparse.ArgumentParser, points: int) -> None:
    """Add the options of `around` to a parser.

    Args:
        points: Default number of positions along each direction.
    """
    parser.add_argument("--directions", default="sharpest", help="sharpest (default), flattest or random")
    parser.add_argument(
        "--parameters", nargs="+", help="parameters that vary, default the recurrent ones, if any; or all"
    )
    parser.add_argument("--reach", type=float, default=1.0, help="how far to either side, default 1")
    parser.add_argument("--points", type=int, default=points, help=f"positions a direction, odd, default {points}")
    parser.add_argument("--trials", type=int, default=200, help="training trials, at most, default 200")
    parser.add_argument("--normalise", action="store_true", help="measure distance in units of each cell's weights")


def around(result: Result, given: argparse.Namespace, dimensions: int) -> Landscape:
    """Return the loss around a recorded network.

    Args:
        dimensions: Number of directions, 1 or 2.
    """
    return landscape(
        result.net,
        training_trials(result, given.trials),
        "all" if given.parameters == ["all"] else given.parameters,
        directions=given.directions,
        dimensions=dimensions,
        reach=given.reach,
        points=given.points,
        normalise=given.normalise,
    )
