"""The trials of one update of several networks, stacked.

Shapes: S networks, T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.losses import Loss

__all__ = ["JointTrials", "padded", "stacked"]


@dataclass(frozen=True, eq=False)
class JointTrials:
    """A batch of every network, padded to the longest of their trials.

    Attributes:
        batches: The batches, all of T steps and B trials.
        inputs: Their inputs, shape ``(S, T, B, I)``.
        targets: Their targets, shape ``(S, T, B)`` or ``(S, T, B, O)``.
        weights: Their weights, shape ``(S, T, B)``.
    """

    batches: tuple[Batch, ...]
    inputs: Tensor
    targets: Tensor
    weights: Tensor

    @property
    def loss(self) -> Loss:
        """The loss of a step, that of all batches."""
        return self.batches[0].loss


def stacked(batches: Sequence[Batch]) -> JointTrials:
    """Return the trials of several networks together.

    Args:
        batches: A batch for each network, with as many trials as the others.

    >>> from tca.losses import MSE
    >>> parts = [Batch(torch.ones(t, 1, 1), torch.ones(t, 1, 1), torch.ones(t, 1), MSE()) for t in (2, 3)]
    >>> trials = stacked(parts)
    >>> trials.weights.squeeze(-1).tolist(), [each.trial_lengths.tolist() for each in trials.batches]
    ([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [[2], [3]])
    """
    steps = max(each.steps for each in batches)
    inputs, targets, weights = (
        torch.stack([padded(getattr(each, name), steps) for each in batches])
        for name in ("inputs", "targets", "weights")
    )
    whole = tuple(
        each if each.steps == steps else Batch(inputs[s], targets[s], weights[s], each.loss, lengths=each.trial_lengths)
        for s, each in enumerate(batches)
    )
    return JointTrials(whole, inputs, targets, weights)


def padded(part: Tensor, steps: int) -> Tensor:
    """Return values with zeros after the last step, up to a number of steps.

    Args:
        part: Values of every step, shape ``(T, ...)``.
        steps: Number of steps, T or more.
    """
    missing = steps - len(part)
    return part if not missing else functional.pad(part, [*[0, 0] * (part.ndim - 1), 0, missing])
