"""Settings of runs in environments that give rewards only: agent, network, rule and optimizer.

Tried with one seed by backpropagation on CartPole-v1, Pendulum-v1 and InvertedPendulum-v4, see docs/reinforcement.md.
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
from tca.utils.names import lookup
from tca.utils.text import in_a_line

__all__ = ["ALGORITHMS", "PPO_AGENT", "agent_for", "network_for", "optimizer_for", "rule_for"]

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
ALGORITHMS = {
    "ppo": PPO_AGENT,
    "actor_critic": dataclasses.replace(PPO_AGENT, clip=None, epochs=1, minibatches=1),
    "reinforce": Agent(
        steps=200, trace_decay=1.0, entropy=0.0, standardize_advantages=True, normalize_observations=True, critic=False
    ),
}
CONTINUOUS: dict[str, Any] = {"steps": 64, "epochs": 8, "minibatches": 4}  # of PPO with continuous actions
DISCOUNTS = {"Pendulum-v1": 0.95}  # others 0.99
FEEDFORWARD = {
    "mlp": NetworkConfig("mlp", sizes=[64, 64], activation="tanh"),
    "vector_mlp": NetworkConfig("vector_mlp", sizes=[64, 64]),
    "dual_stream_mlp": NetworkConfig("dual_stream_mlp", sizes=[64], activation="relu", then=["rms_norm"]),
}
RECURRENT = {"leaky_rnn": NetworkConfig(size=64)}
THROUGH_TIME = ("bptt", "tbptt_future")  # recurrent rules without a trace


def agent_for(
    rule: str | Rule,
    given: Mapping[str, Any] | None = None,
    task: Task | None = None,
    algorithm: str | None = None,
) -> Agent:
    """Return the agent of a run.

    Args:
        rule: Rule or its name.
        given: Values that replace those of the agent, default none.
        task: Task that gives rewards only; ``None`` (default) for settings of no task.
        algorithm: A name in `ALGORITHMS`; ``None`` (default) for PPO, or an advantage actor-critic for a rule
            published for rewards and without a clip.

    Raises:
        ValueError: The algorithm is unknown, or a value is not allowed.

    >>> agent_for("backprop", {"steps": 100}, algorithm="reinforce").critic
    False
    """
    values = dict(given or {})
    if algorithm is None:
        algorithm = "actor_critic" if rule in REWARD_RULES or values.get("clip", 0.0) is None else "ppo"
    base = lookup(ALGORITHMS, algorithm, "algorithm")
    if isinstance(task, ControlTask):
        own: dict[str, Any] = CONTINUOUS if algorithm == "ppo" and task.continuous else {}
        base = dataclasses.replace(base, discount=DISCOUNTS.get(task.name, base.discount), **own)
    return dataclasses.replace(base, **values)


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


def optimizer_for(rule: Rule, net: NetworkConfig, agent: Agent) -> Optimizer:
    """Return the optimizer of a rule in a network: Adam, faster in two streams or with one update a block.

    Args:
        net: Its network.
        agent: Its agent.
    """
    rate = 1e-2 if net.kind == "dual_stream_mlp" or agent.clip is None else 3e-3
    return Optimizer(lr=rate, clip=0.5)
