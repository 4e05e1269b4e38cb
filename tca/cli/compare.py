"""Running a comparison in several processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from tca.cli.comparison import Comparison
from tca.cli.measured import Measured, Measuring, train_and_measure
from tca.files import explained, make_folder
from tca.records import RecordError
from tca.run import Run
from tca.sealed import read_json, write_json
from tca.sweep.crews import Call, Crew, CrewError, Here
from tca.sweep.jobs import threads
from tca.sweep.processes import Processes
from tca.sweep.progress import shown
from tca.utils.checks import whole
from tca.utils.text import in_a_line

__all__ = ["compare", "read_comparison"]


def compare(
    comparison: Comparison,
    folder: Path,
    workers: int = 2,
    progress: bool = True,
    failed: dict[str, str] | None = None,
) -> list[Measured]:
    """Train and measure every run of a comparison; runs whose records are finished are read from them.

    A run whose record is damaged or in use is left out; the others go on.

    Args:
        comparison: What to compare.
        folder: Where to keep ``comparison.json`` and the records, in ``runs``.
        workers: Processes that train at the same time, one thread each, default 2.
        progress: Whether to show a progress bar, default yes; a line for each run appears in any case.
        failed: Filled with why runs were left out, by name; ``None`` (default) to raise the first of these at the end.

    Raises:
        RecordError: The folder cannot be written, no run is left, or a run was left out and ``failed`` was not given.
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
    """Return the comparison that a folder holds.

    Args:
        folder: The folder of the comparison.

    Raises:
        RecordError: It holds none, or one that cannot be understood.
    """
    path = folder / "comparison.json"
    try:
        return Comparison.from_json(read_json(path))
    except RecordError:
        raise
    except Exception as error:  # a file may describe anything
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error


def _results(
    comparison: Comparison, runs: list[Run], folder: Path, workers: int, left_out: dict[str, str]
) -> Iterator[Measured]:
    """Yield runs as they get ready; say why others are left out."""
    how = Measuring(comparison.input_noise, comparison.curvature_trials, comparison.curvature_probes)
    by_name = {run.name: run for run in runs}
    with Here() if workers == 1 else Processes(workers) as crew, threads(1):
        for name, run in by_name.items():
            crew.submit(Call(name, train_and_measure, (run, run.folder(folder / "runs"), how)))
        for _ in by_name:
            try:
                yield _measured(crew, by_name)
            except _LeftOutError as error:
                left_out[error.name] = str(error)


class _LeftOutError(RecordError):
    """The record of a run cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def _measured(crew: Crew, runs: Mapping[str, Run]) -> Measured:
    """Return the next run that is ready."""
    answer = crew.answer()
    assert answer is not None  # one is left
    if answer.lost:
        run = runs[answer.key]
        raise CrewError(f"the process that trained {run.rule} on {run.task}, seed {run.seeds.net}, died: {answer.lost}")
    if isinstance(answer.error, RecordError):
        raise _LeftOutError(answer.key, in_a_line(answer.error))
    if answer.error is not None:
        raise answer.error
    return cast(Measured, answer.value)


def _line(measured: Measured) -> str:
    run = measured.run
    return (
        f"{run.task}, {run.rule}, seed {run.seeds.net}: {measured.outcome} after {measured.steps} updates, "
        f"training loss {measured.train_loss:.4g}, test {run.make_task().measure} {measured.test_accuracy:.3f}"
    )
