"""The train command: one run, from targets or from rewards."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_agent, add_network, check_agent, explained, run_parser, run_values
from tca.cli.summary import chosen, describe
from tca.experiments.config.run import Run
from tca.experiments.training.train import train

__all__ = ["act", "parser"]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = run_parser("tca train --task TASK [options]", "runs", "folder of the records")
    made.add_argument("--rule", default="bptt", help="Name of the rule, see `tca list rules`.")
    made.add_class_arguments(Run, skip={"rule", "net", "optimizer", "agent"})
    add_network(made)
    add_agent(made)
    return explained(made, {})


def act(options: Namespace) -> CommandOutput:
    """Train a network."""
    agent = options.agent if check_agent(options, [options.rule]) else None
    run = Run(**run_values(options, ("config", "folder", "quiet", "rewards", "agent")), agent=agent)
    folder = run.folder(options.folder)
    result = train(run, folder, progress=not options.quiet)
    return CommandOutput(f"{describe(result, folder)}\n{chosen(run)}")
