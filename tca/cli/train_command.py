"""The train command: one run, from targets or from rewards."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace

import tasks
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_agent, add_network, check_agent, explained, given_loggers, run_parser, run_values
from tca.cli.summary import again, chosen, describe
from tca.experiments import records
from tca.experiments.config.agent import Agent
from tca.experiments.config.control_settings import agent_for
from tca.experiments.config.recipes import fitted_network
from tca.experiments.config.rule_config import rule_of
from tca.experiments.config.run import Run
from tca.experiments.records.remnants import discard
from tca.experiments.sweep.jobs import threads
from tca.experiments.training.thread_choice import WIDEST, threads_for
from tca.experiments.training.train import train
from tca.rule import Rule
from tca.utils.checks import Count, check

__all__ = ["act", "chosen_run", "parser"]

DESCRIPTION = (
    "Train one network and record it. TASK is the name of a task, an import path, or a YAML or JSON file of options. "
    "Rules, networks, losses and optimizers may be one's own, by import path."
)
RULE = (
    "Name or import path of the rule, see `tca list rules`; --rule.signal.NAME VALUE and --rule.eligibility.NAME VALUE "
    "change options of its parts, --rule.signal CLASS and --rule.eligibility CLASS its parts."
)


LOSS = (
    "Name, import path or class of the loss, see `tca list losses`; --loss.NAME VALUE changes its options. By default "
    "that of the task."
)

THREADS = f"Threads of torch; 1 if not given for networks of up to {WIDEST} cells a layer, else its own number."


def parser() -> ArgumentParser:
    """Return the parser."""
    made = run_parser("tca train TASK [options]", DESCRIPTION, "runs", "folder of the records")
    made.add_argument("--rule", default="bptt", help=RULE)
    made.add_argument("--loss", help=LOSS)
    made.add_class_arguments(Run, skip={"rule", "net", "optimizer", "agent", "loss"})
    add_network(made)
    add_agent(made)
    made.add_argument("--threads", type=int, metavar="N", help=THREADS)
    made.add_argument("--force", action="store_true", help="Remove the record of the same run and train it anew.")
    return explained(made, {})


def chosen_run(options: Namespace) -> Run:
    """Return the run that the options describe.

    Args:
        options: Parsed options.
    """
    rule, loss = (json.loads(each) if (each or "").startswith("{") else each for each in (options.rule, options.loss))
    rule = rule_of(rule)
    agent = chosen_agent(options, rule)
    values = run_values(options, ("rewards", "algorithm", "agent", "rule", "loss", "threads", "force"))
    if options.network and "kind" not in options.network:
        task = tasks.make(options.task, **(options.task_options or {}))
        values["net"] = fitted_network(values["net"], task, rule)
    return Run(**values, rule=rule, agent=agent, loss=loss)


def chosen_agent(options: Namespace, rule: str | Rule) -> Agent | None:
    """Return the agent of the options, ``None`` without one or for that of the task.

    Args:
        options: Parsed options.
        rule: Rule of the run.
    """
    task = tasks.make(options.task, **(options.task_options or {}))
    if task.rewards_only:
        return agent_for(rule, vars(options).get("given", {}).get("agent"), task, options.algorithm)
    return Agent(**options.agent.as_dict()) if check_agent(options, [rule]) else None


def act(options: Namespace) -> CommandOutput:
    """Train a network.

    Args:
        options: Parsed options.
    """
    run = chosen_run(options)
    folder, loggers = run.folder(options.folder), given_loggers(options)
    if options.force:
        discard(folder)
    before = records.finished(folder)
    number = threads_for(run.net) if options.threads is None else check("threads", options.threads, Count)
    with threads(number):
        result = train(run, folder, progress=not options.quiet, loggers=loggers)
    return CommandOutput(f"{describe(result, folder)}\n{chosen(run)}{again(before)}")
