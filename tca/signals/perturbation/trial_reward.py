"""Rewards: one number per trial.

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
            outputs: Outputs of the network, shape ``(T, B, O)``.

        Raises:
            ValueError: The reward is not defined for these targets.
        """


@dataclass(frozen=True)
class MinusLoss(Reward):
    """Minus the loss of the trial, ``-sum_t w_t l_t``."""

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        return -batch.loss.weighted(outputs, batch.targets, batch.weights).sum(0)


@dataclass(frozen=True)
class Correctness(Reward):
    """The fraction of correct decisions, in [0, 1], by the largest output."""

    def of(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the fraction of correct decision steps of each trial."""
        if batch.targets.ndim != 2:
            raise ValueError("only answers that are classes are right or wrong: use MinusLoss()")
        counts = batch.decision_steps.to(outputs.dtype)
        right = (outputs.argmax(-1) == batch.targets) * counts
        return right.sum(0) / counts.sum(0).clamp(min=1)
