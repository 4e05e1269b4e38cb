"""Training: a run in, a result out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from tca.batch import Batch
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.record import Record
from tca.experiments.records.result import Metrics, Result
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.training_loop import Course
from tca.learner import Learner
from tca.utils.checks import Folder, checked

__all__ = ["Observer", "evaluate", "train"]

Observer = Callable[[Learner, Batch], Mapping[str, float]]


@checked
@torch.inference_mode(False)
def train(run: Run, folder: Folder | None = None, *, progress: bool = True, observe: Observer | None = None) -> Result:
    """Train a network and return what it has led to.

    With a folder the run is recorded there; a run whose record is unfinished goes on from its last checkpoint, and one
    whose record is finished is read from it. On the CPU the numbers are the same bits however often it was interrupted.

    Args:
        run: What to train.
        folder: Where the record is or shall be, for example ``run.folder("runs")``; ``None`` (default) for no record.
        progress: Whether to show a progress bar with loss and accuracy, default yes.
        observe: Called at every measurement with the learner and the first trials of the training set, as many as a
            batch has; the numbers it returns are recorded. It must not change the learner.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, or holds another run.
        ValueError: The task refuses its options, the device does not exist, or the rule refuses the weights that the
            run begins with.

    >>> result = train(Run("delayed_xor", steps=2, n_train=8, n_test=8), progress=False)
    >>> result.outcome, result.step, [each.step for each in result.metrics]
    ('completed', 2, [0, 2])
    """
    if folder is not None and records.finished(folder):
        return records.reread(folder, run)
    training = Training(run, observe)
    task = training.task
    with Record(None if folder is None else Path(folder), run, training.sizes, task.measure, task.provenance) as record:
        if not record.ended:
            return training.finish(record, progress)
    assert folder is not None
    return records.reread(folder, run)


class Training(Course):
    """The course of a run that learns from right answers.

    Args:
        run: What to train.
        observe: What else to measure; see `train`.
    """

    def __init__(self, run: Run, observe: Observer | None) -> None:
        """Draw trials and weights."""
        task = run.make_task()
        super().__init__(run, task, task.n_out)
        self.observe = observe

    def begin(self) -> None:
        """Build network, learner, optimizer, watchers and batches as they are before the first update."""
        super().begin()
        self.watchers = [each.build() for each in self.run.watch]
        self.batches = self._batches()

    @property
    def title(self) -> str:
        """What the progress bar calls it."""
        return f"{self.run.task}, {self.run.rule}, seed {self.run.seeds.net}"

    def block(self, updates: int, made: Callable[[], object]) -> str:
        """Make some updates; return what was not finite, then without an update, or nothing.

        Args:
            updates: How many.
            made: To be called after each.
        """
        for _ in range(updates):
            if trouble := self.update():
                return trouble
            made()
        return ""

    def update(self) -> str:
        """Make one update; return what was not finite, then without an update, or nothing."""
        batch = next(self.batches)
        begun = time.perf_counter()
        if trouble := self.updates.make(batch, self.step):
            return trouble
        self.elapsed += time.perf_counter() - begun
        self.step += 1
        return ""

    def measure(self) -> Metrics:
        """Return loss and accuracy over both sets, and whatever the watchers and the observer see."""
        observed: dict[str, float] = {}
        for watch, watcher in zip(self.run.watch, self.watchers, strict=True):
            if self.step == self.run.steps or -(-self.step // self.run.evaluate_every) % watch.every == 0:
                observed |= watcher(self.learner, self.train_set.batch())
        if self.observe is not None:
            few = self.train_set.subset(min(self.run.batch_size, len(self.train_set))).batch()
            observed |= self.observe(self.learner, few)
        return self.measured(observed)

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on."""
        return {**super().state(), "watchers": [dict(each.state()) for each in self.watchers]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned.

        Args:
            state: What it returned.
        """
        super().restore(state)
        for watcher, its in zip(self.watchers, state.get("watchers", []), strict=True):
            watcher.restore(its)
        self.batches = self._batches()

    def _batches(self) -> Iterator[Batch]:
        size, seed = self.run.batch_size, self.run.seeds.batches
        if not self.run.fresh:
            return self.train_set.batches(size, seed, start=self.step)
        stream = self.task.stream(size, seed, start=self.step)
        return (batch.to(self.run.device, self.run.torch_dtype) for batch in stream)
