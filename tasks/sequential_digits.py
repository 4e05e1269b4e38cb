"""Read the image of a digit row by row and name the digit.

Shapes: T time, B batch, I inputs, N images.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from tasks.durations import steps_of
from tasks.seeds import STREAM, TEST, TRAIN, generator
from tasks.task import Task
from tasks.timeline import background, trial_weights
from tasks.trials import TrialSet
from tca.batch import Batch
from tca.checks import not_negative, positive, settle, whole
from tca.losses import CrossEntropy, Loss

__all__ = ["SequentialDigits"]


@dataclass(frozen=True)
class SequentialDigits(Task):
    """Sequential digits: 8 x 8 images of handwritten digits, one row of 8 pixels at a time, then name the digit.

    The images are the 1797 that come with scikit-learn, pixels scaled to lie between 0 and 1. Every third of them is
    kept to test on, whatever the seed: 1198 to train on, 599 to test on. The inputs are 8 pixels and a go channel, 1
    during the decision that follows the last row; the loss and the accuracy count there only. Classes are the digits.

    Images row by row as a test of memory: Le, Jaitly and Hinton (2015), A simple way to initialize recurrent networks
    of rectified linear units, arXiv:1504.00941 (pixel by pixel, MNIST). The images: Alpaydin and Kaynak (1998),
    Cascading classifiers, Kybernetika 34:369-374.

    Args:
        dt: Time step in ms.
        row: Time of a row in ms, rounded down to whole steps.
        decision: Time to answer in ms, rounded down to whole steps.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``. Each
            image of a set keeps its noise; that of a stream is new each time.

    Raises:
        ValueError: An option is out of its range, or a time is shorter than a step.
        TypeError: An option is of a wrong kind.

    >>> train, test = SequentialDigits().split(n_train=1000, n_test=500, seed=0)
    >>> train
    TrialSet(trials=1000, steps=9, inputs=9, loss=CrossEntropy())
    """

    dt: float = 20.0
    row: float = 20.0
    decision: float = 20.0
    noise: float = 0.0
    n_in: ClassVar[int] = 9
    n_out: ClassVar[int] = 10
    chance: ClassVar[float] = 0.1
    loss: ClassVar[Loss] = CrossEntropy()

    def __post_init__(self) -> None:
        """Check every option."""
        settle(self, dt=positive("dt", self.dt), noise=not_negative("noise", self.noise))
        for name in ("row", "decision"):
            settle(self, **{name: positive(name, getattr(self, name))})
            steps_of(name, getattr(self, name), self.dt)

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[TrialSet, TrialSet]:
        """Return images of the training pool and of the test pool, none of them twice; see `Task.split`."""
        sets = []
        for argument, count, purpose in (("n_train", n_train, TRAIN), ("n_test", n_test, TEST)):
            pool_N = _pools()[purpose]
            if whole(argument, count, 1) > len(pool_N):
                raise ValueError(f"{argument} must be at most {len(pool_N)}, the images in its pool, got {count}")
            source = generator(seed, purpose)
            chosen_B = pool_N[torch.randperm(len(pool_N), generator=source)[:count]]
            sets.append(TrialSet(self._read(chosen_B, source)))
        return sets[0], sets[1]

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """Return an endless iterator over the training pool, drawn with replacement; see `Task.stream`."""
        whole("batch_size", batch_size, 1)
        whole("seed", seed, 0)
        whole("start", start, 0)
        return self._endless(batch_size, seed, start)

    def _endless(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        pool_N = _pools()[TRAIN]
        for index in itertools.count(start):
            source = generator(seed, STREAM, index)
            yield self._read(pool_N[torch.randint(len(pool_N), (batch_size,), generator=source)], source)

    def _read(self, chosen_B: Tensor, source: torch.Generator) -> Batch:
        images_N88, digits_N = _digits()
        row, decision = steps_of("row", self.row, self.dt), steps_of("decision", self.decision, self.dt)
        reading, trials = 8 * row, len(chosen_B)
        shape = (reading + decision, trials, self.n_in)
        inputs_TBI = background(shape, self.noise / math.sqrt(self.dt), source)
        inputs_TBI[:reading, :, :8] += images_N88[chosen_B].transpose(0, 1).repeat_interleave(row, 0)
        inputs_TBI[reading:, :, 8] += 1
        decisions_TB = torch.zeros(inputs_TBI.shape[:2], dtype=torch.bool)
        decisions_TB[reading:] = True
        weights_TB = trial_weights(decisions_TB, torch.ones_like(decisions_TB), elsewhere=0.0)
        return Batch(inputs_TBI, torch.where(decisions_TB, digits_N[chosen_B], 0), weights_TB, self.loss, decisions_TB)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("sequential_digits needs scikit-learn: pip install scikit-learn") from error
    images, digits = load_digits(return_X_y=True)
    return torch.from_numpy(images).float().div_(16).view(-1, 8, 8), torch.from_numpy(digits).long()


@cache
def _pools() -> dict[int, Tensor]:
    image_N = torch.arange(len(_digits()[1]))
    return {TRAIN: image_N[image_N % 3 != 2], TEST: image_N[image_N % 3 == 2]}
