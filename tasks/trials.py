"""Fixed sets of trials and their order in training.

Shapes: T time, B batch, I inputs, O outputs. Time comes first, batch second.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from tasks.seeds import SHUFFLE, generator
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.arrays import tensor_of
from tca.utils.checks import Count, Device, DType, Seed, Whole, checked
from tca.utils.tables import Tabular

__all__ = ["FixedTrials", "TrialSet"]


class FixedTrials(Dataset[tuple[Tensor, Tensor, Tensor]], abc.ABC):
    """A fixed set of trials, and their order in training.

    It is a map-style dataset of torch as well, of ``(inputs, targets, weights)``, shapes ``(T, I)``, ``(T,)`` or
    ``(T, O)``, and ``(T,)``: a `torch.utils.data.DataLoader` yields them with a batch dimension in front.
    """

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of trials."""

    @final
    def __getitem__(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return inputs, targets and weights of one trial, padded to the steps of the set."""
        size = len(self)
        if not -size <= place < size:
            raise IndexError(f"trial {place} of a set of {size}")
        one = self.part(torch.tensor([place % size], dtype=torch.int64, device="cpu"))
        return one.inputs[:, 0], one.targets[:, 0], one.weights[:, 0]

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
        """Return all trials as one batch, in the order of the draw."""

    @abc.abstractmethod
    def part(self, chosen_B: Tensor) -> Batch:
        """Return some of the trials as ``batch`` returns them.

        Args:
            chosen_B: Indices within the set, on the CPU.
        """

    @abc.abstractmethod
    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        """Return some of the trials as training presents them.

        Args:
            chosen_B: Indices within the set, on the CPU.
            number: Number of the batch, from 0.
        """

    @abc.abstractmethod
    def chosen(self, chosen_B: Tensor) -> Self:
        """Return a set of some of the trials.

        Args:
            chosen_B: Indices within the set, on the CPU.
        """

    @abc.abstractmethod
    def to(self, device: Device | None = None, dtype: DType | None = None) -> Self:
        """Return the set on a device and in a floating-point type; class indices keep theirs.

        Args:
            device: The device; ``None`` for no change.
            dtype: Floating-point type of inputs, weights and real targets; ``None`` for no change.
        """

    @final
    @checked
    def pieces(self, batch_size: Count) -> Iterator[Batch]:
        """Return an iterator over the trials of `batch` in pieces, which bounds memory.

        Args:
            batch_size: Trials per piece, at least 1.

        Raises:
            ValueError: ``batch_size`` is too small.
        """
        return (self.part(chosen_B) for chosen_B in torch.split(torch.arange(len(self), device="cpu"), batch_size))

    @final
    @checked
    def batches(self, batch_size: Count, seed: Seed, epochs: Count | None = None, start: Whole = 0) -> Iterator[Batch]:
        """Return an iterator of batches with every trial once per epoch, in a new random order.

        If ``batch_size`` does not divide the number of trials, the last batch of an epoch is smaller. Batches are
        copies. Batch n depends only on the seed, the size and n, so ``start=n`` resumes at no cost.

        Args:
            batch_size: Trials per batch, at least 1; at most all are taken.
            seed: Seed of the order, 0 or greater.
            epochs: Number of epochs; ``None`` for no end.
            start: Number of batches to skip, from the first of the first epoch.
        """
        order = self._shuffled(batch_size, seed, epochs, start)
        return (self.lesson(chosen_B, seed, number) for number, chosen_B in enumerate(order, start))

    def _shuffled(self, batch_size: int, seed: int, epochs: int | None, start: int) -> Iterator[Tensor]:
        first_epoch, skipped = divmod(start, -(-len(self) // batch_size))
        for epoch in itertools.count(first_epoch) if epochs is None else range(first_epoch, epochs):
            order = torch.randperm(len(self), generator=generator(seed, SHUFFLE, epoch), device="cpu")
            yield from torch.split(order, batch_size)[skipped:]
            skipped = 0

    @final
    @checked
    def subset(self, trials: Count | Sequence[int] | Tensor) -> Self:
        """Return a set of some of the trials, a copy.

        Args:
            trials: Number of trials from the first, or indices in the order of the subset.

        Raises:
            ValueError: An index is out of range, or the subset is empty.
        """
        if isinstance(trials, int):
            trials = range(trials)
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
class TrialSet(FixedTrials, Tabular):
    """Trials in memory: aligned at their start and padded to the longest, with zero weight in the padding.

    ``to_frame`` returns a table of pandas with a row a trial: steps, weight and information, such as coherence.

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
        return self.trials.trials

    def __repr__(self) -> str:
        inputs = self.trials.inputs.shape[2]
        return f"TrialSet(trials={len(self)}, steps={self.steps}, inputs={inputs}, loss={self.loss!r})"

    def _columns(self) -> dict[str, Any]:
        """Return steps, weight and decision steps of every trial, and its information."""
        batch = self.trials
        found = {
            "steps": batch.trial_lengths,
            "weight": batch.weights.sum(0),
            "decision_steps": batch.decision_steps.sum(0),
        }
        return {**{name: each.cpu().numpy() for name, each in found.items()}, **batch.info}

    @property
    def steps(self) -> int:
        return self.trials.steps

    @property
    def loss(self) -> Loss:
        return self.trials.loss

    def batch(self) -> Batch:
        return self.trials

    def part(self, chosen_B: Tensor) -> Batch:
        return self.trials.select(chosen_B.to(self.trials.inputs.device))

    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        """Return copies of some of the trials, without augmentation."""
        return self.part(chosen_B)

    def chosen(self, chosen_B: Tensor) -> TrialSet:
        return TrialSet(self.part(chosen_B))

    @checked
    def to(self, device: Device | None = None, dtype: DType | None = None) -> TrialSet:
        return TrialSet(self.trials.to(device, dtype))
