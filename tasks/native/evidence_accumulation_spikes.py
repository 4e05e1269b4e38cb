"""Accumulation of evidence from cues in spikes.

Shapes: T time, B batch, Q cues, G groups, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le

from tasks.durations import Duration, draw_steps, settle_durations, steps_of
from tasks.native.spike_encoding import check_rates, poisson
from tasks.native.timeline import Timeline, trial_weights
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, NotNegative, Positive, checked

__all__ = ["EvidenceAccumulationSpikes"]


@checked
@dataclass(frozen=True)
class EvidenceAccumulationSpikes(DrawnTask):
    """Cue accumulation in spikes: the side with more cues, shown by groups of Poisson cells in steps of 1 ms.

    Four groups of cells: left and right fire during a cue of their side, recall during the decision, background all
    the time. Each trial favours one side, drawn at random; the answer is the side with more cues.
    Class 0 is left, class 1 right.

    Trial information: ``evidence``, right cues minus left ones; ``favoured`` and ``side`` (0 left, 1 right); periods
    in ms.

    Bellec, Scherr, Subramoney, Hajek, Salaj, Legenstein and Maass (2020), A solution to the learning dilemma for
    recurrent networks of spiking neurons, Nat Commun 11:3625. The defaults are those of Barretto-Bittar, Levina,
    Giannakakis and Zeraati (2026), arXiv:2603.08949, T = 2050; ``lead=0, answer=1`` are those of Liu, Smith,
    Mihalas, Shea-Brown and Sümbül (2021), PNAS 118:e2111821118, T = 2000.

    Args:
        dt: Time step in ms.
        cues: Number of cues, odd so that no trial is a tie.
        bias: Probability that a cue is on the favoured side, from 0.5 to 1.
        lead: Time before the first cue. This and the times below are in ms, rounded down to whole steps.
        cue: Time of a cue.
        gap: Time after each cue.
        delay: Time between the last gap and the decision: a number, ``(low, high)`` drawn uniformly, or ``(mean, low,
            high)`` drawn from an exponential cut to the range.
        decision: Time to answer, in which recall fires.
        answer: Time at the end of the decision in which loss and accuracy count; ``None`` (default) for all of it.
        rate: Rate of a cell of the groups left, right and recall, while the group fires, in Hz.
        background: Rate of a cell of the background in Hz.
        per_group: Number of cells of a group.

    >>> task = EvidenceAccumulationSpikes(dt=10.0)
    >>> task.n_in, task.split(n_train=4, n_test=2, seed=0)[0].steps
    (40, 205)
    """

    dt: Positive = 1.0
    cues: Count = 7
    bias: Annotated[float, Ge(0.5), Le(1)] = 0.5
    lead: NotNegative = 50.0
    cue: Positive = 100.0
    gap: NotNegative = 50.0
    delay: Duration = 800.0
    decision: Positive = 150.0
    answer: Positive | None = None
    rate: NotNegative = 40.0
    background: NotNegative = 10.0
    per_group: Count = 10
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.5
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        if self.cues % 2 == 0:
            raise ValueError(f"cues must be odd, so that no trial is a tie, got {self.cues}")
        settle_durations(self, "delay")
        for name in ("lead", "cue", "gap", "decision"):
            steps_of(name, getattr(self, name), self.dt)
        if self.answer is not None:
            steps_of("answer", self.answer, self.dt)
            if self.answer > self.decision:
                raise ValueError(f"answer must be at most decision = {self.decision:g} ms, got {self.answer:g}")
        check_rates(self.dt, rate=self.rate, background=self.background)

    @property
    def n_in(self) -> int:
        """Left, right, recall and background."""
        return 4 * self.per_group

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        lead, cue = steps_of("lead", self.lead, self.dt), steps_of("cue", self.cue, self.dt)
        slot, decision = cue + steps_of("gap", self.gap, self.dt), steps_of("decision", self.decision, self.dt)
        answer = decision if self.answer is None else steps_of("answer", self.answer, self.dt)
        delay = draw_steps(self.delay, self.dt, trials, generator)
        timeline = Timeline(trials, lead=lead, cues=self.cues * slot, delay=delay, go=decision - answer, answer=answer)
        favoured_B = torch.randint(2, (trials,), generator=generator, device="cpu")
        agrees_QB = torch.rand(self.cues, trials, generator=generator, dtype=torch.float64, device="cpu") < self.bias
        right_QB = agrees_QB == (favoured_B == 1)
        target_B = (right_QB.sum(0) > self.cues // 2).long()

        rates_TBG = torch.zeros(timeline.steps, trials, 4, dtype=torch.float32, device="cpu")
        # Slots of equal length that start with a cue.
        slots_QtBG = rates_TBG[lead : lead + self.cues * slot].view(self.cues, slot, trials, 4)
        slots_QtBG[:, :cue, :, 0] = self.rate * (~right_QB[:, None]).float()
        slots_QtBG[:, :cue, :, 1] = self.rate * right_QB[:, None].float()
        rates_TBG[..., 2] = self.rate * timeline.during("go", "answer").float()
        rates_TBG[..., 3] = self.background * timeline.inside.float()
        inputs_TBI = poisson(rates_TBG, self.dt, self.per_group, generator)
        answers_TB = timeline.during("answer")
        weights_TB = trial_weights(answers_TB, timeline.inside, elsewhere=0.0)
        targets_TB = torch.where(answers_TB, target_B, 0)
        info = timeline.info(self.dt, evidence=2 * right_QB.sum(0) - self.cues, favoured=favoured_B, side=target_B)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, answers_TB, info=info)
