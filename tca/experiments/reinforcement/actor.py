"""Networks that act in environments, one step of time after another.

Shapes: T time, B environments side by side, I inputs, A actions, O = A + 1 outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from tca.batch import Batch
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor_critic import ActorCritic, advantages
from tca.learner import Learner
from tca.nets.stepper import Stepper
from tca.utils.checks import DivergenceError
from tca.utils.numerics import Lasting

__all__ = ["Actor", "Environment", "Episode"]


@runtime_checkable
class Environment(Protocol):
    """The interface of gymnasium's environments with discrete actions.

    ``terminated`` is an end by the rules of the task, ``truncated`` one by a time limit outside of them. Environments
    of neurogym report the end of a trial in ``info["new_trial"]``, which counts as terminated.
    """

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Start, and return the first observation."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return the next observation, the reward, terminated, truncated and info."""


@dataclass(frozen=True, eq=False)
class Episode:
    """Observations, actions and rewards of some steps in all environments.

    Attributes:
        inputs: Observations, shape ``(T, B, I)``.
        actions: Indices of the actions, shape ``(T, B)``.
        rewards: Reward of each action, shape ``(T, B)``.
        terminated: Whether the task ended the trial after the action, boolean, shape ``(T, B)``.
        truncated: Whether only a time limit did, boolean, shape ``(T, B)``.
        values: Value of the state before each action, and of that after the last, shape ``(T + 1, B)``.
        final_values: Value of the last state of truncated trials, zero elsewhere, shape ``(T, B)``.
        performance: Score of each trial that ended, if the environments give one.
    """

    inputs: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    values: Tensor
    final_values: Tensor
    performance: tuple[float, ...] = ()

    @property
    def ends(self) -> Tensor:
        """Whether a trial terminated or was truncated after the action, boolean, shape ``(T, B)``."""
        return self.terminated | self.truncated

    @property
    def reward_per_trial(self) -> float:
        """Sum of the rewards over the number of trials that ended, at least one."""
        return float(self.rewards.sum() / self.ends.sum().clamp(min=1))

    def batch(self, agent: Agent) -> Batch:
        """Return the steps as trials with the actor-critic loss, each of weight ``1/T``.

        Args:
            agent: Discount, trace decay and weights of the loss.
        """
        advantage = advantages(
            self.rewards,
            self.values,
            self.terminated,
            agent.discount,
            agent.trace_decay,
            truncated=self.truncated,
            final_values=self.final_values,
        )
        targets = torch.stack([self.actions.to(advantage), advantage, advantage + self.values[:-1]], -1)
        loss = ActorCritic(agent.value_weight, agent.entropy)
        return Batch(self.inputs, targets, torch.full_like(advantage, 1 / len(advantage)), loss)


class Actor(Lasting):
    """A network and its environments, which continue from episode to episode.

    Args:
        learner: A rule bound to the network.
        environments: Environments side by side, seeded; they are reset once.
        generator: Generator of the actions.

    Raises:
        ValueError: The network cannot act step by step, or there is no environment.
    """

    def __init__(self, learner: Learner, environments: Sequence[Environment], generator: torch.Generator) -> None:
        if not environments:
            raise ValueError("environments must hold at least one environment")
        learner.net.stepper(len(environments))  # refuses networks that run through whole trials only
        self.net: Any = learner.net
        self.environments, self.generator = environments, generator
        self.observation = self._tensor([each.reset()[0] for each in environments])

    def act(self, steps: int, noise: Tensor | None) -> Episode:
        """Return an episode.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` for none.

        Raises:
            DivergenceError: The probabilities of the actions are not finite.
        """
        self.net.check_numbers()
        cells = self.net.stepper(len(self.environments))
        read = torch.zeros_like(cells.rate)
        noises = [None] * (steps + 1) if noise is None else [*noise, None]
        device = self.observation.device
        rows: list[tuple[Tensor, ...]] = []
        performance: list[float] = []
        for t in range(steps):
            outputs, read = self._advance(cells, read, self.observation, noises[t])
            actions = self._draw(outputs[:, :-1])
            results = [each.step(int(action)) for each, action in zip(self.environments, actions, strict=True)]
            over = [bool(info.get("new_trial")) or bool(end) for _, _, end, _, info in results]
            cut = [bool(limit) and not done for (_, _, _, limit, _), done in zip(results, over, strict=True)]
            performance += [float(info["performance"]) for *_, info in results if "performance" in info]
            rewards = self._tensor([reward for _, reward, *_ in results])
            ends = (torch.tensor(each, dtype=torch.bool, device=device) for each in (over, cut))
            last = self._final_values(cells, read, [observed for observed, *_ in results], noises[t + 1], cut)
            rows.append((self.observation, actions.to(device), rewards, *ends, outputs[:, -1], last))
            self.observation = self._tensor(
                [
                    each.reset()[0] if end or limit else observed
                    for each, (observed, _, end, limit, _) in zip(self.environments, results, strict=True)
                ]
            )
        outputs, _ = self._advance(cells, read, self.observation, None)
        inputs, taken, rewards, terminated, truncated, values, final_values = (
            torch.stack(each) for each in zip(*rows, strict=True)
        )
        values = torch.cat([values, outputs[None, :, -1]])
        return Episode(inputs, taken, rewards, terminated, truncated, values, final_values, tuple(performance))

    def _draw(self, logits: Tensor) -> Tensor:
        """Draw an action for each environment."""
        policy = torch.softmax(logits.double().cpu(), -1)
        if not torch.isfinite(policy).all():
            raise DivergenceError("the network cannot act: the probabilities of its actions are not finite")
        return torch.multinomial(policy, 1, generator=self.generator)[:, 0]

    def _advance(
        self, cells: Stepper, read: Tensor, observation: Tensor, noise: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the outputs after an observation, and the filtered rates of the readout."""
        cells.advance(observation, noise, None)
        read = torch.lerp(cells.rate, read, self.net.readout_leak)
        return self.net.read_out(read, observation), read

    def _final_values(
        self, cells: Stepper, read: Tensor, observed: Sequence[Any], noise: Tensor | None, cut: Sequence[bool]
    ) -> Tensor:
        """Return the values of the last states of truncated trials, zero elsewhere; the cells do not advance."""
        where = torch.tensor(cut, dtype=torch.bool, device=read.device)
        if not any(cut):
            return torch.zeros_like(read[:, 0])
        outputs, _ = self._advance(copy.copy(cells), read, self._tensor(observed), noise)
        return torch.where(where, outputs[:, -1], 0.0)

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.from_numpy(np.array(numbers, dtype=np.float64)).to(self.net.w_out.detach())
