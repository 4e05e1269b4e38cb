"""A task with another loss.

Shapes: T time, B trials, O outputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tasks.images import ImageTask
from tasks.images.image_options import takes_classes
from tasks.task import Task
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.losses import Loss

__all__ = ["OtherLoss", "with_loss"]


def with_loss(task: Task, loss: Loss) -> Task:
    """Return a task with another loss: the same trials, measure and chance.

    A loss of real targets gets 1 for the right class and 0 for the others, if the targets of the task are classes.

    Raises:
        ValueError: The loss takes neither classes nor a number for each of them, and the task is one of images.

    >>> import tasks
    >>> from tca.losses import LOSSES
    >>> task = with_loss(tasks.make("delayed_match"), LOSSES["mse"])
    >>> task.measure, task.split(3, 2, seed=0)[0].batch().targets.shape
    ('accuracy', torch.Size([32, 3, 3]))
    """
    return dataclasses.replace(task, loss=loss) if isinstance(task, ImageTask) else OtherLoss(task, loss)


@dataclass(frozen=True, eq=False)
class OtherLoss(Task):
    """The trials of a task with another loss; see `with_loss`.

    Args:
        task: The task.
        chosen: The loss of a step.
    """

    task: Task
    chosen: Loss

    @property
    def loss(self) -> Loss:
        return self.chosen

    @property
    def dt(self) -> float:
        return self.task.dt

    @property
    def n_in(self) -> int:
        return self.task.n_in

    @property
    def n_out(self) -> int:
        return self.task.n_out

    @property
    def chance(self) -> float:
        return self.task.chance

    @property
    def measure(self) -> str:
        return self.task.measure

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the data; see `Task.provenance`."""
        return self.task.provenance

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the accuracy of outputs as the task measures it; see `Task.accuracy`."""
        if batch.targets.ndim == 3 and self.task.measure == "accuracy":
            batch = dataclasses.replace(batch, targets=batch.targets.argmax(-1))
        return self.task.accuracy(outputs, batch)

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[FixedTrials, FixedTrials]:
        """Return the sets of the task with the loss; see `Task.split`.

        Raises:
            ValueError: The loss does not take the targets of the task.
        """
        train, test = self.task.split(n_train, n_test, seed)
        self._changed(train.part(torch.zeros(1, dtype=torch.int64, device="cpu")))
        return OtherTrials(train, self), OtherTrials(test, self)

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Return the batches of the task with the loss; see `Task.stream`."""
        return map(self._changed, self.task.stream(batch_size, seed, start))

    def _changed(self, batch: Batch) -> Batch:
        """Return a batch with the loss and the targets that it takes."""
        targets = batch.targets
        try:
            if not targets.is_floating_point() and not takes_classes(self.loss):
                targets = functional.one_hot(targets, self.n_out).to(batch.inputs)
            self.loss.check((batch.steps, batch.trials, self.n_out), targets)
        except (TypeError, ValueError) as error:
            raise ValueError(f"loss {self.loss!r} does not fit the targets of {self.task!r}: {error}") from error
        return dataclasses.replace(batch, targets=targets, loss=self.loss)


class OtherTrials(FixedTrials):
    """Trials of a task with another loss.

    Args:
        trials: The trials.
        task: The task that changes their loss.
    """

    def __init__(self, trials: FixedTrials, task: OtherLoss) -> None:
        self._trials, self._task = trials, task

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def steps(self) -> int:
        return self._trials.steps

    @property
    def loss(self) -> Loss:
        return self._task.loss

    def batch(self) -> Batch:
        return self._task._changed(self._trials.batch())

    def part(self, chosen_B: Tensor) -> Batch:
        return self._task._changed(self._trials.part(chosen_B))

    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        return self._task._changed(self._trials.lesson(chosen_B, seed, number))

    def chosen(self, chosen_B: Tensor) -> OtherTrials:
        return OtherTrials(self._trials.chosen(chosen_B), self._task)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> OtherTrials:
        return OtherTrials(self._trials.to(device, dtype), self._task)
