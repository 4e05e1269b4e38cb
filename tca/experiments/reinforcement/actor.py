"""Learning from rewards: a network acts in environments, and any rule learns from what the actions were worth.

Shapes: T time, B environments side by side, I inputs, A actions, O = A + 1 outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from tca.batch import Batch
from tca.experiments.reinforcement.actor_critic import ActorCritic, advantages
from tca.learner import Learner
from tca.nets.constraints import project_
from tca.nets.stepper import Stepper
from tca.utils.checks import Count, DivergenceError, Positive, Seed, checked, whole
from tca.utils.numerics import Lasting, lasting

__all__ = ["Actor", "Agent", "Environment", "Episode", "train_reward"]


@runtime_checkable
class Environment(Protocol):
    """What an environment offers, after gymnasium.

    It keeps apart that an episode is terminated, by what it is about, and truncated, by a limit of time from outside.
    Environments of neurogym say in ``info["new_trial"]`` that a trial is over, which is a termination: one that runs
    out of time ends by the rules of its task.
    """

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Begin, and return the first observation."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Act, and return the next observation, the reward, whether terminated, whether truncated, and further facts.

        Args:
            action: Which action.
        """


@dataclass(frozen=True, eq=False)
class Episode:
    """What a network has done and met in some steps of all environments.

    Attributes:
        inputs: Observations, shape ``(T, B, I)``.
        actions: What was done upon them, whole numbers, shape ``(T, B)``.
        rewards: What followed, shape ``(T, B)``.
        terminated: Whether a trial came to its own end after the action, boolean, shape ``(T, B)``.
        truncated: Whether it was cut there by a limit of time, and had not come to its end, boolean, shape ``(T, B)``.
        values: What the network expected before each action, and after the last, shape ``(T + 1, B)``.
        beyond: What it expected of the last observation of a trial that was cut, zero elsewhere, shape ``(T, B)``.
        performance: Of the trials that came to their end, as the environments judge it; empty if they do not.
    """

    inputs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    values: Tensor
    beyond: Tensor
    performance: tuple[float, ...] = ()

    @property
    def ends(self) -> Tensor:
        """Whether a trial was over after the action, either way, boolean, shape ``(T, B)``."""
        return self.terminated | self.truncated

    @property
    def reward_per_trial(self) -> float:
        """Sum of the rewards over the number of trials that came to their end, at least one."""
        return float(self.rewards.sum() / self.ends.sum().clamp(min=1))


