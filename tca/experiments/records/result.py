"""What a run has led to."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tca.experiments.config.run import Run
from tca.learner import Learner
from tca.nets import Network
from tca.utils.checks import settle, whole

__all__ = [
    "COMPLETED",
    "DIVERGED",
    "OUTCOMES",
    "REACHED_LOSS",
    "Crossing",
    "Metrics",
    "Result",
    "first_at",
    "seconds_per_step",
]

COMPLETED, REACHED_LOSS, DIVERGED = "completed", "reached_loss", "diverged"
OUTCOMES = (COMPLETED, REACHED_LOSS, DIVERGED)


@dataclass(frozen=True)
class Metrics:
    """What was measured after some steps; numbers that are not finite are kept as NaN.

    Args:
        step: Updates made so far.
        train_loss: Loss over the training set, without private noise.
        train_accuracy: Accuracy, or whatever the task measures, over the training set.
        test_loss: The same over the test set.
        test_accuracy: The same over the test set.
        elapsed: Seconds spent on the updates so far, measuring and saving left out.
        observed: What an observer has measured, by name.

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
        """Return the numbers by name; ``None`` stands for NaN, which JSON lacks."""
        values = dataclasses.asdict(self)
        return {name: _nulled(each) for name, each in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Metrics:
        """Return what ``to_json`` described.

        Args:
            values: What it returned.

        Raises:
            ValueError: It returned nothing of the kind.
        """
        names = [each.name for each in dataclasses.fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names) or not isinstance(values["observed"], Mapping):
            raise ValueError(f"a measurement must hold {', '.join(names)}")
        whole("step", values["step"], 0)
        numbers = {name: _number(name, each) for name, each in values.items() if name not in ("step", "observed")}
        observed = {name: _number(name, each) for name, each in values["observed"].items()}
        return cls(step=values["step"], **numbers, observed=observed)

    def numbers(self) -> Tensor:
        """Return step, losses and accuracies in float64; seconds and what an observer saw are left out."""
        values = [self.step, self.train_loss, self.train_accuracy, self.test_loss, self.test_accuracy]
        return torch.tensor(values, dtype=torch.float64, device="cpu")

    @classmethod
    def from_numbers(cls, numbers: Tensor) -> Metrics:
        """Return what ``numbers`` described.

        Args:
            numbers: What it returned.
        """
        step, train_loss, train_accuracy, test_loss, test_accuracy = numbers.tolist()
        return cls(int(step), train_loss, train_accuracy, test_loss, test_accuracy, math.nan)


def first_at(loss: float, metrics: Sequence[Metrics]) -> Metrics | None:
    """Return the first measurement at or below a training loss, ``None`` if training has not crossed it.

    A loss that the network is below before training is not crossed.

    Args:
        loss: The loss.
        metrics: What was measured, first to last.
    """
    found = next((each for each in metrics if -math.inf < each.train_loss <= loss), None)
    return None if metrics and found is metrics[0] else found


@dataclass(frozen=True, eq=False)
class Crossing:
    """A network where its training loss crossed some loss, see `tca.experiments.training.snapshots.cross`.

    Args:
        loss: That loss.
        metrics: What was measured there; ``metrics.train_loss`` is within 1 % of ``loss`` wherever the loss passes
            through it, ``metrics.step`` counts the update in whose course that was, and ``elapsed`` is NaN.
        net: The network as it was then.
        learner: Its learner as it was then.
    """

    loss: float
    metrics: Metrics
    net: Network = field(repr=False)
    learner: Learner = field(repr=False)


@dataclass(frozen=True, eq=False)
class Result:
    """A trained network, how it got there and how it ended.

    One that is read from a record builds its networks when they are first asked for.

    Args:
        run: What was asked for.
        outcome: ``"completed"``: all steps were made; ``"reached_loss"``: the training loss fell to ``run.stop_loss``;
            ``"diverged"``: a loss, gradient or weight, or the state of rule or optimizer was not finite, or the rule
            cannot go on with the weights it has led to.
        step: Updates made.
        reason: What was not finite, or why the rule cannot go on, if the run diverged.
        metrics: What was measured, first to last.
        net: The network after its last update.
        learner: The learner that trained it.
        crossings: Network and learner at each of ``run.measure_at_losses`` that was reached.
    """

    run: Run
    outcome: str
    step: int
    reason: str
    metrics: tuple[Metrics, ...]
    net: Network = field(repr=False)
    learner: Learner = field(repr=False)
    crossings: tuple[Crossing, ...] = field(default_factory=tuple, repr=False)

    @classmethod
    def later(cls, build: Callable[[str], Mapping[str, Any]], **values: Any) -> Result:
        """Return a result whose networks are built when they are first asked for.

        Args:
            build: Returns, for one of ``"net"``, ``"learner"`` and ``"crossings"``, its value and perhaps others'.
            values: The other fields.
        """
        result = object.__new__(cls)
        settle(result, **values, _build=build)
        return result

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Build what is not there yet."""
            if name not in ("net", "learner", "crossings") or "_build" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            settle(self, **self._build(name))
            return vars(self)[name]

    @property
    def last(self) -> Metrics:
        """What was measured last."""
        return self.metrics[-1]

    @property
    def seconds_per_step(self) -> float:
        """Time of one update in seconds, the median over the intervals between measurements; NaN if there is none."""
        return seconds_per_step(self.metrics)


def seconds_per_step(metrics: Sequence[Metrics]) -> float:
    """Return the time of one update in seconds, the median over the intervals between measurements; NaN without any.

    Args:
        metrics: What was measured, first to last.
    """
    times = [(after.elapsed - before.elapsed) / (after.step - before.step) for before, after in pairwise(metrics)]
    return statistics.median(times) if times else math.nan


def _number(name: str, value: object) -> float:
    """Return a number that JSON holds, NaN for null; what was measured as an integer stays one."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number or null")
    return value


def _nulled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _nulled(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
