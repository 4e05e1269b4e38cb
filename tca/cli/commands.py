"""The commands of the command line, each with its parser and function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from tca.cli import parsers
from tca.cli.compare import compare
from tca.cli.comparison import Comparison
from tca.cli.list_command import listing
from tca.cli.report import write_report
from tca.cli.summary import chosen, describe, report, show
from tca.cli.sweep_command import plan, sweep_file
from tca.experiments.config.network_config import net_of
from tca.experiments.config.run import Run
from tca.experiments.reinforcement.actor import Agent
from tca.experiments.reinforcement.episodes import REWARD_RULES, folder_of, train_by_reward
from tca.experiments.training.train import train

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
        parser: Function that makes the parser.
        act: Function that runs the command.
    """

    purpose: str
    parser: Callable[[], ArgumentParser]
    act: Callable[[Namespace], CommandOutput]


def _train(options: Namespace) -> CommandOutput:
    run = Run(**_values(options, ("config", "folder", "quiet", "rewards", "agent")))
    if options.rewards or run.rule in REWARD_RULES:
        return _train_by_reward(run, options)
    if options.agent != Agent():
        raise ValueError(
            f"options of agent need a rule that learns from rewards, got {run.rule!r}: add --rewards, or use "
            f"{' or '.join(REWARD_RULES)}"
        )
    folder = run.folder(options.folder)
    result = train(run, folder, progress=not options.quiet)
    return CommandOutput(f"{describe(result, folder)}\n{chosen(run)}")


def _train_by_reward(run: Run, options: Namespace) -> CommandOutput:
    folder = folder_of(run, options.agent, options.folder)
    result = train_by_reward(run, options.agent, folder, progress=not options.quiet)
    return CommandOutput(f"{describe(result, folder)}\n{chosen(run)}")


def _compare(options: Namespace) -> CommandOutput:
    comparison = Comparison(**_values(options, ("config", "folder", "quiet", "workers")))
    folder = Path(options.folder)
    failed: dict[str, str] = {}
    measured = compare(comparison, folder, options.workers, progress=not options.quiet, failed=failed)
    table = write_report(comparison, measured, folder)
    ending = [f"report: {folder / 'report.html'}", *(f"left out: {each}" for each in failed.values())]
    return CommandOutput("\n\n".join([str(table), *ending]), 1 if failed else 0)


def _sweep(options: Namespace) -> CommandOutput:
    out = Path(options.out)
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
        progress=not options.quiet,
    )
    return CommandOutput(text, 0 if ended else 1)


def _report(options: Namespace) -> CommandOutput:
    summary = report(Path(options.path))
    return CommandOutput(summary.text, 1 if summary.damaged else 0)


def _show(options: Namespace) -> CommandOutput:
    return CommandOutput(show(Path(options.path)))


def _list(options: Namespace) -> CommandOutput:
    return CommandOutput(listing(options.chapter))


def _values(options: Namespace, others: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a run or comparison, with the network of ``--network`` or ``--net``."""
    values = {name: value for name, value in vars(options).items() if name not in (*others, "network")}
    asked = options.network
    return values | {"net": net_of(vars(options.net) if asked is None else asked)}


COMMANDS = {
    "train": Command("train one network and record it", parsers.train_parser, _train),
    "compare": Command("train several rules on the same trials and write a report", parsers.compare_parser, _compare),
    "sweep": Command("train the runs that a Python function yields, in parallel", parsers.sweep_parser, _sweep),
    "show": Command("show settings, outcome and last measurements of a run", parsers.show_parser, _show),
    "report": Command(
        "summarise a folder of records; rewrite the report of a comparison", parsers.report_parser, _report
    ),
    "list": Command("list rules, tasks, networks, losses and figures", parsers.list_parser, _list),
}
