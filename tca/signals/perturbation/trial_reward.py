"""What a trial was worth: one number a trial, for rules that hear of nothing else.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

from torch import Tensor

from tca.batch import Batch

__all__ = ["Correctness", "MinusLoss", "Reward"]


@dataclass(frozen=True)
class Reward(abc.ABC):
    """The reward of a trial, given when it is over."""

    @abc.abstractmethod
    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the reward of every trial, shape ``(B,)``.

        Args:
            outputs: What the network has answered, shape ``(T, B, O)``.
            batch: What it was shown and should have answered.

        Raises:
            ValueError: The targets are not such that the reward is defined.
        """


@dataclass(frozen=True)
class MinusLoss(Reward):
    """Minus the loss of the trial, ``-sum_t w_t l_t``."""

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return minus the losses, which have the loss of the batch as their mean."""
        return -batch.loss.weighted(outputs, batch.targets, batch.weights).sum(0)


@dataclass(frozen=True)
class Correctness(Reward):
    """The share of right decisions: how often the largest output is that of the target's class, in [0, 1]."""

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the share of each trial's decision steps at which the answer was right."""
        if batch.targets.ndim != 2:
            raise ValueError("only answers that are classes are right or wrong: use MinusLoss()")
        counts = batch.decision_steps.to(outputs.dtype)
        right = (outputs.argmax(-1) == batch.targets) * counts
        return right.sum(0) / counts.sum(0).clamp(min=1)
