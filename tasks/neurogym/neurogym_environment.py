"""One neurogym environment: built without output, seeded in all its parts, and read trial by trial."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tca.utils.checks import positive
from tca.utils.names import lookup, unknown

__all__ = ["SupervisedEnvironment", "Trial", "UnsupervisableError", "registered"]


MOST_STEPS = 1_000_000


class UnsupervisableError(ValueError):
    """An environment that can not be supervised."""

    def __init__(self, name: str, reason: str) -> None:
        """Compose the message."""
        super().__init__(f"{name} can not be supervised: {reason}")


@dataclass(frozen=True, eq=False)
class Trial:
    """A copy of one trial.

    Args:
        inputs: Observations, shape ``(T, I)``.
        targets: The correct action at each step, shape ``(T,)`` if discrete or ``(T, O)``.
        periods: First step of each period, and the one after its last.
        info: The dictionary ``trial`` of the environment, and durations of its periods in ms.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[Any]
    periods: Mapping[str, tuple[int, int]]
    info: Mapping[str, Any]

    def during(self, periods: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return the steps in any of these periods, boolean, shape ``(T,)``; the whole trial if none is named.

        Args:
            periods: Names of periods; unknown ones are skipped.
        """
        steps = np.full(len(self.inputs), not periods)
        for name in periods:
            steps[slice(*self.periods.get(name, (0, 0)))] = True
        return steps

    def same(self, other: Trial) -> bool:
        """Return whether two trials agree to the bit."""
        return np.array_equal(self.inputs, other.inputs) and np.array_equal(self.targets, other.targets)


class SupervisedEnvironment:
    """An environment with trials of known targets.

    Args:
        source: Its id in neurogym or gymnasium, its class, or the environment itself, which is copied.
        options: Arguments.

    Raises:
        ValueError: Environment or option is unknown, an option is not allowed, or it can not be supervised.
        ImportError: neurogym is not installed.
    """

    def __init__(self, source: Any, options: Mapping[str, Any]) -> None:
        """Build the environment."""
        self.name = title_of(source)
        if "dt" in options:
            positive("dt", options["dt"])
        with _quiet():
            made = _make(source, options)
            if not hasattr(made, "new_trial"):
                raise UnsupervisableError(
                    self.name, "it is no neurogym.TrialEnv, whose trials have a ground truth that is known in advance"
                )
            self._top = made._top
            self._check_times()
            space = self._top.unwrapped.action_space
        self.dt = float(self._top.unwrapped.dt)
        self.discrete = hasattr(space, "n")
        self.n_out = int(space.n) if self.discrete else int(np.prod(space.shape))

    def draw(self, trials: int, generator: torch.Generator) -> list[Trial]:
        """Seed the environment and return its next trials."""
        with _quiet():
            _seed(self._top, lambda: int(torch.randint(2**32, (), generator=generator, device="cpu")))
            return [self._next() for _ in range(trials)]

    def _next(self) -> Trial:
        try:
            self._top.new_trial()
        except Exception as error:  # The environment's own code may fail in any way.
            raise UnsupervisableError(
                self.name, f"it fails to draw a trial: {type(error).__name__}: {error}"
            ) from error
        environment = self._top.unwrapped
        if not environment._has_gt:
            raise UnsupervisableError(
                self.name, "it has rewards but no ground truth, so no right action is known in advance"
            )
        inputs, targets = np.array(environment.ob, np.float32), np.array(environment.gt)
        if inputs.ndim != 2 or len(inputs) == 0 or len(inputs) != len(targets):
            raise UnsupervisableError(
                self.name, f"observations of shape {inputs.shape} do not fit a ground truth of shape {targets.shape}"
            )
        if not (np.isfinite(inputs).all() and np.isfinite(targets).all()):
            raise UnsupervisableError(self.name, "its trials hold NaN or infinity")
        names = environment.start_ind
        periods = {name: (environment.start_ind[name], environment.end_ind[name]) for name in names}
        info = {name: self.dt * (end - start) for name, (start, end) in periods.items()} | dict(environment.trial or {})
        return Trial(inputs, targets.astype(np.int64 if self.discrete else np.float32), periods, info)

    def _check_times(self) -> None:
        """Raise if the time step is longer than a default period, or trials are too long."""
        environment = self._top.unwrapped
        given = [part for each in environment.timing.values()
                 for part in (each if isinstance(each, tuple | list) else [each])]  # fmt: skip
        length = sum(each for each in given if isinstance(each, int | float)) / environment.dt
        if length > MOST_STEPS:
            raise ValueError(
                f"a trial of {self.name} must have at most {MOST_STEPS} steps, got times of {length:.3g} steps"
            )
        usual = _arguments(type(environment)).get("dt")
        if usual is None or usual.default is usual.empty or environment.dt <= usual.default:
            return
        times = {name: time for name, time in environment.timing.items() if isinstance(time, int | float) and time > 0}
        shortest = min(times, key=lambda name: times[name], default=None)
        if shortest is not None and times[shortest] < environment.dt:
            raise ValueError(
                f"dt must be at most {times[shortest]:g} ms, the period {shortest!r} of {self.name} lasts no longer, "
                f"got {environment.dt:g}"
            )


def registered() -> dict[str, str]:
    """Return the ids that neurogym has registered, with their entry points.

    Raises:
        ImportError: neurogym is not installed.
    """
    with _quiet():
        try:
            from loguru import logger
            from neurogym.envs.registration import ALL_EXTENDED_ENVS
        except ImportError as error:
            raise ImportError("tasks with names that end in -v0 need neurogym: pip install neurogym") from error
        logger.disable("neurogym")
        return dict(ALL_EXTENDED_ENVS)


def entry_points() -> dict[str, Any]:
    """Return the ids registered in neurogym and gymnasium, with their entry points.

    Raises:
        ImportError: neurogym is not installed.
    """
    known = registered()
    from gymnasium.envs.registration import registry

    return {name: spec.entry_point for name, spec in registry.items() if spec.entry_point is not None} | known


def title_of(source: Any) -> str:
    """Return the name of an environment for messages.

    Args:
        source: Its id, its class or the environment.
    """
    return source if isinstance(source, str) else (source if isinstance(source, type) else type(source)).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings of gymnasium and neurogym."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(gymnasium|neurogym)(\.|$)")
        yield


def _arguments(maker: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the arguments that a class or function takes by name."""
    function = maker.__init__ if inspect.isclass(maker) else maker
    return {key: argument for key, argument in inspect.signature(function).parameters.items() if key != "self"}


def _make(source: Any, options: Mapping[str, Any]) -> Any:
    """Return the bare environment, or raise an error that names the wrong option."""
    name = title_of(source)
    if not isinstance(source, str | type):
        if options:
            raise ValueError(f"{name} is an environment that is made already: it takes no options, got {dict(options)}")
        return copy.deepcopy(source).unwrapped
    maker: Callable[..., Any] = source if isinstance(source, type) else _maker(source)
    arguments = _arguments(maker)
    if any(argument.kind is argument.VAR_KEYWORD for argument in arguments.values()) and isinstance(source, str):
        arguments = _arguments(type(_made(source)))
    missing = [
        key
        for key, argument in arguments.items()
        if argument.default is argument.empty and key not in options and argument.kind is not argument.VAR_KEYWORD
    ]
    if missing:
        raise UnsupervisableError(name, f"it has no default for {', '.join(missing)}: give a value as an option")
    for key in options:
        if key not in arguments and not any(each.kind is each.VAR_KEYWORD for each in arguments.values()):
            raise unknown(key, arguments, f"option of {name}")
    try:
        return _made(source, **options) if isinstance(source, str) else source(**options).unwrapped
    except Exception as error:  # The environment's own code may fail in any way.
        raise ValueError(f"{name} refuses the options {dict(options)}: {error}") from error


def _maker(name: str) -> Callable[..., Any]:
    entry_point = lookup(entry_points(), name, "neurogym environment")
    from gymnasium.envs.registration import load_env_creator

    return entry_point if callable(entry_point) else load_env_creator(entry_point)


def _made(name: str, **options: Any) -> Any:
    import gymnasium
    import neurogym

    maker = neurogym if name in registered() else gymnasium
    return maker.make(name, **options).unwrapped


def _seed(top: Any, fresh: Callable[[], int]) -> None:
    """Seed schedules, environments and durations of periods, each with a seed of its own.

    The ``seed`` of the environments gives all of these the same numbers, which correlates durations with each other and
    with the target, and misses generators under other names.
    """
    if hasattr(top, "schedule"):
        top.schedule.seed(fresh())
    for environment in getattr(top, "envs", [top]):
        bare = environment.unwrapped
        bare.seed(fresh())
        for attribute, value in list(vars(bare).items()):
            if isinstance(value, np.random.Generator):
                setattr(bare, attribute, np.random.default_rng(fresh()))
        for time in bare.timing.values():
            if hasattr(time, "seed"):
                time.seed(fresh())
        if hasattr(bare, "new_block"):
            # The first block was drawn before the environment was seeded.
            bare.rule = 0
            bare.new_block()
