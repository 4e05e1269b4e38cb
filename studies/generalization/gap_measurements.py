"""What the study measures of one run at each of its losses, kept beside the record so that it is done once."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import analysis
from analysis.generalization.gap import generalization_gap
from analysis.generalization.matched_loss import at_loss
from studies.generalization.gap_plan import Arm, Setting
from tasks.trials import FixedTrials
from tca.experiments.config.run import Run
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.result import Metrics, Result, Snapshot
from tca.experiments.training.train import train
from tca.utils.checks import DivergenceError

__all__ = ["Entry", "Job", "measure", "work"]

TOLERANCE = 1e-3  # relative, of the eigenvalues: far below their spread over seeds
CURVATURE_TRIALS = 600

Row = dict[str, float]


@dataclass(frozen=True)
class Job:
    """One run of the study.

    Attributes:
        setting: Its setting.
        arm: Its arm.
        run: The run.
        folder: Where records are kept.
    """

    setting: Setting
    arm: Arm
    run: Run
    folder: Path

    def __str__(self) -> str:
        """Return what the run is called."""
        size = "" if self.run.n_train == self.setting.n_train else f", {self.run.n_train} trials"
        return f"{self.setting.name}, {self.arm.name}{size}, seed {self.run.seeds.net}"


@dataclass(frozen=True)
class Entry:
    """A run and what was measured of it: no network, so that it is small enough to come back from a worker.

    Attributes:
        setting: Name of its setting.
        arm: Name of its arm.
        run: The run.
        outcome: How it ended.
        rows: Numbers by name at each loss, ``None`` where the run never reached it.
        metrics: What was measured while it was trained.
    """

    setting: str
    arm: str
    run: Run
    outcome: str
    rows: Mapping[float, Row | None]
    metrics: tuple[Metrics, ...]

    @property
    def seed(self) -> int:
        """Seed of weights and trials."""
        return self.run.seeds.net


def work(job: Job) -> Entry:
    """Train a run, or go on with it, and measure it at each loss; what has been done is read from its record.

    Args:
        job: The run.
    """
    folder = job.run.folder(job.folder)
    result = train(job.run, folder, progress=False)
    path, settings = folder / "measured.json", _settings(job.setting)
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("settings") != settings:
        rows = [measure(result, job.setting, loss) for loss in job.run.snapshot_losses]
        known = {"settings": settings, "rows": rows}
        with explained(folder):
            write_whole(path, json.dumps(known, indent=2).encode())
    found = dict(zip(job.run.snapshot_losses, known["rows"], strict=True))
    return Entry(job.setting.name, job.arm.name, job.run, result.outcome, found, result.metrics)


def measure(result: Result, setting: Setting, loss: float) -> Row | None:
    """Return gaps, curvature and step length when a run first reached a loss; ``None`` if it never did.

    ``lambda_1`` and ``lambda_min`` are the ends of the Hessian of the training loss, without weight decay, in the
    recurrent weights. ``rho`` is that of the recurrent weights over the training set, ``pull`` the step along the
    gradient, ``eta rho`` with the rate of the moment and any scaling of the step, and ``ratio`` is
    ``lambda_1 pull / 2``: below 1, the rule can rest there. Values that are not finite are left out.

    Args:
        result: The run.
        setting: Its setting, which says under what conditions to test.
        loss: The loss.
    """
    crossing = at_loss(result, loss)
    if crossing is None:
        return None
    run, task = result.run, setting.make_task()
    train_set, test_set = (
        each.to(run.device, run.torch_dtype) for each in task.split(run.n_train, run.n_test, seed=run.seeds.data)
    )
    net = crossing.net
    found = generalization_gap(net, task, train_set, test_set, conditions=setting.conditions)
    few = train_set.subset(min(CURVATURE_TRIALS, len(train_set)))
    ends = analysis.curvature(net, few, "w_rec", tolerance=TOLERANCE, probes=0)
    row = {
        "step": float(crossing.metrics.step),
        "train_loss": found.train.loss,
        "train_accuracy": found.train.accuracy,
        "lambda_1": ends.largest.value,
        "lambda_min": ends.smallest.value,
        "residual": ends.largest.residual,
        "converged": float(ends.converged),
        **_lengths(run, crossing, train_set),
    }
    for name, gap in found.gaps.items():
        row |= {f"{name}_gap": gap.accuracy, f"{name}_loss_gap": gap.loss}
    row["log_lambda_1"] = math.log10(row["lambda_1"]) if row["lambda_1"] > 0 else math.nan
    row["ratio"] = row["lambda_1"] * row["pull"] / 2
    return {name: value for name, value in row.items() if math.isfinite(value)}


def _lengths(run: Run, crossing: Snapshot, train_set: FixedTrials) -> Row:
    """Return rho, cosine and learning rate of the moment, and the step along the gradient, where the rule has any."""
    chosen, matched = run.optimizer, run.optimizer.matched
    others = [] if matched is None or matched.rule is None else [matched.rule]
    try:
        aligned = analysis.alignment(crossing.net, train_set.batch(), [crossing.learner, *others], seed=run.seeds.rule)
    except DivergenceError:
        return {"rho": math.nan, "pull": math.nan}
    found = aligned.rules
    own, last = found[0].parameters["w_rec"], max(0, crossing.metrics.step - 1)
    eta = chosen.lr * (1.0 if chosen.schedule is None else chosen.schedule.at(last, run.steps))
    factor = 1.0 if matched is None else matched.factor(found[-1].recurrent.rho, 1.0)
    return {"rho": own.rho, "cosine": own.cosine, "eta": eta, "pull": eta * factor * own.rho}


def _settings(setting: Setting) -> dict[str, object]:
    conditions = {name: [type(each).__name__, dataclasses.asdict(each)] for name, each in setting.conditions.items()}
    plain: dict[str, object] = json.loads(
        json.dumps({"conditions": conditions, "tolerance": TOLERANCE, "trials": CURVATURE_TRIALS})
    )
    return plain
