"""Running a comparison in several processes."""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch
from tqdm import tqdm

from tca.checks import whole
from tca.cli.comparison import Comparison
from tca.cli.measured import Measured, Measuring, train_and_measure
from tca.records import RecordError, explained, write_whole
from tca.run import Run

__all__ = ["compare", "read_comparison"]


def compare(comparison: Comparison, folder: Path, workers: int = 2, progress: bool = True) -> list[Measured]:
    """Train and measure every run of a comparison; runs whose records are finished are read from them.

    Args:
        comparison: What to compare.
        folder: Where to keep ``comparison.json`` and the records, in ``runs``.
        workers: Processes that train at the same time, one thread each, default 2.
        progress: Whether to show a progress bar, default yes; a line for each run appears in any case.

    Raises:
        RecordError: The folder cannot be written.
        ValueError: ``workers`` is less than 1.
    """
    whole("workers", workers, 1)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "comparison.json", json.dumps(comparison.to_json(), indent=2).encode())
    runs = comparison.runs()
    done: dict[Run, Measured] = {}
    with tqdm(total=len(runs), disable=not progress, unit="run", file=sys.stderr) as bar:
        for measured in _results(comparison, runs, folder, workers):
            done[measured.run] = measured
            bar.write(_line(measured), file=sys.stderr)
            bar.update()
            bar.set_postfix(loss=f"{measured.train_loss:.4f}", accuracy=f"{measured.test_accuracy:.3f}")
    return [done[run] for run in runs]


def read_comparison(folder: Path) -> Comparison:
    """Return the comparison that a folder holds.

    Args:
        folder: The folder of the comparison.

    Raises:
        RecordError: It holds none, or one that cannot be understood.
    """
    try:
        return Comparison.from_json(json.loads((folder / "comparison.json").read_text()))
    except FileNotFoundError:
        raise RecordError(f"{folder} holds no comparison: there is no comparison.json") from None
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(f"{folder / 'comparison.json'} cannot be read: {error}") from error


def _results(comparison: Comparison, runs: list[Run], folder: Path, workers: int) -> Iterator[Measured]:
    """Yield runs as they get ready."""
    how = Measuring(comparison.input_noise, comparison.curvature_trials, comparison.curvature_probes)
    jobs = [(run, run.folder(folder / "runs"), how) for run in runs]
    if workers == 1:
        yield from (train_and_measure(*job) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")  # a forked process would inherit the threads of torch
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(train_and_measure, *job) for job in jobs]
        try:
            for each in as_completed(waiting):
                yield each.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _line(measured: Measured) -> str:
    run = measured.run
    return (
        f"{run.task}, {run.rule}, seed {run.seeds.net}: {measured.outcome} after {measured.steps} updates, "
        f"training loss {measured.train_loss:.4g}, test {run.make_task().measure} {measured.test_accuracy:.3f}"
    )
