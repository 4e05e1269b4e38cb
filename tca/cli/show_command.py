"""The show command: settings, outcome and last measurements of a run."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, given_folder
from tca.cli.summary import show

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = ArgumentParser(usage="tca show RUN_FOLDER", exit_on_error=False, allow_abbrev=False)
    add_folder(made, "Record of a finished or unfinished run.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Show a run."""
    return CommandOutput(show(given_folder(options)))
