"""The resume command: train unfinished runs of a record, a folder of records or a comparison to their end."""

from __future__ import annotations

import os
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.compare.comparison_loop import compare, read_comparison
from tca.cli.compare.report import printed, write_report
from tca.cli.parsers import add_folder, add_logger, given_folder, given_loggers
from tca.cli.summary import again, describe, record_folders
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError
from tca.experiments.records.reader import read_description
from tca.experiments.sweep.jobs import threads
from tca.experiments.training.train import train
from tca.utils.text import in_a_line

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca resume FOLDER [options]")
    add_folder(made, "Record of a run, folder of records, or folder of a comparison.")
    made.add_argument("--trust", action="store_true", help="Import modules that the records name.")
    made.add_argument("--workers", type=int, default=2, help="Number of processes of a comparison.")
    made.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    add_logger(made)
    return made


def act(options: Namespace) -> CommandOutput:
    """Train to the end; finished runs are read.

    Of several records, those that are damaged or name a module that may not be imported are a line each, with status 1.

    Raises:
        RecordError: There is no record, or the only one cannot go on.
    """
    folder = given_folder(options)
    if os.path.lexists(folder / "comparison.json"):
        comparison = read_comparison(folder, trusted=options.trust)
        result = compare(
            comparison, folder, options.workers, progress=not options.quiet, loggers=given_loggers(options)
        )
        text = printed(result, write_report(result, folder), folder)
        return CommandOutput(text, 1 if result.failures else 0)
    folders = list(record_folders(folder))
    if not folders:
        raise RecordError(f"{in_a_line(folder)} contains neither a comparison nor the record of a run")
    if len(folders) == 1:
        return CommandOutput(_resumed(folders[0], options))
    texts, refused = [], 0
    for each in folders:
        try:
            texts.append(_resumed(each, options))
        except (RecordError, ValueError) as error:  # the others go on
            refused += 1
            texts.append(f"not resumed: {in_a_line(error)}")
    return CommandOutput("\n\n".join(texts), int(refused > 0))


def _resumed(folder: Path, options: Namespace) -> str:
    """Return the summary of a run trained to its end."""
    described = read_description(folder)
    values = described["run"]
    try:
        run = Run.from_json(values, trusted=options.trust)
    except Exception as error:  # a file may describe anything
        raise RecordError(f"the record in {in_a_line(folder)} cannot be read: {in_a_line(error)}") from error
    before = records.finished(folder)
    with threads(described["threads"]):  # the last bits depend on them
        result = train(run, folder, progress=not options.quiet, loggers=given_loggers(options))
        return describe(result, folder) + again(before)