@checked
@dataclass(frozen=True)
class Agent:
    """How a network acts and what it makes of rewards.

    Args:
        steps: Steps of an episode, default 100, at least 1; the network starts each at its initial state, the
            environments go on.
        discount: What a reward one step later is worth, default 0.99, in [0, 1].
        memory: What an error of prediction one step later counts for beside the discount, default 1, in [0, 1].
        loss: Weights of value and entropy.

    Raises:
        ValueError: A number is not allowed.
    """

    steps: Count = 100
    discount: float = 0.99
    memory: Positive = 1.0
    loss: ActorCritic = field(default_factory=ActorCritic)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("discount", "memory"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")

    def batch(self, episode: Episode) -> Batch:
        """Return an episode as trials that any rule can learn from; every step weighs ``1/T``.

        Args:
            episode: What has been done and met.
        """
        better = advantages(
            episode.rewards,
            episode.values,
            episode.terminated,
            self.discount,
            self.memory,
            truncated=episode.truncated,
            beyond=episode.beyond,
        )
        targets = torch.stack([episode.actions.to(better), better, better + episode.values[:-1]], -1)
        return Batch(episode.inputs, targets, torch.full_like(better, 1 / len(better)), self.loss)


class Actor(Lasting):
    """A network in environments that go on from episode to episode.

    Args:
        learner: A rule bound to the network.
        environments: Environments side by side, seeded; they are reset here once.
        generator: Source of the actions.

    Raises:
        ValueError: The network cannot act step by step.
    """

    def __init__(self, learner: Learner, environments: Sequence[Environment], generator: torch.Generator) -> None:
        """Begin; see the class."""
        learner.net.stepper(len(environments))  # refuses networks that run through whole trials only
        self.net: Any = learner.net
        self.environments, self.generator = environments, generator
        self.seen = self._tensor([each.reset()[0] for each in environments])

    def act(self, steps: int, noise: Tensor | None) -> Episode:
        """Return an episode.

        Args:
            steps: Number of steps T.
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` for none.

        Raises:
            DivergenceError: The weights have grown so large that outputs are not finite.
        """
        self.net.check_numbers()
        cells = self.net.stepper(len(self.environments))
        read = torch.zeros_like(cells.rate)
        inputs, actions, rewards, terminated, truncated, values, beyond, performance = [], [], [], [], [], [], [], []
        noises = [None] * (steps + 1) if noise is None else [*noise, None]
        for t in range(steps + 1):
            outputs, read = self._look(cells, read, self.seen, noises[t])
            values.append(outputs[:, -1])
            if t == steps:
                break
            policy = torch.softmax(outputs[:, :-1].double().cpu(), -1)
            if not torch.isfinite(policy).all():
                raise DivergenceError("the network cannot act: the probabilities of its actions are not finite")
            chosen = torch.multinomial(policy, 1, generator=self.generator)[:, 0]
            inputs.append(self.seen)
            met = [each.step(int(action)) for each, action in zip(self.environments, chosen, strict=True)]
            over = [bool(info.get("new_trial")) or bool(end) for _, _, end, _, info in met]
            cut = [bool(limit) and not done for (_, _, _, limit, _), done in zip(met, over, strict=True)]
            performance += [float(info["performance"]) for *_, info in met if "performance" in info]
            actions.append(chosen)
            rewards.append([reward for _, reward, *_ in met])
            terminated.append(over)
            truncated.append(cut)
            beyond.append(self._beyond(cells, read, [seen for seen, *_ in met], noises[t + 1], cut))
            self.seen = self._tensor(
                [
                    each.reset()[0] if end or limit else seen
                    for each, (seen, _, end, limit, _) in zip(self.environments, met, strict=True)
                ]
            )
        return Episode(
            torch.stack(inputs),
            torch.stack(actions).to(self.seen.device),
            self._tensor(rewards),
            torch.tensor(terminated, dtype=torch.bool, device=self.seen.device),
            torch.tensor(truncated, dtype=torch.bool, device=self.seen.device),
            torch.stack(values),
            torch.stack(beyond),
            tuple(performance),
        )

    def _look(self, cells: Stepper, read: Tensor, seen: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Advance cells by an observation and return the outputs with the rates as the readout has filtered them."""
        cells.advance(seen, noise, None)
        read = torch.lerp(cells.rate, read, self.net.readout_leak)
        weights, bias = self.net.readout_connections()
        return weights.drive(read) + bias.effective(), read

    def _beyond(
        self, cells: Stepper, read: Tensor, seen: Sequence[Any], noise: Tensor | None, cut: Sequence[bool]
    ) -> Tensor:
        """Return the values of what trials that were cut would have gone on with, zero elsewhere; cells stay."""
        where = torch.tensor(cut, dtype=torch.bool, device=read.device)
        if not any(cut):
            return torch.zeros_like(read[:, 0])
        outputs, _ = self._look(copy.copy(cells), read, self._tensor(seen), noise)
        return torch.where(where, outputs[:, -1], 0.0)

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.from_numpy(np.array(numbers, dtype=np.float64)).to(self.net.w_out.detach())


@checked
@lasting
def train_reward(
    learner: Learner,
    environments: Sequence[Environment],
    optimizer: torch.optim.Optimizer,
    episodes: Count,
    agent: Agent | None = None,
    seed: Seed = 0,
) -> list[Episode]:
    """Train a network that acts, by whatever rule its learner has, and return its episodes.

    The network has an output for every action and one more for the value. After every episode the rule makes its
    gradient, with the same private noise, and the optimizer steps.

    Args:
        learner: A rule bound to the network.
        environments: Environments side by side, seeded; they are reset here once.
        optimizer: Of the network's parameters.
        episodes: How many.
        agent: How long episodes are and how rewards are discounted; ``None`` (default) for the defaults.
        seed: Seed of the actions, default 0.

    Raises:
        ValueError: There is no environment, the network cannot act step by step, or its outputs do not fit.
    """
    agent = Agent() if agent is None else agent
    if not environments:
        raise ValueError("environments must hold at least one environment")
    actor = Actor(learner, environments, torch.Generator().manual_seed(seed))
    net, found = learner.net, []
    for _ in range(whole("episodes", episodes, 1)):
        noise = net.draw_noise(agent.steps, len(environments))
        episode = actor.act(agent.steps, noise)
        optimizer.zero_grad()
        learner.backward(agent.batch(episode), noise)
        optimizer.step()
        project_(net, optimizer)
        found.append(episode)
    return found
