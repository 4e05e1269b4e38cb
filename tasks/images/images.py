"""Images shown at once, for feedforward networks.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from tasks.images.image_task import ImageTask
from tca.batch import Batch
from tca.utils.checks import Positive, checked

__all__ = ["Images"]


@checked
@final
@dataclass(frozen=True)
class Images(ImageTask):
    """Images: name the class of an image that is shown at once, in one step, as feedforward networks take it.

    Inputs have shape ``(1, B, C*H*W)``, channel by channel, row by row; targets are classes, shape ``(1, B)``; weights
    are 1. The options beside ``dt`` are those of `ImageTask`.

    Args:
        dt: Time step in ms, which matters to networks with time constants only.

    >>> train, test = Images(validation=98).split(n_train=1100, n_test=500, seed=0)
    >>> train, test.batch().inputs.shape
    (ImageTrials(trials=1100, steps=1, inputs=64, loss=CrossEntropy()), torch.Size([1, 500, 64]))
    """

    dt: Positive = 100.0

    @property
    def n_in(self) -> int:
        """Number of pixels times channels."""
        channels, height, width = self.shape
        return channels * height * width

    def arrange(self, images_BCHW: Tensor, labels_B: Tensor) -> Batch:
        """Return images as trials of one step; see `ImageTask.arrange`."""
        inputs_1BI = images_BCHW.flatten(1)[None]
        weights_1B = torch.ones_like(inputs_1BI[..., 0])
        return Batch(inputs_1BI, self.targets(labels_B[None], inputs_1BI), weights_1B, self.loss)
