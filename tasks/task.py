"""The interface of tasks: seeded, trial-aligned, masked trials, and a measure of accuracy.

Shapes: T time, B batch, I inputs, O outputs. Time comes first, batch second.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from tasks.measures import MEASURES
from tasks.seeds import STREAM, TEST, TRAIN, generator
from tasks.trials import FixedTrials, TrialSet
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Count, Seed, Whole, checked

__all__ = ["DrawnTask", "Task"]


class Task(abc.ABC):
    """A source of trials, the same bits for the same options and seed.

    The weights of every trial sum to one and are zero in its padding, so the loss of a batch is the mean over trials of
    any length.
    """

    @property
    @abc.abstractmethod
    def dt(self) -> float:
        """Time step in ms."""

    @property
    @abc.abstractmethod
    def n_in(self) -> int:
        """Number of input channels."""

    @property
    @abc.abstractmethod
    def n_out(self) -> int:
        """Number of outputs."""

    @property
    @abc.abstractmethod
    def loss(self) -> Loss:
        """The loss of a step."""

    @property
    @abc.abstractmethod
    def chance(self) -> float:
        """The best `accuracy` of a constant answer; 0 for ``"R2"``."""

    @property
    def measure(self) -> str:
        """Name of `accuracy`: ``"accuracy"`` for classes, ``"R2"`` for real targets."""
        return "R2" if isinstance(self.loss, MSE) else "accuracy"

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the data for the record of a run, as JSON; empty (default) if trials are drawn."""
        return {}

    @property
    def gives_rewards(self) -> bool:
        """Whether `environments` exist, in which the outputs are probabilities of actions; default no."""
        return False

    @property
    def rewards_only(self) -> bool:
        """Whether there are `environments` and no trials with targets; default no."""
        return False

    @checked
    def environments(self, count: Count, seed: Seed) -> list[Any]:
        """Return environments with the interface of gymnasium, which give rewards for actions.

        Args:
            count: Number of environments, at least 1.
            seed: Seed of all of them, 0 or greater.

        Raises:
            ValueError: The task has none.
        """
        raise ValueError(f"{type(self).__name__} has no environments that give rewards")

    @abc.abstractmethod
    def split(self, n_train: Count, n_test: Count, seed: Seed) -> tuple[FixedTrials, FixedTrials]:
        """Return fixed sets of trials for training and for testing, which share no draw.

        Args:
            n_train: Training trials, at least 1.
            n_test: Test trials, at least 1.
            seed: Seed of both, 0 or greater.

        Raises:
            ValueError: A number is too small, or the task does not have that many trials.
        """

    @abc.abstractmethod
    def stream(self, batch_size: Count, seed: Seed, start: Whole = 0) -> Iterator[Batch]:
        """Return an endless iterator of new batches, which share no draw with the sets of `split`.

        Batch n depends only on ``batch_size``, ``seed`` and n, so ``start=n`` resumes.

        Args:
            batch_size: Trials per batch, at least 1.
            seed: Seed of the trials, 0 or greater.
        """

    @checked
    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the accuracy of outputs at the decision steps of a batch.

        For classes, the fraction of correct answers (largest output), averaged over the decision steps of a trial
        and then over trials with any. For real targets, ``1 - sum (y - t)^2 / sum (mean(t) - t)^2``.

        Args:
            outputs: Outputs of a network, shape ``(T, B, O)``.

        Raises:
            ValueError: The shape of the outputs does not fit the batch, or no trial has a decision step.
        """
        expected = (batch.steps, batch.trials, self.n_out)
        if tuple(outputs.shape) != expected:
            raise ValueError(f"outputs must have shape (T, B, O) = {expected}, got {tuple(outputs.shape)}")
        return MEASURES[self.measure](outputs.detach(), batch)


class DrawnTask(Task):
    """A task with any number of random trials."""

    batches_a_draw: ClassVar[int] = 1
    """Number of batches that `stream` draws together."""

    @abc.abstractmethod
    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials, padded to the longest of them.

        Args:
            trials: Number of trials, at least 1.
        """

    @checked
    def split(self, n_train: Count, n_test: Count, seed: Seed) -> tuple[TrialSet, TrialSet]:
        """Return two fixed sets from independent streams of random numbers; see `Task.split`."""
        train = self.draw(n_train, generator(seed, TRAIN))
        return TrialSet(train), TrialSet(self.draw(n_test, generator(seed, TEST)))

    @checked
    def stream(self, batch_size: Count, seed: Seed, start: Whole = 0) -> Iterator[Batch]:
        """Return an endless iterator of new batches; see `Task.stream`."""
        return self._fresh(batch_size, seed, start)

    def _fresh(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        first, skipped = divmod(start, self.batches_a_draw)
        for index in itertools.count(first):
            drawn = self.draw(self.batches_a_draw * batch_size, generator(seed, STREAM, index))
            for chosen in torch.split(torch.arange(drawn.trials, device="cpu"), batch_size)[skipped:]:
                yield _trimmed(drawn.select(chosen))
            skipped = 0


def _trimmed(batch: Batch) -> Batch:
    """Return the batch without steps that are padding in all trials."""
    steps = int(batch.trial_lengths.max())
    inputs_TBI, targets, weights_TB = batch.inputs[:steps], batch.targets[:steps], batch.weights[:steps]
    decisions_TB = None if batch.decisions is None else batch.decisions[:steps]
    return replace(batch, inputs=inputs_TBI, targets=targets, weights=weights_TB, decisions=decisions_TB)
