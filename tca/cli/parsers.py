"""Options of runs and comparisons, with their help."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.record_names import record_path
from tca.cli.table_formats import Format
from tca.experiments.config.agent import REWARD_RULES, Agent
from tca.experiments.config.components import Optimizer
from tca.experiments.config.control_settings import ALGORITHMS
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.loggers.logger import Logger, loggers_of
from tca.rule import Rule

__all__ = [
    "add_agent", "add_folder", "add_format", "add_logger", "add_network", "check_agent", "explained", "given_folder",
    "given_loggers", "run_parser", "run_values",
]  # fmt: skip

# Help texts that replace descriptions written for Python.
FILE = "YAML or JSON file with values of the options below."
HELP = {
    "task": "Name of the task, see `tca list tasks`, or import path of one's own, such as my_module:MyTask.",
    "task_options": "Options of the task, each as --task_options.NAME VALUE, see `tca list tasks`.",
    "tasks": "Names of tasks, comma-separated, see `tca list tasks`.",
    "rules": "Names of rules, comma-separated, see `tca list rules`.",
    "net": "Kind of the network, see `tca list nets`, or import path of one's own, with --net.OPTION VALUE; or a "
    f"{FILE}",
    "net.size": "Number of recurrent cells.",
    "net.form": "Where the leak acts: A on the potential, B on the rate; by default as the rule has it, or A.",
    "net.activation": "One of tanh, relu, softplus, rectified_tanh and linear.",
    "net.tau": "Time constant of the cells in ms.",
    "net.leak": "How a time constant becomes a factor per step: exponential or euler.",
    "net.noise": "Standard deviation of the private noise of a potential in training.",
    "net.readout_tau": "Time constant of the readout in ms; by default none.",
    "net.learn_initial": "Whether the initial state is learned.",
    "net.autapses": "Whether cells may have synapses onto themselves.",
    "net.gain_rec": "Standard deviation of the initial recurrent weights times the square root of the in-degree.",
    "net.cell_types": "Fractions of the cell types, such as [0.8,0.2], or the type of every cell; by default one type.",
    "net.dale": "Sign of the outgoing recurrent synapses of each type, such as [1,-1]; 0 for both signs.",
    "optimizer": f"Name of an optimizer, with --optimizer.OPTION VALUE; or a {FILE}",
    "optimizer.name": "Name of an optimizer of torch.optim, such as Adam, AdamW or SGD, or import path of one's own. "
    "If no option of the optimizer is given, the one recommended for the rule.",
    "optimizer.options": "Further arguments of the optimizer, each as --optimizer.NAME VALUE, such as "
    "--optimizer.momentum 0.9.",
    "seeds": f"{FILE} --seed N sets all of them.",
    "agent": FILE,
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
ALGORITHM = (
    "Algorithm where a task gives rewards only, by default ppo, or actor_critic for reward_eprop; --agent.NAME VALUE "
    "changes its options."
)
LEAKY_NET = "The network, by default a leaky one (leaky_rnn), whose options are these"
# Types of the options of a leaky network whose default is None.
LEAKY: dict[str, Any] = {
    "form": Optional[str],  # noqa: UP045
    "readout_tau": Optional[float],  # noqa: UP045
    "cell_types": Optional[tuple[float, ...]],  # noqa: UP045
    "dale": Optional[tuple[int, ...]],  # noqa: UP045
}
DEFAULT = re.compile(r"[,;]\s+default\b([^.;,]|\.\d)*(?=[.;,]|$)")


def run_parser(usage: str, description: str, folder: str, contents: str) -> ArgumentParser:
    """Return a parser with the options for configuration, folder and progress."""
    parser = command_parser(usage, description)
    parser.add_argument("--config", action="config", help=FILE)
    parser.add_argument("--trust", action="store_true", help="Import modules that a record given as --config names.")
    parser.add_argument("--folder", default=folder, help=f"{contents[0].upper()}{contents[1:]}.")
    parser.add_argument("--quiet", action="store_true", help="Hide the progress bar.")
    add_logger(parser)
    return parser


def add_network(parser: ArgumentParser) -> None:
    """Add the options of the optimizer, of a leaky network, and the option for other networks."""
    parser.add_class_arguments(Optimizer, "optimizer")
    options = [(name, LEAKY.get(name, type(value)), value) for name, value in NetworkConfig().options.items()]
    leaky = dataclasses.make_dataclass("leaky_rnn", options, namespace={"__doc__": LEAKY_NET})
    parser.add_class_arguments(leaky, "net")
    parser.add_argument(
        "--network",
        type=Optional[dict[str, Any]],  # noqa: UP045 - jsonargparse formats this form correctly in its help
        help="The network in one value instead of the options of net: kind and options, such as "
        '{"kind": "mlp", "options": {"sizes": [256, 128]}}.',
    )


def add_format(parser: ArgumentParser) -> None:
    """Add the option of the format of printed tables."""
    text = "Format of printed tables; others than text print the tables alone, latex for the package booktabs."
    parser.add_argument("--format", type=Format, default="text", help=text)


def add_logger(parser: ArgumentParser) -> None:
    """Add the option that names loggers."""
    text = "Loggers of the measurements, comma-separated: tensorboard, wandb, or the import path of one."
    parser.add_argument("--logger", metavar="NAMES", help=text)


def given_loggers(options: Namespace) -> tuple[Logger, ...]:
    """Return the loggers that a command names.

    Raises:
        ValueError: A name is unknown.
        ImportError: The package of a logger is not installed.
    """
    return loggers_of(options.logger or ())


def add_agent(parser: ArgumentParser) -> None:
    """Add the options of learning from rewards."""
    parser.add_argument("--rewards", action="store_true", help=REWARDS)
    parser.add_argument("--algorithm", choices=list(ALGORITHMS), help=ALGORITHM)
    parser.add_class_arguments(Agent, "agent", instantiate=False)


def add_folder(parser: ArgumentParser, contents: str) -> None:
    """Add the folder that a command reads, as its argument or as ``--folder``."""
    text = "A path, also within runs; of a record the beginning of its name or of its hash is enough."
    parser.add_argument("path", metavar="FOLDER", nargs="?", help=f"{contents} {text}")
    parser.add_argument("--folder", help="The same.")


def given_folder(options: Namespace) -> Path:
    """Return the folder that a command reads, see `tca.cli.record_names.record_path`.

    Raises:
        ValueError: There is none, or two, or a beginning is that of several records.
    """
    given = [each for each in (options.path, options.folder) if each is not None]
    if len(given) != 1:
        raise ValueError(f"exactly one FOLDER is required, got {' and '.join(given) or 'none'}")
    return record_path(given[0])


def check_agent(options: Namespace, rules: Sequence[str | Rule]) -> bool:
    """Return whether any rule learns from rewards, or raise if options of an agent are given and none does.

    Raises:
        ValueError: The options of the agent are of no use.
    """
    if options.algorithm is not None:
        raise ValueError(
            f"algorithm must not be given where tasks have right answers, got {options.algorithm!r}: give --rewards "
            "and, for PPO, --agent.clip 0.2"
        )
    acts = bool(options.rewards or set(rules) & set(REWARD_RULES))
    if vars(options).get("given", {}).get("agent") and not acts:
        raise ValueError(
            f"options of agent need a rule that learns from rewards, got {', '.join(map(repr, rules))}: add --rewards, "
            f"or use {' or '.join(REWARD_RULES)}"
        )
    return acts


def explained(parser: ArgumentParser, texts: dict[str, str]) -> ArgumentParser:
    """Set the help of all options, without the defaults, which the parser adds.

    Args:
        texts: Help of options, by name, in addition to `HELP`.
    """
    for action in list(parser._actions):
        if action.dest in (known := HELP | texts):
            action.help = known[action.dest]
        elif isinstance(action.help, str):
            action.help = DEFAULT.sub("", action.help.replace("`", ""))
    return parser


def run_values(options: Namespace, others: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a run or comparison, with the network of ``--network`` or ``--net``."""
    out = (*others, "config", "folder", "quiet", "logger", "trust", "given", "network", "net")
    values = {name: value for name, value in vars(options).items() if name not in out}
    return values if options.network is None else values | {"net": NetworkConfig(**options.network)}
