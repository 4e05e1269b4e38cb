"""Environments of gymnasium that give rewards only, as tasks of runs that act."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from tasks.control.seeded_environment import SeededEnvironment, quiet
from tasks.task import Task
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.checks import positive, whole
from tca.utils.names import shorten, unknown

__all__ = ["ControlTask", "is_control"]

OWN = ("dt", "time_limit")  # options that are not the environment's
USUAL_STEP, USUAL_LIMIT = 20.0, 1000


def is_control(name: str) -> bool:
    """Return whether an environment of this id is registered in gymnasium that has no trials as those of neurogym."""
    from gymnasium.envs.registration import load_env_creator, registry
    from gymnasium.error import DependencyNotInstalled

    if name not in registry or "neurogym" in str(point := registry[name].entry_point):
        return False
    try:
        return not hasattr(load_env_creator(point) if isinstance(point, str) else point, "new_trial")
    except (DependencyNotInstalled, ImportError):  # named when the environment is made
        return True


@dataclass(frozen=True)
class ControlTask(Task):
    """An environment of gymnasium that gives rewards for actions, and no right answers.

    Only runs that learn from rewards take it. Its measure is the return, the sum of the rewards of an episode, of
    the most probable actions in environments with seeds of their own. Observations are flat; discrete ones are one-hot.
    Actions are discrete or in a box.

    Towers et al. (2024), Gymnasium: a standard interface for reinforcement learning environments, arXiv:2407.17032.

    Args:
        name: Id of the environment, for example ``"CartPole-v1"``.
        options: Arguments of the environment, as pairs; and ``dt``, the time step in ms, for networks with time
            constants, default that of the environment or 20, and ``time_limit``, the steps after which an episode is
            truncated, default those of the environment or 1000.

    Raises:
        ValueError: Environment or option is unknown, an option is not allowed, or a space is not supported.
        ImportError: A library of the environment is missing.

    >>> task = ControlTask("CartPole-v1")
    >>> task.n_in, task.n_out, task.dt, task.time_limit
    (4, 2, 20.0, 500)
    """

    name: str
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        """Build the environment once."""
        _ = self._facts

    @property
    def _facts(self) -> _Facts:
        given = dict(self.options)
        try:
            return _known(self.name, json.dumps(given, sort_keys=True))
        except TypeError:  # an option that is no JSON
            return _facts_of(self.name, given)

    @property
    def dt(self) -> float:
        return self._facts.dt

    @property
    def n_in(self) -> int:
        """Numbers of an observation."""
        return self._facts.n_in

    @property
    def n_out(self) -> int:
        """Parameters of the policy: one for each discrete action, or two for each component of a continuous one."""
        return self._facts.n_out

    @property
    def components(self) -> int:
        """Discrete actions, or components of a continuous one."""
        return self._facts.components

    @property
    def continuous(self) -> bool:
        """Whether actions are real numbers."""
        return self.n_out != self.components

    @property
    def time_limit(self) -> int:
        """Steps after which an episode is truncated."""
        return self._facts.time_limit

    @property
    def loss(self) -> Loss:
        """None: raise ValueError, since the loss is that of the agent."""
        self._refuse()

    @property
    def chance(self) -> float:
        """NaN: there is no constant answer."""
        return math.nan

    @property
    def measure(self) -> str:
        """Name of the measure, ``"return"``."""
        return "return"

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions of the libraries that the environment is made of."""
        import gymnasium

        simulated = "mujoco" in str(gymnasium.spec(self.name).entry_point)
        found = {name: metadata.version(name) for name in ("gymnasium", *(["mujoco"] if simulated else []))}
        return {"environment": {"id": self.name, "time_limit": self.time_limit, **found}}

    @property
    def gives_rewards(self) -> bool:
        """True."""
        return True

    @property
    def rewards_only(self) -> bool:
        """True."""
        return True

    def environments(self, count: int, seed: int, **options: Any) -> list[SeededEnvironment]:
        """Return environments that start every episode from a seed of its own.

        Args:
            count: Number of environments, at least 1.
            seed: Seed of all of them, 0 or greater.
            options: Further arguments of the environment, such as ``render_mode``.
        """
        made = [_made(self.name, {**dict(self.options), **options})[0] for _ in range(whole("count", count, 1))]
        return [SeededEnvironment(each, seed, number) for number, each in enumerate(made)]

    def split(self, n_train: int, n_test: int, seed: int) -> NoReturn:
        """Raise ValueError: there are no trials."""
        self._refuse()

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Raise ValueError: there are no trials."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"{self.name} gives rewards only and has no trials with targets: train a tca.Run in it, or act in "
            "task.environments(...)"
        )


