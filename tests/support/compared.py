"""Comparisons with made-up measurements, for tests of reports: no training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tca.cli.compare.choices import ChoiceCurve
from tca.cli.compare.common_loss import CommonLoss
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_result import ComparisonResult, Outcomes
from tca.cli.compare.measurements import MATCHED, RunMeasurements
from tca.experiments.records.result import Metrics

__all__ = ["GOOD", "POOR", "synthetic"]

GOOD, POOR = 0.95, 0.5  # final accuracies
LEVELS = tuple(np.linspace(-1, 1, 9).tolist())


def synthetic(names: Sequence[str], tasks: Sequence[str], seeds: int, measurements: int = 21) -> ComparisonResult:
    """Return a comparison in which the last entry stays at chance and all others learn.

    Args:
        names: Names of the entries, whose rule is eprop but for the first, which is bptt.
        tasks: Names of tasks.
        seeds: Seeds of an entry.
        measurements: Measurements during the training of a run.
    """
    rules = [{"rule": "eprop" if place else "bptt", "name": name} for place, name in enumerate(names)]
    comparison = Comparison(tasks=list(tasks), rules=rules, seeds=seeds, match_loss=0.1, steps=1000, n_test=1000)
    generator = np.random.default_rng(0)
    measured = []
    for planned in comparison.runs():
        noise = generator.normal(size=6) * 0.01
        final = (POOR if planned.entry == names[-1] else GOOD) + noise[0]
        values = {
            "test_accuracy": final, "noisy_accuracy": final - 0.1, "accuracy_gap": 0.02 + noise[1], "train_loss": 0.05,
            "noisy_accuracy_gap": 0.12, "loss_gap": 0.03 + noise[2], "largest": math.exp(3 + 20 * noise[3]),
            "smallest": -1.0, "trace": 300.0, "cosine": 0.5 + noise[4], "milliseconds": 2.0, "size": 4000.0,
        }  # fmt: skip
        values |= {f"{MATCHED}{name}": values[name] for name in ("test_accuracy", "loss_gap", "largest", "train_loss")}
        metrics = tuple(
            Metrics(int(1000 * part), 0.7 * math.exp(-3 * part), 0.5 + 0.4 * part, 0.7, 0.5 + (final - 0.5) * part,
                    part, {"cosine": 0.5 + 0.1 * math.sin(9 * part)})
            for part in np.linspace(0, 1, measurements).tolist()
        )  # fmt: skip
        proportions = tuple(1 / (1 + math.exp(-5 * (final - 0.45) * level)) for level in LEVELS)
        measured.append(
            RunMeasurements(planned.entry, planned.run, "completed", "", 1000, values, ("w_rec",),
                            ChoiceCurve("evidence", "2", LEVELS, proportions, 0.0, 5.0), metrics)
        )  # fmt: skip
    losses = {(task, "CrossEntropy"): CommonLoss(task, "CrossEntropy", 0.1) for task in tasks}
    return ComparisonResult(comparison, measured, Outcomes(losses=losses))
