"""Summaries of the records in a folder, without training or building networks."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tca.cli.compare.comparison_loop import read_result
from tca.cli.compare.report import printed, write_report
from tca.cli.table_formats import Format
from tca.experiments.config.recipes import in_words
from tca.experiments.config.run import Run
from tca.experiments.config.run_command import command_of
from tca.experiments.records.files import RecordError
from tca.experiments.records.reader import RecordText, look
from tca.experiments.records.record import title_of
from tca.experiments.records.result import Metrics, Result, seconds_per_step
from tca.experiments.sweep.settings import flat
from tca.utils.text import in_a_line, printable

__all__ = ["Report", "again", "chosen", "describe", "record_folders", "report", "show"]

MARKS = ("run.json", "metrics.jsonl", "checkpoint", "weights.safetensors", "result.json")


@dataclass(frozen=True)
class Report:
    """Summary of a folder.

    Args:
        text: Text for stdout.
        damaged: Number of damaged records; each has a line in the text.
    """

    text: str
    damaged: int


def report(folder: Path, form: Format = "text", *, trusted: bool = False) -> Report:
    """Summarise a comparison, after rewriting its report, a record, or a folder of records.

    A damaged record is reported in one line with its path.

    Args:
        form: Format of the tables of a comparison, default text.
        trusted: Whether modules that a comparison names may be imported, default no.

    Raises:
        RecordError: The folder contains no record.
        ValueError: Another format is asked for and the folder has no comparison.
    """
    if os.path.lexists(folder / "comparison.json"):
        return _compared(folder, form, trusted)
    if form != "text":
        raise ValueError(f"format must be text for records outside of a comparison, which have no tables, got {form}")
    entries, damaged = [], []
    for each in record_folders(folder):
        try:
            entries.append(_entry(look(each), each))
        except (RecordError, ArithmeticError) as error:
            damaged.append(_line(each, error))
    if not entries and not damaged:
        raise RecordError(f"{in_a_line(folder)} contains neither a comparison nor the record of a run")
    return Report("\n\n".join([*entries, *damaged]), len(damaged))


def record_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders, this one and its children, that contain or may contain a record."""
    if not folder.is_dir():
        return
    try:
        children = sorted(Path(each) for each in os.scandir(folder) if each.is_dir())
    except OSError as error:
        raise RecordError(f"{in_a_line(folder)} cannot be read: {error.strerror}") from error
    for each in (folder, *children):
        try:
            if set(MARKS) & set(os.listdir(each)):
                yield each
        except OSError:
            yield each


def _line(folder: Path, error: Exception) -> str:
    text = in_a_line(error)
    return f"damaged: {text}" if in_a_line(folder) in text else f"damaged: {in_a_line(folder)}: {text}"


def _entry(found: RecordText, folder: Path) -> str:
    title, measure = (in_a_line(found.description[name]) for name in ("title", "measure"))
    if found.ending is None:
        made = f"unfinished, {found.metrics[-1].step} updates or more made" if found.metrics else "unfinished"
        return f"{title}: {made}\n  record: {in_a_line(folder)}"
    outcome, step, reason = (found.ending[name] for name in ("outcome", "step", "reason"))
    return _described(title, measure, (outcome, step, reason), found.metrics, folder)


def describe(result: Result, folder: Path | None = None) -> str:
    """Return a summary of a finished run in a few lines."""
    ending = (result.outcome, result.step, result.reason)
    return _described(title_of(result.run), result.run.make_task().measure, ending, result.metrics, folder)


def again(finished: bool) -> str:
    """Return a line that a run had finished before and was read, ``""`` if it was trained now."""
    return "\n  finished before and read from its record; tca train --force trains it anew" if finished else ""


def chosen(run: Run) -> str:
    """Return the optimizer of a run in one line, beside the recommended one."""
    fitting = run.recommended
    own = run.optimizer == fitting
    whose = "recommended for this rule and network" if own else f"given; recommended: {in_words(fitting)}"
    return f"  optimizer: {in_words(run.optimizer)} ({whose})"


def _described(
    title: str, measure: str, ending: tuple[str, int, str], metrics: Sequence[Metrics], folder: Path | None
) -> str:
    outcome, step, reason = ending
    last = metrics[-1]
    why = f" ({in_a_line(reason)})" if reason else ""
    scores = (
        f"  training loss {last.train_loss:.4g}, {measure} {last.train_accuracy:.3f};"
        f" test loss {last.test_loss:.4g}, {measure} {last.test_accuracy:.3f}"
    )
    lines = [
        f"{title}: {outcome} after {step} updates{why}",
        _returns(last) if measure == "return" else scores,
        f"  {1e3 * seconds_per_step(metrics):.2f} ms an update",
    ]
    return "\n".join([*lines, *([] if folder is None else [f"  record: {in_a_line(folder)}"])])


def _returns(last: Metrics) -> str:
    """Return the returns of a run in an environment that gives rewards only, in one line."""
    seen = last.observed
    spread = f" ± {seen['return_interval']:.2g}" if "return_interval" in seen else ""
    length = f", {seen['episode_length']:.4g} steps" if "episode_length" in seen else ""
    acted = "" if math.isnan(last.train_accuracy) else f"; {last.train_accuracy:.4g} while acting"
    return f"  return of test episodes {last.test_accuracy:.4g}{spread}{length}{acted}"


def show(folder: Path) -> str:
    """Return settings, data, outcome and last measurements of a finished or unfinished run.

    Reads the record only, without building the task or network.

    Raises:
        RecordError: The record is missing or damaged.
    """
    if not os.path.lexists(folder / "run.json"):
        raise RecordError(
            f"{in_a_line(folder)} has no record of a run (run.json is missing); tca report shows folders of records"
        )
    found = look(folder)
    chapters = [
        (f"run {in_a_line(folder)}", flat(found.description["run"])),
        *((("data", flat(found.description["data"])),) if found.description["data"] else ()),
        (_ending(found), _measured(found.metrics[-1]) if found.metrics else {}),
        *(
            ("then made with" if place else "made with", flat({**each["versions"], "commit": each.get("commit"),
                                                               "threads": each.get("threads")}))
            for place, each in enumerate(found.made_with)
        ),
    ]  # fmt: skip
    text = [f"{title}\n{_aligned(entries)}".rstrip() for title, entries in chapters]
    return "\n\n".join([*text, f"train it again\n  {printable(command_of(found.description['run']), '')}"])


def _ending(found: RecordText) -> str:
    """Return the outcome or progress of a run in one line."""
    if found.ending is not None:
        reason = f" ({in_a_line(found.ending['reason'])})" if found.ending["reason"] else ""
        return f"{found.ending['outcome']} after {found.ending['step']} updates{reason}"
    if not found.metrics:
        return "unfinished, no measurements yet"
    return f"unfinished, {found.metrics[-1].step} updates or more made; tca resume trains it to its end"


def _measured(last: Metrics) -> dict[str, str]:
    values = last.to_json()
    observed = values.pop("observed")
    return {name: _number(each) for name, each in {**values, **observed}.items()}


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}"


def _aligned(entries: Mapping[str, str]) -> str:
    lines = {in_a_line(name): in_a_line(text) for name, text in entries.items()}
    width = max(map(len, lines), default=0)
    return "\n".join(f"  {name.ljust(width)}  {text}" for name, text in lines.items())


def _compared(folder: Path, form: Format, trusted: bool) -> Report:
    result = read_result(folder, trusted=trusted)
    return Report(printed(result, write_report(result, folder), folder, form), len(result.failures))
