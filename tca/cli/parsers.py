"""Parsers of the commands, with the help of every option."""

from __future__ import annotations

import re
from argparse import Action
from typing import Any, Optional

from jsonargparse import ArgumentParser

from tca.cli.comparison import Comparison
from tca.cli.list_command import CHAPTERS
from tca.experiments.config.components import Leaky, Optimizer
from tca.experiments.config.run import Run
from tca.experiments.reinforcement.actor import Agent
from tca.experiments.sweep.sweep_loop import SCHEDULERS

__all__ = ["compare_parser", "list_parser", "report_parser", "show_parser", "sweep_parser", "train_parser"]

# Help texts that replace descriptions written for Python.
FILE = "YAML or JSON file with values of the options below."
HELP = {
    "task": "Name of the task, see `tca list tasks`.",
    "task_options": "Options of the task, each as --task_options.NAME VALUE, see `tca list tasks`.",
    "tasks": "Names of tasks, comma-separated, see `tca list tasks`.",
    "rules": "Names of rules, comma-separated, see `tca list rules`.",
    "net": FILE,
    "net.types": "Fractions of the cell types, such as [0.8,0.2], or the type of every cell; by default one type.",
    "net.dale": "Sign of the outgoing recurrent synapses of each type, such as [1,-1]; 0 for both signs.",
    "optimizer": FILE,
    "optimizer.name": "Name of an optimizer of torch.optim, such as Adam, AdamW, SGD or RMSprop. If no option of "
    "the optimizer is given, the one recommended for the rule.",
    "optimizer.options": "Further arguments of the optimizer, each as --optimizer.options.NAME VALUE.",
    "seeds": FILE,
    "seeds.data": "Seed of the trials.",
    "seeds.net": "Seed of the initial weights and the private noise.",
    "seeds.rule": "Seed of the rule, for example of random feedback weights.",
    "seeds.batches": "Seed of the order of the trials.",
    "device": "Device to train on: cpu, cuda or cuda:1.",
}
REWARDS = (
    "Learn from rewards by acting in an environment of neurogym with discrete actions, with any rule; implied by "
    "reward_eprop. Updates are then episodes of a batch of environments."
)
DEFAULT = re.compile(r"[,;]\s+default\b([^.;,]|\.\d)*(?=[.;,]|$)")
IN_COMPARISONS = {
    "seeds": "Number of seeds (0, 1, ...) for each rule and task.",
    "task_options": "Options of tasks, each as --task_options.TASK.NAME VALUE, see `tca list tasks`.",
}


def train_parser() -> ArgumentParser:
    """Return the parser of ``tca train``."""
    parser = _value_parser("tca train --task TASK [options]", "runs", "folder of the records")
    parser.add_argument("--rule", default="bptt", help="Name of the rule, see `tca list rules`.")
    parser.add_class_arguments(Run, skip={"rule", "net", "optimizer"})
    parser.add_class_arguments(Optimizer, "optimizer")
    _add_network(parser)
    parser.add_argument("--rewards", action="store_true", help=REWARDS)
    parser.add_class_arguments(Agent, "agent")
    return _explained(parser, HELP)


def compare_parser() -> ArgumentParser:
    """Return the parser of ``tca compare``."""
    parser = _value_parser("tca compare [options]", "runs/compare", "folder of the records and the report")
    parser.add_argument("--workers", type=int, default=2, help="Number of processes.")
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
        help="Python file and its function that yields tca.Run objects, by default `runs`.",
    )
    parser.add_argument("--out", default="runs", metavar="DIR", help="Folder of the records and the table.")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of a Dask scheduler such as tcp://10.0.0.1:8786, or one of "
        f"{', '.join(SCHEDULERS)}, on this machine; by default dask if installed, else processes.",
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="Number of workers; by default one per core, or per device if all runs are on cuda.",
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="Threads of each worker.")
    parser.add_argument(
        "--retries", type=int, default=2, metavar="N", help="Number of restarts of a run after its worker died."
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="Report runs in training by another process instead of waiting for them.",
    )
    parser.add_argument("--dry-run", action="store_true", help="List the runs and their states without training.")
    parser.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    return parser


def report_parser() -> ArgumentParser:
    """Return the parser of ``tca report``."""
    parser = _parser("tca report FOLDER")
    parser.add_argument("path", metavar="FOLDER", help="Record, folder of records, or comparison.")
    return parser


def show_parser() -> ArgumentParser:
    """Return the parser of ``tca show``."""
    parser = _parser("tca show RUN_FOLDER")
    parser.add_argument("path", metavar="RUN_FOLDER", help="Record of a finished or unfinished run.")
    return parser


def list_parser() -> ArgumentParser:
    """Return the parser of ``tca list``."""
    parser = _parser(f"tca list [{'|'.join(CHAPTERS)}]")
    parser.add_argument(
        "chapter",
        nargs="?",
        metavar="KIND",
        help=f"One of {', '.join(CHAPTERS)}, in detail; by default all kinds, a line for each name.",
    )
    return parser


def _add_network(parser: ArgumentParser) -> None:
    """Add the options of a leaky network and the option for other kinds."""
    parser.add_class_arguments(Leaky, "net")
    parser.add_argument(
        "--network",
        type=Optional[dict[str, Any]],  # noqa: UP045 - jsonargparse formats this form correctly in its help
        help="Network of another kind, instead of the options of net: kind and options, such as "
        '{"kind": "mlp", "options": {"sizes": [256, 128]}}; `tca list nets` shows the kinds.',
    )


def _parser(usage: str) -> ArgumentParser:
    return ArgumentParser(usage=usage, exit_on_error=False, allow_abbrev=False)


def _value_parser(usage: str, folder: str, what: str) -> ArgumentParser:
    """Return a parser with the options for configuration, folder and progress."""
    parser = _parser(usage)
    parser.add_argument("--config", action="config", help=FILE)
    parser.add_argument("--folder", default=folder, help=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    return parser


def _explained(parser: ArgumentParser, texts: dict[str, str]) -> ArgumentParser:
    """Set the help of all options, without the defaults, which the parser adds."""
    for action in _actions(parser):
        if action.dest in texts:
            action.help = texts[action.dest]
        elif isinstance(action.help, str):
            action.help = DEFAULT.sub("", action.help.replace("`", ""))
    return parser


def _actions(parser: ArgumentParser) -> list[Action]:
    return list(parser._actions)
