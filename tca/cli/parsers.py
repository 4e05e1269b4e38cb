"""Parsers of the commands: what options there are, and help that explains each of them."""

from __future__ import annotations

import re
from argparse import Action
from typing import Any, Optional

from jsonargparse import ArgumentParser

from tca.acting import Agent
from tca.cli.comparison import Comparison
from tca.cli.listing import CHAPTERS
from tca.ingredients import Leaky, Optimizer
from tca.run import Run
from tca.sweep.sweeping import SCHEDULERS

__all__ = ["compare_parser", "list_parser", "report_parser", "show_parser", "sweep_parser", "train_parser"]

# Help of options whose description in Python would not do on the command line.
FILE = "File with values of the options below, as YAML or JSON."
HELP = {
    "task": "Name of the task; `tca list tasks` shows all, with their options.",
    "task_options": "Options of the task, each as --task_options.NAME VALUE, see `tca list tasks`.",
    "tasks": "Names of tasks with commas between them, see `tca list tasks`.",
    "rules": "Names of rules with commas between them, see `tca list rules`.",
    "net": FILE,
    "net.types": "Fractions of the cell types, such as [0.8,0.2], or the type of every cell; one type unless given.",
    "net.dale": "Sign of the recurrent synapses that each type makes, such as [1,-1]; 0 for both signs.",
    "optimizer": FILE,
    "optimizer.name": "Name of an optimizer of torch.optim, such as Adam, AdamW, SGD or RMSprop. Without any option of "
    "the optimizer each rule has the one that it is recommended with.",
    "optimizer.options": "Further arguments of the optimizer, each as --optimizer.options.NAME VALUE.",
    "seeds": FILE,
    "seeds.data": "Seed of the trials.",
    "seeds.net": "Seed of the initial weights and the private noise.",
    "seeds.rule": "Seed of what the rule draws, for example feedback weights.",
    "seeds.batches": "Seed of the order of the trials.",
    "device": "Where to train: cpu, cuda or cuda:1.",
}
REWARDS = (
    "Let the network act and learn from rewards alone, by whatever rule, as reward_eprop always does; the task must be "
    "an environment of neurogym with discrete actions. Steps are then episodes, a batch environments side by side."
)
DEFAULT = re.compile(r"[,;]\s+default\b([^.;,]|\.\d)*(?=[.;,]|$)")
IN_COMPARISONS = {
    "seeds": "How often each rule is trained on each task, from seeds 0, 1 and so on.",
    "task_options": "Options of tasks, each as --task_options.TASK.NAME VALUE, see `tca list tasks`.",
}


def train_parser() -> ArgumentParser:
    """Return the parser of ``tca train``."""
    parser = _value_parser("tca train --task TASK [options]", "runs", "where records are kept, each in its own folder")
    parser.add_argument("--rule", default="bptt", help="Name of the rule; `tca list rules` shows all.")
    parser.add_class_arguments(Run, skip={"rule", "net", "optimizer"})
    parser.add_class_arguments(Optimizer, "optimizer")
    _add_network(parser)
    parser.add_argument("--rewards", action="store_true", help=REWARDS)
    parser.add_class_arguments(Agent, "agent")
    return _explained(parser, HELP)


def compare_parser() -> ArgumentParser:
    """Return the parser of ``tca compare``."""
    parser = _value_parser("tca compare [options]", "runs/compare", "where the records and the report are kept")
    parser.add_argument("--workers", type=int, default=2, help="Processes that train at the same time.")
    parser.add_class_arguments(Comparison, skip={"net", "optimizer"})
    parser.add_class_arguments(Optimizer, "optimizer")
    _add_network(parser)
    return _explained(parser, HELP | IN_COMPARISONS)


def sweep_parser() -> ArgumentParser:
    """Return the parser of ``tca sweep``."""
    parser = _parser("tca sweep FILE.py[:FUNCTION] [options]")
    parser.add_argument(
        "target",
        metavar="FILE.py[:FUNCTION]",
        help="A Python file and the function in it that yields tca.Run objects, `runs` unless it is named.",
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="Where records and the table are kept.")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask scheduler such as tcp://10.0.0.1:8786, or one of "
        f"{', '.join(SCHEDULERS)}, all on this machine; unless given, dask, or processes where Dask is not installed.",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="How many train at the same time; unless given, one for each core, or each device if all runs name cuda.",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="Threads of each worker.")
    parser.add_argument(
        "--retries", type=int, default=2, metavar="N", help="How often a run whose worker has died is begun anew."
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="Report runs that another process is training instead of waiting for them.",
    )
    parser.add_argument("--dry-run", action="store_true", help="Show the runs and which have ended; do nothing.")
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")
    return parser


def report_parser() -> ArgumentParser:
    """Return the parser of ``tca report``."""
    parser = _parser("tca report FOLDER")
    parser.add_argument("path", metavar="FOLDER", help="A record, a folder of records, or a comparison.")
    return parser


def show_parser() -> ArgumentParser:
    """Return the parser of ``tca show``."""
    parser = _parser("tca show RUN_FOLDER")
    parser.add_argument("path", metavar="RUN_FOLDER", help="The record of a run, finished or not.")
    return parser


def list_parser() -> ArgumentParser:
    """Return the parser of ``tca list``."""
    parser = _parser(f"tca list [{'|'.join(CHAPTERS)}]")
    parser.add_argument(
        "chapter",
        nargs="?",
        metavar="KIND",
        help=f"One of {', '.join(CHAPTERS)}, to be told all about them; unless given, everything in a line.",
    )
    return parser


def _add_network(parser: ArgumentParser) -> None:
    """Add the options of a leaky network, and the one that asks for another kind."""
    parser.add_class_arguments(Leaky, "net")
    parser.add_argument(
        "--network",
        type=Optional[dict[str, Any]],  # noqa: UP045 - jsonargparse shows this one in its help as it should be
        help="Another network than a leaky one, in the place of the options of net: its kind and its options, such as "
        '{"kind": "mlp", "options": {"sizes": [256, 128]}}; `tca list nets` shows the kinds.',
    )


def _parser(usage: str) -> ArgumentParser:
    return ArgumentParser(usage=usage, exit_on_error=False, allow_abbrev=False)


def _value_parser(usage: str, folder: str, what: str) -> ArgumentParser:
    """Return a parser with the options that a value is read, kept and shown with."""
    parser = _parser(usage)
    parser.add_argument("--config", action="config", help=FILE)
    parser.add_argument("--folder", default=folder, help=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--quiet", action="store_true", help="Show no progress bar.")
    return parser


def _explained(parser: ArgumentParser, texts: dict[str, str]) -> ArgumentParser:
    """Give options help for the command line; defaults are shown beside it, and need not be told in it."""
    for action in _actions(parser):
        if action.dest in texts:
            action.help = texts[action.dest]
        elif isinstance(action.help, str):
            action.help = DEFAULT.sub("", action.help.replace("`", ""))
    return parser


def _actions(parser: ArgumentParser) -> list[Action]:
    return list(parser._actions)
