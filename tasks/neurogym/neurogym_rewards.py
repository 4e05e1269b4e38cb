"""neurogym environments that give rewards, seeded in all their parts."""

from __future__ import annotations

from typing import Any

import torch

from tasks.neurogym.neurogym_environment import _make, _quiet, _seed
from tca.utils.checks import whole

__all__ = ["reward_environments"]


def reward_environments(name: Any, count: int, seed: int = 0, **options: Any) -> list[Any]:
    """Return environments of one id with different seeds.

    Args:
        name: Id of the environment, for example ``"PerceptualDecisionMaking-v0"``, its class or the environment.
        count: Number of environments, at least 1.
        seed: Seed of all of them, default 0.

    Raises:
        ValueError: Environment or option is unknown, or an option is not allowed.
        ImportError: neurogym is not installed.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(whole("count", count, 1)):
        with _quiet():
            environment = _make(name, options)._top
            _seed(environment, lambda: int(torch.randint(2**32, (), generator=generator, device="cpu")))
        found.append(environment if environment is environment.unwrapped else ScheduledEnvironment(environment))
    return found


class ScheduledEnvironment:
    """One environment out of a wrapper that chooses environments or settings trial by trial.

    The step that ends a trial returns the first observation of the next, which may be that of another environment:
    neurogym's own step returns one of the environment that has ended.

    Args:
        top: The wrapper, seeded.
    """

    def __init__(self, top: Any) -> None:
        """Keep the wrapper."""
        self.top, self.action_space = top, top.action_space

    @property
    def unwrapped(self) -> Any:
        """The environment of the present trial."""
        return self.top.env.unwrapped

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Begin the first trial and return its second observation, as single environments do."""
        with _quiet():
            return self.top.reset()  # type: ignore[no-any-return]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take an action and return observation, reward, two flags of the end, which are false, and information."""
        with _quiet():
            observation, reward, terminated, truncated, info = self.top.step(action)
        if info["new_trial"]:
            bare = self.unwrapped
            bare.t = bare.t_ind = 0
            observation = bare.ob[0]
        return observation, reward, terminated, truncated, info
