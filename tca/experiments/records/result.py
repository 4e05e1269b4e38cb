"""The result of a run: measurements, outcome and networks."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import Tensor

from tca.experiments.config.run import Run
from tca.learner import Learner
from tca.nets import Network
from tca.utils.checks import settle, whole
from tca.utils.tables import Tabular

__all__ = [
    "COMPLETED",
    "DIVERGED",
    "OUTCOMES",
    "REACHED_LOSS",
    "Metrics",
    "Result",
    "Snapshot",
    "first_at",
    "seconds_per_step",
]

COMPLETED, REACHED_LOSS, DIVERGED = "completed", "reached_loss", "diverged"
OUTCOMES = (COMPLETED, REACHED_LOSS, DIVERGED)


@dataclass(frozen=True)
class Metrics:
    """A measurement during training; numbers that are not finite are stored as NaN.

    Args:
        step: Updates made so far.
        train_loss: Loss over the training set, without private noise.
        train_accuracy: Accuracy, or the score of the task, over the training set.
        test_loss: Loss over the test set.
        test_accuracy: Score over the test set.
        elapsed: Seconds spent on the updates so far, without measurements and checkpoints.
        observed: Values of an observer, by name.

    >>> Metrics.from_json(Metrics(5, 0.5, 1.0, math.nan, 0.9, 2.0).to_json()).test_loss
    nan
    """

    step: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    elapsed: float
    observed: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name, with ``None`` for NaN, which JSON lacks."""
        values = dataclasses.asdict(self)
        return {name: _nulled(each) for name, each in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Metrics:
        """Return the measurement of a value of ``to_json``.

        Args:
            values: Value of ``to_json``.

        Raises:
            ValueError: It is not one.
        """
        names = [each.name for each in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names) or not isinstance(values["observed"], Mapping):
            raise ValueError(f"a measurement must hold {', '.join(names)}")
        whole("step", values["step"], 0)
        numbers = {name: _number(name, each) for name, each in values.items() if name not in ("step", "observed")}
        observed = {name: _number(name, each) for name, each in values["observed"].items()}
        return cls(step=values["step"], **numbers, observed=observed)


def first_at(loss: float, metrics: Sequence[Metrics]) -> Metrics | None:
    """Return the first measurement at or below a training loss, ``None`` if training has not crossed it.

    A loss above that of the untrained network is not crossed.
    """
    found = next((each for each in metrics if -math.inf < each.train_loss <= loss), None)
    return None if metrics and found is metrics[0] else found


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A network where its training loss crossed a loss, see `tca.experiments.training.snapshots.cross`.

    Args:
        loss: The loss.
        metrics: Its measurement; ``metrics.train_loss`` is within 1 % of ``loss`` unless it jumps over it,
            ``metrics.step`` counts the update of the crossing, and ``elapsed`` is NaN.
        net: The network.
        learner: Its learner.
    """

    loss: float
    metrics: Metrics
    net: Network = field(repr=False)
    learner: Learner = field(repr=False)


@dataclass(frozen=True, eq=False)
class Result(Tabular):
    """A trained network with measurements and outcome of the training.

    A result read from a record builds its networks on first access. ``to_frame`` returns its measurements as a table of
    pandas.

    Args:
        run: The run.
        outcome: ``"completed"``: all steps were made; ``"reached_loss"``: the training loss fell to ``run.stop_loss``;
            ``"diverged"``: a loss, gradient, weight or state of rule or optimizer was not finite, or the rule cannot
            continue from its weights.
        step: Updates made.
        reason: Reason of a divergence.
        metrics: Measurements, first to last.
        net: The network after its last update.
        learner: The learner that trained it.
        crossings: Network and learner at each of ``run.snapshot_losses`` that was reached.
        normalisation: Final moments of observations and rewards where a task gives rewards only, else empty; see
            `tca.experiments.reinforcement.trained_policy.TrainedPolicy`.
    """

    run: Run
    outcome: str
    step: int
    reason: str
    metrics: tuple[Metrics, ...]
    net: Network = field(repr=False)
    learner: Learner = field(repr=False)
    crossings: tuple[Snapshot, ...] = field(default_factory=tuple, repr=False)
    normalisation: Mapping[str, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def later(cls, build: Callable[[str], Mapping[str, Any]], **values: Any) -> Result:
        """Return a result whose networks are built on first access.

        Args:
            build: Function from ``"net"``, ``"learner"``, ``"crossings"`` or ``"normalisation"`` to its value, with
                others if built too.
        """
        result = object.__new__(cls)
        settle(result, **values, _build=build)
        return result

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Build a field on first access."""
            if name not in ("net", "learner", "crossings", "normalisation") or "_build" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            settle(self, **self._build(name))
            return vars(self)[name]

    def _columns(self) -> dict[str, Any]:
        """Return the measurements, a row each."""
        names = dict.fromkeys(name for each in self.metrics for name in each.observed)
        fields = [each.name for each in dataclasses.fields(Metrics) if each.name != "observed"]
        observed = {name: [each.observed.get(name, math.nan) for each in self.metrics] for name in names}
        return {name: [getattr(each, name) for each in self.metrics] for name in fields} | observed

    @property
    def last(self) -> Metrics:
        """The last measurement."""
        return self.metrics[-1]

    @property
    def seconds_per_step(self) -> float:
        """Seconds of an update, median over the intervals between measurements; NaN without intervals."""
        return seconds_per_step(self.metrics)


def seconds_per_step(metrics: Sequence[Metrics]) -> float:
    """Return the seconds of an update, median over the intervals between measurements; NaN without intervals."""
    times = [(after.elapsed - before.elapsed) / (after.step - before.step) for before, after in pairwise(metrics)]
    return statistics.median(times) if times else math.nan


def _number(name: str, value: object) -> float:
    """Return a number of JSON, NaN for null; integers stay integers."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number or null")
    return value


def _nulled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nulled(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
