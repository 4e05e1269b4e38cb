"""Integration of rotations on a circle.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Count, NotNegative, Positive, checked

__all__ = ["Rotation"]


@checked
@dataclass(frozen=True)
class Rotation(DrawnTask):
    """Rotation: keep a point on the circle up to date with the angles by which it is turned.

    The inputs are the coordinates of the point at the first step and, at every later one, the angle by which it is
    turned, normal with mean 0. The outputs are its coordinates at every step. Without the angles, t steps later, the
    start has the mean squared distance ``2 - 2 exp(-t spread^2 / 2)`` from the point, and the best estimate, the start
    times ``exp(-t spread^2 / 2)``, has ``1 - exp(-t spread^2)``.

    Trial information: ``start``, the first angle in radians.

    Angular path integration as in Cueva, Wang, Chin and Wei (2020), Emergence of functional and structural properties
    of the head direction system by optimization of recurrent neural networks, ICLR.

    Args:
        steps: Steps of a trial.
        spread: Standard deviation of the angle of a step in radians.
        dt: Time step in ms, for networks with time constants.

    >>> Rotation(steps=20).split(n_train=4, n_test=2, seed=0)[0]
    TrialSet(trials=4, steps=20, inputs=3, loss=MSE())
    """

    steps: Count = 30
    spread: NotNegative = 0.3
    dt: Positive = 10.0
    n_in: ClassVar[int] = 3
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        start_B = 2 * math.pi * torch.rand(trials, generator=generator, dtype=torch.float64, device="cpu")
        turn_TB = torch.randn(self.steps, trials, generator=generator, dtype=torch.float64, device="cpu") * self.spread
        turn_TB[0] = 0
        angle_TB = start_B + turn_TB.cumsum(0)
        targets_TB2 = torch.stack((angle_TB.cos(), angle_TB.sin()), -1).float()
        inputs_TBI = torch.zeros(self.steps, trials, 3, dtype=torch.float32, device="cpu")
        inputs_TBI[0, :, :2], inputs_TBI[..., 2] = targets_TB2[0], turn_TB
        weights_TB = torch.full((self.steps, trials), 1 / self.steps, dtype=torch.float32, device="cpu")
        return Batch(inputs_TBI, targets_TB2, weights_TB, self.loss, info={"start": start_B})
