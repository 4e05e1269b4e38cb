"""Grids of runs: the Cartesian product of values of settings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["MOST_RUNS", "grid"]

MOST_RUNS = 1_000_000


@checked
def grid(run: Run, axes: Mapping[str | tuple[str, ...], Iterable[Any]]) -> list[Run]:
    """Return a run for every combination of values of settings, the last setting varying fastest.

    Args:
        axes: Values by setting. A setting is a field of the run or, with dots, a part of a field: ``"rule"``,
            ``"net.size"``, ``"optimizer.lr"``, ``"optimizer.options.momentum"``, ``"task_options.dt"``. Settings that
            change together are a tuple, with tuples as values.

    Raises:
        ValueError: A setting is unknown or has no values, or a value is not allowed.
        TypeError: The values are a string, or a tuple of values has not the length of its settings.

    >>> runs = grid(Run("delayed_xor"), {"rule": ["bptt", "eprop"], "net.size": [16, 32]})
    >>> [(each.rule, each.net.size) for each in runs]
    [('bptt', 16), ('bptt', 32), ('eprop', 16), ('eprop', 32)]
    >>> runs = grid(Run("delayed_xor"), {("rule", "optimizer.lr"): [("bptt", 0.001), ("eprop", 0.003)]})
    >>> [(each.rule, each.optimizer.lr) for each in runs]
    [('bptt', 0.001), ('eprop', 0.003)]
    """
    choices = [_choices(setting, values) for setting, values in axes.items()]
    if (count := math.prod(map(len, choices))) > MOST_RUNS:
        raise ValueError(f"the axes must make at most {MOST_RUNS} runs, got {count}")
    return [_changed(run, list(itertools.chain(*combination))) for combination in itertools.product(*choices)]


@dataclasses.dataclass(frozen=True)
class _Change:
    """A change of a setting; ``path`` is relative to the changed object."""

    setting: str
    path: tuple[str, ...]
    value: Any


def _choices(settings: str | tuple[str, ...], values: Iterable[Any]) -> list[tuple[_Change, ...]]:
    """Return the changes for each value of an axis."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"the values of {settings!r} must be a list or the like, got {values!r}")
    listed = list(itertools.islice(values, MOST_RUNS + 1))
    if len(listed) > MOST_RUNS:
        raise ValueError(f"the values of {settings!r} must be at most {MOST_RUNS}")
    if not listed:
        raise ValueError(f"there are no values of {settings!r}")
    if isinstance(settings, str):
        settings, listed = (settings,), [(value,) for value in listed]
    for value in listed:
        if not isinstance(value, tuple | list) or len(value) != len(settings):
            raise TypeError(f"{settings!r} change together and take {len(settings)} values at a time, got {value!r}")
    return [
        tuple(_Change(name, tuple(name.split(".")), each) for name, each in zip(settings, value, strict=True))
        for value in listed
    ]


def _changed(whole: Any, changes: list[_Change]) -> Any:
    """Return a copy of a dataclass or mapping with all changes, checked once."""
    if isinstance(whole, Run) and (rules := [change.value for change in changes if change.path == ("rule",)]):
        whole = whole.with_rule(rules[-1])
    new: dict[str, Any] = {}
    for name in dict.fromkeys(change.path[0] for change in changes):
        mine = [change for change in changes if change.path[0] == name]
        present = _part(whole, name, mine[0].setting)
        for change in mine:
            if len(change.path) == 1:
                present = change.value
        parts = [dataclasses.replace(change, path=change.path[1:]) for change in mine if len(change.path) > 1]
        new[name] = _changed(present, parts) if parts else present
    if isinstance(whole, NetworkConfig):
        return whole.with_options(**new)
    return {**whole, **new} if isinstance(whole, Mapping) else dataclasses.replace(whole, **new)


def _part(whole: Any, name: str, setting: str) -> Any:
    """Return the present value of a part; an empty one for an option that is not given."""
    if isinstance(whole, Mapping):
        return whole.get(name, {})
    if isinstance(whole, NetworkConfig):
        return whole.options.get(name, {})
    if not dataclasses.is_dataclass(whole) or isinstance(whole, type):
        raise ValueError(f"there is no setting {setting!r}: {whole!r} has no parts, so none called {name!r}")
    return getattr(whole, lookup({each.name: each.name for each in dataclasses.fields(whole)}, name, "setting"))
