"""Delayed match to sample in spikes.

Shapes: T time, B batch, G groups, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.durations import Duration, PositiveDuration, draw_steps, settle_durations, steps_of
from tasks.native.spike_encoding import check_rates, poisson
from tasks.native.timeline import Timeline, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, NotNegative, Positive, checked

__all__ = ["DelayedMatchSpikes"]


@checked
@dataclass(frozen=True)
class DelayedMatchSpikes(DrawnTask):
    """Delayed match to sample in spikes: whether two cues, each present or absent, are alike, in steps of 1 ms.

    Four groups of Poisson cells: the first fires during the sample, the second during the test, each in half of the
    trials and independently of the other; recall fires during the decision, background all the time. Class 1 is match:
    both fired, or neither. Loss and accuracy count in the decision only.

    Trial information: ``sample`` and ``test``, whether each cue was present; ``match``; the other periods in ms.

    The defaults are those of Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), Diffusion of Neuromodulators for
    Temporal Credit Assignment, arXiv:2603.08949, T = 1100.

    Args:
        dt: Time step in ms.
        fixation: Time before the sample. This and the times below are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        sample: Time of the first cue.
        delay: Time between the cues.
        test: Time of the second cue.
        decision: Time to answer.
        rate: Rate of a cell of the other groups, while the group fires, in Hz.
        background: Rate of a cell of the background in Hz.
        per_group: Number of cells of a group.

    >>> task = DelayedMatchSpikes()
    >>> task.n_in, task.split(n_train=4, n_test=2, seed=0)[0].steps
    (80, 1100)
    """

    dt: Positive = 1.0
    fixation: Duration = 50.0
    sample: PositiveDuration = 150.0
    delay: Duration = 700.0
    test: PositiveDuration = 150.0
    decision: Positive = 50.0
    rate: NotNegative = 40.0
    background: NotNegative = 10.0
    per_group: Count = 20
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "fixation", "sample", "delay", "test")
        steps_of("decision", self.decision, self.dt)
        check_rates(self.dt, rate=self.rate, background=self.background)

    @property
    def n_in(self) -> int:
        """Sample, test, recall and background."""
        return 4 * self.per_group

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        names = ("fixation", "sample", "delay", "test", "decision")
        steps = {name: draw_steps(getattr(self, name), self.dt, trials, generator) for name in names}
        timeline = Timeline(trials, **steps)
        shown_2B = torch.randint(2, (2, trials), generator=generator, device="cpu").bool()
        match_B = (shown_2B[0] == shown_2B[1]).long()

        decisions_TB = timeline.during("decision")
        fires = (
            shown_2B[0] & timeline.during("sample"),
            shown_2B[1] & timeline.during("test"),
            decisions_TB,
            timeline.inside,
        )
        rates = (self.rate, self.rate, self.rate, self.background)
        rates_TBG = torch.stack([rate * each.float() for rate, each in zip(rates, fires, strict=True)], -1)
        inputs_TBI = poisson(rates_TBG, self.dt, self.per_group, generator)
        weights_TB = trial_weights(decisions_TB, timeline.inside, elsewhere=0.0)
        targets_TB = torch.where(decisions_TB, match_B, 0)
        info = timeline.info(self.dt, sample=shown_2B[0], test=shown_2B[1], match=match_B == 1)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)
