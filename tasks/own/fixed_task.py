"""A task of fixed trials, such as those of arrays.

Shapes: T time, B trials, O outputs.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tasks.checksums import checksum
from tasks.seeds import STREAM, TRAIN, generator
from tasks.task import Task
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.checks import Count, Positive, Seed, Whole, checked

__all__ = ["FixedTask"]


@checked
@dataclass(frozen=True, eq=False)
class FixedTask(Task):
    """Fixed trials as a task.

    Sets of `split` are drawn without replacement: from one set, no trial is in both; with a set of test trials, each
    from its own. `stream` repeats the training trials in a new order each time; from one set, it contains those of
    `split`.

    Args:
        trials: The trials, or those to train on.
        test: The trials to test on; ``None`` (default) takes them from ``trials``.
        dt: Time step in ms, default 10.
        classes: Number of classes; ``None`` (default) for one more than the largest target.

    Raises:
        ValueError: Test trials have other channels or another loss.

    >>> from tasks.own.array_trials import from_arrays
    >>> task = FixedTask(from_arrays(torch.zeros(5, 6, 2), [0, 1, 2, 0, 1, 0]))
    >>> task.n_in, task.n_out, task.chance, [len(each) for each in task.split(n_train=4, n_test=2, seed=0)]
    (2, 3, 0.5, [4, 2])
    """

    trials: FixedTrials
    test: FixedTrials | None = None
    dt: Positive = 10.0
    classes: Count | None = None

    def __post_init__(self) -> None:
        """Check that the sets fit each other."""
        if self.test is not None:
            mine, other = self._first, self.test.part(torch.tensor([0], dtype=torch.int64, device="cpu"))
            for name, one, two in (
                ("channels", mine.inputs.shape[2], other.inputs.shape[2]),
                ("loss", mine.loss, other.loss),
                ("targets", mine.targets.shape[2:], other.targets.shape[2:]),
            ):
                if one != two:
                    raise ValueError(f"test must have the {name} of the training trials, {one!r}, got {two!r}")

    @property
    def n_in(self) -> int:
        return self._first.inputs.shape[2]

    @functools.cached_property
    def n_out(self) -> int:
        """Number of classes, or of real targets."""
        if self._first.targets.is_floating_point():
            return self._first.targets.shape[2]
        sets = [self.trials] if self.test is None else [self.trials, self.test]
        return self.classes or 1 + max(int(each.batch().targets.max()) for each in sets)

    @property
    def loss(self) -> Loss:
        return self.trials.loss

    @property
    def measure(self) -> str:
        return "R2" if self._first.targets.is_floating_point() else "accuracy"

    @functools.cached_property
    def chance(self) -> float:
        """Accuracy of the most common class on all trials that may be tested on; 0 for ``"R2"``."""
        if self.measure == "R2":
            return 0.0
        batch = (self.test or self.trials).batch()
        classes_TBO = torch.nn.functional.one_hot(batch.targets, self.n_out) * batch.decision_steps[..., None]
        counts_BO = classes_TBO.sum(0).double()
        kept_B = counts_BO.sum(1) > 0
        return float((counts_BO[kept_B] / counts_BO[kept_B].sum(1, keepdim=True)).mean(0).max())

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """Number of trials and SHA-256 of all of their numbers; see `Task.provenance`."""
        sets = {"trials": self.trials} if self.test is None else {"trials": self.trials, "test": self.test}
        return {name: {"count": len(each), "sha256": checksum(each.batch())} for name, each in sets.items()}

    @checked
    def split(self, n_train: Count, n_test: Count, seed: Seed) -> tuple[FixedTrials, FixedTrials]:
        """Return trials to train on and others to test on, chosen by the seed; see `Task.split`."""
        order_N = torch.randperm(len(self.trials), generator=generator(seed, TRAIN), device="cpu")
        if self.test is None:
            if n_train + n_test > len(order_N):
                raise ValueError(
                    f"n_train and n_test must add up to at most {len(order_N)}, the trials of the set, "
                    f"got {n_train} + {n_test}"
                )
            test, places_N = self.trials, order_N[n_train : n_train + n_test]
        else:
            for name, count, most in (("n_train", n_train, len(self.trials)), ("n_test", n_test, len(self.test))):
                if count > most:
                    raise ValueError(f"{name} must be at most {most}, the trials of its set, got {count}")
            test = self.test
            places_N = torch.randperm(len(test), generator=generator(seed, TRAIN, 1), device="cpu")[:n_test]
        return self.trials.chosen(order_N[:n_train]), test.chosen(places_N)

    @checked
    def stream(self, batch_size: Count, seed: Seed, start: Whole = 0) -> Iterator[Batch]:
        """Return an endless iterator over the training trials, all of them once an epoch; see `Task.stream`."""
        return self._endless(min(batch_size, len(self.trials)), seed, start)

    def _endless(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        per_epoch = -(-len(self.trials) // batch_size)
        for index in itertools.count(start):
            epoch, place = divmod(index, per_epoch)
            order_N = torch.randperm(len(self.trials), generator=generator(seed, STREAM, epoch), device="cpu")
            yield self.trials.part(order_N[place * batch_size : (place + 1) * batch_size])

    @property
    def _first(self) -> Batch:
        return self.trials.part(torch.tensor([0], dtype=torch.int64, device="cpu"))
