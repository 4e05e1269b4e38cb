"""Any neurogym environment that can be supervised, as a task.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from tasks import seeds
from tasks.checksums import first_trials
from tasks.native.timeline import trial_weights
from tasks.neurogym.neurogym_environment import SupervisedEnvironment, Trial, UnsupervisableError, title_of
from tasks.neurogym.neurogym_ids import SUPERVISED
from tasks.neurogym.neurogym_rewards import reward_environments
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, CrossEntropy, Loss
from tca.utils.checks import whole
from tca.utils.trial_info import info_of_rows

__all__ = ["NeurogymTask"]

PROBE_TRIALS = 1000
_MEASURED: dict[str, _Facts] = {}  # by environment and options


@dataclass(frozen=True)
class NeurogymTask(DrawnTask):
    """Trials of a neurogym environment with its ground truth as the target.

    Discrete actions are classes under the cross-entropy, continuous actions real targets under the squared error.
    Accuracy counts in the period ``decision`` if there is one, else in the periods in which the correct action varies,
    else everywhere. These steps have weight 1 in the loss and others of the trial 0.1, before the weights of each trial
    are scaled to sum to 1. `chance` is measured on separate trials: one over the number of answers if these are equally
    common, else the share of the most common one.

    Each draw uses a new environment with all of its generators seeded; within a draw, trials follow each other as in
    the environment (in blocks, for example).

    Trial information: the durations of periods in ms, and the entries of the dictionary ``trial`` of the environment.

    Molano-Mazon et al. (2022), NeuroGym: an open resource for developing and sharing neuroscience tasks, PsyArXiv
    aqc9n.

    Args:
        name: Id of the environment, for example ``"DelayMatchSample-v0"``; its class, or the environment itself.
        options: Arguments of the environment, as pairs; ``dt`` is the time step in ms.

    Raises:
        ValueError: Environment or option is unknown, or the environment can not be supervised.
    """

    name: Any
    options: tuple[tuple[str, Any], ...] = ()
    _facts: _Facts = field(init=False, repr=False, compare=False)
    batches_a_draw: ClassVar[int] = 32

    def __post_init__(self) -> None:
        """Check on some trials that the environment can be supervised."""
        object.__setattr__(self, "_facts", _facts_of(self.name, dict(self.options)))

    @property
    def dt(self) -> float:
        return self._facts.dt

    @property
    def n_in(self) -> int:
        """Size of an observation."""
        return self._facts.n_in

    @property
    def n_out(self) -> int:
        """Number of discrete actions, or size of a continuous one."""
        return self._facts.n_out

    @property
    def loss(self) -> Loss:
        """Cross-entropy for discrete actions, squared error for continuous ones."""
        return CrossEntropy() if self._facts.discrete else MSE()

    @property
    def chance(self) -> float:
        """The best accuracy of a constant answer, measured; 0 for ``"R2"``."""
        return self._facts.chance

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        """A checksum of the first trials of an environment of the user; see `tasks.task.Task.provenance`."""
        return {} if isinstance(self.name, str) and self.name in SUPERVISED else first_trials(self)

    @property
    def decision_periods(self) -> tuple[str, ...]:
        """Periods in which accuracy counts; none means the whole trial."""
        return self._facts.decision_periods

    @property
    def gives_rewards(self) -> bool:
        """Whether actions are discrete."""
        return self._facts.discrete

    def environments(self, count: int, seed: int) -> list[Any]:
        return reward_environments(self.name, count, seed, **dict(self.options))

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        drawn = SupervisedEnvironment(self.name, dict(self.options)).draw(whole("trials", trials, 1), generator)
        lengths = [len(trial.inputs) for trial in drawn]
        inputs = np.zeros((max(lengths), trials, self.n_in), np.float32)
        targets = np.zeros((max(lengths), trials, *drawn[0].targets.shape[1:]), drawn[0].targets.dtype)
        decisions = np.zeros((max(lengths), trials), np.bool_)
        for place, (trial, length) in enumerate(zip(drawn, lengths, strict=True)):
            inputs[:length, place] = trial.inputs
            targets[:length, place] = trial.targets
            decisions[:length, place] = trial.during(self.decision_periods)
        if not decisions.any(0).all():
            place = int(np.argmin(decisions.any(0)))
            raise ValueError(
                f"options of {title_of(self.name)} must leave every trial a step to decide in, one of "
                f"{lengths[place]} steps has none with {dict(self.options)}"
            )
        inside_TB = torch.arange(max(lengths), device="cpu")[:, None] < torch.tensor(
            lengths, dtype=torch.int64, device="cpu"
        )
        decisions_TB = torch.from_numpy(decisions)
        weights_TB = trial_weights(decisions_TB, inside_TB, elsewhere=0.1)
        info = info_of_rows([trial.info for trial in drawn])
        return Batch(
            torch.from_numpy(inputs), torch.from_numpy(targets), weights_TB, self.loss, decisions_TB, info=info
        )


@dataclass(frozen=True)
class _Facts:
    """Properties of an environment, measured on trials."""

    dt: float
    n_in: int
    n_out: int
    discrete: bool
    decision_periods: tuple[str, ...]
    chance: float


def _facts_of(name: Any, options: dict[str, Any]) -> _Facts:
    """Return the facts of an environment; those of neurogym's own, with plain options, are measured once."""
    if isinstance(name, str) and name in SUPERVISED:
        with contextlib.suppress(TypeError, ValueError):
            json.dumps(options)
            key = repr((name, options))
            if key not in _MEASURED:
                _MEASURED[key] = _probe(name, options)
            return _MEASURED[key]
    return _probe(name, options)


