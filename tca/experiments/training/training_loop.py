"""The course of a run, whatever it learns from: what changes on the way, the loop of its updates, and how it ends."""

from __future__ import annotations

import abc
import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from tqdm import tqdm

from tasks.task import Task
from tca.experiments.config.run import Run
from tca.experiments.records.record import Record
from tca.experiments.records.result import COMPLETED, DIVERGED, REACHED_LOSS, Metrics, Result
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.snapshots import cross
from tca.experiments.training.update import Updates
from tca.learner import Learner
from tca.nets.network import Network
from tca.utils.checks import DivergenceError

__all__ = ["Course"]

SHOWN = 3  # of what is not finite, that a reason names


class Course(abc.ABC):
    """Everything that changes while a run is trained.

    Args:
        run: The run.
        task: Its task.
        n_out: Number of outputs of the network.

    Raises:
        ValueError: The device does not exist.

    Warns:
        CollapseWarning: The rule averages correlations so fast that activity may vanish, see
            `tca.signals.decorrelation.averages.warn_if_fast`.
    """

    unit: ClassVar[str] = "step"

    def __init__(self, run: Run, task: Task, n_out: int) -> None:
        """Draw trials and weights."""
        if torch.device(run.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {run.device!r} was asked for, but there is no CUDA device here")
        self.run, self.task = run, task
        train_set, test_set = task.split(run.n_train, run.n_test, seed=run.seeds.data)
        self.train_set, self.test_set = (each.to(run.device, run.torch_dtype) for each in (train_set, test_set))
        self.sizes: dict[str, Any] = {"n_in": task.n_in, "n_out": n_out, "dt": task.dt}
        self.begin()
        readout_rate = run.optimizer.lr * run.optimizer.lr_multipliers.get("w_out", 1.0)
        run.the_rule.signal.check_training(run.steps, readout_rate or None)

    def begin(self) -> None:
        """Build network, learner and optimizer as they are before the first update."""
        run = self.run
        self.net: Any = run.net.build(**self.sizes, seed=run.seeds.net, device=run.device, dtype=run.torch_dtype)
        self.learner = Learner(self.net, run.the_rule, seed=run.seeds.rule)
        self.updates = Updates(self.learner, run.optimizer, run.steps, run.seeds.rule)
        self.step, self.elapsed = 0, 0.0

    def copied(self) -> Self:
        """Return a course of the same run on the same trials, before its first update, that shares nothing else."""
        other = copy.copy(self)
        other.begin()
        return other

    @property
    @abc.abstractmethod
    def title(self) -> str:
        """What the progress bar calls it."""

    @abc.abstractmethod
    def block(self, updates: int, made: Callable[[], object]) -> str:
        """Make the updates between two measurements; return what was not finite, then without an update, or nothing.

        Args:
            updates: How many.
            made: To be called after each.
        """

    @abc.abstractmethod
    def measure(self) -> Metrics:
        """Return loss and accuracy over both sets, and whatever else is seen."""

    @property
    def answering(self) -> Network:
        """The network whose answers are measured."""
        net: Network = self.net
        return net

    def train_loss(self) -> float:
        """Return the loss over the training set, NaN if it is not finite."""
        return evaluate(self.answering, self.task, self.train_set)[0]

    def measured(self, observed: Mapping[str, float]) -> Metrics:
        """Return loss and accuracy over both sets, with what else was seen.

        Args:
            observed: What else was seen.
        """
        net = self.answering
        train_loss, train_accuracy = evaluate(net, self.task, self.train_set)
        test_loss, test_accuracy = evaluate(net, self.task, self.test_set)
        return Metrics(self.step, train_loss, train_accuracy, test_loss, test_accuracy, self.elapsed, dict(observed))

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on."""
        return {
            "step": self.step,
            "elapsed": self.elapsed,
            "net": dict(self.net.state_dict()),
            "learner": dict(self.learner.state_dict()),
            **self.updates.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned.

        Args:
            state: What it returned.
        """
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.net.load_state_dict(state["net"])
        self.learner.load_state_dict(state["learner"])
        self.updates.restore(state)

    def finish(self, record: Record, progress: bool) -> Result:
        """Go on from the record's checkpoint, if it has one, to the end, and return what it has led to.

        Args:
            record: The record.
            progress: Whether to show a progress bar.
        """
        if record.checkpoint is not None:
            with record.restoring():
                self.restore(record.checkpoint)
        try:
            outcome, reason = self._go_on(record, progress)
        except DivergenceError as error:
            if not self.step:  # the weights that were drawn, not those that were learned
                raise
            outcome, reason = DIVERGED, f"{error}, after {self.unit} {self.step}"
        found = tuple(record.metrics)
        result = Result(self.run, outcome, self.step, reason, found, self.net, self.learner, record.crossings())
        record.finish(result)
        return result

    def _go_on(self, record: Record, progress: bool) -> tuple[str, str]:
        """Train until there is an outcome; return it with its reason."""
        run = self.run
        before: Mapping[str, Any] = {}
        shown = {"initial": self.step, "disable": not progress, "unit": self.unit, "desc": self.title}
        with tqdm(total=run.steps, **shown) as bar:
            while True:
                if trouble := self._overflow():
                    return DIVERGED, trouble
                if not record.metrics or record.metrics[-1].step < self.step:
                    record.add(self.measure())
                    self._keep(record, before)
                    record.save(self.state())
                last = record.metrics[-1]
                if trouble := self._reason(
                    f"{name} is {loss}" for name, loss in _losses(last) if not math.isfinite(loss)
                ):
                    return DIVERGED, trouble
                bar.set_postfix(loss=f"{last.train_loss:.4f}", accuracy=f"{last.test_accuracy:.3f}")
                if run.stop_loss is not None and last.train_loss <= run.stop_loss:
                    return REACHED_LOSS, ""
                if self.step >= run.steps:
                    return COMPLETED, ""
                if run.measure_at_losses:
                    before = copy.deepcopy(self.state())
                if trouble := self.block(min(run.evaluate_every, run.steps - self.step), bar.update):
                    return DIVERGED, trouble

    def _keep(self, record: Record, before: Mapping[str, Any]) -> None:
        """Keep the network at each loss of the run that was crossed since the measurement before."""
        for loss in record.reached():
            found = cross(self, before, record.metrics[-1], loss)
            record.keep(loss, found.metrics, found.net, found.learner)

    def _overflow(self) -> str:
        """Return which weight or state is not finite after the last update, or nothing."""
        numbers = self._numbers()
        return self._reason(f"{name} is not finite" for name, each in numbers if not torch.isfinite(each).all())

    def _reason(self, found: Iterable[str]) -> str:
        named = list(itertools.islice(found, SHOWN))
        return f"{', '.join(named)} after {self.unit} {self.step}" if named else ""

    def _numbers(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every tensor that updates change, by name."""
        yield from self.net.named_parameters()
        for name, each in self.learner.buffers.items():
            yield f"{name} of the rule", each
        names = {parameter: name for name, parameter in self.net.named_parameters()}
        for parameter, state in self.updates.optimizer.state.items():
            for name, each in state.items():
                if isinstance(each, Tensor):
                    yield f"{name} of the optimizer for {names[parameter]}", each


def _losses(last: Metrics) -> tuple[tuple[str, float], ...]:
    return ("training loss", last.train_loss), ("test loss", last.test_loss)
