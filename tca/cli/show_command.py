"""The show command: settings, outcome and last measurements of a run."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.summary import show

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = ArgumentParser(usage="tca show RUN_FOLDER", exit_on_error=False, allow_abbrev=False)
    made.add_argument("path", metavar="RUN_FOLDER", help="Record of a finished or unfinished run.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Show a run."""
    return CommandOutput(show(Path(options.path)))
