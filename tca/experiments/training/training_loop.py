"""The state of a run in training: its network, learner, optimizer and batches, updated and measured."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from tasks.trials import FixedTrials, TrialSet
from tca.batch import Batch
from tca.experiments.config.run import Run
from tca.experiments.records.record import Record
from tca.experiments.records.result import Metrics
from tca.experiments.reinforcement.episodes import ContinuedEpisodes, Episodes, policy_of, returns_of
from tca.experiments.reinforcement.learning_check import check_learns
from tca.experiments.training.captured_updates import of_library, updates_of
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.update import Updates
from tca.learner import Learner
from tca.nets.network import Network
from tca.utils.cuda_graphs import Replays, replays_on

__all__ = ["Observer", "TrainingLoop"]

Observer = Callable[[Learner, Batch], Mapping[str, float]]

CONFIDENCE = 0.95
MEASURED = "measurements in CUDA graphs"


class TrainingLoop:
    """The state of a run in training; `tca.experiments.training.outcome` trains it to its end.

    An update takes a batch of trials with targets, or an episode of a run that learns from rewards.

    Args:
        run: The run.
        observe: Further measurements; see `tca.train`.
        like: The loop of a run with the same trials, to share them; ``None`` (default) for trials of its own.
        together: Whether other runs share its updates, whose tensors then move, default no.

    Raises:
        ValueError: The device does not exist, or measurements of training trials are asked for where there are none.

    Warns:
        CollapseWarning: The rule averages correlations so fast that activity may vanish, see
            `tca.signals.decorrelation.averages.warn_if_fast`.
    """

    def __init__(
        self, run: Run, observe: Observer | None = None, like: TrainingLoop | None = None, together: bool = False
    ) -> None:
        if torch.device(run.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {run.device!r} was asked for, but there is no CUDA device here")
        if observe is not None and run.agent is not None:
            raise ValueError("observe must be None where a network learns from rewards: there are no training trials")
        self.run, self.observe, self.task, self.together = run, observe, run.make_task(), together
        if not self.task.rewards_only:
            self.train_set, self.test_set = self._sets() if like is None else like.sets
        n_out = self.task.n_out + (run.agent is not None)  # and the value
        self.sizes: dict[str, Any] = {"n_in": self.task.n_in, "n_out": n_out, "dt": self.task.dt}
        self.unit = "step" if run.agent is None else "episode"
        self.begin()
        if run.agent is None and isinstance(self.train_set, TrialSet):
            self.train_set.trials.check(self.task.n_in, n_out)  # once, and not each batch of it
        readout_rate = run.optimizer.lr * run.optimizer.lr_multipliers.get("w_out", 1.0)
        run.the_rule.signal.check_training(run.steps, readout_rate or None)
        if self.task.rewards_only:
            check_learns(self.learner, run, self.task)
        if run.loss is not None:
            self._check_loss()

    @property
    def sets(self) -> list[FixedTrials]:
        """The trials to train and to test on."""
        return [self.train_set, self.test_set]

    @torch.no_grad()
    def _check_loss(self) -> None:
        """Check a loss of the user's own before the record begins."""
        few = self.train_set.subset(min(self.run.batch_size, len(self.train_set))).batch()
        self.learner.check_loss(few, self.net(few.inputs))

    def _sets(self) -> list[FixedTrials]:
        """Return the trials to train and to test on."""
        run = self.run
        train_set, test_set = self.task.split(run.n_train, run.n_test, seed=run.seeds.data)
        if run.held_out:
            kept = run.n_train - run.held_out
            test_set, train_set = train_set.subset(range(kept, run.n_train)), train_set.subset(kept)
        return [each.to(run.device, run.torch_dtype) for each in (train_set, test_set)]

    def begin(self) -> None:
        """Build network, learner, optimizer, callbacks and batches for the first update."""
        run = self.run
        self.net: Any = run.net.build(**self.sizes, seed=run.seeds.net, device=run.device, dtype=run.torch_dtype)
        self.learner = Learner(self.net, run.the_rule, seed=run.seeds.rule)
        make = Updates if self.together or run.agent is not None else updates_of
        self.updates = make(self.learner, run.optimizer, run.steps, run.seeds.rule)
        self.replays = self._replays()
        self.watchers = [each.build() for each in run.callbacks]
        self.step, self.elapsed = 0, 0.0
        self.batches = self._batches()

    def _replays(self) -> Replays | None:
        """Return the passes of the network that measurements make again; ``None`` for new ones.

        A policy is another network every time, and weights of runs that are trained together move.
        """
        if self.together or self.run.agent is not None or not of_library(self.net):
            return None
        return replays_on(next(self.net.parameters()).device, "measurements")

    @property
    def note(self) -> str:
        """The parts of the run captured in CUDA graphs, for its record; empty if there is none."""
        measured = "" if self.replays is None or self.replays.refused else MEASURED
        return ", ".join(filter(None, (self.updates.passes, measured)))

    @property
    def refused(self) -> bool:
        """Whether PyTorch refused to capture a part of that."""
        return self.updates.refused or (self.replays is not None and self.replays.refused)

    def _batches(self, episodes: Mapping[str, Tensor] | None = None) -> Iterator[Batch | Iterator[Batch]]:
        """Return the batches of the next steps, one of trials with targets or several of an episode.

        Args:
            episodes: State of the episodes so far, if there are any.
        """
        run, seed = self.run, self.run.seeds.batches
        if run.agent is not None:
            kind = ContinuedEpisodes if self.task.rewards_only else Episodes
            return kind(run, self.task, self.learner, self.step, episodes)
        if not run.fresh:
            return self.train_set.batches(run.batch_size, seed, start=self.step)
        stream = self.task.stream(run.batch_size, seed, start=self.step)
        return (self._moved(batch) for batch in stream)

    def _moved(self, batch: Batch) -> Batch:
        """Return a fresh batch on the device of the run, checked where it was drawn."""
        batch.check(self.sizes["n_in"], self.sizes["n_out"])
        return batch.to(self.run.device, self.run.torch_dtype)

    def copied(self) -> Self:
        """Return a loop of the same run before its first update, which shares only the trials."""
        other = copy.copy(self)
        other.begin()
        return other

    def block(self, updates: int, made: Callable[[], object]) -> str:
        """Make the updates between two measurements; return the reason if a number is not finite, else ``""``."""
        for _ in range(updates):
            if trouble := self.update():
                return trouble
            made()
        return ""

    def update(self) -> str:
        """Make one update; return the reason if a number is not finite, then without an update, else ``""``."""
        begun = time.perf_counter()
        batches = next(self.batches)
        if self.run.agent is None:
            begun = time.perf_counter()  # drawing trials is no part of an update, acting is
        for part in [batches] if isinstance(batches, Batch) else batches:
            if trouble := self.updates.make(part, self.step):
                return trouble
        self.elapsed += time.perf_counter() - begun
        self.step += 1
        return ""

    def measure(self) -> Metrics:
        """Return loss and accuracy over both sets, with the numbers of callbacks, observer and environments."""
        observed: dict[str, float] = self.batches.observed() if isinstance(self.batches, Episodes) else {}
        for callback, watcher in zip(self.run.callbacks, self.watchers, strict=True):
            if self.step == self.run.steps or -(-self.step // self.run.evaluate_every) % callback.every == 0:
                observed |= watcher(self.learner, self.train_set.batch())
        if self.observe is not None:
            few = self.train_set.subset(min(self.run.batch_size, len(self.train_set))).batch()
            observed |= self.observe(self.learner, few)
        return self.measured(observed)

    @property
    def evaluated(self) -> Network:
        """The network that answers the trials: that of the run, or its policy if it learns from rewards."""
        net: Network = self.net
        return net if self.run.agent is None else policy_of(self.run, net, self.task.dt)

    def train_loss(self) -> float:
        """Return the loss over the training set, NaN if it is not finite."""
        return evaluate(self.evaluated, self.task, self.train_set, self.replays)[0]

    def measured(self, observed: Mapping[str, float]) -> Metrics:
        """Return loss and accuracy over both sets, or returns while acting and in test episodes."""
        if self.task.rewards_only:
            return self._measured_returns(observed)
        net = self.evaluated
        train_loss, train_accuracy = evaluate(net, self.task, self.train_set, self.replays)
        test_loss, test_accuracy = evaluate(net, self.task, self.test_set, self.replays)
        return Metrics(self.step, train_loss, train_accuracy, test_loss, test_accuracy, self.elapsed, dict(observed))

    def _measured_returns(self, observed: Mapping[str, float]) -> Metrics:
        """Return mean returns, with half their 95 % interval over test episodes; losses are minus them."""
        returns, lengths = returns_of(self.run, self.task, self.learner, self.normalisation)
        tested, acted = statistics.fmean(returns), observed.get("acting_return", math.nan)
        found = {"episode_length": statistics.fmean(lengths), **observed}
        if (count := len(returns)) > 1:
            found["return_interval"] = student_t(count - 1) * statistics.stdev(returns) / math.sqrt(count)
        return Metrics(self.step, -acted, acted, -tested, tested, self.elapsed, found)

    @property
    def normalisation(self) -> dict[str, Tensor]:
        """State of the normalisation of observations and rewards, empty where trials are given."""
        return self.batches.normaliser.state() if isinstance(self.batches, ContinuedEpisodes) else {}

    def state(self) -> dict[str, Any]:
        """Return everything needed to resume."""
        return {
            "step": self.step,
            "elapsed": self.elapsed,
            "net": dict(self.net.state_dict()),
            "learner": dict(self.learner.state_dict()),
            **self.updates.state(),
            **({"episodes": self.batches.state()} if isinstance(self.batches, Episodes) else {}),
            "watchers": [dict(each.state()) for each in self.watchers],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Args:
            state: Value of ``state``.
        """
        self.step, self.elapsed = state["step"], state["elapsed"]
        self.net.load_state_dict(state["net"])
        self.learner.load_state_dict(state["learner"])
        self.updates.restore(state)
        for watcher, its in zip(self.watchers, state.get("watchers", []), strict=True):
            watcher.restore(its)
        self.batches = self._batches(state.get("episodes"))

    def resume(self, record: Record) -> None:
        """Go on from the record's checkpoint, if it has one."""
        if record.checkpoint is not None:
            with record.restoring():
                self.restore(record.checkpoint)


def student_t(degrees: int) -> float:
    """Return the quantile of Student's t distribution for a two-sided interval.

    >>> round(student_t(9), 4)
    2.2622
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
