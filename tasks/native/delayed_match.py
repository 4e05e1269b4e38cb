"""Delayed match to sample.

Shapes: T time, B batch, C stimulus channels, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from tasks.durations import Duration, PositiveDuration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import NotNegative, Positive, checked

__all__ = ["DelayedMatch"]


@checked
@dataclass(frozen=True)
class DelayedMatch(DrawnTask):
    """Delayed match to sample: remember a stimulus over a delay and say whether the test stimulus is the same.

    A stimulus is an angle on a ring; channel c shows ``1/2 + 1/2 cos(theta_c - theta)`` plus noise. Half of the tests
    match, the others are any other stimulus. A fixation channel is 1 until the decision, whose steps have weight 1 in
    the loss and all others 0.1, before each trial's weights are scaled to sum to 1. Class 0 is to fixate, 1 match, 2
    non-match.

    Trial information: ``sample`` and ``test``, the stimuli from 0; ``match``; the other periods in ms.

    Miller, Erickson and Desimone (1996), Neural mechanisms of visual working memory in prefrontal cortex of the
    macaque, J Neurosci 16:5154-5167. The periods last as long as those of the neurogym task DelayMatchSample-v0.

    Args:
        dt: Time step in ms.
        fixation: Time before the sample. This and the times below are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        sample: Time of the sample.
        delay: Time between sample and test.
        test: Time of the test.
        decision: Time to answer.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.
        stimuli: Number of stimuli, and of channels, on the ring, at least 2.

    >>> task = DelayedMatch(delay=(500.0, 1500.0))
    >>> task.n_in, task.n_out, task.chance, task.measure
    (3, 3, 0.5, 'accuracy')
    """

    dt: Positive = 100.0
    fixation: Duration = 300.0
    sample: PositiveDuration = 500.0
    delay: Duration = 1000.0
    test: PositiveDuration = 500.0
    decision: Positive = 900.0
    noise: NotNegative = 1.0
    stimuli: Annotated[int, Ge(2)] = 2
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "fixation", "sample", "delay", "test")
        steps_of("decision", self.decision, self.dt)

    @property
    def n_in(self) -> int:
        """Fixation and one channel a stimulus."""
        return 1 + self.stimuli

    @property
    def n_out(self) -> int:
        """Fixation, match and non-match."""
        return 3

    @property
    def chance(self) -> float:
        """Half of the trials match."""
        return 0.5

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        names = ("fixation", "sample", "delay", "test", "decision")
        steps = {name: draw_steps(getattr(self, name), self.dt, trials, generator) for name in names}
        timeline = Timeline(trials, **steps)
        sample_B = torch.randint(self.stimuli, (trials,), generator=generator, device="cpu")
        differs_B = torch.randint(2, (trials,), generator=generator, device="cpu")
        other_B = (
            sample_B + torch.randint(1, self.stimuli, (trials,), generator=generator, device="cpu")
        ) % self.stimuli
        test_B = torch.where(differs_B == 1, other_B, sample_B)

        inputs_TBI = torch.zeros(timeline.steps, trials, self.n_in, dtype=torch.float32, device="cpu")
        inputs_TBI[..., 0] = timeline.during("fixation", "test")
        for name, shown_B in (("sample", sample_B), ("test", test_B)):
            timeline.show(inputs_TBI[..., 1:], name, self._tuning(shown_B), self.noise / math.sqrt(self.dt), generator)
        decisions_TB = timeline.during("decision")
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.1)
        targets_TB = torch.where(decisions_TB, differs_B + 1, 0)
        info = timeline.info(self.dt, sample=sample_B, test=test_B, match=differs_B == 0)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)

    def _tuning(self, shown_B: torch.Tensor) -> torch.Tensor:
        angle_C = torch.arange(self.stimuli, dtype=torch.float32, device="cpu") * (2 * math.pi / self.stimuli)
        return 0.5 + 0.5 * torch.cos(angle_C - angle_C[shown_B][:, None])
