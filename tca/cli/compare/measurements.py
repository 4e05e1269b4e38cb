"""Measurements of a run of a comparison, in training and of its network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import analysis
from tca.batch import Batch
from tca.cli.compare.choices import ChoiceCurve, choice_curve
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tca.experiments.reinforcement.episodes import policy_of
from tca.experiments.sweep.swept_run import ENDED
from tca.experiments.training.train import Observer
from tca.learner import Learner
from tca.nets import Network

__all__ = ["MATCHED", "Measured", "MeasurementSettings", "RunMeasurements", "align", "measure", "observer"]

TOLERANCE = 1e-4  # relative, of the eigenvalues: far below their variation over seeds
MATCHED = "matched_"  # prefix of measurements at the common loss


@dataclass(frozen=True)
class MeasurementSettings:
    """Settings of the measurements of a run.

    Args:
        input_noise: Standard deviation of the noise on test inputs, ``None`` for no noisy test.
        curvature_trials: Maximal number of training trials for curvature.
        curvature_probes: Random vectors for the trace.
    """

    input_noise: float | None
    curvature_trials: int
    curvature_probes: int


@dataclass(frozen=True)
class Measured:
    """Measurements of a network.

    Args:
        values: Numbers by name.
        parameters: Names of the parameters of the Hessian.
        curve: Choices by a graded variable, ``None`` (default) for tasks without one.
        unfitted: Why its function, or a part of it, was not fitted; default ``""``.
    """

    values: Mapping[str, float]
    parameters: tuple[str, ...] = ()
    curve: ChoiceCurve | None = None
    unfitted: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the measurements as plain values, null for NaN."""
        curve = None if self.curve is None else _nulled(dataclasses.asdict(self.curve))
        values, parameters = _nulled(self.values), list(self.parameters)
        return {"values": values, "parameters": parameters, "curve": curve, "unfitted": self.unfitted}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Measured:
        """Return the measurements of a value of ``to_json``.

        Raises:
            ValueError: A value is not a number.
        """
        values = known["values"].items()
        if any(isinstance(each, bool) or not isinstance(each, int | float | None) for _, each in values):
            raise ValueError("a value is not a number")
        curve = None if known["curve"] is None else ChoiceCurve.from_json(known["curve"])
        numbers = {name: math.nan if each is None else float(each) for name, each in values}
        return cls(numbers, tuple(map(str, known["parameters"])), curve, str(known.get("unfitted", "")))


def _nulled(values: Mapping[str, Any]) -> dict[str, Any]:
    missing = {name for name, each in values.items() if isinstance(each, float) and not math.isfinite(each)}
    return {name: None if name in missing else each for name, each in values.items()}


@dataclass(frozen=True)
class RunMeasurements:
    """Measurements of a run.

    Args:
        entry: Name of the entry.
        run: Run.
        outcome: Outcome, see `tca.experiments.sweep.swept_run.Swept`.
        reason: Reason of another outcome than success.
        steps: Updates made.
        values: Measurements by name, see `measure`, with ``cosine``, the mean over training of the cosine with BPTT's
            gradient of the recurrent or hidden population, and ``milliseconds`` of an update, median over the intervals
            between measurements.
        parameters: Names of the parameters of the Hessian.
        curve: Choices by a graded variable, ``None`` for tasks without one.
        metrics: Measurements during training.
        unfitted: Why the function of these choices, or a part of it, was not fitted.
    """

    entry: str
    run: Run
    outcome: str
    reason: str = ""
    steps: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    curve: ChoiceCurve | None = None
    metrics: tuple[Metrics, ...] = ()
    unfitted: str = ""

    @property
    def ended(self) -> bool:
        """Whether the run has a finished record; otherwise it failed or its worker died."""
        return self.outcome in ENDED

    def value(self, name: str) -> float:
        """Return a measurement, NaN if not available or infinite, for example after divergence.

        Args:
            name: Its name.
        """
        value = self.values.get(name, math.nan)
        return value if math.isfinite(value) else math.nan


def observer(run: Run) -> Observer | None:
    """Return the observer of a run in training: the alignment with BPTT, where there are training trials."""
    return None if run.agent is not None or run.snapshot_losses else align


def align(learner: Learner, batch: Batch) -> dict[str, float]:
    """Return the alignment of a learner's recurrent or hidden gradient with BPTT on a batch.

    Args:
        learner: Learner, with its present feedback weights.
        batch: Trials.
    """
    found = analysis.alignment(learner.net, batch, [learner]).rules[0]
    return {"cosine": found.recurrent.cosine, "norm_ratio": found.recurrent.norm_ratio, "dropped": found.dropped}


def measure(run: Run, net: Network, how: MeasurementSettings, *, graded: bool = True) -> Measured:
    """Return gaps, curvature and choices of a network; empty if it is not finite.

    ``train_loss``, ``test_accuracy``, ``accuracy_gap`` and ``loss_gap``; the same of the noisy test in
    ``noisy_accuracy``, ``noisy_accuracy_gap`` and ``noisy_loss_gap``; ``largest``, ``smallest`` and ``trace`` of the
    Hessian of the training loss in the default parameters of the network: the recurrent weights where there are any,
    else all; ``psychometric_threshold`` and ``psychometric_slope`` where trials have a graded variable; and the
    ``size``, the number of all parameters.

    Args:
        net: A network of it.
        graded: Whether to fit the psychometric function of a task that has one, default yes.
    """
    if not all(torch.isfinite(each).all() for each in net.parameters()):
        return Measured({})
    task = run.make_task()
    if run.agent is not None:
        net = policy_of(run, net, task.dt)
    train_set, test_set = (
        each.to(run.device, run.torch_dtype) for each in task.split(run.n_train, run.n_test, seed=run.seeds.data)
    )
    gap = analysis.generalization_gap(net, task, train_set, test_set, input_noise=how.input_noise)
    few = train_set.subset(min(how.curvature_trials, len(train_set)))
    curved = analysis.curvature(net, few, tolerance=TOLERANCE, probes=how.curvature_probes)
    found = {
        "train_loss": gap.train.loss,
        "test_accuracy": gap.test.accuracy,
        "accuracy_gap": gap.accuracy_gap,
        "loss_gap": gap.loss_gap,
        "largest": curved.largest.value if curved.largest.converged else math.nan,
        "smallest": curved.smallest.value if curved.smallest.converged else math.nan,
    }
    if gap.noisy_test is not None:
        noisy = gap.gap(gap.noisy_test)
        found |= {
            "noisy_accuracy": gap.noisy_test.accuracy,
            "noisy_accuracy_gap": noisy.accuracy,
            "noisy_loss_gap": noisy.loss,
        }
    if curved.trace is not None:
        found["trace"] = curved.trace.value
    found["size"] = float(sum(each.numel() for each in net.parameters()))
    curve, unfitted = choice_curve(net, test_set) if graded else (None, "")
    if curve is not None:
        found |= {"psychometric_threshold": curve.threshold, "psychometric_slope": curve.slope}
    return Measured(found, curved.parameters, curve, unfitted)
