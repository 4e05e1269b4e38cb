"""The verify command: train the run of a record again and compare the bits."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, given_folder
from tca.experiments.training.verification import MOST, verify
from tca.utils.text import in_a_line

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca verify FOLDER [options]")
    add_folder(made, "Record of a finished run.")
    made.add_argument("--trust", action="store_true", help="Import modules that the record names.")
    made.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    return made


def act(options: Namespace) -> CommandOutput:
    """Train a run again; the record stays as it is."""
    folder = given_folder(options)
    found = verify(folder, trusted=options.trust, progress=not options.quiet)
    compared = f"{found.measurements} measurements and {found.tensors} tensors"
    if found.same:
        lines = [f"{in_a_line(folder)}: the same bits, {compared}"]
    else:
        more = [f"and {len(found.different) - MOST} more"] if len(found.different) > MOST else []
        shown = [in_a_line(each) for each in found.different[:MOST]] + more
        lines = [f"{in_a_line(folder)}: not the same, of {compared}", *(f"  {each}" for each in shown)]
    lines += [f"  made under others: {in_a_line(found.environment)}"] if found.environment else []
    return CommandOutput("\n".join(lines), int(not found.same))
