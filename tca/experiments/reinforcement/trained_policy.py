"""A finished policy with the normalisation that it learned with: acting, testing and rendering it.

Shapes: B environments side by side, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tca.experiments.config.agent import Agent
from tca.experiments.records.result import Result
from tca.experiments.reinforcement.actor import Actor
from tca.experiments.reinforcement.episodes import frozen
from tca.utils.checks import Positive, Seed, checked
from tca.utils.text import in_a_line

__all__ = ["Rollout", "TrainedPolicy"]

FPS = 30  # states a second of an environment that does not name them


@dataclass(frozen=True, eq=False)
class Rollout:
    """An episode of the most probable actions.

    Attributes:
        seed: Seed of the environment.
        total: Sum of the rewards.
        steps: Number of steps.
        frames: Images of the environment, ``(height, width, 3)``; none unless rendered.
        times: Time of each image in s, from the start of the episode.
    """

    seed: int
    total: float
    steps: int
    frames: list[Any] = field(default_factory=list, repr=False)
    times: list[float] = field(default_factory=list, repr=False)


class TrainedPolicy:
    """The most probable actions of a finished run in an environment that gives rewards only.

    Args:
        result: Result of the run, for example ``tca.experiments.records.read(folder)``.

    Raises:
        ValueError: The run learned otherwise.

    >>> import tca
    >>> run = tca.Run("CartPole-v1", "dfa", steps=1, batch_size=2, agent=tca.Agent(steps=4, test_episodes=2))
    >>> policy = TrainedPolicy(tca.train(run, progress=False))
    >>> policy.rollout(seed=3).steps == policy.rollout(seed=3).steps > 4
    True
    """

    def __init__(self, result: Result) -> None:
        self.result, self.task = result, result.run.make_task()
        if not self.task.rewards_only:
            raise ValueError(f"the run must be in an environment that gives rewards only, got {result.run.task!r}")
        assert isinstance(result.run.agent, Agent)
        self.normaliser = frozen(result.run.agent, self.task.n_in, result.normalisation)

    def outputs(self, observations: Tensor) -> Tensor:
        """Return parameters of the policy and value of a network without memory, shape ``(B, O)``.

        Args:
            observations: Observations as the environment gives them, shape ``(B, I)``.
        """
        net = self.result.net
        with torch.no_grad():
            shown = self.normaliser.shown(observations).to(next(net.parameters()).dtype)
            outputs: Tensor = net(shown.unsqueeze(0))[0]
        return outputs

    @checked
    def rollout(self, seed: Seed = 0, *, render: bool = False, rate: Positive | None = None) -> Rollout:
        """Return an episode in an environment with a seed.

        Args:
            seed: Seed of the environment, default 0.
            render: Whether to keep images of the environment, default no.
            rate: Most images a second of the environment's own time, beside that of its last state; ``None`` (default)
                for one of every state.

        Raises:
            ValueError: The environment cannot be drawn here; the reason is given.
        """
        (environment,) = self.task.environments(1, seed, **({"render_mode": "rgb_array"} if render else {}))
        filmed = _Filmed(environment, rate)
        try:
            actor = Actor(self.result.learner, [filmed if render else environment], None, self.normaliser)
            (total,), (steps,) = actor.episodes()
        finally:
            environment.close()
        return Rollout(seed, total, steps, filmed.frames, [state / filmed.fps for state in filmed.states])


class _Filmed:
    """An environment that keeps images of its states: the first, every n-th after it, and the last.

    Attributes:
        fps: States a second.
        states: Number of the state in each image.
    """

    def __init__(self, environment: Any, rate: float | None) -> None:
        self.environment, self.action_space = environment, environment.action_space
        self.fps = float(environment.made.metadata.get("render_fps") or FPS)
        self.every = 1 if rate is None else math.ceil(self.fps / rate)
        self.state, self.frames, self.states = 0, list[Any](), list[int]()

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Start an episode, as the environment does."""
        started: tuple[Any, dict[str, Any]] = self.environment.reset()
        self._film()
        return started

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step, as the environment does."""
        made: tuple[Any, float, bool, bool, dict[str, Any]] = self.environment.step(action)
        self.state += 1
        if self.state % self.every == 0 or made[2] or made[3]:
            self._film()
        return made

    def _film(self) -> None:
        self.states.append(self.state)
        bare = self.environment.made.unwrapped
        if isinstance(getattr(bare, "last_u", None), np.floating):  # of Pendulum-v1; pygame takes no float32
            bare.last_u = float(bare.last_u)
        try:
            self.frames.append(self.environment.made.render())
        except Exception as error:  # a renderer may fail in any way, above all without a display
            hint = "; without a display MuJoCo needs MUJOCO_GL=egl" if "mujoco" in type(bare).__module__ else ""
            raise ValueError(f"the environment cannot be drawn here: {in_a_line(error)}{hint}") from error
