"""The table of a sweep: one row a run, with the settings that vary, how it ended and what was measured last."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from tca.experiments.sweep.settings import settings, varying
from tca.experiments.sweep.swept_run import Swept

__all__ = ["csv_text"]

MEASURED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "elapsed")


def csv_text(swept: Sequence[Swept]) -> str:
    """Return the runs of a sweep as comma-separated values, numbers in full.

    The columns are the settings that vary, ``outcome``, ``step``, the last measurement as in
    `tca.experiments.records.result.Metrics` (``elapsed`` in seconds), ``reason``, and ``record``, the name of the run's
    folder. What was not measured is empty.

    Args:
        swept: The runs, in the order of the rows.
    """
    names = varying([each.run for each in swept])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "outcome", "step", *MEASURED, "reason", "record"])
    writer.writerows(_row(each, names) for each in swept)
    return text.getvalue()


def _row(swept: Swept, names: Sequence[str]) -> list[Any]:
    values = settings(swept.run)
    measured = ["" if swept.last is None else getattr(swept.last, name) for name in MEASURED]
    step = swept.step if swept.ended else ""
    return [*(values.get(name, "") for name in names), swept.outcome, step, *measured, swept.reason, swept.run.name]
