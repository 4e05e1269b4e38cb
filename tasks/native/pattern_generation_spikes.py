"""Generation of a smooth temporal pattern from input spikes.

Shapes: T time, B batch, F frequencies, G groups, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tasks import seeds
from tasks.durations import steps_of
from tasks.native.spike_encoding import check_rates, poisson
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Count, Filled, NotNegative, Positive, Seed, checked

__all__ = ["PatternGenerationSpikes"]


@checked
@dataclass(frozen=True)
class PatternGenerationSpikes(DrawnTask):
    """Pattern generation in spikes: a sum of sinusoids from Poisson cells, whose spikes are the only clock.

    The signal is ``sum_f w_f sin(2 pi f t)`` less its mean, weights drawn uniformly and scaled to sum to one; they
    depend on ``pattern_seed`` only, not on the seed of the trials. All steps count equally. The published setting
    trains and evaluates on the same eight trials, ``n_train=8`` in batches of 8: repeated spikes serve as a clock.
    Its error, ``sum (y - t)^2 / sum t^2``, is one minus the accuracy of those trials. With several groups, these fire
    one after the other for equal parts of the trial, a clock that new trials have as well.

    Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), arXiv:2603.08949, T = 2000; after Bellec, Scherr,
    Subramoney, Hajek, Salaj, Legenstein and Maass (2020), Nat Commun 11:3625.

    Args:
        dt: Time step in ms.
        duration: Time of a trial in ms, rounded down to whole steps.
        frequencies: Frequencies of the sinusoids in Hz, each below half the rate of the steps.
        rate: Rate of a cell while its group fires, in Hz.
        groups: Number of groups that take turns, at most one a step; with 1 (default) all cells fire all the time.
        per_group: Number of cells of a group.
        pattern_seed: Seed of the weights, 0 or greater.

    Raises:
        ValueError: An option is out of its range, or the trial is shorter than two steps.

    >>> task = PatternGenerationSpikes(dt=10.0)
    >>> task.n_in, task.split(n_train=8, n_test=1, seed=0)[0].steps
    (100, 200)
    """

    dt: Positive = 1.0
    duration: Positive = 2000.0
    frequencies: Annotated[tuple[float, ...], Filled] = (0.5, 1.0, 2.0, 3.0, 4.0)
    rate: NotNegative = 50.0
    groups: Count = 1
    per_group: Count = 100
    pattern_seed: Seed = 0
    n_out: ClassVar[int] = 1
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def __post_init__(self) -> None:
        """Check every option."""
        check_rates(self.dt, rate=self.rate)
        steps = steps_of("duration", self.duration, self.dt)
        if steps < 2:
            raise ValueError(f"duration must be at least 2 steps of dt = {self.dt:g} ms, got {self.duration:g} ms")
        if not all(0 < frequency < 500 / self.dt for frequency in self.frequencies):
            raise ValueError(
                f"frequencies must lie between 0 and 500 / dt = {500 / self.dt:g} Hz, got {self.frequencies}"
            )
        if self.groups > steps:
            raise ValueError(f"groups must be at most the number of steps, {steps}, got {self.groups}")

    @property
    def n_in(self) -> int:
        """All groups."""
        return self.groups * self.per_group

    def signal(self) -> Tensor:
        """Return the signal, shape ``(T,)``."""
        weights_F = torch.rand(
            len(self.frequencies), generator=seeds.generator(self.pattern_seed), dtype=torch.float64, device="cpu"
        )
        steps = steps_of("duration", self.duration, self.dt)
        seconds_T = torch.arange(steps, dtype=torch.float64, device="cpu") * self.dt / 1000
        waves_TF = torch.sin(
            2 * math.pi * seconds_T[:, None] * torch.tensor(self.frequencies, dtype=torch.float64, device="cpu")
        )
        signal_T = waves_TF @ (weights_F / weights_F.sum())
        return (signal_T - signal_T.mean()).float()

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        signal_T = self.signal()
        steps = len(signal_T)
        turn_T = torch.arange(steps, device="cpu") * self.groups // steps
        rates_TG = self.rate * torch.nn.functional.one_hot(turn_T, self.groups).float()
        inputs_TBI = poisson(rates_TG[:, None].expand(steps, trials, self.groups), self.dt, self.per_group, generator)
        weights_TB = torch.full((steps, trials), 1 / steps, dtype=torch.float32, device="cpu")
        return Batch(inputs_TBI, signal_T[:, None, None].repeat(1, trials, 1), weights_TB, self.loss)
