"""Facts of the task of a run, built once: environments take a while to make."""

from __future__ import annotations

import functools
import json
from typing import NamedTuple

import tasks
from tca.experiments.config.run import Run

__all__ = ["TaskFacts", "task_facts"]


class TaskFacts(NamedTuple):
    """Facts of a task.

    Attributes:
        measure: Name of its score.
        loss: Name of its loss function; of a task that gives rewards only, ``"minus return"``.
        chance: Best score of a constant answer.
    """

    measure: str
    loss: str
    chance: float


def task_facts(run: Run) -> TaskFacts:
    """Return the facts of the task of a run.

    >>> task_facts(Run("delayed_xor"))
    TaskFacts(measure='accuracy', loss='CrossEntropy', chance=0.5)
    """
    return _facts(run.task, json.dumps(run.to_json()["task_options"], sort_keys=True))


@functools.lru_cache(maxsize=256)
def _facts(name: str, options: str) -> TaskFacts:
    task = tasks.make(name, **json.loads(options))
    loss = "minus return" if task.rewards_only else type(task.loss).__name__
    return TaskFacts(task.measure, loss, float(task.chance))
