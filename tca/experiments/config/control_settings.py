"""Settings of runs in environments that give rewards only: agent, network, rule and optimizer.

They were tried on CartPole-v1 with one seed and are untuned elsewhere, see docs/reinforcement.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

from tasks.control.control_task import ControlTask
from tasks.task import Task
from tca.eligibilities import Instant
from tca.experiments.config.agent import REWARD_RULES, Agent
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.learner import Learner
from tca.rule import Rule
from tca.rules import RULES
from tca.signals.error_diffusion import ErrorDiffusion, ModuloRouting, NoCentre, PolicyRouting
from tca.utils.text import in_a_line

__all__ = ["PPO_AGENT", "agent_for", "network_for", "optimizer_for", "rule_for"]

PPO_AGENT = Agent(
    steps=32,
    discount=0.99,
    trace_decay=0.95,
    entropy=0.0,
    clip=0.2,
    epochs=4,
    minibatches=8,
    standardize_advantages=True,
    normalize_observations=True,
    normalize_rewards=True,
)
FEEDFORWARD = {
    "mlp": NetworkConfig("mlp", sizes=[64, 64], activation="tanh"),
    "vector_mlp": NetworkConfig("vector_mlp", sizes=[64, 64]),
    "dual_stream_mlp": NetworkConfig("dual_stream_mlp", sizes=[64]),
}
RECURRENT = {"leaky_rnn": NetworkConfig(size=64)}
THROUGH_TIME = ("bptt", "tbptt_future")  # recurrent rules without a trace


def agent_for(rule: str | Rule, given: Mapping[str, Any] | None = None) -> Agent:
    """Return the agent of a run: PPO, or an advantage actor-critic for a rule published for rewards.

    Args:
        rule: Rule or its name.
        given: Values that replace those of the agent, default none.
    """
    base = PPO_AGENT
    if rule in REWARD_RULES or (given or {}).get("clip", 0.0) is None:
        base = dataclasses.replace(base, clip=None, epochs=1, minibatches=1)
    return dataclasses.replace(base, **(given or {}))


def rule_for(rule: str | Rule, task: Task) -> str | Rule:
    """Return the rule as it learns from rewards; that of error diffusion routes the errors of actions and value.

    The published setting has no centring; a rule with a routing of its own stays as it is.

    Args:
        rule: Rule or its name.
        task: Task that gives rewards only.

    >>> rule_for("dfa", ControlTask("CartPole-v1"))
    'dfa'
    >>> rule_for("error_diffusion", ControlTask("CartPole-v1")).signal.routing
    PolicyRouting(components=2)
    """
    found = RULES[rule] if isinstance(rule, str) else rule
    if not isinstance(found.signal, ErrorDiffusion) or found.signal.routing != ModuloRouting():
        return rule
    assert isinstance(task, ControlTask)
    centring = NoCentre() if found == RULES["error_diffusion"] else found.signal.centring
    signal = dataclasses.replace(found.signal, routing=PolicyRouting(task.components), centring=centring)
    return Rule(signal, found.eligibility)


def network_for(rule: str | Rule, task: Task) -> NetworkConfig:
    """Return the first network that the rule fits, recurrent networks first for rules through time.

    Args:
        rule: Rule or its name.
        task: Task that gives rewards only.

    Raises:
        ValueError: It fits none.

    >>> [network_for(rule, ControlTask("CartPole-v1")).kind for rule in ("backprop", "bptt", "gevb")]
    ['mlp', 'leaky_rnn', 'vector_mlp']
    """
    found = RULES[rule] if isinstance(rule, str) else rule
    timed = rule in THROUGH_TIME or found.form is not None or not isinstance(found.eligibility, Instant)
    reasons = []
    for kind, config in ({**RECURRENT, **FEEDFORWARD} if timed else {**FEEDFORWARD, **RECURRENT}).items():
        config = config.in_form(found.form or "A", anew=False)
        try:
            Learner(config.build(task.n_in, task.n_out + 1, dt=task.dt, seed=0, dtype=torch.float32), found)
        except ValueError as error:
            reasons.append(f"{kind}: {in_a_line(error)}")
        else:
            return config
    raise ValueError(f"the rule fits no network that acts: {'; '.join(reasons)}")


def optimizer_for(rule: Rule, net: NetworkConfig) -> Optimizer:
    """Return the optimizer of a rule in a network.

    Args:
        net: Its network.
    """
    return Optimizer(lr=3e-2 if net.kind == "dual_stream_mlp" else 1e-3, clip=0.5)
