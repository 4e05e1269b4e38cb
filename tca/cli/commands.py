"""The commands: what each is for, what it takes and what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from tca.acting import Agent
from tca.cli import parsers
from tca.cli.compare import compare
from tca.cli.comparison import Comparison
from tca.cli.listing import listing
from tca.cli.report import write_report
from tca.cli.summary import chosen, describe, report, show
from tca.cli.sweeping import plan, sweep_file
from tca.described import net_of
from tca.run import Run
from tca.train import train
from tca.train_by_reward import REWARD_RULES, folder_of, train_by_reward

__all__ = ["COMMANDS", "Command", "Said"]


@dataclass(frozen=True)
class Said:
    """What a command says at its end.

    Args:
        text: For stdout.
        status: The exit status, default 0; 1 if it did its work and something of it came to nothing.
    """

    text: str
    status: int = 0


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        purpose: What it is for, in a line.
        parser: Makes its parser.
        act: Does what it is for.
    """

    purpose: str
    parser: Callable[[], ArgumentParser]
    act: Callable[[Namespace], Said]


def _train(options: Namespace) -> Said:
    run = Run(**_values(options, ("config", "folder", "quiet", "rewards", "agent")))
    if options.rewards or run.rule in REWARD_RULES:
        return _train_by_reward(run, options)
    if options.agent != Agent():
        raise ValueError(
            f"agent says how a network acts for rewards, and rule {run.rule!r} learns from right answers: give "
            f"--rewards as well, or the rule {' or '.join(REWARD_RULES)}"
        )
    folder = run.folder(options.folder)
    result = train(run, folder, progress=not options.quiet)
    return Said(f"{describe(result, folder)}\n{chosen(run)}")


def _train_by_reward(run: Run, options: Namespace) -> Said:
    folder = folder_of(run, options.agent, options.folder)
    result = train_by_reward(run, options.agent, folder, progress=not options.quiet)
    return Said(f"{describe(result, folder)}\n{chosen(run)}")


def _compare(options: Namespace) -> Said:
    comparison = Comparison(**_values(options, ("config", "folder", "quiet", "workers")))
    folder = Path(options.folder)
    failed: dict[str, str] = {}
    measured = compare(comparison, folder, options.workers, progress=not options.quiet, failed=failed)
    table = write_report(comparison, measured, folder)
    ending = [f"report: {folder / 'report.html'}", *(f"left out: {each}" for each in failed.values())]
    return Said("\n\n".join([str(table), *ending]), 1 if failed else 0)


def _sweep(options: Namespace) -> Said:
    out = Path(options.out)
    if options.dry_run:
        return Said(plan(options.target, out))
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
    return Said(text, 0 if ended else 1)


def _report(options: Namespace) -> Said:
    found = report(Path(options.path))
    return Said(found.text, 1 if found.damaged else 0)


def _show(options: Namespace) -> Said:
    return Said(show(Path(options.path)))


def _list(options: Namespace) -> Said:
    return Said(listing(options.chapter))


def _values(options: Namespace, others: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a run or a comparison; the network is the one asked for, or a leaky one."""
    values = {name: value for name, value in vars(options).items() if name not in (*others, "network")}
    asked = options.network
    return values | {"net": net_of(vars(options.net) if asked is None else asked)}


COMMANDS = {
    "train": Command("train one network and record it", parsers.train_parser, _train),
    "compare": Command("train several rules on the same trials and report on them", parsers.compare_parser, _compare),
    "sweep": Command("train the runs that a Python function yields, many at a time", parsers.sweep_parser, _sweep),
    "show": Command("show one run: its settings, how it ended, what was measured last", parsers.show_parser, _show),
    "report": Command(
        "show what a folder of records holds; write the report of a comparison anew", parsers.report_parser, _report
    ),
    "list": Command("list rules, tasks, networks, losses and figures", parsers.list_parser, _list),
}
