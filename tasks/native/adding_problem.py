"""The adding problem.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge

from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Positive, checked

__all__ = ["AddingProblem"]


@checked
@dataclass(frozen=True)
class AddingProblem(DrawnTask):
    """Adding problem: add the two marked ones of random numbers and report the sum at the last step.

    The inputs are a number from 0 to 1, drawn uniformly at every step, and a mark, 1 at one step of the first half and
    at one of the second half. Only the last step counts. The best constant answer, 1, has a mean squared error of 1/6.

    Trial information: ``first`` and ``second``, the marked steps.

    Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Comput 9:1735-1780.

    Args:
        steps: Steps of a trial T, at least 2.
        dt: Time step in ms, for networks with time constants.

    >>> AddingProblem(steps=20).split(n_train=4, n_test=2, seed=0)[0]
    TrialSet(trials=4, steps=20, inputs=2, loss=MSE())
    """

    steps: Annotated[int, Ge(2)] = 50
    dt: Positive = 10.0
    n_in: ClassVar[int] = 2
    n_out: ClassVar[int] = 1
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        numbers_TB = torch.rand(self.steps, trials, generator=generator, dtype=torch.float32, device="cpu")
        half = self.steps // 2
        first_B = torch.randint(half, (trials,), generator=generator, device="cpu")
        second_B = torch.randint(half, self.steps, (trials,), generator=generator, device="cpu")
        marks_TB = torch.zeros_like(numbers_TB).scatter_(0, torch.stack((first_B, second_B)), 1.0)
        targets_TB1, weights_TB = torch.zeros_like(numbers_TB)[..., None], torch.zeros_like(numbers_TB)
        targets_TB1[-1, :, 0], weights_TB[-1] = (numbers_TB * marks_TB).sum(0), 1.0
        inputs_TBI = torch.stack((numbers_TB, marks_TB), -1)
        return Batch(inputs_TBI, targets_TB1, weights_TB, self.loss, info={"first": first_B, "second": second_B})
