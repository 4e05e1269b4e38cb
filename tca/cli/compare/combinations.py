"""The check of all combinations of entries and tasks before the first update."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from tca.batch import Batch
from tca.cli.compare.comparison import Comparison
from tca.experiments.config.run import Run
from tca.experiments.sweep.jobs import one_line
from tca.experiments.training.training_loop import TrainingLoop
from tca.utils.text import in_a_line

__all__ = ["LeftOut", "misfit", "misfits"]


@dataclass(frozen=True)
class LeftOut:
    """An entry that does not fit a task.

    Args:
        task: Name of the task.
        entry: Name of the entry.
        reason: Why it does not fit.
    """

    task: str
    entry: str
    reason: str

    def __str__(self) -> str:
        """Return the three in one line."""
        return f"{self.entry} on {self.task}: {self.reason}"


def misfits(comparison: Comparison) -> Iterator[LeftOut]:
    """Yield the entries that do not fit their tasks."""
    drawn: set[str] = set()  # tasks of which all trials have been drawn
    for task, entry in comparison.combinations:
        try:
            run = comparison.run(task, entry, 0)
        except (ValueError, TypeError) as error:
            yield LeftOut(task, entry.name, in_a_line(error))
            continue
        trials = f"{task} {run.task_options}"
        if trials in drawn:  # the trials of another entry; a batch is enough
            run = dataclasses.replace(run, n_train=min(run.n_train, run.batch_size), n_test=1)
        if reason := misfit(run):
            yield LeftOut(task, entry.name, reason)
        else:
            drawn.add(trials)


def misfit(run: Run) -> str:
    """Return the reason for which a run cannot be trained, ``""`` if there is none.

    Draws the trials, builds network, rule and optimizer, and computes the gradient of one batch. Runs that learn from
    rewards are built only.

    >>> misfit(Run("delayed_xor", "modprop", net={"kind": "spiking_rnn", "size": 4}))[:55]
    'TypePropagation replaces the slope of every rate by one'
    >>> misfit(Run("delayed_xor", "eprop", net={"size": 4}, n_train=4, n_test=4))
    ''
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again in the training
        try:
            loop = TrainingLoop(run)
            if run.agent is None:
                batch = next(loop.batches)
                assert isinstance(batch, Batch), "no episode without an agent"
                loop.learner.advance_(batch)
        except (ValueError, TypeError) as error:
            return in_a_line(error)
        except Exception as error:  # a part of the user may raise any
            return one_line(error)
    return ""
