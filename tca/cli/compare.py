"""Running a comparison in several processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from tca.checks import whole
from tca.cli.comparison import Comparison
from tca.cli.measured import Measured, Measuring, train_and_measure
from tca.records import RecordError, explained, write_whole
from tca.run import Run
from tca.sweep.crews import Call, Crew, CrewError, Here
from tca.sweep.jobs import threads
from tca.sweep.processes import Processes
from tca.sweep.progress import shown

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
    found = _results(comparison, runs, folder, workers)
    done = {measured.run: measured for measured in shown(found, len(runs), _line, bar=progress)}
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
    by_name = {run.name: run for run in runs}
    with Here() if workers == 1 else Processes(workers) as crew, threads(1):
        for name, run in by_name.items():
            crew.submit(Call(name, train_and_measure, (run, run.folder(folder / "runs"), how)))
        for _ in by_name:
            yield _measured(crew, by_name)


def _measured(crew: Crew, runs: Mapping[str, Run]) -> Measured:
    """Return the next run that is ready."""
    answer = crew.answer()
    assert answer is not None  # one is left
    if answer.lost:
        run = runs[answer.key]
        raise CrewError(f"the process that trained {run.rule} on {run.task}, seed {run.seeds.net}, died: {answer.lost}")
    if answer.error is not None:
        raise answer.error
    return cast(Measured, answer.value)


def _line(measured: Measured) -> str:
    run = measured.run
    return (
        f"{run.task}, {run.rule}, seed {run.seeds.net}: {measured.outcome} after {measured.steps} updates, "
        f"training loss {measured.train_loss:.4g}, test {run.make_task().measure} {measured.test_accuracy:.3f}"
    )
