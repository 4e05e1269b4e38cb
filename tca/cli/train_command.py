"""The train command: one run, from right answers or from rewards."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_network, explained, run_parser, run_values
from tca.cli.summary import chosen, describe
from tca.experiments.config.run import Run
from tca.experiments.reinforcement.actor import Agent
from tca.experiments.reinforcement.episodes import REWARD_RULES, folder_of, train_by_reward
from tca.experiments.training.train import train

__all__ = ["act", "parser"]

REWARDS = (
    "Learn from rewards by acting in an environment of neurogym with discrete actions, with any rule; implied by "
    "reward_eprop. Updates are then episodes of a batch of environments."
)


def parser() -> ArgumentParser:
    """Return the parser."""
    made = run_parser("tca train --task TASK [options]", "runs", "folder of the records")
    made.add_argument("--rule", default="bptt", help="Name of the rule, see `tca list rules`.")
    made.add_class_arguments(Run, skip={"rule", "net", "optimizer"})
    add_network(made)
    made.add_argument("--rewards", action="store_true", help=REWARDS)
    made.add_class_arguments(Agent, "agent")
    return explained(made, {})


def act(options: Namespace) -> CommandOutput:
    """Train a network.

    Args:
        options: Parsed options.
    """
    run = Run(**run_values(options, ("config", "folder", "quiet", "rewards", "agent")))
    if options.rewards or run.rule in REWARD_RULES:
        folder = folder_of(run, options.agent, options.folder)
        result = train_by_reward(run, options.agent, folder, progress=not options.quiet)
    elif options.agent != Agent():
        raise ValueError(
            f"options of agent need a rule that learns from rewards, got {run.rule!r}: add --rewards, or use "
            f"{' or '.join(REWARD_RULES)}"
        )
    else:
        folder = run.folder(options.folder)
        result = train(run, folder, progress=not options.quiet)
    return CommandOutput(f"{describe(result, folder)}\n{chosen(run)}")
