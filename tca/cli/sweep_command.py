"""The sweep command: from a Python file to records, a table and its CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_logger, given_loggers
from tca.cli.text_table import TextTable, csv_text
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger
from tca.experiments.records.files import explained, write_whole
from tca.experiments.sweep import Swept, read_runs, settings, sweep, varying
from tca.experiments.sweep.sweep_files import FUNCTION, split
from tca.experiments.sweep.sweep_loop import SCHEDULERS

__all__ = ["act", "csv_of", "parser", "plan", "sweep_file", "tabulate"]

STATES = ("ended", "unfinished", "new")
MEASURED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "elapsed")  # fields of Metrics


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca sweep FILE.py[:FUNCTION] [options]")
    made.add_argument(
        "target",
        metavar="FILE.py[:FUNCTION]",
        help="Python file and its function that yields tca.Run objects, by default `runs`.",
    )
    made.add_argument("--folder", "--out", default="runs", metavar="DIR", help="Folder of the records and the table.")
    made.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask scheduler such as tcp://10.0.0.1:8786, or one of "
        f"{', '.join(SCHEDULERS)}, on this machine; by default dask if installed, else processes.",
    )
    made.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="Number of workers; by default one per core, or per device if all runs are on cuda.",
    )
    made.add_argument("--threads", type=int, default=1, metavar="N", help="Threads of each worker.")
    made.add_argument(
        "--retries", type=int, default=2, metavar="N", help="Number of restarts of a run after its worker died."
    )
    made.add_argument(
        "--together",
        type=int,
        default=1,
        metavar="N",
        help="Most runs that a worker trains together, those that differ in seeds and optimizer alone; about 8 are "
        "best on a CPU.",
    )
    made.add_argument(
        "--no-wait",
        action="store_true",
        help="Report runs in training by another process instead of waiting for them.",
    )
    made.add_argument("--dry-run", action="store_true", help="List the runs and their states without training.")
    made.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    add_logger(made)
    return made


def act(options: Namespace) -> CommandOutput:
    """Train the runs of a Python function, or list them."""
    out = Path(options.folder)
    if options.dry_run:
        return CommandOutput(plan(options.target, out))
    text, ended = sweep_file(
        options.target,
        out,
        options.scheduler,
        options.workers,
        threads=options.threads,
        retries=options.retries,
        wait=not options.no_wait,
        together=options.together,
        progress=not options.quiet,
        loggers=given_loggers(options),
    )
    return CommandOutput(text, 0 if ended else 1)


def sweep_file(
    target: str,
    out: Path,
    scheduler: str | None = None,
    workers: int | None = None,
    *,
    threads: int = 1,
    retries: int = 2,
    wait: bool = True,
    together: int = 1,
    progress: bool = True,
    loggers: Sequence[Logger] = (),
) -> tuple[str, bool]:
    """Train the runs of a Python function; return their table, and whether all ended.

    Args:
        target: ``file.py`` or ``file.py:function``.
        out: Folder of the records and of the table as CSV, named after file and function.
        scheduler: See `tca.experiments.sweep.sweep`, like all that follow.
        threads: Threads of torch in each worker.
        retries: Number of restarts of a run after its worker died.
        wait: Whether to wait for runs in use by other processes.
        together: Most runs that a worker trains together.
        progress: Whether to show a bar and a line for each run.
        loggers: Receivers of the measurements, default none.
    """
    runs, (source, function) = read_runs(target), split(target)
    found = sweep(
        runs, out, scheduler, workers, threads=threads, retries=retries, wait=wait, source=source, progress=progress,
        loggers=loggers, together=together,
    )  # fmt: skip
    by_name = {each.run.name: each for each in found}
    swept = [by_name[name] for name in dict.fromkeys(run.name for run in runs)]
    path = out / f"{source.stem if function == FUNCTION else f'{source.stem}_{function}'}.csv"
    with explained(out):
        write_whole(path, csv_of(swept).encode())
    return f"{tabulate(swept)}\n\ntable: {path}", all(each.ended for each in swept)


def plan(target: str, out: Path) -> str:
    """Return the table of the runs and states of a sweep, without training.

    Args:
        target: ``file.py`` or ``file.py:function``.
    """
    runs = list({run.name: run for run in read_runs(target)}.values())
    states = [_state(run.folder(out)) for run in runs]
    names = _shown(runs)
    rows = [(*_values(run, names), state, run.folder(out).name) for run, state in zip(runs, states, strict=True)]
    head = (*names, "state", "record")
    count = Counter(states)
    summary = ", ".join(f"{count[state]} {state}" for state in STATES if count[state])
    notes = [f"{len(runs)} runs: {summary}; none was trained."]
    return str(TextTable(head, rows, notes, left=len(head), grouped=False))


def _state(folder: Path) -> str:
    if records.finished(folder):
        return "ended"
    return "unfinished" if (folder / "run.json").exists() else "new"


def tabulate(swept: Sequence[Swept]) -> TextTable:
    """Return the table of a sweep for a terminal.

    Args:
        swept: Results of the runs, in the order of the rows.
    """
    names = _shown([each.run for each in swept])
    rows = [(*_values(each.run, names), *_cells(each)) for each in swept]
    head = (*names, "outcome", "updates", "train loss", "test loss", "test score")
    count = Counter(each.outcome for each in swept)
    notes = [f"{len(swept)} runs: {', '.join(f'{number} {outcome}' for outcome, number in count.items())}."]
    for each in swept:
        if each.reason:
            which = ", ".join(map(" ".join, zip(names, _values(each.run, names), strict=True)))
            notes.append(f"{each.outcome}: {which}: {each.reason}.")
    return TextTable(head, rows, notes, left=len(names) + 1, grouped=False)


def csv_of(swept: Sequence[Swept]) -> str:
    """Return a sweep as comma-separated values: settings that vary, outcome, last measurement, reason and record.

    Args:
        swept: Results of the runs, in the order of the rows; missing measurements are empty.
    """
    names = varying([each.run for each in swept])
    rows = (
        (
            *_values(each.run, names),
            each.outcome,
            each.step if each.ended else "",
            *("" if each.last is None else getattr(each.last, name) for name in MEASURED),
            each.reason,
            each.folder.name,
        )
        for each in swept
    )
    return csv_text([*names, "outcome", "step", *MEASURED, "reason", "record"], rows)


def _values(run: Run, names: Sequence[str]) -> tuple[str, ...]:
    """Return settings of a run, empty where it lacks one."""
    values = settings(run)
    return tuple(values.get(name, "") for name in names)


def _shown(runs: Sequence[Run]) -> list[str]:
    """Return the names of the settings that vary, or task and rule if none does."""
    return varying(runs) or ["task", "rule"]


def _cells(swept: Swept) -> tuple[str, ...]:
    if swept.last is None:
        return (swept.outcome, "-", "-", "-", "-")
    last = swept.last
    numbers = (f"{last.train_loss:.4g}", f"{last.test_loss:.4g}", f"{last.test_accuracy:.3f}")
    return (swept.outcome, str(swept.step), *numbers)