@dataclass(frozen=True)
class _Facts:
    """Properties of an environment."""

    dt: float
    n_in: int
    n_out: int
    components: int
    time_limit: int


@functools.lru_cache(maxsize=256)
def _known(name: str, options: str) -> _Facts:
    return _facts_of(name, json.loads(options))


def _facts_of(name: str, options: dict[str, Any]) -> _Facts:
    from gymnasium.spaces import Box, Discrete
    from gymnasium.spaces.utils import flatdim

    made, limit = _made(name, options)
    try:
        space, observed = made.action_space, made.observation_space
        if not (isinstance(space, Discrete) or (isinstance(space, Box) and str(space.dtype).startswith("float"))):
            raise ValueError(f"{name} must have discrete actions or real ones in a box, got {shorten(space)}")
        try:
            n_in = int(flatdim(observed))
        except (NotImplementedError, ValueError) as error:
            raise ValueError(f"{name} must have observations that can be flattened, got {shorten(observed)}") from error
        components = int(space.n) if isinstance(space, Discrete) else math.prod(space.shape)
        parameters = components if isinstance(space, Discrete) else 2 * components
        bare = made.unwrapped
        seconds = getattr(bare, "dt", None) or getattr(bare, "tau", None)
        own = 1e3 * float(seconds) if isinstance(seconds, int | float) and seconds > 0 else USUAL_STEP
        return _Facts(float(options.get("dt", own)), n_in, parameters, components, limit)
    finally:
        made.close()


def _made(name: str, given: dict[str, Any]) -> tuple[Any, int]:
    """Return an environment with its time limit, or raise an error that names the wrong option."""
    import gymnasium
    from gymnasium.error import DependencyNotInstalled

    for option, check in (("dt", positive), ("time_limit", lambda what, value: whole(what, value, 1))):
        if option in given:
            check(option, given[option])
    options = {key: value for key, value in given.items() if key not in OWN}
    spec = gymnasium.spec(name)
    limit = given.get("time_limit") or spec.max_episode_steps or USUAL_LIMIT
    try:
        with quiet():
            made = gymnasium.make(name, max_episode_steps=limit, disable_env_checker=True, **options)
        _rename(sys.modules[type(made.unwrapped).__module__])
        return made, limit
    except (DependencyNotInstalled, ImportError) as error:
        ours = ("mujoco" in str(error) and "mujoco_py" not in str(error)) or "pygame" in str(error)
        way = ": pip install 'temporal-credit-assignment[control]'" if ours else ""
        raise ImportError(f"{name} needs a library that is not installed ({error}){way}") from error
    except TypeError as error:
        wrong = next((key for key in options if f"'{key}'" in str(error)), None)
        if wrong is None:
            raise ValueError(f"{name} refuses the options {options}: {error}") from error
        raise unknown(wrong, _arguments(spec), f"option of {name}") from error
    except Exception as error:  # the environment's own code may fail in any way
        raise ValueError(f"{name} refuses the options {options}: {error}") from error


def _rename(module: Any) -> None:
    """Give Acrobot-v1 of gymnasium 0.29 the name ``np.float_``, which NumPy 2 has no longer."""
    if module.__name__ == "gymnasium.envs.classic_control.acrobot" and not hasattr(np, "float_"):
        module.np = SimpleNamespace(**vars(np), float_=np.float64)


def _arguments(spec: Any) -> list[str]:
    """Return the names of the arguments of an environment."""
    import inspect

    from gymnasium.envs.registration import load_env_creator

    maker = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    taken = inspect.signature(maker).parameters.values()
    return [*OWN, *(each.name for each in taken if each.kind is not each.VAR_KEYWORD and each.name != "self")]
