"""Measures of accuracy: one number for a batch, at its decision steps.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tca.batch import Batch

__all__ = ["MEASURES", "classification_accuracy", "r_squared"]


def classification_accuracy(outputs: Tensor, batch: Batch) -> float:
    """Return the fraction of correct answers (largest output) over decision steps, averaged over trials.

    The average within each trial comes first, so that all trials have the same weight; trials without a decision step
    have none.

    Args:
        outputs: Outputs of a network, shape ``(T, B, O)``.

    Returns:
        A number from 0 to 1, NaN if an output at a decision step is not finite.

    Raises:
        ValueError: No trial has a decision step.

    >>> from tca.losses import CrossEntropy
    >>> ones = torch.ones(2, 1)
    >>> batch = Batch(torch.zeros(2, 1, 1), torch.tensor([[0], [1]]), ones / 2, CrossEntropy())
    >>> classification_accuracy(torch.tensor([[[3.0, 1.0]], [[3.0, 1.0]]]), batch)
    0.5
    """
    steps_TB = _decisions(batch)
    if not torch.isfinite(outputs[steps_TB]).all():
        return math.nan
    correct_TB = (outputs.argmax(-1) == batch.targets) & steps_TB
    share_B = correct_TB.sum(0).double() / steps_TB.sum(0)
    return float(share_B[steps_TB.any(0)].mean())


def r_squared(outputs: Tensor, batch: Batch) -> float:
    """Return explained variance, ``1 - sum (y - t)^2 / sum (mean(t) - t)^2`` over decision steps, trials and outputs.

    The mean is that of the batch for each output; a constant answer of the mean has 0, the range is unbounded below.

    Args:
        outputs: Outputs of a network, shape ``(T, B, O)``.

    Returns:
        A number of at most 1, NaN if an output at a decision step is not finite or the targets do not vary.

    Raises:
        ValueError: No trial has a decision step.

    >>> from tca.losses import MSE
    >>> targets = torch.tensor([[[1.0]], [[3.0]]])
    >>> batch = Batch(torch.zeros(2, 1, 1), targets, torch.full((2, 1), 0.5), MSE())
    >>> r_squared(targets, batch), r_squared(torch.full((2, 1, 1), 2.0), batch)
    (1.0, 0.0)
    """
    steps_TB = _decisions(batch)
    answers, targets = outputs[steps_TB].double(), batch.targets[steps_TB].double()
    spread = float((targets - targets.mean(0)).square().sum())
    if not torch.isfinite(answers).all() or spread == 0:
        return math.nan
    return 1 - float((answers - targets).square().sum()) / spread


def _decisions(batch: Batch) -> Tensor:
    """Return the decision steps, boolean, shape ``(T, B)``, or raise if there are none."""
    steps_TB = batch.decision_steps
    if not steps_TB.any():
        raise ValueError("batch must have a decision step in at least one trial, got none")
    return steps_TB


MEASURES: dict[str, Callable[[Tensor, Batch], float]] = {"accuracy": classification_accuracy, "R2": r_squared}
