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
            environment = _make(name, options)
            _seed(environment, lambda: int(torch.randint(2**32, (), generator=generator, device="cpu")))
        found.append(environment)
    return found
