"""Training to the outcome of a run: measurements at intervals, each with a checkpoint, until it ends."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tca.experiments.records.record import Record
from tca.experiments.records.result import COMPLETED, DIVERGED, REACHED_LOSS, Metrics, Result
from tca.experiments.training.snapshots import cross
from tca.experiments.training.training_loop import TrainingLoop
from tca.utils.checks import DivergenceError
from tca.utils.progress_bar import ProgressBar

__all__ = ["course", "finish"]

SHOWN = 3  # names in the reason of a divergence


def finish(loop: TrainingLoop, record: Record, progress: bool, write: Callable[[Metrics], None]) -> Result:
    """Train from the record's checkpoint, if it has one, to the end, and return the result.

    Args:
        progress: Whether to show a progress bar.
        write: Callback with every new measurement.
    """
    loop.resume(record)
    shown = {"initial": loop.step, "disable": not progress, "unit": loop.unit, "desc": loop.run.label}
    with ProgressBar(total=loop.run.steps, **shown) as bar:
        going = course(loop, record, write, bar)
        try:
            updates = next(going)
            while True:
                updates = going.send(_advance(loop, updates, bar.update))
        except StopIteration as end:
            result: Result = end.value
            return result


def _advance(loop: TrainingLoop, updates: int, made: Callable[[], object]) -> str:
    """Make updates up to the next measurement; an error of weights that have diverged is a reason as well."""
    try:
        return loop.block(updates, made)
    except DivergenceError as error:
        return _diverged(loop, error)


def course(
    loop: TrainingLoop, record: Record, write: Callable[[Metrics], None], bar: Any = None
) -> Generator[int, str, Result]:
    """Yield the number of updates to the next measurement, until the run ends, and return its result.

    Whoever drives the run makes the updates and sends the reason if a number is not finite, else ``""``.

    Args:
        write: Callback with every new measurement.
        bar: Progress bar beside which measurements are shown, default none.
    """
    try:
        outcome, reason = yield from _train(loop, record, write, bar)
    except DivergenceError as error:
        outcome, reason = DIVERGED, _diverged(loop, error)
    if loop.refused:
        record.went_on(loop.note)
    found = tuple(record.metrics)
    crossings, normalisation = record.crossings(), loop.normalisation
    result = Result(loop.run, outcome, loop.step, reason, found, loop.net, loop.learner, crossings, normalisation)
    record.finish(result)
    return result


def _diverged(loop: TrainingLoop, error: DivergenceError) -> str:
    """Return the reason of a divergence; an error of the initial weights is none, and is raised."""
    if not loop.step:
        raise error
    return f"{error}, after {loop.unit} {loop.step}"


def _train(
    loop: TrainingLoop, record: Record, write: Callable[[Metrics], None], bar: Any
) -> Generator[int, str, tuple[str, str]]:
    """Yield the updates to the next measurement until there is an outcome, and return it with its reason."""
    run = loop.run
    before: Mapping[str, Any] = {}
    while True:
        if trouble := _overflow(loop):
            return DIVERGED, trouble
        if not record.metrics or record.metrics[-1].step < loop.step:
            record.add(loop.measure())
            write(record.metrics[-1])
            _keep(loop, record, before)
            record.save(loop.state())
        last = record.metrics[-1]
        if trouble := _reason(
            loop, (f"{name} is {loss}" for name, loss in _losses(loop, last) if not math.isfinite(loss))
        ):
            return DIVERGED, trouble
        if bar is not None:
            bar.set_postfix(_shown(loop, last))
        if run.stop_loss is not None and last.train_loss <= run.stop_loss:
            return REACHED_LOSS, ""
        if loop.step >= run.steps:
            return COMPLETED, ""
        if run.snapshot_losses:
            before = copy.deepcopy(loop.state())
        if trouble := (yield min(run.evaluate_every, run.steps - loop.step)):
            return DIVERGED, trouble


def _losses(loop: TrainingLoop, last: Metrics) -> tuple[tuple[str, float], ...]:
    """Return the losses that must be finite; while acting no episode may have ended."""
    test = ("test loss", last.test_loss)
    return (test,) if loop.task.rewards_only else (("training loss", last.train_loss), test)


def _shown(loop: TrainingLoop, last: Metrics) -> dict[str, str]:
    """Return the numbers beside the progress bar."""
    if loop.task.rewards_only:
        return {"return": f"{last.test_accuracy:.1f}", "acting": f"{last.train_accuracy:.1f}"}
    return {"loss": f"{last.train_loss:.4f}", loop.task.measure: f"{last.test_accuracy:.3f}"}


def _keep(loop: TrainingLoop, record: Record, before: Mapping[str, Any]) -> None:
    """Save the network at each loss of the run crossed since the previous measurement."""
    for loss in record.reached():
        found = cross(loop, before, record.metrics[-1], loss)
        record.keep(loss, found.metrics, found.net, found.learner)


def _overflow(loop: TrainingLoop) -> str:
    """Return which weights or states are not finite after the last update, ``""`` if none."""
    numbers = _numbers(loop)
    return _reason(loop, (f"{name} is not finite" for name, each in numbers if not torch.isfinite(each).all()))


def _reason(loop: TrainingLoop, found: Iterable[str]) -> str:
    named = list(itertools.islice(found, SHOWN))
    return f"{', '.join(named)} after {loop.unit} {loop.step}" if named else ""


def _numbers(loop: TrainingLoop) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that updates change, by name."""
    yield from loop.net.named_parameters()
    for name, each in loop.learner.buffers.items():
        yield f"{name} of the rule", each
    names = {parameter: name for name, parameter in loop.net.named_parameters()}
    for parameter, state in loop.updates.optimizer.state.items():
        for name, each in state.items():
            if isinstance(each, Tensor):
                yield f"{name} of the optimizer for {names[parameter]}", each
