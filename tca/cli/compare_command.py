"""The compare command: several rules on the same trials, with a table and a report."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare
from tca.cli.compare.report import write_report
from tca.cli.parsers import add_agent, add_network, check_agent, explained, run_parser, run_values

__all__ = ["act", "parser"]

HELP = {
    "seeds": "Number of seeds (0, 1, ...) for each rule and task.",
    "task_options": "Options of tasks, each as --task_options.TASK.NAME VALUE, see `tca list tasks`.",
}


def parser() -> ArgumentParser:
    """Return the parser."""
    made = run_parser("tca compare [options]", "runs/compare", "folder of the records and the report")
    made.add_argument("--workers", type=int, default=2, help="Number of processes.")
    made.add_class_arguments(Comparison, skip={"net", "optimizer", "rewards", "agent"})
    add_network(made)
    add_agent(made)
    return explained(made, HELP)


def act(options: Namespace) -> CommandOutput:
    """Train the rules and write the report.

    Args:
        options: Parsed options.
    """
    comparison = Comparison(**run_values(options, ("config", "folder", "quiet", "workers", "trust")))
    check_agent(options, comparison.rules)
    folder = Path(options.folder)
    failed: dict[str, str] = {}
    measured = compare(comparison, folder, options.workers, progress=not options.quiet, failed=failed)
    table = write_report(comparison, measured, folder)
    ending = [f"report: {folder / 'report.html'}", *(f"left out: {each}" for each in failed.values())]
    return CommandOutput("\n\n".join([str(table), *ending]), 1 if failed else 0)