def _probe(name: str, options: dict[str, Any]) -> _Facts:
    environment = SupervisedEnvironment(name, options)
    drawn = environment.draw(PROBE_TRIALS, seeds.generator(0))
    again = SupervisedEnvironment(name, options).draw(20, seeds.generator(0))
    if not all(one.same(other) for one, other in zip(drawn, again, strict=False)):
        raise UnsupervisableError(name, "the same seed gives different trials")
    discrete, n_out = environment.discrete, environment.n_out
    targets = np.concatenate([trial.targets for trial in drawn])
    if discrete and not (targets.min() >= 0 and targets.max() < n_out):
        raise UnsupervisableError(
            name, f"its ground truth goes from {targets.min()} to {targets.max()}, its actions from 0 to {n_out - 1}"
        )
    if (targets == targets[0]).all():
        raise UnsupervisableError(name, "its ground truth is the same at every step of every trial")
    periods = _decision_periods(drawn)
    chance = _chance(drawn, periods, n_out) if discrete else 0.0
    return _Facts(environment.dt, drawn[0].inputs.shape[1], n_out, discrete, periods, chance)


def _decision_periods(drawn: list[Trial]) -> tuple[str, ...]:
    """Return ``decision``, else the periods in which the correct action varies, else none."""
    names = list(dict.fromkeys(name for trial in drawn for name in trial.periods))
    if "decision" in names:
        return ("decision",)
    varying = []
    for name in names:
        targets = np.concatenate([trial.targets[trial.during((name,))] for trial in drawn])
        if len(targets) and (targets != targets[0]).any():
            varying.append(name)
    return tuple(varying)


def _chance(drawn: list[Trial], periods: tuple[str, ...], classes: int) -> float:
    """Return 1/k if k answers are equally common within 4 standard errors, else the largest share."""
    share_BO = np.stack(
        [np.bincount(trial.targets[trial.during(periods)], minlength=classes) for trial in drawn]
    ).astype(np.float64)
    share_BO /= share_BO.sum(1, keepdims=True)
    mean_O = share_BO.mean(0)
    given = mean_O > 0
    even = 1 / int(given.sum())
    error = np.sqrt(even * (1 - even) / len(drawn))
    return even if np.abs(mean_O[given] - even).max() <= 4 * error else float(mean_O.max())
