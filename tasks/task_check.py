"""A check of a task, of the library or a user's own, with a line for each property.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import tasks
from tasks.task import Task
from tca.batch import Batch
from tca.utils.check_report import CheckReport, SkippedCheckError, checked_line
from tca.utils.checks import Count, checked

__all__ = ["check_task"]

SEED, OTHER = 3, 4
SMALL, STREAMED = 8, 3  # trials of a batch, batches of a stream
DEVIATIONS = 3  # standard deviations by which the best constant answer may exceed chance


@checked
def check_task(task: Task | str, trials: Count = 100) -> CheckReport:
    """Check the promises that runs rely on.

    Trials have the declared numbers of inputs and outputs and targets that the loss accepts; numbers are finite; the
    weights of a trial sum to one and are zero in its padding; equal seeds give equal bits, other seeds other trials;
    training, test and streamed trials share no draw; batch n of a stream depends on n alone, so that runs resume; right
    answers have the accuracy 1; no constant answer is better than ``chance``.

    Args:
        task: The task, or a name or import path for `tasks.make`.
        trials: Number of trials of each set, default 100.

    Raises:
        ValueError: The name is unknown.
        TypeError: ``task`` is no task.

    >>> report = check_task("flip_flop", trials=20)
    >>> bool(report), len(report.lines)
    (True, 8)
    """
    made = tasks.make(task) if isinstance(task, str) else task
    lines = [checked_line(name, partial(each, made, trials)) for name, each in CHECKS.items()]
    title = type(made).__name__ if type(made).__repr__ is object.__repr__ else f"{made!r}"
    return CheckReport(title, tuple(lines))


def _sets(task: Task, trials: int, seed: int = SEED) -> tuple[Batch, Batch]:
    train, test = task.split(trials, trials, seed=seed)
    return train.batch(), test.batch()


def _streamed(task: Task, seed: int = SEED, start: int = 0, count: int = STREAMED) -> list[Batch]:
    return list(itertools.islice(task.stream(SMALL, seed=seed, start=start), count))


def _parts(batch: Batch) -> tuple[Tensor, ...]:
    return batch.inputs, batch.targets, batch.weights, batch.decision_steps


def _same(one: Batch, other: Batch) -> bool:
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in zip(_parts(one), _parts(other), strict=True))


def _sizes(task: Task, trials: int) -> str:
    batches = (*_sets(task, trials), *_streamed(task))
    for batch, wanted in zip(batches, (trials, trials, *[SMALL] * STREAMED), strict=True):
        assert batch.trials == wanted, f"{wanted} trials were asked for, got {batch.trials}"
        batch.check(task.n_in, task.n_out)
        assert type(batch.loss) is type(task.loss), f"loss is {task.loss!r}, and that of a batch {batch.loss!r}"
        assert batch.inputs.dtype == batch.weights.dtype == torch.float32, "inputs and weights must be torch.float32"
    return f"{task.n_in} inputs, {task.n_out} outputs, {max(batch.steps for batch in batches)} steps, {task.loss!r}"


def _finite(task: Task, trials: int) -> str:
    for batch in (*_sets(task, trials), *_streamed(task)):
        for name, part in zip(("inputs", "targets", "weights"), _parts(batch), strict=False):
            assert torch.isfinite(part).all(), f"{name} must be finite"
    return ""


def _weights(task: Task, trials: int) -> str:
    for batch in (*_sets(task, trials), *_streamed(task)):
        assert (batch.weights >= 0).all(), "weights must not be negative"
        sums = batch.weights.sum(0)
        worst = float((sums - 1).abs().max())
        assert worst < 1e-5, f"the weights of a trial must sum to 1, got {float(sums[(sums - 1).abs().argmax()]):g}"
        assert batch.decision_steps.any(0).all(), "every trial needs a step that counts for the accuracy"
    return ""


def _seeds(task: Task, trials: int) -> str:
    first, again, other = (_sets(task, trials, seed) + tuple(_streamed(task, seed)) for seed in (SEED, SEED, OTHER))
    assert all(map(_same, first, again)), "equal seeds must give equal bits"
    assert not any(map(_same, first[::2], other[::2])), "other seeds must give other trials"
    return ""


def _disjoint(task: Task, trials: int) -> str:
    train, test = _sets(task, trials)
    pieces = {"training": train, "test": test, "streamed": _streamed(task)[0]}
    for (name, one), (other_name, other) in itertools.combinations(pieces.items(), 2):
        few = min(one.trials, other.trials)
        alike = _same(*(each.select(torch.arange(few, device="cpu")) for each in (one, other)))
        assert not alike, f"{name} and {other_name} trials must differ, and are equal"
    return ""


def _resumed(task: Task, trials: int) -> str:
    last = _streamed(task)[-1]
    (found,) = _streamed(task, start=STREAMED - 1, count=1)
    assert _same(found, last), f"stream(start={STREAMED - 1}) must begin with batch {STREAMED - 1} of the stream"
    return ""


def _right(task: Task, trials: int) -> str:
    batch, _ = _sets(task, trials)
    found = task.accuracy(_answers(task, batch), batch)
    assert abs(found - 1) < 1e-5, f"right answers must have the {task.measure} 1, got {found:.3g}"
    return ""


def _answers(task: Task, batch: Batch) -> Tensor:
    """Return outputs that answer right."""
    if task.measure == "R2":
        return batch.targets.clone()
    if batch.targets.is_floating_point():
        raise SkippedCheckError("targets are neither classes nor those of an R2")
    return torch.nn.functional.one_hot(batch.targets, task.n_out).float()


def _chance(task: Task, trials: int) -> str:
    batch, _ = _sets(task, trials)
    shape = (batch.steps, batch.trials, task.n_out)
    if task.measure == "R2":
        constants = [batch.targets[batch.decision_steps].mean(0).expand(shape)]
    else:
        constants = [each.expand(shape) for each in torch.eye(task.n_out, dtype=torch.float32, device="cpu")]
    best = max(task.accuracy(each, batch) for each in constants)
    declared = task.chance
    allowed = declared + DEVIATIONS * math.sqrt(declared * (1 - declared) / trials) + 1e-5
    assert best <= allowed, f"chance is declared as {declared:.3g}, and a constant answer has {best:.3g}"
    return f"{task.chance:.3g}, best constant answer {best:.3g}"


CHECKS: dict[str, Callable[[Task, int], str]] = {
    "sizes and targets": _sizes,
    "finite numbers": _finite,
    "weights of a trial": _weights,
    "seeds": _seeds,
    "sets share no draw": _disjoint,
    "streams resume": _resumed,
    "right answers": _right,
    "chance": _chance,
}
