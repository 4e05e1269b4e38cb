"""Training batches of a run that learns from rewards: episodes of its network in the environments of its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tasks.task import Task
from tca.batch import Batch
from tca.experiments.config.agent import Agent
from tca.experiments.config.run import Run
from tca.experiments.reinforcement.actor import Actor
from tca.experiments.reinforcement.normaliser import Normaliser
from tca.experiments.reinforcement.rollout import Episode
from tca.learner import Learner
from tca.nets.network import Network

__all__ = ["Episodes", "policy_of"]


class Episodes(Iterator[Iterator[Batch]]):
    """Batches of episodes of a network that acts, in as many environments as the run's batches have trials.

    Every ``run.evaluate_every`` episodes, where a run is measured and resumes, new environments start with new seeds.

    Args:
        run: Run with an agent.
        task: Its task.
        learner: The network that acts, and its rule.
        step: Number of the first episode, a multiple of ``run.evaluate_every``.
        state: Value of ``state`` before this episode; ``None`` (default) before the first.

    Raises:
        ValueError: The network cannot act step by step, or has private noise and learns from an episode more than once.
    """

    def __init__(
        self, run: Run, task: Task, learner: Learner, step: int = 0, state: Mapping[str, Tensor] | None = None
    ) -> None:
        assert isinstance(run.agent, Agent)
        self.run, self.task, self.learner, self.agent = run, task, learner, run.agent
        if self.agent.updates > 1 and learner.net.draw_noise(1, 1) is not None:
            raise ValueError(
                "epochs and minibatches must be 1 in a network with private noise, which would be drawn anew in every "
                f"update, got {self.agent.epochs} and {self.agent.minibatches}"
            )
        observed = task.n_in if self.agent.normalize_observations else 0
        earning = run.batch_size if self.agent.normalize_rewards else 0
        self.normaliser = Normaliser(observed, earning, self.agent.discount)
        if state is not None:
            self.normaliser.restore(state)
        self._start(step // run.evaluate_every)

    def _start(self, block: int) -> None:
        """Start the environments of a block of episodes."""
        seeds = self.run.seeds
        environments = self.task.environments(self.run.batch_size, _seed(seeds.data, block))
        generator = torch.Generator().manual_seed(_seed(seeds.batches, block))
        self.normaliser.sums.zero_()
        self.before = self.normaliser.state()  # the actor observes the first states of its environments
        self.actor, self.parts = Actor(self.learner, environments, generator, self.normaliser), generator
        self.block = block
        self.episodes: list[Episode] = []

    def __next__(self) -> Iterator[Batch]:
        """Act for an episode and return the batches of its updates."""
        if len(self.episodes) == self.run.evaluate_every:
            self._start(self.block + 1)
        net: Any = self.learner.net
        noise_state: Tensor | None = None if net.noise_state is None else net.noise_state.clone()
        noise = net.draw_noise(self.agent.steps, self.run.batch_size)
        episode = self.actor.act(self.agent.steps, noise)
        if noise_state is not None:
            net.noise_state.copy_(noise_state)  # so that the learner draws the same noise
        self.episodes.append(episode)
        return episode.batches(self.agent, self.parts, instant=self.actor.instant)

    def state(self) -> dict[str, Tensor]:
        """Return the state to resume from: that of the normaliser, before a block that has no episode yet."""
        return self.normaliser.state() if self.episodes else self.before

    def observed(self) -> dict[str, float]:
        """Return mean reward per trial, return of the trials that ended and their score, since the block started."""
        rewards = [each.reward_per_trial for each in self.episodes]
        scores = [score for each in self.episodes for score in each.performance]
        returns = [each for episode in self.episodes for each in episode.returns]
        means = {"reward_per_trial": rewards, "performance": scores, "return": returns}
        return {name: sum(values) / len(values) for name, values in means.items() if values}


def policy_of(run: Run, net: Network, dt: float) -> Network:
    """Return the policy: the network without the output for the value.

    Args:
        dt: Duration of a step in ms.
    """
    sizes: dict[str, Any] = {"n_in": net.n_in, "n_out": net.n_out - 1, "dt": dt}
    policy = run.net.build(**sizes, seed=run.seeds.net, device=run.device, dtype=run.torch_dtype)
    wanted, own = policy.state_dict(), net.state_dict()
    policy.load_state_dict({name: own[name][: len(each)] if each.ndim else own[name] for name, each in wanted.items()})
    assert isinstance(policy, Network)
    return policy


def _seed(base: int, number: int) -> int:
    """Return a seed of the sequence that starts from a seed."""
    return int(torch.randint(2**62, (number + 1,), generator=torch.Generator().manual_seed(base), device="cpu")[number])
