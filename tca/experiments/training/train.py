"""Training: a run in, a result out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from tasks.own.registry import data_of
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, logged, loggers_of
from tca.experiments.records.record import Record
from tca.experiments.records.result import Result
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.outcome import finish
from tca.experiments.training.training_loop import Observer, TrainingLoop
from tca.utils.checks import Folder, checked

__all__ = ["Observer", "evaluate", "train"]


@checked
@torch.inference_mode(False)
def train(
    run: Run,
    folder: Folder | None = None,
    *,
    progress: bool = True,
    observe: Observer | None = None,
    loggers: str | Sequence[str | Logger] = (),
) -> Result:
    """Train the network of a run, from targets or from rewards, and return the result.

    With a folder the run is recorded there; an unfinished record resumes from its last checkpoint and a finished one is
    read. On the CPU the numbers are the same bits however often training was interrupted.

    Args:
        folder: Folder of the record, for example ``run.folder("runs")``; ``None`` (default) for no record.
        progress: Whether to show a progress bar with loss and accuracy, default yes.
        observe: Callback at every measurement, with the learner and the first trials of the training set, as many as a
            batch has; the numbers it returns are recorded. It must not change the learner. Default none; not for runs
            that learn from rewards.
        loggers: Names or objects of loggers that receive every measurement, such as ``"tensorboard"``, see
            `tca.experiments.loggers`; default none. A finished record is read and not logged again.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, or holds another run.
        ValueError: The task refuses its options, the device does not exist, or the rule refuses the weights that the
            run begins with; or a logger is unknown.
        ImportError: The package of a logger is not installed.

    >>> result = train(Run("delayed_xor", steps=2, n_train=8, n_test=8), progress=False)
    >>> result.outcome, result.step, [each.step for each in result.metrics]
    ('completed', 2, [0, 2])
    """
    senders = loggers_of(loggers)
    if folder is not None and records.finished(folder):
        return records.reread(folder, run)
    loop = TrainingLoop(run, observe)
    task = loop.task
    place = None if folder is None else Path(folder)
    with Record(place, run, loop.sizes, task.measure, data_of(task), loop.note) as record:
        if not record.ended:
            with logged(senders, run, place, record.metrics) as write:
                return finish(loop, record, progress, write)
    assert folder is not None
    return records.reread(folder, run)
