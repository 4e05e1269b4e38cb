"""What every task promises: seeded, trial-aligned, masked trials, and a measure of how well they are answered.

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
from tca.utils.checks import whole

__all__ = ["DrawnTask", "Task"]


class Task(abc.ABC):
    """A source of trials. The same options and the same seed give the same bits, always and everywhere.

    The weights of every trial sum to one and are zero where it is padded, so the loss of a batch is the mean over
    trials whatever their length.
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
        """The best `accuracy` of an answer that depends on neither inputs nor time; 0 for ``"R2"``."""

    @property
    def measure(self) -> str:
        """What `accuracy` returns: ``"accuracy"`` for classes, ``"R2"`` for real targets."""
        return "R2" if isinstance(self.loss, MSE) else "accuracy"

    @property
    def provenance(self) -> dict[str, Any]:
        """Facts of the data that the record of a run keeps, as JSON; empty (default) where trials are drawn."""
        return {}

    @property
    def gives_rewards(self) -> bool:
        """Whether `environments` exist, in which the outputs are probabilities of actions; default no."""
        return False

    def environments(self, count: int, seed: int) -> list[Any]:
        """Return environments with the interface of gymnasium, which give rewards for actions.

        Args:
            count: Number of environments, at least 1.
            seed: Seed of all of them, 0 or greater.

        Raises:
            ValueError: The task has none.
        """
        raise ValueError(f"{type(self).__name__} has no environments that give rewards")

    @abc.abstractmethod
    def split(self, n_train: int, n_test: int, seed: int) -> tuple[FixedTrials, FixedTrials]:
        """Return a fixed set of trials to train on and another to test on; they share no draw.

        Args:
            n_train: Trials to train on, at least 1.
            n_test: Trials to test on, at least 1.
            seed: Seed of both, 0 or greater.

        Raises:
            ValueError: A number is too small, or the task does not have that many trials.
            TypeError: A number is no integer.
        """

    @abc.abstractmethod
    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Return an endless iterator of fresh batches, which shares no draw with the sets of `split`.

        Batch n depends only on ``batch_size``, ``seed`` and n, so ``start=n`` resumes.

        Args:
            batch_size: Trials a batch, at least 1.
            seed: Seed of the trials, 0 or greater.
            start: How many batches to leave out.

        Raises:
            ValueError: A number is too small.
            TypeError: A number is no integer.
        """

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return how well outputs answer a batch at its decision steps, as `measure` says.

        For classes, the fraction of correct answers (largest output), averaged over the decision steps of a trial
        and then over trials that have one. For real targets, ``1 - sum (y - t)^2 / sum (mean(t) - t)^2``.

        Args:
            outputs: Outputs of a network, shape ``(T, B, O)``.
            batch: The batch it was shown.

        Raises:
            ValueError: The outputs' shape does not fit the batch, or no trial has a decision step.
        """
        expected = (batch.steps, batch.trials, self.n_out)
        if tuple(outputs.shape) != expected:
            raise ValueError(f"outputs must have shape (T, B, O) = {expected}, got {tuple(outputs.shape)}")
        return MEASURES[self.measure](outputs.detach(), batch)


class DrawnTask(Task):
    """A task whose trials are drawn afresh, as many as wanted."""

    batches_a_draw: ClassVar[int] = 1
    """How many batches `stream` draws together."""

    @abc.abstractmethod
    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials, padded to the longest of them.

        Args:
            trials: How many, at least 1.
            generator: Where all randomness comes from.
        """

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[TrialSet, TrialSet]:
        """Return two fixed sets from independent streams of random numbers; see `Task.split`."""
        whole("n_train", n_train, 1)
        whole("n_test", n_test, 1)
        train = self.draw(n_train, generator(seed, TRAIN))
        return TrialSet(train), TrialSet(self.draw(n_test, generator(seed, TEST)))

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Return an endless iterator of fresh batches; see `Task.stream`."""
        whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start", start, 0)
        return self._fresh(batch_size, seed, start)

    def _fresh(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        first, skipped = divmod(start, self.batches_a_draw)
        for index in itertools.count(first):
            drawn = self.draw(self.batches_a_draw * batch_size, generator(seed, STREAM, index))
            for chosen in torch.split(torch.arange(drawn.trials, device="cpu"), batch_size)[skipped:]:
                yield _trimmed(drawn.select(chosen))
            skipped = 0


def _trimmed(batch: Batch) -> Batch:
    """Return the batch without steps that are padding in all of its trials."""
    steps = int(batch.trial_lengths.max())
    inputs_TBI, targets, weights_TB = batch.inputs[:steps], batch.targets[:steps], batch.weights[:steps]
    decisions_TB = None if batch.decisions is None else batch.decisions[:steps]
    return replace(batch, inputs=inputs_TBI, targets=targets, weights=weights_TB, decisions=decisions_TB)
