"""Checksums of trials, by which a record notices that its data have changed."""

from __future__ import annotations

import hashlib
from typing import Any

from tasks.task import Task
from tca.batch import Batch

__all__ = ["checksum", "first_trials"]

FIRST = 8  # trials of a task that are drawn for its checksum


def checksum(batch: Batch) -> str:
    """Return the SHA-256 of the numbers of a batch: inputs, targets, weights and decision steps.

    Args:
        batch: The trials.
    """
    digest = hashlib.sha256()
    for each in (batch.inputs, batch.targets, batch.weights, batch.decision_steps, batch.trial_lengths):
        array = each.detach().cpu().contiguous().numpy()
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def first_trials(task: Task) -> dict[str, Any]:
    """Return number and SHA-256 of the first training trials of a task, which change if its code or options do."""
    return {"first_trials": {"count": FIRST, "sha256": checksum(task.split(FIRST, 1, seed=0)[0].batch())}}
