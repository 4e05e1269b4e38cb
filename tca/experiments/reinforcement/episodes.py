"""Training batches of a run that learns from rewards: episodes of its network in the environments of its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

__all__ = ["ContinuedEpisodes", "Episodes", "frozen", "policy_of", "returns_of"]

TRAINING, TEST, VALIDATION = range(3)  # places of the seeds of environments in the sequence of a seed


class Episodes(Iterator[Iterator[Batch]]):
    """Batches of episodes of a network that acts, in as many environments as the run's batches have trials.

    Every ``run.evaluate_every`` episodes, where a run is measured and resumes, new environments start with new seeds;
    see `ContinuedEpisodes` for others.

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
        self.episodes: list[Episode] = []
        self._begin(step, state)

    def _begin(self, step: int, state: Mapping[str, Tensor] | None) -> None:
        if state is not None:
            self.normaliser.restore(state)
        self._start(step // self.run.evaluate_every)

    def _start(self, block: int) -> None:
        """Start the environments of a block of episodes."""
        seeds = self.run.seeds
        environments = self.task.environments(self.run.batch_size, _seed(seeds.data, block))
        generator = torch.Generator().manual_seed(_seed(seeds.batches, block))
        self.normaliser.sums.zero_()
        self.before = self.normaliser.state()  # the actor observes the first states of its environments
        self.actor, self.parts = Actor(self.learner, environments, generator, self.normaliser), generator
        self.block = block
        self.episodes = []

    def __next__(self) -> Iterator[Batch]:
        """Act for an episode and return the batches of its updates."""
        if len(self.episodes) == self.run.evaluate_every:
            self._next_block()
        net: Any = self.learner.net
        noise_state: Tensor | None = None if net.noise_state is None else net.noise_state.clone()
        noise = net.draw_noise(self.agent.steps, self.run.batch_size)
        episode = self.actor.act(self.agent.steps, noise)
        if noise_state is not None:
            net.noise_state.copy_(noise_state)  # so that the learner draws the same noise
        self.episodes.append(episode)
        return episode.batches(self.agent, self.parts, instant=self.actor.instant)

    def _next_block(self) -> None:
        self._start(self.block + 1)

    def state(self) -> dict[str, Tensor]:
        """Return the state to resume from: that of the normaliser, before a block that has no episode yet."""
        return self.normaliser.state() if self.episodes else self.before

    @property
    def returns(self) -> list[float]:
        """Returns of the trials that ended since the last measurement."""
        return [each for episode in self.episodes for each in episode.returns]

    def observed(self) -> dict[str, float]:
        """Return mean reward per trial, return of the trials that ended and their score, since the block started."""
        rewards = [each.reward_per_trial for each in self.episodes]
        scores = [score for each in self.episodes for score in each.performance]
        means: dict[str, Sequence[float]] = {"reward_per_trial": rewards, "performance": scores, "return": self.returns}
        return {name: sum(values) / len(values) for name, values in means.items() if values}


class ContinuedEpisodes(Episodes):
    """Batches of episodes in environments that go on from measurement to measurement.

    Their state is part of ``state``: the number of the episode of every environment and the actions since its start.
    """

    def _begin(self, step: int, state: Mapping[str, Tensor] | None) -> None:
        environments = self.task.environments(self.run.batch_size, _seed(self.run.seeds.data, TRAINING))
        generator = torch.Generator().manual_seed(_seed(self.run.seeds.batches, TRAINING))
        self.actor = Actor(self.learner, environments, generator, self.normaliser, carry=True)
        self.parts = generator
        if state is not None:
            self.actor.restore(_within(state, "actor."))
            self.normaliser.restore(_within(state, "normaliser."))

    def _next_block(self) -> None:
        self.episodes = []

    def state(self) -> dict[str, Tensor]:
        """Return the state of actor and normaliser to resume from."""
        parts = {"actor.": self.actor.state(), "normaliser.": self.normaliser.state()}
        return {prefix + name: each for prefix, part in parts.items() for name, each in part.items()}

    def observed(self) -> dict[str, float]:
        """Return number, mean return and mean length of the episodes that ended since the last measurement."""
        lengths = [each for episode in self.episodes for each in episode.lengths]
        found = {"acting_episodes": float(len(lengths))}
        if lengths:
            mean_return = sum(self.returns) / len(lengths)
            found |= {"acting_return": mean_return, "acting_length": sum(lengths) / len(lengths)}
        return found


def returns_of(
    run: Run, task: Task, learner: Learner, normalisation: Mapping[str, Tensor]
) -> tuple[list[float], list[int]]:
    """Return returns and lengths of ``agent.test_episodes`` episodes of the most probable actions.

    Their seeds are those of no episode of training; with ``run.held_out`` they are others again, as many as it says.

    Args:
        normalisation: State of the normaliser.
    """
    assert isinstance(run.agent, Agent)
    count, purpose = (run.held_out, VALIDATION) if run.held_out else (run.agent.test_episodes, TEST)
    environments = task.environments(count, _seed(run.seeds.data, purpose))
    try:
        actor = Actor(learner, environments, None, frozen(run.agent, task.n_in, normalisation))
        return actor.episodes()
    finally:
        for each in environments:
            each.close()


def frozen(agent: Agent, n_in: int, state: Mapping[str, Tensor]) -> Normaliser:
    """Return a normaliser of observations that no longer changes.

    Args:
        agent: Agent that learned.
        n_in: Numbers of an observation.
        state: State of its normaliser.
    """
    made = Normaliser(n_in if agent.normalize_observations else 0, 0, agent.discount)
    made.restore(state)
    made.learning = False
    return made


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


def _within(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose names have a prefix, without it."""
    return {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}


def _seed(base: int, number: int) -> int:
    """Return a seed of the sequence that starts from a seed."""
    return int(torch.randint(2**62, (number + 1,), generator=torch.Generator().manual_seed(base), device="cpu")[number])
