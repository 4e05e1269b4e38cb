"""The compare command: entries of rules and networks on the same trials, with tables and a report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, Optional, Union

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare
from tca.cli.compare.report import printed, write_report
from tca.cli.parsers import (
    add_agent,
    add_format,
    add_network,
    check_agent,
    explained,
    given_loggers,
    run_parser,
    run_values,
)
from tca.experiments.config.agent import Agent
from tca.experiments.config.control_settings import agent_for
from tca.experiments.together.train_together import AT_ONCE

__all__ = ["act", "parser"]

DESCRIPTION = (
    "Train several rules on the same trials and write tables, figures and the page report.html. Rules with networks, "
    "optimizers or rates of their own are entries of a file: tca compare --config FILE."
)
RATES = 5  # learning rates of --tune-lr without a number
HELP = {
    "rules": "Names of rules, comma-separated, see `tca list rules`; in a file also mappings with a rule and its own "
    "name, net, optimizer, lr, seeds, tasks and task_options.",
    "reference": "Name of the entry that the others are compared with; by default the first of each task.",
    "seeds": "Number of seeds (0, 1, ...) for each entry and task.",
    "task_options": "Options of tasks, each as --task_options.TASK.NAME VALUE, see `tca list tasks`.",
}


def parser() -> ArgumentParser:
    """Return the parser."""
    made = run_parser("tca compare [options]", DESCRIPTION, "runs/compare", "folder of the records and the report")
    made.add_argument("--workers", type=int, default=2, help="Number of processes.")
    made.add_argument("--strict", action="store_true", help="Refuse entries that do not fit a task.")
    made.add_argument(
        "--together",
        metavar="N",
        nargs="?",
        const=AT_ONCE,
        default=1,
        type=int,
        help=f"Most seeds of an entry that a process trains together; {AT_ONCE} if no number is given.",
    )
    made.add_class_arguments(Comparison, skip={"net", "optimizer", "rewards", "agent", "tune_lr", "match_loss"})
    made.add_argument(
        "--tune_lr",
        "--tune-lr",
        metavar="N",
        nargs="?",
        const=RATES,
        default=0,
        type=int,
        help=f"Number of learning rates to try for each entry and task on held-out training trials; {RATES} if no "
        "number is given.",
    )
    made.add_argument(
        "--match_loss",
        "--match-loss",
        metavar="LOSS",
        nargs="?",
        const="auto",
        type=Optional[Union[float, Literal["auto"]]],  # noqa: UP007, UP045 - jsonargparse formats this form in its help
        help="Measure all runs at this training loss, too; without a number at the lowest that every run reaches.",
    )
    add_format(made)
    add_network(made)
    add_agent(made)
    return explained(made, HELP)


def act(options: Namespace) -> CommandOutput:
    """Train the entries and write the report."""
    comparison = Comparison(**run_values(options, ("workers", "strict", "together", "algorithm", "agent", "format")))
    given = vars(options).get("given", {}).get("agent")
    if given or options.algorithm:
        acting = [comparison.task(each).rewards_only for each in comparison.tasks]
        if not any(acting) or (options.algorithm and not all(acting)):
            check_agent(options, [each.rule for each in comparison.entries])
        only = comparison.task(comparison.tasks[0]) if len(comparison.tasks) == 1 else None
        agent = agent_for("", given, only, options.algorithm) if all(acting) else Agent(**options.agent.as_dict())
        comparison = dataclasses.replace(comparison, agent=agent)
    folder = Path(options.folder)
    result = compare(
        comparison, folder, options.workers, progress=not options.quiet, strict=options.strict,
        loggers=given_loggers(options), together=options.together,
    )  # fmt: skip
    text = printed(result, write_report(result, folder), folder, options.format)
    return CommandOutput(text, 1 if result.failures else 0)
