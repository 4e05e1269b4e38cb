"""A finished policy with the normalisation that it learned with: acting, testing and rendering it.

Shapes: B environments side by side, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tca.experiments.config.agent import Agent
from tca.experiments.records.result import Result
from tca.experiments.reinforcement.actor import Actor
from tca.experiments.reinforcement.episodes import frozen
from tca.utils.text import in_a_line

__all__ = ["Rollout", "TrainedPolicy"]


@dataclass(frozen=True, eq=False)
class Rollout:
    """An episode of the most probable actions.

    Attributes:
        seed: Seed of the environment.
        total: Sum of the rewards.
        steps: Number of steps.
        frames: Images of the environment before each action and after the last, ``(height, width, 3)``; none unless
            rendered.
    """

    seed: int
    total: float
    steps: int
    frames: list[Any] = field(default_factory=list, repr=False)


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
            outputs: Tensor = net(self.normaliser.shown(observations).to(net.w_out.dtype).unsqueeze(0))[0]  # type: ignore[arg-type]
        return outputs

    def rollout(self, seed: int = 0, *, render: bool = False) -> Rollout:
        """Return an episode in an environment with a seed.

        Args:
            seed: Seed of the environment, default 0.
            render: Whether to keep the image of every step, default no.

        Raises:
            ValueError: The environment cannot be drawn here; the reason is given.
        """
        (environment,) = self.task.environments(1, seed, **({"render_mode": "rgb_array"} if render else {}))
        frames: list[Any] = []
        try:
            actor = Actor(self.result.learner, [_Filmed(environment, frames) if render else environment], None,
                          self.normaliser)  # fmt: skip
            (total,), (steps,) = actor.episodes()
        finally:
            environment.close()
        return replace(Rollout(seed, total, steps), frames=frames)


class _Filmed:
    """An environment that keeps an image of every state."""

    def __init__(self, environment: Any, frames: list[Any]) -> None:
        self.environment, self.frames, self.action_space = environment, frames, environment.action_space

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Start an episode, as the environment does."""
        started: tuple[Any, dict[str, Any]] = self.environment.reset()
        self._film()
        return started

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Make a step, as the environment does."""
        made: tuple[Any, float, bool, bool, dict[str, Any]] = self.environment.step(action)
        self._film()
        return made

    def _film(self) -> None:
        bare = self.environment.made.unwrapped
        if isinstance(getattr(bare, "last_u", None), np.floating):  # of Pendulum-v1; pygame takes no float32
            bare.last_u = float(bare.last_u)
        try:
            self.frames.append(self.environment.made.render())
        except Exception as error:  # a renderer may fail in any way, above all without a display
            hint = "; without a display MuJoCo needs MUJOCO_GL=egl" if "mujoco" in type(bare).__module__ else ""
            raise ValueError(f"the environment cannot be drawn here: {in_a_line(error)}{hint}") from error
