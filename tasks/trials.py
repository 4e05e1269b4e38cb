"""A fixed set of trials, and the order in which they are shown.

Shapes: T time, B batch, I inputs, O outputs. Time comes first, batch second.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from tasks.seeds import SHUFFLE, generator
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.arrays import tensor_of
from tca.utils.checks import checked, whole

__all__ = ["FixedTrials", "TrialSet"]


class FixedTrials(abc.ABC):
    """Trials that are the same whenever they are asked for, and the order in which they are shown in training."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of trials."""

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """Number of time steps T of the longest trial."""

    @property
    @abc.abstractmethod
    def loss(self) -> Loss:
        """The loss of a step."""

    @abc.abstractmethod
    def batch(self) -> Batch:
        """Return all trials as one batch, in the order in which they were drawn."""

    @abc.abstractmethod
    def part(self, chosen_B: Tensor) -> Batch:
        """Return some of the trials as ``batch`` returns them.

        Args:
            chosen_B: Which, counted within the set, on the CPU.
        """

    @abc.abstractmethod
    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        """Return some of the trials as they are shown in training.

        Args:
            chosen_B: Which, counted within the set, on the CPU.
            seed: Seed of the training.
            number: How many batches were shown before.
        """

    @abc.abstractmethod
    def chosen(self, chosen_B: Tensor) -> Self:
        """Return a set of some of the trials.

        Args:
            chosen_B: Which, counted within the set, on the CPU.
        """

    @abc.abstractmethod
    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Return the set on a device and in a floating-point type; class indices keep theirs.

        Args:
            device: Where to; ``None`` leaves it where it is.
            dtype: Floating-point type of inputs, weights and real targets; ``None`` leaves it as it is.
        """

    @final
    def pieces(self, batch_size: int) -> Iterator[Batch]:
        """Return an iterator of what `batch` returns some trials at a time, for what a whole set is too large for.

        Args:
            batch_size: Trials a piece, at least 1.

        Raises:
            ValueError: ``batch_size`` is too small.
        """
        size = whole("batch_size", batch_size, 1)
        return (self.part(chosen_B) for chosen_B in torch.split(torch.arange(len(self), device="cpu"), size))

    @final
    def batches(self, batch_size: int, seed: int, epochs: int | None = None, start: int = 0) -> Iterator[Batch]:
        """Return an iterator of batches that shows every trial once an epoch, shuffled anew in each.

        Every trial is used: where ``batch_size`` does not divide the number of trials, the last batch of an epoch is
        smaller. Batches are copies. Batch n depends only on the seed, the size and n, so ``start=n`` resumes at no
        cost.

        Args:
            batch_size: Trials a batch, at least 1; more than there are gives all of them.
            seed: Seed of the order, 0 or greater.
            epochs: How often all trials are shown; ``None`` goes on for ever.
            start: How many batches to leave out, counted from the first batch of the first epoch.

        Raises:
            ValueError: A number is too small.
            TypeError: A number is no integer.
        """
        whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start", start, 0)
        if epochs is not None:
            whole("epochs", epochs, 1)
        order = self._shuffled(batch_size, seed, epochs, start)
        return (self.lesson(chosen_B, seed, number) for number, chosen_B in enumerate(order, start))

    def _shuffled(self, batch_size: int, seed: int, epochs: int | None, start: int) -> Iterator[Tensor]:
        first_epoch, skipped = divmod(start, -(-len(self) // batch_size))
        for epoch in itertools.count(first_epoch) if epochs is None else range(first_epoch, epochs):
            order = torch.randperm(len(self), generator=generator(seed, SHUFFLE, epoch), device="cpu")
            yield from torch.split(order, batch_size)[skipped:]
            skipped = 0

    @final
    def subset(self, trials: int | Sequence[int] | Tensor) -> Self:
        """Return a set of some of the trials, a copy.

        Args:
            trials: How many, counted from the first, or the indices of those wanted, in the order wanted.

        Raises:
            ValueError: There are no such trials, or none is asked for.
            TypeError: An index is no integer.
        """
        if isinstance(trials, int):
            trials = range(whole("trials", trials, 1))
        chosen = tensor_of(trials if isinstance(trials, Tensor) else list(trials))
        if chosen.ndim != 1 or chosen.numel() == 0:
            raise ValueError(f"trials must be a list of at least one index, got shape {tuple(chosen.shape)}")
        if chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
            raise TypeError(f"trials must be integer indices, got dtype {chosen.dtype}")
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise ValueError(
                f"trials must be indices from 0 to {len(self) - 1}, as the set holds {len(self)} trials, "
                f"got values from {int(chosen.min())} to {int(chosen.max())}"
            )
        return self.chosen(chosen.cpu())


@checked
@final
@dataclass(frozen=True, eq=False)
class TrialSet(FixedTrials):
    """Trials drawn once and kept: aligned at their start, padded to the longest, zero weight where padded.

    Args:
        trials: All trials as one batch.

    >>> from tca.losses import MSE
    >>> trials = TrialSet(Batch(torch.zeros(5, 3, 2), torch.zeros(5, 3, 1), torch.full((5, 3), 0.2), MSE()))
    >>> trials
    TrialSet(trials=3, steps=5, inputs=2, loss=MSE())
    >>> [batch.trials for batch in trials.batches(2, seed=0, epochs=1)]
    [2, 1]
    """

    trials: Batch

    def __len__(self) -> int:
        """Return the number of trials."""
        return self.trials.trials

    def __repr__(self) -> str:
        """Return the sizes, not the numbers."""
        inputs = self.trials.inputs.shape[2]
        return f"TrialSet(trials={len(self)}, steps={self.steps}, inputs={inputs}, loss={self.loss!r})"

    @property
    def steps(self) -> int:
        """Number of time steps T of the longest trial."""
        return self.trials.steps

    @property
    def loss(self) -> Loss:
        """The loss of a step."""
        return self.trials.loss

    def batch(self) -> Batch:
        """Return all trials as one batch, in the order in which they were drawn."""
        return self.trials

    def part(self, chosen_B: Tensor) -> Batch:
        """Return copies of some of the trials."""
        return self.trials.select(chosen_B.to(self.trials.inputs.device))

    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        """Return copies of some of the trials: they are shown as they are."""
        return self.part(chosen_B)

    def chosen(self, chosen_B: Tensor) -> TrialSet:
        """Return a set of some of the trials, a copy."""
        return TrialSet(self.part(chosen_B))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> TrialSet:
        """Return the set on a device and in a floating-point type; class indices keep theirs.

        Args:
            device: Where to; ``None`` leaves it where it is.
            dtype: Floating-point type of inputs, weights and real targets; ``None`` leaves it as it is.
        """
        return TrialSet(self.trials.to(device, dtype))
