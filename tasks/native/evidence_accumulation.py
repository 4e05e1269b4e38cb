"""Accumulation of evidence from cues.

Shapes: T time, B batch, Q cues, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le

from tasks.durations import Duration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, background, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, NotNegative, Positive, checked

__all__ = ["EvidenceAccumulation"]


@checked
@dataclass(frozen=True)
class EvidenceAccumulation(DrawnTask):
    """Cue accumulation: count brief cues on the left and on the right, wait, and report the side that had more.

    The inputs are a left and a right channel, 1 during a cue of that side, and a recall channel, 1 during the decision,
    all with noise at every step. Each trial favours one side, drawn at random; the answer is the side with
    more cues. The loss and the accuracy count in the decision only. Class 0 is left, class 1 right.

    Trial information: ``evidence``, right cues minus left ones; ``favoured`` and ``side`` (0 left, 1 right); periods
    in ms.

    Morcos and Harvey (2016), History-dependent variability in population dynamics during evidence accumulation in
    cortex, Nat Neurosci 19:1672-1681; in the form of Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein and Maass
    (2020), A solution to the learning dilemma for recurrent networks of spiking neurons, Nat Commun 11:3625, with rates
    for spikes.

    Args:
        dt: Time step in ms.
        cues: Number of cues, odd so that no trial is a tie.
        bias: Probability that a cue is on the favoured side, from 0.5 to 1.
        cue: Time of a cue in ms.
        gap: Time in ms after each cue.
        delay: Time between cues and decision in ms: a number, ``(low, high)`` drawn uniformly, or ``(mean, low, high)``
            drawn from an exponential cut to the range. Times are rounded down to whole steps.
        decision: Time to answer in ms.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    >>> EvidenceAccumulation(delay=500.0).split(n_train=4, n_test=2, seed=0)[0].steps
    34
    """

    dt: Positive = 50.0
    cues: Count = 7
    bias: Annotated[float, Ge(0.5), Le(1)] = 0.7
    cue: Positive = 100.0
    gap: NotNegative = 50.0
    delay: Duration = 1000.0
    decision: Positive = 150.0
    noise: NotNegative = 0.5
    n_in: ClassVar[int] = 3
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        if self.cues % 2 == 0:
            raise ValueError(f"cues must be odd, so that no trial is a tie, got {self.cues}")
        for name in ("cue", "gap", "decision"):
            steps_of(name, getattr(self, name), self.dt)
        settle_durations(self, "delay")

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        cue = steps_of("cue", self.cue, self.dt)
        slot = cue + steps_of("gap", self.gap, self.dt)
        timeline = Timeline(
            trials,
            cues=self.cues * slot,
            delay=draw_steps(self.delay, self.dt, trials, generator),
            decision=steps_of("decision", self.decision, self.dt),
        )
        favoured_B = torch.randint(2, (trials,), generator=generator, device="cpu")
        agrees_QB = torch.rand(self.cues, trials, generator=generator, dtype=torch.float64, device="cpu") < self.bias
        right_QB = agrees_QB == (favoured_B == 1)
        target_B = (right_QB.sum(0) > self.cues // 2).long()

        shape = (timeline.steps, trials, self.n_in)
        inputs_TBI = background(shape, self.noise / math.sqrt(self.dt), generator)
        decisions_TB = timeline.during("decision")
        # Slots of equal length that start with a cue.
        slots_QtBI = inputs_TBI[: self.cues * slot].view(self.cues, slot, trials, self.n_in)
        slots_QtBI[:, :cue, :, 0] += ~right_QB[:, None]
        slots_QtBI[:, :cue, :, 1] += right_QB[:, None]
        inputs_TBI[..., 2] += decisions_TB
        timeline.end_(inputs_TBI)
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.0)
        targets_TB = torch.where(decisions_TB, target_B, 0)
        info = timeline.info(self.dt, evidence=2 * right_QB.sum(0) - self.cues, favoured=favoured_B, side=target_B)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
