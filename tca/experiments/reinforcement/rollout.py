"""Steps of acting in environments, and the batches that a rule learns from them.

Shapes: T time, B environments side by side, I inputs, A components of an action (one for an index), O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tca.batch import Batch
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor_critic import PPO, ActorCritic, advantages
from tca.experiments.reinforcement.policies import CategoricalPolicy, Policy

__all__ = ["Episode", "check_minibatches", "loss_of"]


def loss_of(agent: Agent, policy: Policy) -> ActorCritic:
    """Return the loss of an agent: `PPO` with a clip, else `ActorCritic`; the value weighs zero without a critic."""
    value_weight = agent.value_weight if agent.critic else 0.0
    if agent.clip is None:
        return ActorCritic(value_weight, agent.entropy, policy)
    return PPO(value_weight, agent.entropy, policy, agent.clip, agent.value_clip)


@dataclass(frozen=True, eq=False)
class Episode:
    """Observations, actions and rewards of some steps in all environments.

    Attributes:
        inputs: Observations, shape ``(T, B, I)``.
        actions: Actions, shape ``(T, B, A)``.
        rewards: Reward of each action, shape ``(T, B)``.
        terminated: Whether the task ended the trial after the action, boolean, shape ``(T, B)``.
        truncated: Whether only a time limit did, boolean, shape ``(T, B)``.
        outputs: Outputs of the network before each action, shape ``(T, B, O)``; the last is the value.
        next_values: Value of the state after the last action, shape ``(B,)``.
        final_values: Value of the last state of truncated trials, zero elsewhere, shape ``(T, B)``.
        policy: Distribution of the actions.
        scaled_rewards: Rewards to learn from, shape ``(T, B)``; the rewards by default.
        performance: Score of each trial that ended, if the environments give one.
        returns: Sum of the rewards of each trial that ended, from its first step.
        lengths: Steps of each trial that ended.
        start: State of the cells before the first step, shape ``(B, M)``, of cells that start every trial at their
            initial state; ``None`` for cells that start there once and go on from trial to trial.
    """

    inputs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    outputs: Tensor
    next_values: Tensor
    final_values: Tensor
    policy: Policy = field(default_factory=CategoricalPolicy)
    scaled_rewards: Tensor | None = None
    performance: tuple[float, ...] = ()
    returns: tuple[float, ...] = ()
    lengths: tuple[int, ...] = ()
    start: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """Value of the state before each action, and of that after the last, shape ``(T + 1, B)``."""
        return torch.cat([self.outputs[..., -1], self.next_values.unsqueeze(0)])

    @property
    def ends(self) -> Tensor:
        """Whether a trial terminated or was truncated after the action, boolean, shape ``(T, B)``."""
        return self.terminated | self.truncated

    @property
    def reward_per_trial(self) -> float:
        """Sum of the rewards over the number of trials that ended, at least one."""
        return float(self.rewards.sum() / self.ends.sum().clamp(min=1))

    def batch(self, agent: Agent) -> Batch:
        """Return the steps as trials with the loss of the agent, each of weight ``1/T``.

        Args:
            agent: Discount, trace decay and loss.
        """
        values = self.values if agent.critic else torch.zeros_like(self.values)
        advantage = advantages(
            self.rewards if self.scaled_rewards is None else self.scaled_rewards,
            values,
            self.terminated,
            agent.discount,
            agent.trace_decay,
            truncated=self.truncated,
            final_values=self.final_values if agent.critic else torch.zeros_like(self.final_values),
        )
        columns = [advantage, advantage + values[:-1]]
        if agent.clip is not None:
            columns = [self.policy.log_probability(self.outputs[..., :-1], self.actions), values[:-1], *columns]
        targets = torch.cat([self.actions.to(advantage), torch.stack(columns, -1)], -1)
        weights, loss = torch.full_like(advantage, 1 / len(advantage)), loss_of(agent, self.policy)
        return Batch(self.inputs, targets, weights, loss, start=self.start)

    def batches(self, agent: Agent, generator: torch.Generator, *, instant: bool = False) -> Iterator[Batch]:
        """Yield the batches of all updates of the agent: ``epochs`` passes, each in ``minibatches`` random parts.

        Args:
            agent: Discounts, loss, epochs and minibatches.
            generator: Generator of the parts.
            instant: Whether the network has no memory, so that every step is a trial of its own; else a part holds all
                steps of some environments.

        Raises:
            ValueError: There are more minibatches than parts.
        """
        whole = self.batch(agent)
        check_minibatches(agent, *self.rewards.shape, instant=instant)
        if instant:
            whole = replace(
                whole,
                inputs=whole.inputs.flatten(0, 1).unsqueeze(0),
                targets=whole.targets.flatten(0, 1).unsqueeze(0),
                weights=torch.ones_like(whole.weights).flatten().unsqueeze(0),
            )
        for _ in range(agent.epochs):
            shuffled = whole
            if agent.minibatches > 1:
                order = torch.randperm(whole.trials, generator=generator, device="cpu")
                shuffled = whole.select(order.to(whole.inputs.device))
            parts = torch.arange(whole.trials, device="cpu").tensor_split(agent.minibatches)
            cuts = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
            if agent.standardize_advantages:
                shuffled = _standardised(shuffled, cuts)
            shuffled.check(whole.inputs.shape[2], self.outputs.shape[2])  # once for all parts
            ends = None if instant or self.start is None else self.ends
            if ends is not None and agent.minibatches > 1:
                ends = ends[:, order.to(ends.device)]
            for cut in cuts:
                part = shuffled.select(cut) if len(cuts) > 1 else shuffled
                yield part if ends is None else _apart(part, ends[:, cut])


def check_minibatches(agent: Agent, steps: int, environments: int, *, instant: bool) -> None:
    """Raise ValueError if an agent asks for more minibatches than there are parts; see `Episode.batches`.

    Args:
        steps: Number of steps of an episode.
        environments: Number of environments side by side.
        instant: Whether every step is a trial of its own.
    """
    if agent.minibatches > (most := steps * environments if instant else environments):
        kind = "steps of all environments" if instant else "environments"
        raise ValueError(f"minibatches must be at most the {most} {kind}, got {agent.minibatches}")


def _apart(batch: Batch, ends: Tensor) -> Batch:
    """Return a batch whose trials end where those in the environments do, of the same loss; later ones start at zero.

    Args:
        ends: Whether a trial in the environments ends with the step, boolean, shape ``(T, B)``.
    """
    first = torch.cat([torch.ones_like(ends[:1]), ends[:-1]]).t()
    environment, begin = first.nonzero(as_tuple=True)
    if len(begin) == batch.trials:
        return batch
    piece = (first.flatten().cumsum(0) - 1).view_as(first)
    step = torch.arange(batch.steps, device=ends.device) - begin[piece]

    def apart(values: Tensor) -> Tensor:
        made = values.new_zeros(int(step.max()) + 1, len(begin), *values.shape[2:])
        made[step, piece] = values.transpose(0, 1)
        return made

    assert batch.start is not None
    return replace(
        batch,
        inputs=apart(batch.inputs),
        targets=apart(batch.targets),
        weights=apart(batch.weights) * (len(begin) / batch.trials),  # a batch is a mean over trials
        lengths=torch.bincount(piece.flatten()),
        start=batch.start[environment] * (begin == 0).unsqueeze(-1),
    )


def _standardised(batch: Batch, parts: Sequence[slice]) -> Batch:
    """Return a batch whose advantages have mean zero and standard deviation one in every part."""
    targets = batch.targets.clone()
    for part in parts:
        advantage = targets[:, part, -2]
        deviation = advantage.std() if advantage.numel() > 1 else torch.zeros_like(advantage.mean())
        advantage.sub_(advantage.mean()).div_(deviation + 1e-8)
    return replace(batch, targets=targets)
