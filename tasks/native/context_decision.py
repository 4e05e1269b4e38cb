"""Context-dependent decision between noisy stimuli of two modalities.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from tasks.durations import Duration, Percent, PositiveDuration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, per_trial, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Filled, NotNegative, Positive, checked

__all__ = ["ContextDecision"]


@checked
@dataclass(frozen=True)
class ContextDecision(DrawnTask):
    """Context-dependent decision: two noisy stimuli, one of which is selected by a context channel.

    The inputs are fixation, two channels for each modality, and two for the context. In the stimulus period the pair of
    a modality shows ``1/2 + coherence/200`` on its chosen side and ``1/2 - coherence/200`` on the other, plus noise;
    the two modalities choose independently. The context is on throughout the trial. The fixation channel is 1 until the
    decision, whose steps have weight 1 in the loss and all others 0.1, before each trial's weights are scaled to sum to
    1. Class 0 is to fixate, 1 and 2 are the sides.

    Trial information: the periods in ms, ``context``, ``side`` (0 or 1) and ``evidence`` of the selected modality: its
    coherence in per cent, negative for side 0; ``evidence_0`` and ``evidence_1`` are those of both modalities.

    Mante, Sussillo, Shenoy and Newsome (2013), Context-dependent computation by recurrent dynamics in prefrontal
    cortex, Nature 503:78-84. The periods last as long as those of the neurogym task ContextDecisionMaking-v0, which
    shows the context with its option ``use_expl_context``.

    Args:
        dt: Time step in ms.
        fixation: Time before the stimuli. This and the times below are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        stimulus: Time of the stimuli.
        delay: Time between stimuli and decision.
        decision: Time to answer.
        coherences: Strengths in per cent, one of which is drawn for each modality; 0 carries no evidence.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    >>> ContextDecision(delay=300.0).split(n_train=4, n_test=2, seed=0)[1]
    TrialSet(trials=2, steps=14, inputs=7, loss=CrossEntropy())
    """

    dt: Positive = 100.0
    fixation: Duration = 300.0
    stimulus: PositiveDuration = 750.0
    delay: Duration = (600.0, 300.0, 3000.0)
    decision: Positive = 100.0
    coherences: Annotated[tuple[Percent, ...], Filled] = (5.0, 15.0, 50.0)
    noise: NotNegative = 1.0
    n_in: ClassVar[int] = 7
    n_out: ClassVar[int] = 3
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "fixation", "stimulus", "delay")
        steps_of("decision", self.decision, self.dt)

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        names = ("fixation", "stimulus", "delay", "decision")
        steps = {name: draw_steps(getattr(self, name), self.dt, trials, generator) for name in names}
        timeline = Timeline(trials, **steps)
        sides_B2 = torch.randint(2, (trials, 2), generator=generator, device="cpu")
        context_B = torch.randint(2, (trials,), generator=generator, device="cpu")
        picked_B2 = torch.randint(len(self.coherences), (trials, 2), generator=generator, device="cpu")
        half_B2 = torch.tensor(self.coherences, dtype=torch.float32, device="cpu")[picked_B2] / 200 * (1 - 2 * sides_B2)
        values_B4 = 0.5 + torch.stack((half_B2, -half_B2), -1).flatten(1)

        inputs_TBI = torch.zeros(timeline.steps, trials, self.n_in, dtype=torch.float32, device="cpu")
        inputs_TBI[..., 0] = timeline.during("fixation", "delay")
        timeline.show(inputs_TBI[..., 1:5], "stimulus", values_B4, self.noise / math.sqrt(self.dt), generator)
        inside_TB, decisions_TB = timeline.inside, timeline.during("decision")
        inputs_TBI[..., 5] = inside_TB & (context_B == 0)
        inputs_TBI[..., 6] = inside_TB & (context_B == 1)
        target_B = sides_B2.gather(1, context_B[:, None]).squeeze(1)
        weights_TB = trial_weights(decisions_TB, inside_TB, elsewhere=0.1)
        evidence_B2 = per_trial(self.coherences, picked_B2) * (2 * sides_B2 - 1)
        info = timeline.info(
            self.dt,
            context=context_B,
            side=target_B,
            evidence=evidence_B2.gather(1, context_B[:, None]).squeeze(1),
            evidence_0=evidence_B2[:, 0],
            evidence_1=evidence_B2[:, 1],
        )
        targets_TB = torch.where(decisions_TB, target_B + 1, 0)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
