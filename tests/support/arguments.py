"""Every public callable with arguments that it takes, and for every annotation values that it must refuse."""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib
import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

import analysis
import tasks
import tca
from tca.utils.checks import Missing

# Modules that are public beside the packages, which are found.
MODULES = (
    "tca.cells.activations",
    "tca.experiments.reinforcement.actor_critic",
    "tca.tape.weight_estimates",
    "tca.signals.regularisers.firing_rate",
    "tca.nets.masks",
    "tca.cells.surrogate_gradients",
    "tca.utils.noise",
    "tca.signals.regularisers",
    "tca.signals.perturbation.trial_reward",
    "tca.experiments.config.schedules",
    "tca.signals.decorrelation.averages",
    "tca.signals.decorrelation.observables",
    "tca.signals.decorrelation.time_lags",
    "tca.signals.decorrelation.score_sources",
    "tca.signals.error_diffusion",
    "tca.signals.diffusion.release",
    "tca.signals.feedback_weights",
    "tca.experiments.config.step_controls",
    "tca.experiments.config.callbacks",
    "analysis.generalization.conditions",
    "analysis.statistics.rank_correlation",
)
# What the library returns, or makes at every update, and nobody else makes.
RESULTS = (
    "Network",
    "Info",
    "Result",
    "Swept",
    "Estimate",
    "Correlation",
    "Recurrence",
    "TypeMeans",
    "Seen",
    "spike",
    "Derivatives",
    "source",
    "output_error",
    "advantages",
    "by_steps",
)
PRIVATE = ("tca.cli", "tca.experiments.records")  # commands take words, records are read through `tca report`


def public() -> dict[str, Callable[..., Any]]:
    """Return every public callable by the name under which it is found first."""
    found: dict[str, Callable[..., Any]] = {}
    for name in (*packages(), *MODULES):
        module = importlib.import_module(name)
        for each in getattr(module, "__all__", ()):
            value = getattr(module, each)
            own = getattr(value, "__module__", "").partition(".")[0] in ("tca", "tasks", "analysis")
            if callable(value) and own and value not in found.values() and not _abstract(value):
                found[f"{name}.{each}"] = value
    for name, kind in tasks.NATIVE.items():
        found[f"tasks.{name}"] = kind
    return found


def packages() -> Iterator[str]:
    for root in (tca, tasks, analysis):
        yield root.__name__
        for each in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if each.ispkg and not each.name.startswith(PRIVATE):
                yield each.name


def _abstract(value: Any) -> bool:
    return value.__name__ in RESULTS or (
        isinstance(value, type)
        and (
            inspect.isabstract(value)
            or getattr(value, "_is_protocol", False)
            or issubclass(value, (Exception, Warning))
        )
    )


