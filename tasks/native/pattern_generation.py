"""Generation of smooth temporal patterns selected by a cue.

Shapes: T time, B batch, P patterns, K outputs, F frequencies, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tasks import seeds
from tasks.durations import steps_of
from tasks.native.timeline import background
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Count, Filled, NotNegative, Positive, Seed, Whole, checked

__all__ = ["PatternGeneration"]


@checked
@dataclass(frozen=True)
class PatternGeneration(DrawnTask):
    """Pattern generation: produce the sums of sinusoids that belong to the cued pattern, driven by a coarse clock.

    Output k of pattern p is ``sum_f a_pkf sin(2 pi f t + phi_pkf)``, amplitudes drawn from 0.5 to 2, phases from all,
    and scaled to unit variance over the trial. They depend on ``pattern_seed`` only, not on the seed of the trials. A
    trial shows a cue, one channel for each pattern, and a clock: channels that are 1 one after the other for equal
    parts of the trial, both with noise. All steps count equally.

    Trial information: ``pattern``.

    Nicola and Clopath (2017), Supervised learning in spiking neural networks with FORCE training, Nat Commun 8:2208; in
    the form of Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein and Maass (2020), A solution to the learning
    dilemma for recurrent networks of spiking neurons, Nat Commun 11:3625.

    Args:
        dt: Time step in ms.
        duration: Time of a trial in ms, rounded down to whole steps.
        patterns: Number of patterns.
        outputs: Number of outputs.
        frequencies: Frequencies of the sinusoids in Hz, each below half the rate of the steps.
        clock: Number of channels of the clock, at most one a step; 0 for none.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.
        pattern_seed: Seed of amplitudes and phases, 0 or greater.

    Raises:
        ValueError: An option is out of its range, or the trial is shorter than two steps.

    >>> task = PatternGeneration(outputs=2)
    >>> task.n_in, task.n_out, task.split(n_train=4, n_test=2, seed=0)[0].steps
    (8, 2, 100)
    """

    dt: Positive = 10.0
    duration: Positive = 1000.0
    patterns: Count = 3
    outputs: Count = 1
    frequencies: Annotated[tuple[float, ...], Filled] = (1.0, 2.0, 3.0, 5.0)
    clock: Whole = 5
    noise: NotNegative = 0.3
    pattern_seed: Seed = 0
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def __post_init__(self) -> None:
        """Check every option."""
        steps = steps_of("duration", self.duration, self.dt)
        if steps < 2:
            raise ValueError(f"duration must be at least 2 steps of dt = {self.dt:g} ms, got {self.duration:g} ms")
        if not all(0 < frequency < 500 / self.dt for frequency in self.frequencies):
            raise ValueError(
                f"frequencies must lie between 0 and 500 / dt = {500 / self.dt:g} Hz, got {self.frequencies}"
            )
        if self.clock > steps:
            raise ValueError(f"clock must be at most the number of steps, {steps}, got {self.clock}")

    @property
    def n_in(self) -> int:
        """One channel a pattern, and the clock."""
        return self.patterns + self.clock

    @property
    def n_out(self) -> int:
        """The signals."""
        return self.outputs

    def signals(self) -> Tensor:
        """Return all patterns, shape ``(T, P, K)``."""
        generator = seeds.generator(self.pattern_seed)
        shape = (self.patterns, self.outputs, len(self.frequencies))
        amplitudes_PKF = 0.5 + 1.5 * torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        phases_PKF = 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        steps = steps_of("duration", self.duration, self.dt)
        seconds_T = torch.arange(steps, dtype=torch.float64, device="cpu") * self.dt / 1000
        frequencies_F = torch.tensor(self.frequencies, dtype=torch.float64, device="cpu")
        angles_TPKF = 2 * math.pi * frequencies_F * seconds_T[:, None, None, None] + phases_PKF
        signals_TPK = (amplitudes_PKF * torch.sin(angles_TPKF)).sum(-1)
        return (signals_TPK / signals_TPK.std(0, correction=0)).float()

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        signals_TPK = self.signals()
        steps = signals_TPK.shape[0]
        pattern_B = torch.randint(self.patterns, (trials,), generator=generator, device="cpu")
        shape = (steps, trials, self.n_in)
        inputs_TBI = background(shape, self.noise / math.sqrt(self.dt), generator)
        inputs_TBI[:, torch.arange(trials, device="cpu"), pattern_B] += 1
        tick_T = self.patterns + torch.arange(steps, device="cpu") * self.clock // steps
        if self.clock:
            inputs_TBI[torch.arange(steps, device="cpu"), :, tick_T] += 1
        weights_TB = torch.full((steps, trials), 1 / steps, dtype=torch.float32, device="cpu")
        return Batch(inputs_TBI, signals_TPK[:, pattern_B], weights_TB, self.loss, info={"pattern": pattern_B})
