"""What the study measures: the angle of each layer's change with backpropagation in training, curvature at its end."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch

from analysis.alignment import Match
from analysis.curvature.curvature import curvature
from studies.vision.vision_plan import Arm, Panel
from tca.batch import Batch
from tca.experiments.config.run import Run
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.result import DIVERGED, Metrics, Result
from tca.experiments.training.train import train
from tca.learner import Learner
from tca.rules import RULES

__all__ = ["Entry", "Job", "angles", "work"]

ANGLE = "angle"
TOLERANCE, PRODUCTS = 1e-2, 80  # of the largest eigenvalue: seeds differ by far more


@dataclass(frozen=True)
class Job:
    """One run of the study.

    Attributes:
        panel: Its images and network.
        arm: Its rule.
        run: The run.
        folder: Where records are kept.
    """

    panel: Panel
    arm: Arm
    run: Run
    folder: Path

    def __str__(self) -> str:
        """Return what the run is called."""
        return f"{self.panel.name}, {self.arm.name}, seed {self.run.seeds.net}"


@dataclass(frozen=True)
class Entry:
    """A run and what was measured: no network, so that it is small enough to come back from a worker.

    Attributes:
        panel: Its images and network.
        arm: Its rule.
        seed: Its seed.
        outcome: How it ended.
        metrics: What was measured while it was trained.
        curvature: Largest eigenvalue of the Hessian of the training loss at the end, NaN if it was not found.
    """

    panel: Panel
    arm: Arm
    seed: int
    outcome: str
    metrics: tuple[Metrics, ...]
    curvature: float

    @property
    def last(self) -> Metrics:
        """What was measured last."""
        return self.metrics[-1]

    @property
    def gap(self) -> float:
        """Training accuracy less test accuracy at the end."""
        return self.last.train_accuracy - self.last.test_accuracy

    @property
    def layers(self) -> int:
        """Number of hidden layers."""
        return sum(name.startswith(f"{ANGLE}/") for name in self.last.observed)

    @property
    def seconds_an_epoch(self) -> float:
        """Time of the updates of an epoch, the least between two measurements: other work on the machine only adds."""
        times = [
            (after.elapsed - before.elapsed) / (after.step - before.step) for before, after in pairwise(self.metrics)
        ]
        return min(times) * self.panel.batches if times else math.nan

    def angle(self, layer: int) -> tuple[list[float], list[float]]:
        """Return epochs, and the angle of a layer's change with that of backpropagation in degrees.

        Args:
            layer: Number of the layer, from one.
        """
        seen = [each for each in self.metrics if f"{ANGLE}/{layer}" in each.observed]
        return [self.epoch(each) for each in seen], [each.observed[f"{ANGLE}/{layer}"] for each in seen]

    def epoch(self, metrics: Metrics) -> float:
        """Return when something was measured, in epochs.

        Args:
            metrics: What was measured.
        """
        return metrics.step / self.panel.batches


@torch.no_grad()
def angles(learner: Learner, batch: Batch) -> Mapping[str, float]:
    """Return the angle in degrees between a rule's change of each hidden layer and that of backpropagation.

    Layers are numbered from the inputs upwards; weights and biases of a layer are taken together. Where one of the two
    changes is zero, the angle is NaN.

    Args:
        learner: The learner, which is not changed.
        batch: Trials.

    >>> import tca
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.ones(1, 2, 4), torch.ones(1, 2, 3), torch.ones(1, 2), MSE())
    >>> found = angles(Learner(tca.nets.MLP(4, [6, 5], 3), RULES["backprop"]), batch)
    >>> {name: round(each, 3) for name, each in found.items()}
    {'angle/1': 0.0, 'angle/2': 0.0}
    """
    own, _ = learner.grads(batch)
    true, _ = Learner(learner.net, RULES["backprop"]).grads(batch)
    found = {}
    for number, level in enumerate(reversed(learner.tape(batch).levels), 1):
        names = [link.connection.name for link in level.links]
        match = Match.of(*(torch.cat([each[name].flatten() for name in names]) for each in (own, true)))
        found[f"{ANGLE}/{number}"] = math.degrees(math.acos(max(-1.0, min(1.0, match.cosine))))
    return found


def work(job: Job) -> Entry:
    """Train a run, or go on with it, and measure its curvature; what has been done is read from its record.

    Args:
        job: The run.
    """
    folder = job.run.folder(job.folder)
    result = train(job.run, folder, progress=False, observe=angles)
    path, settings = folder / "curvature.json", {"trials": job.panel.curvature_trials, "tolerance": TOLERANCE}
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("settings") != settings:
        largest = _curvature(result, job.panel.curvature_trials)
        known = {"settings": settings, "largest": largest if math.isfinite(largest) else None}
        with explained(folder):
            write_whole(path, json.dumps(known, indent=2).encode())
    found = math.nan if known["largest"] is None else known["largest"]
    return Entry(job.panel, job.arm, job.run.seeds.net, result.outcome, result.metrics, found)


def _curvature(result: Result, trials: int) -> float:
    """Return the largest eigenvalue over the first training images, all parameters; NaN if it was not found."""
    if result.outcome == DIVERGED or not trials:
        return math.nan
    run = result.run
    train_set, _ = run.make_task().split(run.n_train, run.n_test, seed=run.seeds.data)
    few = train_set.subset(min(trials, len(train_set))).to(run.device, run.torch_dtype)
    found = curvature(
        result.net, few, "all", chunk=trials, tolerance=TOLERANCE, products=PRODUCTS, probes=0,
        dtype=None,
    )  # fmt: skip
    return found.largest.value if found.largest.converged else math.nan
