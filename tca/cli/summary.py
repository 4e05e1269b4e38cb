"""What the records in a folder say, without training anything."""

from __future__ import annotations

from pathlib import Path

from tca import records
from tca.cli.compare import read_comparison
from tca.cli.measured import Measuring, train_and_measure
from tca.cli.report import write_report
from tca.records import RecordError
from tca.result import Result

__all__ = ["describe", "report"]


def report(folder: Path) -> str:
    """Return what is in a folder: a comparison, whose report is written anew, a record, or several records.

    Args:
        folder: The folder.

    Raises:
        RecordError: There is nothing finished in it.
    """
    if (folder / "comparison.json").exists():
        return _compared(folder)
    found = [each for each in (folder, *sorted(folder.glob("*"))) if records.finished(each)]
    if not found:
        raise RecordError(f"{folder} holds neither a comparison nor the record of a finished run")
    return "\n\n".join(describe(records.read(each), each) for each in found)


def describe(result: Result, folder: Path | None = None) -> str:
    """Return a finished run in a few lines.

    Args:
        result: What it has led to.
        folder: Its record.
    """
    last, run = result.last, result.run
    measure = run.make_task().measure
    reason = f" ({result.reason})" if result.reason else ""
    lines = [
        f"{run.task}, {run.rule}, form {run.net.form}, {run.net.size} cells: "
        f"{result.outcome} after {result.step} updates{reason}",
        f"  training loss {last.train_loss:.4g}, {measure} {last.train_accuracy:.3f};"
        f" test loss {last.test_loss:.4g}, {measure} {last.test_accuracy:.3f}",
        f"  {1e3 * result.seconds_per_step:.2f} ms an update",
    ]
    return "\n".join([*lines, *([] if folder is None else [f"  record: {folder}"])])


def _compared(folder: Path) -> str:
    comparison = read_comparison(folder)
    runs = comparison.runs()
    missing = [run for run in runs if not records.finished(run.folder(folder / "runs"))]
    if missing:
        raise RecordError(
            f"{len(missing)} of the {len(runs)} runs of the comparison in {folder} are unfinished; "
            f"go on with: tca compare --config {folder / 'comparison.json'} --folder {folder}"
        )
    how = Measuring(comparison.input_noise, comparison.curvature_trials, comparison.curvature_probes)
    measured = [train_and_measure(run, run.folder(folder / "runs"), how) for run in runs]
    return f"{write_report(comparison, measured, folder)}\n\nreport: {folder / 'report.html'}"
