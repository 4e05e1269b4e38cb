"""Measurements made while a network is trained, named by a run.

What is measured is written elsewhere, in modules that are imported only when a run asks for them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from tca.batch import Batch
from tca.experiments.config.components import plain
from tca.learner import Learner
from tca.utils.checks import Count, checked
from tca.utils.names import Table, lookup

__all__ = ["WATCHERS", "Watch", "Watcher"]

# Where each measurement is written: module and class, whose arguments are the options of the watch.
WATCHERS = Table(
    "measurement",
    {
        "alignment": "analysis.run_measurements:AlignmentWatcher",
        "broadcast": "analysis.run_measurements:BroadcastWatcher",
        "curvature": "analysis.run_measurements:CurvatureWatcher",
    },
)


class Watcher(Protocol):
    """A measurement, which may remember something from one time to the next."""

    def __call__(self, learner: Learner, train: Batch) -> Mapping[str, float]:
        """Return numbers by name; the learner and the training set must not be changed."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what it remembers: nested dictionaries of tensors, numbers and strings."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state`` returned."""
        ...


@checked
@dataclass(frozen=True)
class Watch:
    """A measurement made while a network is trained.

    Args:
        name: Its name in ``WATCHERS``.
        every: How many of the run's measurements one of these comes with, default 1: each. The first and the last are
            always among them.
        options: Its options, default none.

    Raises:
        ValueError: There is no such measurement, or an option is not allowed.
        TypeError: It has no such option.

    >>> Watch("curvature", every=2, options={"trials": 50}).build().trials
    50
    """

    name: str
    every: Count = 1
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check everything, by making the measurement."""
        lookup(WATCHERS, self.name, "measurement")
        object.__setattr__(self, "options", plain("options of a watch", self.options))
        self.build()

    def build(self) -> Watcher:
        """Return the measurement.

        Raises:
            TypeError: It has no such option.
        """
        module, _, name = WATCHERS[self.name].partition(":")
        return cast(Watcher, getattr(importlib.import_module(module), name)(**self.options))
