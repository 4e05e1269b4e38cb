"""An environment whose state is a seed and the actions since, so that it can be resumed."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.seeds import generator

__all__ = ["SeededEnvironment", "quiet"]

Step = tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]


class SeededEnvironment:
    """An environment of gymnasium with flat observations and a new seed for every episode.

    Episode n of an environment depends on its seed, its number among those side by side and n alone: on no other
    environment, and on no episode before. ``state`` holds n and the actions since its start, which `restore` repeats.

    Args:
        made: Environment, with a time limit.
        seed: Seed of the environments side by side.
        number: Number of this one.

    Attributes:
        action_space: Space of the actions.
    """

    def __init__(self, made: Any, seed: int, number: int) -> None:
        from gymnasium.spaces import Box
        from gymnasium.spaces.utils import flatten

        self.flatten = None if isinstance(made.observation_space, Box) else flatten
        self.made, self.seed, self.number = made, seed, number
        self.action_space, self.first = made.action_space, int(getattr(made.action_space, "start", 0))
        self.episode, self.taken = -1, list[Any]()

    def reset(self) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start the next episode, and return its first observation."""
        self.episode += 1
        self.taken = []
        drawn = generator(self.seed, self.number, self.episode)
        with quiet():
            observed, info = self.made.reset(seed=int(torch.randint(2**31, (), generator=drawn, device="cpu")))
        return self._flat(observed), info

    def step(self, action: Any) -> Step:
        """Return the next observation, the reward, terminated, truncated and info."""
        self.taken.append(copy.copy(action))
        made = self.made.step(action + self.first if self.first else action)
        observed, reward, terminated, truncated, info = made
        return self._flat(observed), float(reward), bool(terminated), bool(truncated), info

    def state(self) -> dict[str, Tensor]:
        """Return the number of the episode and the actions since its start."""
        actions = torch.tensor(np.array(self.taken, np.float64), dtype=torch.float64, device="cpu")
        return {"episode": torch.tensor(self.episode, dtype=torch.int64, device="cpu"), "actions": actions}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a value of ``state``."""
        self.episode = int(state["episode"]) - 1
        self.reset()
        kind = self.action_space.dtype
        for action in state["actions"].numpy():
            self.step(int(action) if np.ndim(action) == 0 else action.astype(kind))

    def close(self) -> None:
        """Close the environment and its window."""
        self.made.close()

    def _flat(self, observed: Any) -> NDArray[np.float64]:
        flat = observed if self.flatten is None else self.flatten(self.made.observation_space, observed)
        return np.asarray(flat, np.float64).ravel()


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the warnings of gymnasium."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(gymnasium|pygame|pkg_resources)(\.|$)")
        yield