def annotations(call: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a callable that have an annotation, and the annotations."""
    names = inspect.signature(call).parameters
    if dataclasses.is_dataclass(call) or (isinstance(call, type) and issubclass(call, tuple)):
        kinds = typing.get_type_hints(call, include_extras=True)
    else:
        kinds = typing.get_type_hints(call.__init__ if isinstance(call, type) else call, include_extras=True)
    return {name: kinds[name] for name in names if name in kinds}


class Odd:
    """A value of a class that nothing takes."""

    def __repr__(self) -> str:
        return "Odd()"


NUMBERS = (math.nan, math.inf, -math.inf, 10**400, 1j, True, "1", b"1", None, [], [1], {}, Odd())
INTEGERS = (*NUMBERS, 0.5, 2.0, 10**30, -1, -(10**30), torch.tensor(1), np.array(1))
STRINGS = (None, 3, True, b"x", ["x"], {"x": 1}, Odd(), math.nan)
BOOLS = (None, "no", 0, 1, 0.5, [], Odd(), math.nan)
THINGS = (None, "x", 3, True, [], {}, Odd(), object, math.nan)


def bad(kind: Any) -> list[Any]:
    """Return values that are not of a kind; generators as functions that make them.

    Args:
        kind: The annotation.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind == ArrayLike:
        return ["x", Odd(), 1j, {1: 1}, [None, "x"]]  # missing values may be NaN, and are counted
    if origin is Annotated:
        given = tuple(mark.of for mark in args[1:] if hasattr(mark, "make"))  # what a value is made of
        missing = any(isinstance(mark, Missing) for mark in args[1:])
        found = [value for value in bad(args[0]) if not (missing and value is math.nan)]
        return [value for value in found if not isinstance(value, given)] + _beyond(args[1:])
    if origin in (Union, types.UnionType):
        return _of_union(args)
    if origin in (collections.abc.Sequence, tuple, list, collections.abc.Iterable, collections.abc.Collection):
        return _of_sequence(origin, args)
    if origin in (collections.abc.Mapping, dict):
        return [None, 3, "x", [], [("a", 1)], {"a": 1} if args[0] is int else {1: 1}, {None: 1}, Odd(), math.nan]
    if origin is Literal:
        return [*STRINGS, "no such name", ""]
    if kind is int:
        return list(INTEGERS)
    if kind is float:
        return [*NUMBERS, torch.tensor(1.0), np.array(1.0)]
    if kind is bool:
        return list(BOOLS)
    if kind is str:
        return [*STRINGS, "no such name", ""]
    if kind is Tensor:
        return [*THINGS, torch.ones(2, dtype=torch.complex64), np.array(["a"]), np.array([1j]), [[1.0]]]
    if kind is torch.dtype:
        return [float, int, "float32", None, 3, np.float32, torch.int64, torch.complex64]
    if kind is torch.device:
        return ["no such device", 3.5, [], Odd()]
    if kind is Path:
        return [None, 3, [], Odd(), b"x"]
    if kind in (Any, object, None, type(None)) or isinstance(kind, typing.TypeVar):
        return []
    if origin is collections.abc.Callable:
        return [each for each in THINGS if not callable(each)]
    return list(THINGS)


def _beyond(marks: tuple[Any, ...]) -> list[Any]:
    """Return values just beyond the bounds of an annotation."""
    steps = {"ge": -1, "gt": 0, "le": 1, "lt": 0}
    return [
        getattr(mark, name) + step
        for mark in marks
        for name, step in steps.items()
        if getattr(mark, name, None) is not None
    ] + [[] for mark in marks if getattr(mark, "min_length", 0)]


def _of_union(members: tuple[Any, ...]) -> list[Any]:
    """Return what is bad for every member: what one refuses and no other may take."""
    values = [value for each in members for value in bad(each)]
    return [value for value in values if not any(_may_take(each, value) for each in members)]


def _may_take(kind: Any, value: Any) -> bool:
    """Return whether a value is of the type, or bad for a reason that this union need not name."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind == ArrayLike:
        return ["x", Odd(), 1j, {1: 1}, [None, "x"]]  # missing values may be NaN, and are counted
    if origin is Annotated:
        given = tuple(mark.of for mark in args[1:] if hasattr(mark, "make"))
        return isinstance(value, given) or _may_take(args[0], value)
    if kind is Tensor and isinstance(value, np.ndarray):
        return value.dtype.kind in "bif"
    if origin in (Union, types.UnionType):
        return any(_may_take(each, value) for each in args)
    if kind in (Any, object):
        return True
    if kind in (None, type(None)):
        return value is None
    if kind in (int, float) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return not any(value is each or repr(value) == repr(each) for each in bad(kind) if type(each) is type(value))
    sequence = origin in (collections.abc.Sequence, tuple, list, collections.abc.Iterable)
    if sequence and isinstance(value, list):
        return not any(value is each or repr(value) == repr(each) for each in _of_sequence(origin, args))
    if origin in (collections.abc.Mapping, dict):
        return isinstance(value, dict) and all(isinstance(each, str) for each in value)
    if isinstance(kind, type) and isinstance(value, kind):
        return not (kind is str and value in ("no such name", "")) and not (
            (kind is Tensor and value.is_complex()) or kind is torch.dtype
        )
    return False


def _of_sequence(origin: Any, args: tuple[Any, ...]) -> list[Any]:
    generators = [] if origin is collections.abc.Iterable else [_generator]
    entries = [[value] for value in bad(args[0])[:6]]
    return [None, 3, "abc", {1}, {"a": 1}, Odd(), math.nan, [[[]]], *generators, *entries]


def _generator() -> Iterator[int]:
    yield from range(2)


def made(value: Any) -> Any:
    """Return a value; a new generator for the function that makes one."""
    return value() if value is _generator else value
