"""The copy task.

Shapes: T time, B batch, S symbols, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, Positive, Whole, checked

__all__ = ["CopyMemory"]


@checked
@dataclass(frozen=True)
class CopyMemory(DrawnTask):
    """Copy memory: keep a sequence of symbols over a delay and repeat it in the same order.

    The inputs are a channel for each symbol, one of which is 1 at each step of the sequence, and a recall channel, 1 at
    the steps of the answer, which alone count. Symbols are independent and uniform, so a network without memory has
    at best the loss ``log(symbols)``.

    Hochreiter and Schmidhuber (1997), Neural Comput 9:1735-1780; in the form of Arjovsky, Shah and Bengio (2016),
    Unitary evolution recurrent neural networks, ICML.

    Args:
        symbols: Number of symbols, at least 2.
        length: Symbols of a sequence.
        delay: Steps between sequence and answer.
        dt: Time step in ms, for networks with time constants.

    >>> task = CopyMemory(length=3, delay=5)
    >>> task.n_in, task.n_out, task.chance, task.split(n_train=4, n_test=2, seed=0)[0].steps
    (9, 8, 0.125, 11)
    """

    symbols: Annotated[int, Ge(2)] = 8
    length: Count = 5
    delay: Whole = 10
    dt: Positive = 10.0
    loss: ClassVar[Loss] = CrossEntropy()

    @property
    def n_in(self) -> int:
        """One channel a symbol, and recall."""
        return self.symbols + 1

    @property
    def n_out(self) -> int:
        """One output a symbol."""
        return self.symbols

    @property
    def chance(self) -> float:
        """One over the number of symbols."""
        return 1 / self.symbols

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        symbol_SB = torch.randint(self.symbols, (self.length, trials), generator=generator, device="cpu")
        steps = 2 * self.length + self.delay
        inputs_TBI = torch.zeros(steps, trials, self.n_in, dtype=torch.float32, device="cpu")
        inputs_TBI[: self.length].scatter_(2, symbol_SB[..., None], 1.0)
        inputs_TBI[-self.length :, :, -1] = 1
        targets_TB = torch.zeros(steps, trials, dtype=torch.int64, device="cpu")
        weights_TB = torch.zeros(steps, trials, dtype=torch.float32, device="cpu")
        targets_TB[-self.length :], weights_TB[-self.length :] = symbol_SB, 1 / self.length
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss)
