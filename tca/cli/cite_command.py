"""The cite command: BibTeX of the rules, tasks and networks that a run or a name uses."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

import tasks
from tasks.images.catalogue import DIGITS, KNOWN
from tca.cells import CELLS
from tca.cli.bibliography import entries_of_name, entries_of_run, software
from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.record_names import RECORDS
from tca.cli.summary import record_folders
from tca.experiments.records.reader import read_description
from tca.losses import LOSSES
from tca.nets import NETWORKS
from tca.rules import RULES
from tca.utils.names import lookup

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca cite NAME_OR_FOLDER...")
    made.add_argument(
        "names",
        nargs="*",
        default=[],
        metavar="NAME_OR_FOLDER",
        help="Names of rules, tasks, networks, losses and image sets, records of runs, or folders of records; without "
        "any, this library.",
    )
    return made


def act(options: Namespace) -> CommandOutput:
    """Print the entries, each once.

    Raises:
        ValueError: A name is unknown, and no folder with records.
    """
    found: dict[str, None] = {} if options.names else {software(): None}
    for name in options.names:
        found |= dict.fromkeys(_of(name))
    return CommandOutput("\n\n".join(found) or f"% no paper is known for {' '.join(options.names)}")


def _of(name: str) -> list[str]:
    known = [*RULES, *NETWORKS, *CELLS, *tasks.list(), *LOSSES, DIGITS, *KNOWN]
    if name in known:
        return entries_of_name(name)
    if Path(name).is_dir():
        folders = list(record_folders(Path(name))) or list(record_folders(Path(name) / RECORDS))  # of a comparison
        if not folders:
            raise ValueError(f"{name} contains no record of a run")
        return [text for folder in folders for text in entries_of_run(read_description(folder)["run"])]
    lookup(dict.fromkeys(known), name, "rule, task, network, loss, image set or folder")
    return []
