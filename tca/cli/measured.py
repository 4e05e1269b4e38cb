"""What a comparison measures of one run, kept beside its record so that it is not measured twice."""

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
from tca import records
from tca.acting import Agent
from tca.batch import Batch
from tca.files import RecordError, explained, make_folder
from tca.result import DIVERGED, Metrics, Result
from tca.rule import Learner
from tca.run import Run
from tca.sealed import companions, read_json, sealed, unsealed, write_json
from tca.train import train
from tca.train_by_reward import REWARD_RULES, policy_of, train_by_reward
from tca.utils.text import in_a_line

__all__ = ["Measured", "Measuring", "align", "measure", "read_measured", "train_and_measure"]

TOLERANCE = 1e-4  # relative, of the eigenvalues: far below their spread over seeds


@dataclass(frozen=True)
class Measuring:
    """How a run is measured.

    Args:
        input_noise: Standard deviation of the noise on test inputs, ``None`` for no noisy test.
        curvature_trials: Trials of the training set over which curvature is taken, at most.
        curvature_probes: Random vectors for the trace.
    """

    input_noise: float | None
    curvature_trials: int
    curvature_probes: int


@dataclass(frozen=True)
class Measured:
    """What was measured of one run; NaN where it could not be, as after divergence.

    Args:
        run: The run.
        outcome: How it ended, see `tca.result.Result`.
        reason: Why it diverged, if it did.
        steps: Updates made.
        train_loss: Loss over the training set.
        test_accuracy: Accuracy, or whatever the task measures, over the test set.
        accuracy_gap: Training minus test accuracy.
        loss_gap: Test minus training loss.
        noisy_accuracy: Accuracy over the test set with noise on its inputs.
        largest: Largest eigenvalue of the Hessian in the recurrent weights.
        smallest: Smallest one.
        trace: Trace of the Hessian.
        cosine: Cosine with BPTT's gradient of the recurrent population, mean over training.
        milliseconds: Time of an update, the median over the intervals between measurements.
        metrics: The measurements made while it was trained.
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


def train_and_measure(run: Run, folder: Path, how: Measuring, progress: bool = False) -> Measured:
    """Train a run, or go on with it, and measure it; what has been done already is read from its record.

    Args:
        run: The run.
        folder: The record's folder.
        how: How to measure.
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


def read_measured(run: Run, folder: Path, how: Measuring) -> Measured:
    """Return what was measured of a run from its record; nothing is measured or built.

    Args:
        run: The run.
        folder: The record's folder.
        how: How it must have been measured.

    Raises:
        RecordError: It was not, or the record is damaged.
    """
    result = records.read(folder, run.device, run)
    values = _known(run, folder, how)
    if values is None:
        raise RecordError(f"{in_a_line(folder)} was not measured, or otherwise; go on with tca compare")
    return _from_json(result, values)


def _known(run: Run, folder: Path, how: Measuring) -> dict[str, float | None] | None:
    """Return what was measured, ``None`` if it was not or in another way."""
    path = folder / "measured.json"
    if not os.path.lexists(path):
        return None
    try:
        known = unsealed(read_json(path), run.name)
        if known.get("result.json") != companions(folder, ["result.json"])["result.json"]:
            raise ValueError("it was measured of another training of the run")
        values: dict[str, float | None] = known["values"]
        if any(isinstance(each, bool) or not isinstance(each, int | float | None) for each in values.values()):
            raise ValueError("a value is no number")
        return values if known["settings"] == dataclasses.asdict(how) else None
    except (ValueError, LookupError, AttributeError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be used, remove it: {in_a_line(error)}") from error


def _trained(run: Run, folder: Path, progress: bool) -> Result:
    """Train by right answers or, for rules that learn from rewards, by these; then what is measured is the policy."""
    if run.rule not in REWARD_RULES:
        return train(run, folder, progress=progress, observe=align)
    result = train_by_reward(run, Agent(), folder, progress=progress)
    return dataclasses.replace(result, net=policy_of(run, result.net, run.make_task().dt))


def align(learner: Learner, batch: Batch) -> dict[str, float]:
    """Return how a learner's gradient of the recurrent population matches that of BPTT on a batch.

    Args:
        learner: The learner, whose feedback is used as it is.
        batch: The trials.
    """
    found = analysis.alignment(learner.net, batch, [learner]).rules[0]
    return {"cosine": found.recurrent.cosine, "norm_ratio": found.recurrent.norm_ratio, "dropped": found.dropped}


def measure(result: Result, how: Measuring) -> dict[str, float]:
    """Return the gaps and the curvature of a trained network by name, nothing if it has diverged.

    Args:
        result: The trained network.
        how: How to measure.
    """
    run = result.run
    if result.outcome == DIVERGED or not all(torch.isfinite(each).all() for each in result.net.parameters()):
        return {}
    task = run.make_task()
    train_set, test_set = (
        each.to(run.device, run.torch_dtype) for each in task.split(run.n_train, run.n_test, seed=run.seeds.data)
    )
    gap = analysis.generalization_gap(result.net, task, train_set, test_set, input_noise=how.input_noise)
    few = train_set.subset(min(how.curvature_trials, len(train_set)))
    curved = analysis.curvature(result.net, few, "w_rec", tolerance=TOLERANCE, probes=how.curvature_probes)
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


def _from_json(result: Result, values: Mapping[str, Any]) -> Measured:
    names = [each.name for each in dataclasses.fields(Measured) if each.type == "float"]
    numbers = {name: math.nan if values.get(name) is None else float(values[name]) for name in names}
    cosines = [
        each.observed["cosine"] for each in result.metrics if math.isfinite(each.observed.get("cosine", math.nan))
    ]
    numbers["cosine"] = sum(cosines) / len(cosines) if cosines else math.nan
    numbers["milliseconds"] = 1e3 * result.seconds_per_step
    return Measured(
        run=result.run,
        outcome=result.outcome,
        reason=result.reason,
        steps=result.step,
        metrics=result.metrics,
        **numbers,
    )
