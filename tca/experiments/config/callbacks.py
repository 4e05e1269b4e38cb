"""Measurements during training, named by a run and imported only when a run uses them."""

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

__all__ = ["WATCHERS", "Callback", "Watcher"]

# Module and class of each measurement; the arguments of the class are the options.
WATCHERS = Table(
    "measurement",
    {
        "alignment": "analysis.run_measurements:AlignmentWatcher",
        "broadcast": "analysis.run_measurements:BroadcastWatcher",
        "curvature": "analysis.run_measurements:CurvatureWatcher",
    },
)


class Watcher(Protocol):
    """A measurement, which may have a state."""

    def __call__(self, learner: Learner, train: Batch) -> Mapping[str, float]:
        """Return numbers by name, without a change to learner or training set."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the state: nested dictionaries of tensors, numbers and strings."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a value of ``state``."""
        ...


@checked
@dataclass(frozen=True)
class Callback:
    """A measurement during training.

    Args:
        name: Name in ``WATCHERS``.
        every: Interval in measurements of the run, default 1; the first and the last are always included.
        options: Options, default none.

    Raises:
        ValueError: The measurement is unknown, or an option is not allowed.
        TypeError: An option is unknown.

    >>> Callback("curvature", every=2, options={"trials": 50}).build().trials
    50
    """

    name: str
    every: Count = 1
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check name and options by building the measurement."""
        lookup(WATCHERS, self.name, "measurement")
        object.__setattr__(self, "options", plain("options of a callback", self.options))
        self.build()

    def build(self) -> Watcher:
        """Return the measurement.

        Raises:
            TypeError: An option is unknown.
        """
        module, _, name = WATCHERS[self.name].partition(":")
        return cast(Watcher, getattr(importlib.import_module(module), name)(**self.options))
