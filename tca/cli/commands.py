"""The commands of the command line; a command is imported when it is chosen."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

__all__ = ["COMMANDS", "Command", "CommandOutput"]


@dataclass(frozen=True)
class CommandOutput:
    """Output and exit status of a command.

    Args:
        text: Text for stdout.
        status: Exit status, default 0; 1 if some runs failed or some records are damaged.
    """

    text: str
    status: int = 0


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        purpose: Purpose in one line.
        name: Module with its ``parser()`` and its ``act(options)``.
        configured: Whether it takes the options of one ``"run"`` or of a ``"comparison"``, also from files; default
            ``""`` for neither.
    """

    purpose: str
    name: str
    configured: Literal["", "run", "comparison"] = ""

    @property
    def module(self) -> ModuleType:
        """The module, imported."""
        return importlib.import_module(self.name)


COMMANDS = {
    "demo": Command("train three rules on a task in half a minute and draw a figure", "tca.cli.demo_command"),
    "train": Command("train one network and record it", "tca.cli.train_command", "run"),
    "compare": Command(
        "train several rules on the same trials and write a report", "tca.cli.compare_command", "comparison"
    ),
    "sweep": Command("train the runs that a Python function yields, in parallel", "tca.cli.sweep_command"),
    "resume": Command("train unfinished runs of a folder to their end", "tca.cli.resume_command"),
    "runs": Command("list runs of a folder, filtered and sorted", "tca.cli.runs_command"),
    "show": Command("show settings, outcome and last measurements of a run", "tca.cli.show_command"),
    "verify": Command("train the run of a record again and compare the bits", "tca.cli.verify_command"),
    "report": Command("summarise a folder of records; rewrite the report of a comparison", "tca.cli.report_command"),
    "cite": Command("print BibTeX of rules, tasks, networks or runs", "tca.cli.cite_command"),
    "list": Command("list rules, tasks, networks, losses and figures", "tca.cli.list_command"),
}
