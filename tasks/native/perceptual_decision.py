"""Perceptual decision between noisy stimuli.

Shapes: T time, B batch, C choices, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from tasks.durations import Duration, Percent, PositiveDuration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, per_trial, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Filled, NotNegative, Positive, checked

__all__ = ["PerceptualDecision"]


@checked
@dataclass(frozen=True)
class PerceptualDecision(DrawnTask):
    """Perceptual decision: say which stimulus on a ring is the stronger, after integrating it in noise.

    In the stimulus period, channel c shows ``1/2 + coherence/200 * cos(theta_c - theta_target)`` plus noise. A fixation
    channel is 1 until the decision, whose steps have weight 1 in the loss and all others 0.1, before each trial's
    weights are scaled to sum to 1. Class 0 is to fixate, class c + 1 to choose stimulus c.

    Trial information: the periods in ms, ``coherence`` in per cent, ``side`` (the stimulus, from 0) and, of two
    choices, ``evidence``: the coherence, negative for side 0.

    Britten, Shadlen, Newsome and Movshon (1992), The analysis of visual motion, J Neurosci 12:4745-4765. The periods
    last as long as those of the neurogym task PerceptualDecisionMaking-v0.

    Args:
        dt: Time step in ms.
        fixation: Time before the stimulus. This and the times below are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        stimulus: Time of the stimulus.
        delay: Time between stimulus and decision.
        decision: Time to answer.
        coherences: Strengths in per cent, one of which is drawn in each trial; 0 carries no evidence.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.
        choices: Number of stimuli on the ring, at least 2.

    >>> task = PerceptualDecision(stimulus=500.0)
    >>> train, test = task.split(n_train=10, n_test=5, seed=0)
    >>> train, task.n_out, task.chance
    (TrialSet(trials=10, steps=7, inputs=3, loss=CrossEntropy()), 3, 0.5)
    """

    dt: Positive = 100.0
    fixation: Duration = 100.0
    stimulus: PositiveDuration = 2000.0
    delay: Duration = 0.0
    decision: Positive = 100.0
    coherences: Annotated[tuple[Percent, ...], Filled] = (6.4, 12.8, 25.6, 51.2)
    noise: NotNegative = 1.0
    choices: Annotated[int, Ge(2)] = 2
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "fixation", "stimulus", "delay")
        steps_of("decision", self.decision, self.dt)

    @property
    def n_in(self) -> int:
        """Fixation and one channel a stimulus."""
        return 1 + self.choices

    @property
    def n_out(self) -> int:
        """Fixation and one output a stimulus."""
        return 1 + self.choices

    @property
    def chance(self) -> float:
        """One over the number of choices."""
        return 1 / self.choices

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        names = ("fixation", "stimulus", "delay", "decision")
        steps = {name: draw_steps(getattr(self, name), self.dt, trials, generator) for name in names}
        timeline = Timeline(trials, **steps)
        target_B = torch.randint(self.choices, (trials,), generator=generator, device="cpu")
        picked_B = torch.randint(len(self.coherences), (trials,), generator=generator, device="cpu")
        coherence_B = torch.tensor(self.coherences, dtype=torch.float32, device="cpu")[picked_B]
        angle_C = torch.arange(self.choices, dtype=torch.float32, device="cpu") * (2 * math.pi / self.choices)
        values_BC = 0.5 + coherence_B[:, None] / 200 * torch.cos(angle_C - angle_C[target_B][:, None])

        inputs_TBI = torch.zeros(timeline.steps, trials, self.n_in, dtype=torch.float32, device="cpu")
        inputs_TBI[..., 0] = timeline.during("fixation", "delay")
        timeline.show(inputs_TBI[..., 1:], "stimulus", values_BC, self.noise / math.sqrt(self.dt), generator)
        decisions_TB = timeline.during("decision")
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.1)
        graded_B = per_trial(self.coherences, picked_B)
        info = timeline.info(self.dt, coherence=graded_B, side=target_B)
        if self.choices == 2:
            info["evidence"] = graded_B * (2 * target_B - 1)
        targets_TB = torch.where(decisions_TB, target_B + 1, 0)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
