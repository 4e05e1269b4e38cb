"""The report command: summary of a folder of records."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, add_format, given_folder
from tca.cli.summary import report

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca report FOLDER [options]")
    add_folder(made, "Record, folder of records, or comparison.")
    made.add_argument("--trust", action="store_true", help="Import modules that a comparison names.")
    add_format(made)
    return made


def act(options: Namespace) -> CommandOutput:
    """Summarise the records."""
    summary = report(given_folder(options), options.format, trusted=options.trust)
    return CommandOutput(summary.text, 1 if summary.damaged else 0)
