"""Context-dependent integration of motion or colour.

Shapes: T time, B batch, I inputs, C conditions.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt, Le
from torch import Tensor

from tasks import seeds
from tasks.durations import steps_of
from tasks.native.timeline import Timeline, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Filled, NotNegative, Positive, checked

__all__ = ["ContextIntegration"]

Strength = Annotated[float, Gt(0), Le(1)]


@checked
@dataclass(frozen=True)
class ContextIntegration(DrawnTask):
    """Context integration: report the sign of motion or of colour, as the context asks, and ignore the other.

    The inputs are fixation, motion, colour and two contexts. During the stimulus, motion and colour show their signed
    coherence plus independent noise at every step; a context channel is 1 throughout the trial, fixation until the
    decision, whose steps have weight 1 in the loss and all others 0.1, before each trial's weights are scaled to sum to
    1. With the defaults there are 72 conditions: 6 of motion, 6 of colour and 2 contexts. Class 0 is to fixate, 1 the
    negative and 2 the positive side. An ideal observer sums the relevant channel and is right with probability
    ``Phi(coherence sqrt(n) / s)``, of n steps with noise of standard deviation s.

    Trial information: ``condition`` (of `conditions`), ``context`` (0 motion, 1 colour), ``motion``, ``colour``,
    ``evidence`` of the relevant one, ``side`` (0 or 1), and the periods in ms.

    Mante, Sussillo, Shenoy and Newsome (2013), Context-dependent computation by recurrent dynamics in prefrontal
    cortex, Nature 503:78-84.

    Args:
        dt: Time step in ms.
        fixation: Time before the stimulus in ms, as all times rounded down to whole steps.
        stimulus: Time of motion and colour in ms.
        delay: Time between stimulus and decision in ms.
        decision: Time to answer in ms.
        motion: Coherences of motion, each of which comes with both signs.
        colour: Coherences of colour, likewise.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    Raises:
        ValueError: An option is out of its range, or a time is shorter than a step.
        TypeError: An option is of a wrong kind.

    >>> task = ContextIntegration()
    >>> task.split(n_train=4, n_test=2, seed=0)[0].steps, task.conditions().trials
    (113, 72)
    """

    dt: Positive = 15.0
    fixation: NotNegative = 345.0
    stimulus: Positive = 750.0
    delay: NotNegative = 300.0
    decision: Positive = 300.0
    motion: Annotated[tuple[Strength, ...], Filled] = (0.05, 0.15, 0.5)
    colour: Annotated[tuple[Strength, ...], Filled] = (0.06, 0.18, 0.5)
    noise: NotNegative = 1.0
    n_in: ClassVar[int] = 5
    n_out: ClassVar[int] = 3
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        for name in ("fixation", "stimulus", "delay", "decision"):
            steps_of(name, getattr(self, name), self.dt)

    def conditions(self) -> Batch:
        """Return one trial of each condition without noise: contexts, in each all motions, in each all colours."""
        table_C3 = self._table()
        return self._trials(torch.arange(len(table_C3), device="cpu"), 0.0, seeds.generator(0))

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        condition_B = torch.randint(len(self._table()), (trials,), generator=generator, device="cpu")
        return self._trials(condition_B, self.noise / math.sqrt(self.dt), generator)

    def _table(self) -> Tensor:
        """Return context, motion and colour of each condition, shape ``(C, 3)``."""
        motion, colour = ([sign * each for sign in (-1, 1) for each in values] for values in (self.motion, self.colour))
        rows = list(itertools.product((0.0, 1.0), sorted(motion), sorted(colour)))
        return torch.tensor(rows, dtype=torch.float64, device="cpu")

    def _trials(self, condition_B: Tensor, noise: float, generator: torch.Generator) -> Batch:
        names = ("fixation", "stimulus", "delay", "decision")
        timeline = Timeline(len(condition_B), **{name: steps_of(name, getattr(self, name), self.dt) for name in names})
        context_B, motion_B, colour_B = self._table()[condition_B].T
        evidence_B = torch.where(context_B == 0, motion_B, colour_B)
        shape = (timeline.steps, len(condition_B), self.n_in)
        inputs_TBI = torch.zeros(shape, dtype=torch.float32, device="cpu")
        inputs_TBI[..., 0] = timeline.during("fixation", "delay")
        shown_B2 = torch.stack((motion_B, colour_B), 1).float()
        timeline.show(inputs_TBI[..., 1:3], "stimulus", shown_B2, noise, generator)
        inputs_TBI[..., 3], inputs_TBI[..., 4] = context_B == 0, context_B == 1
        decisions_TB, side_B = timeline.during("decision"), (evidence_B > 0).long()
        info = timeline.info(
            self.dt, condition=condition_B, context=context_B.long(), motion=motion_B, colour=colour_B,
            evidence=evidence_B, side=side_B,
        )  # fmt: skip
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.1)
        targets_TB = torch.where(decisions_TB, side_B + 1, 0)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
