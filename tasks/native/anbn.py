"""Prediction of the strings a^n b^n.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.native.timeline import Timeline
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, Positive, checked

__all__ = ["AnBn"]

A, B, END = range(3)


@checked
@dataclass(frozen=True)
class AnBn(DrawnTask):
    """Counting language: predict the next symbol of strings of n letters a and as many b.

    A trial is the start symbol, ``a^n b^n``, n uniform from 1 to ``longest``; the target of a step is the next symbol,
    the last one the end, which is the symbol of the start. All steps count equally in the loss; accuracy counts from
    the first b on, where the next symbol is certain. The best prediction has a loss, summed over the steps of a trial,
    of ``log(longest)``, the information in n.

    Trial information: ``n``.

    Gers and Schmidhuber (2001), LSTM recurrent networks learn simple context-free and context-sensitive languages, IEEE
    Trans Neural Netw 12:1333-1340.

    Args:
        longest: Largest n.
        dt: Time step in ms, for networks with time constants.

    >>> batch = AnBn(longest=1).split(n_train=1, n_test=1, seed=0)[0].batch()
    >>> batch.inputs[:, 0].argmax(-1).tolist(), batch.targets[:, 0].tolist()
    ([2, 0, 1], [0, 1, 2])
    """

    longest: Count = 10
    dt: Positive = 10.0
    n_in: ClassVar[int] = 3
    n_out: ClassVar[int] = 3
    loss: ClassVar[Loss] = CrossEntropy()

    @property
    def chance(self) -> float:
        """Accuracy of the better one of the answers b and end."""
        ends = sum(1 / n for n in range(1, self.longest + 1)) / self.longest
        return max(ends, 1 - ends)

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        n_B = torch.randint(1, self.longest + 1, (trials,), generator=generator, device="cpu")
        timeline = Timeline(trials, start=1, a=n_B, b=n_B)
        inside_TB, counted_TB = timeline.inside, timeline.during("b")
        symbol_TB = torch.where(counted_TB, B, torch.where(timeline.during("a"), A, END))
        inputs_TBI = torch.nn.functional.one_hot(symbol_TB, 3).float()
        timeline.end_(inputs_TBI)
        targets_TB = torch.cat([symbol_TB[1:], torch.full_like(symbol_TB[:1], END)]).masked_fill(~inside_TB, 0)
        weights_TB = inside_TB.float() / inside_TB.sum(0)
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, counted_TB, info={"n": n_B})
