"""Handwritten digits row by row.

Shapes: T time, B batch, I inputs, N images of a pool, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tasks.durations import steps_of
from tasks.images.image_sources import digits
from tasks.images.pixels import Pixels
from tasks.images.pools import chosen
from tasks.images.sequential_images import Reading
from tasks.native.timeline import background
from tasks.seeds import STREAM, TEST, TRAIN, generator
from tasks.task import Task
from tasks.trials import TrialSet
from tca.batch import Batch
from tca.losses import CrossEntropy, Loss
from tca.utils.checks import Count, NotNegative, Positive, Seed, Whole, checked

__all__ = ["SequentialDigits"]


@checked
@dataclass(frozen=True)
class SequentialDigits(Task):
    """Sequential digits: 8 x 8 images of handwritten digits, one row of 8 pixels at a time, then name the digit.

    The images are the 1797 that come with scikit-learn, pixels scaled to lie between 0 and 1. Every third of them
    is a test image, for every seed: 1198 to train on, 599 to test on. The inputs are 8 pixels and a go channel, 1
    during the decision that follows the last row; the loss and the accuracy count there only. Without time to decide
    there is no go channel, and the answer is due at the last step of the last row. Classes are the digits.

    Trial information: ``image``, its number in its pool, and ``label``.

    Images row by row as a test of memory: Le, Jaitly and Hinton (2015), A simple way to initialize recurrent networks
    of rectified linear units, arXiv:1504.00941 (pixel by pixel, MNIST). The images: Alpaydin and Kaynak (1998),
    Cascading classifiers, Kybernetika 34:369-374.

    Args:
        dt: Time step in ms.
        row: Time of a row in ms, rounded down to whole steps.
        decision: Time to answer in ms, rounded down to whole steps; 0 asks for the answer at the last row.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``. Each
            image of a set keeps its noise; that of a stream is new each time.

    >>> train, test = SequentialDigits().split(n_train=1000, n_test=500, seed=0)
    >>> train
    TrialSet(trials=1000, steps=9, inputs=9, loss=CrossEntropy())
    >>> SequentialDigits(decision=0.0).split(n_train=1000, n_test=500, seed=0)[0]
    TrialSet(trials=1000, steps=8, inputs=8, loss=CrossEntropy())
    """

    dt: Positive = 20.0
    row: Positive = 20.0
    decision: NotNegative = 20.0
    noise: NotNegative = 0.0
    n_out: ClassVar[int] = 10
    chance: ClassVar[float] = 0.1
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        _ = self.reading

    @property
    def reading(self) -> Reading:
        """How an image becomes a sequence, in steps."""
        row, decision = steps_of("row", self.row, self.dt), steps_of("decision", self.decision, self.dt)
        return Reading("rows", row, decision, cue=decision > 0, answer="blank" if decision else "last")

    @property
    def n_in(self) -> int:
        """Number of input channels: the pixels of a row, and the go channel if there is time to decide."""
        return self.reading.n_in(digits().train.shape)

    @checked
    def split(self, n_train: Count, n_test: Count, seed: Seed) -> tuple[TrialSet, TrialSet]:
        """Return images of the training pool and of the test pool, none of them twice; see `Task.split`."""
        sets = []
        for argument, count, purpose in (("n_train", n_train, TRAIN), ("n_test", n_test, TEST)):
            pixels, source = _pool(purpose), generator(seed, purpose)
            labels_N = torch.from_numpy(pixels.labels)
            chosen_B = chosen(argument, count, labels_N, balanced=False, repeat=False, source=source)
            sets.append(TrialSet(self._read(pixels, chosen_B, source)))
        return sets[0], sets[1]

    @checked
    def stream(self, batch_size: Count, seed: Seed, start: Whole = 0) -> Iterator[Batch]:
        """Return an endless iterator over the training pool, drawn with replacement; see `Task.stream`."""
        return self._endless(batch_size, seed, start)

    def _endless(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        pixels = _pool(TRAIN)
        for index in itertools.count(start):
            source = generator(seed, STREAM, index)
            yield self._read(pixels, torch.randint(len(pixels), (batch_size,), generator=source, device="cpu"), source)

    def _read(self, pixels: Pixels, chosen_B: Tensor, source: torch.Generator) -> Batch:
        bytes_BCHW, digits_B = pixels.take(chosen_B)
        inputs_TBI = self.reading.inputs(bytes_BCHW.to(torch.float32).div_(pixels.white))
        inputs_TBI += background(tuple(inputs_TBI.shape), self.noise / math.sqrt(self.dt), source)
        weights_TB, decisions_TB = self.reading.counted(inputs_TBI)
        targets_TB, info = torch.where(decisions_TB, digits_B, 0), {"image": chosen_B, "label": digits_B}
        return Batch(inputs_TBI, targets_TB, weights_TB, self.loss, decisions_TB, info=info)


def _pool(purpose: int) -> Pixels:
    return digits().train if purpose == TRAIN else digits().test
