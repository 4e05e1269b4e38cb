"""Measurements of a run of a comparison, saved beside its record."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import analysis
from tca.batch import Batch
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError, explained, make_folder
from tca.experiments.records.result import DIVERGED, Metrics, Result
from tca.experiments.records.sealed_json import companions, read_json, sealed, unsealed, write_json
from tca.experiments.reinforcement.episodes import policy_of
from tca.experiments.training.train import train
from tca.learner import Learner
from tca.utils.text import in_a_line

__all__ = ["MeasurementSettings", "RunMeasurements", "align", "measure", "read_measured", "train_and_measure"]

TOLERANCE = 1e-4  # relative, of the eigenvalues: far below their variation over seeds


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
class RunMeasurements:
    """Measurements of a run; NaN if not available, for example after divergence.

    Args:
        run: Run.
        outcome: Outcome, see `tca.Result`.
        reason: Reason of a divergence.
        steps: Updates made.
        train_loss: Loss over the training set.
        test_accuracy: Accuracy, or the measure of the task, over the test set.
        accuracy_gap: Training minus test accuracy.
        loss_gap: Test minus training loss.
        noisy_accuracy: Accuracy over the test set with noise on its inputs.
        largest: Largest eigenvalue of the Hessian in the recurrent weights.
        smallest: Smallest eigenvalue of the same Hessian.
        trace: Trace of the Hessian.
        cosine: Cosine with BPTT's gradient of the recurrent population, mean over training.
        milliseconds: Time of an update, median over the intervals between measurements.
        metrics: Measurements during training.
    """

    run: Run
    outcome: str
    reason: str
    steps: int
    train_loss: float
    test_accuracy: float
    accuracy_gap: float
    loss_gap: float
    noisy_accuracy: float
    largest: float
    smallest: float
    trace: float
    cosine: float
    milliseconds: float
    metrics: tuple[Metrics, ...]


def train_and_measure(run: Run, folder: Path, how: MeasurementSettings, progress: bool = False) -> RunMeasurements:
    """Train or resume a run and measure it; read finished steps from its record.

    Args:
        progress: Whether to show a progress bar, default no.
    """
    result = _trained(run, folder, progress)
    known = _known(run, folder, how)
    if known is not None:
        return _from_json(result, known)
    values = measure(result, how)
    said = {"settings": dataclasses.asdict(how), "values": _to_json(values), **companions(folder, ["result.json"])}
    with explained(folder):
        make_folder(folder)
        write_json(folder / "measured.json", sealed(run.name, said))
    return _from_json(result, values)


def read_measured(run: Run, folder: Path, how: MeasurementSettings) -> RunMeasurements:
    """Read the measurements of a run from its record.

    Raises:
        RecordError: There are no measurements with these settings, or the record is damaged.
    """
    result = records.read(folder, run.device, run)
    values = _known(run, folder, how)
    if values is None:
        raise RecordError(f"{in_a_line(folder)} has no measurements with these settings; resume with tca compare")
    return _from_json(result, values)


def _known(run: Run, folder: Path, how: MeasurementSettings) -> dict[str, float | None] | None:
    """Return the saved values, ``None`` if there are none with these settings."""
    path = folder / "measured.json"
    if not os.path.lexists(path):
        return None
    try:
        known = unsealed(read_json(path), run.name)
        if known.get("result.json") != companions(folder, ["result.json"])["result.json"]:
            raise ValueError("the measurements belong to another training of the run")
        values: dict[str, float | None] = known["values"]
        if any(isinstance(each, bool) or not isinstance(each, int | float | None) for each in values.values()):
            raise ValueError("a value is not a number")
        return values if known["settings"] == dataclasses.asdict(how) else None
    except (ValueError, LookupError, AttributeError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be used, remove it: {in_a_line(error)}") from error


def _trained(run: Run, folder: Path, progress: bool) -> Result:
    """Train from targets or from rewards; the network to measure is then the policy."""
    if run.agent is None:
        return train(run, folder, progress=progress, observe=align)
    result = train(run, folder, progress=progress)
    return dataclasses.replace(result, net=policy_of(run, result.net, run.make_task().dt))


def align(learner: Learner, batch: Batch) -> dict[str, float]:
    """Return the alignment of a learner's recurrent gradient with BPTT on a batch.

    Args:
        learner: Learner, with its present feedback weights.
    """
    found = analysis.alignment(learner.net, batch, [learner]).rules[0]
    return {"cosine": found.recurrent.cosine, "norm_ratio": found.recurrent.norm_ratio, "dropped": found.dropped}


def measure(result: Result, how: MeasurementSettings) -> dict[str, float]:
    """Return gaps and curvature of a trained network by name; empty if it diverged."""
    run = result.run
    if result.outcome == DIVERGED or not all(torch.isfinite(each).all() for each in result.net.parameters()):
        return {}
    task = run.make_task()
    train_set, test_set = (
        each.to(run.device, run.torch_dtype) for each in task.split(run.n_train, run.n_test, seed=run.seeds.data)
    )
    gap = analysis.generalization_gap(result.net, task, train_set, test_set, input_noise=how.input_noise)
    few = train_set.subset(min(how.curvature_trials, len(train_set)))
    curved = analysis.curvature(result.net, few, tolerance=TOLERANCE, probes=how.curvature_probes)
    found = {
        "train_loss": gap.train.loss,
        "test_accuracy": gap.test.accuracy,
        "accuracy_gap": gap.accuracy_gap,
        "loss_gap": gap.loss_gap,
        "largest": curved.largest.value if curved.largest.converged else math.nan,
        "smallest": curved.smallest.value if curved.smallest.converged else math.nan,
    }
    if gap.noisy_test is not None:
        found["noisy_accuracy"] = gap.noisy_test.accuracy
    if curved.trace is not None:
        found["trace"] = curved.trace.value
    return found


def _to_json(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def _from_json(result: Result, values: Mapping[str, Any]) -> RunMeasurements:
    names = [each.name for each in dataclasses.fields(RunMeasurements) if each.type == "float"]
    numbers = {name: math.nan if values.get(name) is None else float(values[name]) for name in names}
    cosines = [
        each.observed["cosine"] for each in result.metrics if math.isfinite(each.observed.get("cosine", math.nan))
    ]
    numbers["cosine"] = sum(cosines) / len(cosines) if cosines else math.nan
    numbers["milliseconds"] = 1e3 * result.seconds_per_step
    return RunMeasurements(
        run=result.run,
        outcome=result.outcome,
        reason=result.reason,
        steps=result.step,
        metrics=result.metrics,
        **numbers,
    )
