"""What the records in a folder say, without training anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tca import records
from tca.cli.compare import read_comparison
from tca.cli.measured import Measuring, train_and_measure
from tca.cli.report import write_report
from tca.records import RecordError
from tca.result import Metrics, Result
from tca.sweep.settings import flat

__all__ = ["describe", "report", "show"]


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
        f"{run.task}, {run.rule}, {f'form {run.net.form}, ' if run.net.form else ''}{run.net.title}: "
        f"{result.outcome} after {result.step} updates{reason}",
        f"  training loss {last.train_loss:.4g}, {measure} {last.train_accuracy:.3f};"
        f" test loss {last.test_loss:.4g}, {measure} {last.test_accuracy:.3f}",
        f"  {1e3 * result.seconds_per_step:.2f} ms an update",
    ]
    return "\n".join([*lines, *([] if folder is None else [f"  record: {folder}"])])


def show(folder: Path) -> str:
    """Return the settings of a run, how it ended and what was measured last; an unfinished one is shown as it stands.

    Nothing is built or trained, so that a record can be looked at wherever it is.

    Args:
        folder: Its record.

    Raises:
        RecordError: There is no record, or it cannot be understood.
    """
    if not (folder / "run.json").exists():
        raise RecordError(
            f"{folder} holds no record of a run: there is no run.json; tca report shows folders of records"
        )
    try:
        description = json.loads((folder / "run.json").read_text())
        ending, last = _ending(folder)
        chapters = {
            f"run {folder}": flat(description["run"]),
            ending: {} if last is None else _measured(last),
            "made with": flat({**description["versions"], "commit": description["commit"]}),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"the record in {folder} cannot be read: {type(error).__name__}: {error}") from error
    return "\n\n".join(f"{title}\n{_aligned(entries)}".rstrip() for title, entries in chapters.items())


def _ending(folder: Path) -> tuple[str, Metrics | None]:
    """Return in a line how a run ended or where it is, and what was measured last."""
    if records.finished(folder):
        values = json.loads((folder / "result.json").read_text())
        reason = f" ({values['reason']})" if values["reason"] else ""
        return f"{values['outcome']} after {values['step']} updates{reason}", Metrics.from_json(values["last"])
    path = folder / "metrics.jsonl"
    lines = (
        [each for each in path.read_text().splitlines(keepends=True) if each.endswith("\n")] if path.exists() else []
    )
    if not lines:
        return "unfinished, nothing measured yet", None
    last = Metrics.from_json(json.loads(lines[-1]))
    return f"unfinished, {last.step} updates or more made; train it again with its folder to go on", last


def _measured(last: Metrics) -> dict[str, str]:
    values = last.to_json()
    observed = values.pop("observed")
    return {name: _number(each) for name, each in {**values, **observed}.items()}


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}"


def _aligned(entries: Mapping[str, str]) -> str:
    width = max(map(len, entries), default=0)
    return "\n".join(f"  {name.ljust(width)}  {text}" for name, text in entries.items())


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
