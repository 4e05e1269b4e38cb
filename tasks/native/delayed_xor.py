"""Delayed exclusive or of two pulses.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.durations import Duration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, background, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import NotNegative, Positive, checked

__all__ = ["DelayedXor"]


@checked
@dataclass(frozen=True)
class DelayedXor(DrawnTask):
    """Delayed exclusive or: two pulses of either sign, a delay after each, then say whether the signs differ.

    The answer depends on neither pulse alone, so the first must be kept and combined with the second. The
    inputs are the pulses and a go channel, 1 during the decision, both with noise at every step. The loss and the
    accuracy count in the decision only. Class 0 is same, class 1 different.

    Trial information: ``first`` and ``second``, whether each pulse was positive; the other periods in ms.

    Kim, Li and Sejnowski (2019), Simple framework for constructing functional spiking recurrent neural networks,
    PNAS 116:22811-22820.

    Args:
        dt: Time step in ms.
        pulse: Time of each pulse in ms.
        delay: Time between the pulses. This and the times below are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        wait: Time between the second pulse and the decision.
        decision: Time to answer.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    >>> DelayedXor().split(n_train=4, n_test=2, seed=0)[0]
    TrialSet(trials=4, steps=28, inputs=2, loss=CrossEntropy())
    """

    dt: Positive = 50.0
    pulse: Positive = 250.0
    delay: Duration = 500.0
    wait: Duration = 250.0
    decision: Positive = 150.0
    noise: NotNegative = 0.5
    n_in: ClassVar[int] = 2
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "delay", "wait")
        for name in ("pulse", "decision"):
            steps_of(name, getattr(self, name), self.dt)

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        timeline = Timeline(
            trials,
            first=steps_of("pulse", self.pulse, self.dt),
            delay=draw_steps(self.delay, self.dt, trials, generator),
            second=steps_of("pulse", self.pulse, self.dt),
            wait=draw_steps(self.wait, self.dt, trials, generator),
            decision=steps_of("decision", self.decision, self.dt),
        )
        bits_2B = torch.randint(2, (2, trials), generator=generator, device="cpu")
        shape = (timeline.steps, trials, self.n_in)
        inputs_TBI = background(shape, self.noise / math.sqrt(self.dt), generator)
        for name, bit_B in zip(("first", "second"), bits_2B, strict=True):
            inputs_TBI[..., 0] += timeline.during(name) * (2 * bit_B - 1)
        decisions_TB = timeline.during("decision")
        inputs_TBI[..., 1] += decisions_TB
        timeline.end_(inputs_TBI)
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.0)
        targets_TB = torch.where(decisions_TB, bits_2B[0] ^ bits_2B[1], 0)
        info = timeline.info(self.dt, first=bits_2B[0], second=bits_2B[1])
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
