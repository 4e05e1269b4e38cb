"""Training of a comparison in several processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from tca.cli.compare.comparison import Comparison
from tca.cli.compare.measurements import MeasurementSettings, RunMeasurements, train_and_measure
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError, explained, make_folder
from tca.experiments.records.sealed_json import read_json, write_json
from tca.experiments.sweep.executors import Executor, ExecutorError, InProcess, Job, WorkerDiedError
from tca.experiments.sweep.jobs import threads
from tca.experiments.sweep.processes import Processes
from tca.experiments.sweep.progress import shown
from tca.utils.checks import whole
from tca.utils.text import in_a_line

__all__ = ["compare", "read_comparison"]


def compare(
    comparison: Comparison,
    folder: Path,
    workers: int = 2,
    progress: bool = True,
    failed: dict[str, str] | None = None,
) -> list[RunMeasurements]:
    """Train and measure the runs of a comparison; read finished records.

    Runs with a damaged or locked record are left out.

    Args:
        comparison: Comparison to train.
        folder: Folder of ``comparison.json`` and of the records, in ``runs``.
        workers: Processes that train at the same time, one thread each, default 2.
        progress: Whether to show a progress bar, default yes; each run prints a line in any case.
        failed: Dictionary to fill with the reasons for runs left out, by name; ``None`` (default) to raise the first.

    Raises:
        RecordError: The folder cannot be written, all runs are left out, or one is and ``failed`` is not given.
        ValueError: ``workers`` is less than 1.
    """
    whole("workers", workers, 1)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        make_folder(folder / "runs")
        write_json(folder / "comparison.json", comparison.to_json())
    runs, left_out = comparison.runs(), {} if failed is None else failed
    found = _results(comparison, runs, folder, workers, left_out)
    done = {measured.run: measured for measured in shown(found, len(runs), _line, bar=progress)}
    if left_out and (failed is None or not done):
        raise RecordError(next(iter(left_out.values())))
    return [done[run] for run in runs if run in done]


def read_comparison(folder: Path) -> Comparison:
    """Read a comparison from its folder.

    Args:
        folder: Folder of the comparison.

    Raises:
        RecordError: The folder has no comparison, or an invalid one.
    """
    path = folder / "comparison.json"
    try:
        return Comparison.from_json(read_json(path))
    except RecordError:
        raise
    except Exception as error:  # the file may have any content
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error


def _results(
    comparison: Comparison, runs: list[Run], folder: Path, workers: int, left_out: dict[str, str]
) -> Iterator[RunMeasurements]:
    """Yield runs as they finish; collect the reasons for runs left out."""
    how = MeasurementSettings(comparison.input_noise, comparison.curvature_trials, comparison.curvature_probes)
    by_name = {run.name: run for run in runs}
    with InProcess() if workers == 1 else Processes(workers) as executor, threads(1):
        for name, run in by_name.items():
            executor.submit(Job(name, train_and_measure, (run, run.folder(folder / "runs"), how)))
        for _ in by_name:
            try:
                yield _measured(executor, by_name)
            except _LeftOutError as error:
                left_out[error.name] = str(error)


class _LeftOutError(RecordError):
    """The record of a run cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def _measured(executor: Executor, runs: Mapping[str, Run]) -> RunMeasurements:
    """Return the next finished run."""
    result = executor.next_result()
    assert result is not None  # without a time limit
    if isinstance(result.error, WorkerDiedError):
        run = runs[result.key]
        raise ExecutorError(
            f"the process that trained {run.rule} on {run.task}, seed {run.seeds.net}, died: {result.error}"
        )
    if isinstance(result.error, RecordError):
        raise _LeftOutError(result.key, in_a_line(result.error))
    if result.error is not None:
        raise result.error
    return cast(RunMeasurements, result.value)


def _line(measured: RunMeasurements) -> str:
    run = measured.run
    return (
        f"{run.task}, {run.rule}, seed {run.seeds.net}: {measured.outcome} after {measured.steps} updates, "
        f"training loss {measured.train_loss:.4g}, test {run.make_task().measure} {measured.test_accuracy:.3f}"
    )
