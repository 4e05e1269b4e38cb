"""Images shown as sequences, for recurrent networks: by rows, by columns or pixel by pixel.

Shapes: T time, B batch, I inputs, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple, final

import torch
from torch import Tensor

from tasks.durations import steps_of
from tasks.images.image_task import ImageTask
from tca.batch import Batch
from tca.utils.checks import Named, NotNegative, Positive, checked

__all__ = ["Reading", "SequentialImages"]


class ReadingOrder(NamedTuple):
    """An order in which to read images: the sequences, shape ``(T, B, I)``, and I for images of ``(C, H, W)``."""

    frames: Callable[[Tensor], Tensor]
    inputs: Callable[[int, int, int], int]


SCANS: dict[str, ReadingOrder] = {
    "rows": ReadingOrder(lambda images: images.permute(2, 0, 1, 3).flatten(2), lambda c, h, w: c * w),
    "columns": ReadingOrder(lambda images: images.permute(3, 0, 1, 2).flatten(2), lambda c, h, w: c * h),
    "pixels": ReadingOrder(lambda images: images.permute(2, 3, 0, 1).flatten(0, 1), lambda c, h, w: c),
}
# The first step that counts in the loss and the first for accuracy; those below zero are counted from the end.
ANSWERS: dict[str, Callable[[int], tuple[int, int]]] = {
    "last": lambda blank: (-1, -1),
    "blank": lambda blank: (-blank, -blank),
    "all": lambda blank: (0, -1),
}


@dataclass(frozen=True)
class Reading:
    """How an image becomes a sequence, in steps.

    Args:
        by: Part that is shown at a time: ``"rows"``, ``"columns"`` or ``"pixels"``.
        hold: Steps for which each is shown.
        blank: Steps without input after the last.
        cue: Whether one further input is 1 while there is none.
        answer: Which steps count in the loss: the ``"last"``, the ``"blank"`` ones, or ``"all"``; for accuracy, the
            blank ones or else the last.
    """

    by: str
    hold: int
    blank: int
    cue: bool
    answer: str

    def n_in(self, shape: tuple[int, int, int]) -> int:
        """Return the number of inputs for images of shape ``(C, H, W)``."""
        return SCANS[self.by].inputs(*shape) + self.cue

    def inputs(self, images_BCHW: Tensor) -> Tensor:
        """Return images as sequences of inputs, shape ``(T, B, I)``."""
        frames_TBI = SCANS[self.by].frames(images_BCHW)
        shown, trials, channels = self.hold * len(frames_TBI), frames_TBI.shape[1], frames_TBI.shape[2]
        inputs_TBI = frames_TBI.new_zeros(shown + self.blank, trials, channels + self.cue)
        inputs_TBI[:shown, :, :channels] = frames_TBI.repeat_interleave(self.hold, 0)
        inputs_TBI[shown:, :, channels:] = 1
        return inputs_TBI

    def counted(self, inputs_TBI: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights that sum to 1 a trial, and the steps that count for accuracy, shape ``(T, B)`` each."""
        weighed, decided = ANSWERS[self.answer](self.blank)
        weights_TB = torch.zeros_like(inputs_TBI[..., 0])
        weights_TB[weighed:] = 1
        decisions_TB = torch.zeros_like(weights_TB, dtype=torch.bool)
        decisions_TB[decided:] = True
        return weights_TB.div_(weights_TB.sum(0)), decisions_TB


@checked
@final
@dataclass(frozen=True)
class SequentialImages(ImageTask):
    """Sequential images: an image is shown row by row, column by column or pixel by pixel; then name its class.

    The options beside those below are those of `ImageTask`. Every channel of a row, column or pixel is shown at once.

    Images pixel by pixel as a test of memory: Le, Jaitly and Hinton (2015), A simple way to initialize recurrent
    networks of rectified linear units, arXiv:1504.00941.

    Args:
        by: Part that is shown at a time: ``"rows"`` (default), ``"columns"`` or ``"pixels"``.
        dt: Time step in ms.
        frame: Time for which each is shown in ms, rounded down to whole steps.
        blank: Time without input after the last in ms, rounded down to whole steps; default 0.
        cue: Whether one further input is 1 during the blank time, default no.
        answer: Which steps count in the loss: the ``"last"`` (default), those of the ``"blank"`` time, or ``"all"``.
            For accuracy the blank time counts if it does in the loss, else the last step.

    Raises:
        ValueError: An option is unknown or out of its range, or a time is shorter than a step.

    >>> train, _ = SequentialImages(by="pixels", blank=80.0).split(n_train=1000, n_test=500, seed=0)
    >>> train
    ImageTrials(trials=1000, steps=68, inputs=1, loss=CrossEntropy())
    """

    by: Annotated[str, Named(SCANS)] = "rows"
    dt: Positive = 20.0
    frame: Positive = 20.0
    blank: NotNegative = 0.0
    cue: bool = False
    answer: Annotated[str, Named(ANSWERS)] = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, needs in (("cue", self.cue), ("answer", self.answer == "blank")):
            if needs and not self.blank:
                raise ValueError(f"{option}={getattr(self, option)!r} needs a blank time greater than 0, got blank=0")
        _ = self.reading

    @property
    def reading(self) -> Reading:
        """How an image becomes a sequence, in steps."""
        hold, blank = steps_of("frame", self.frame, self.dt), steps_of("blank", self.blank, self.dt)
        return Reading(self.by, hold, blank, self.cue, self.answer)

    @property
    def n_in(self) -> int:
        return self.reading.n_in(self.shape)

    def arrange(self, images_BCHW: Tensor, labels_B: Tensor) -> Batch:
        """Return images as sequences; see `ImageTask.arrange`. Where a step does not count its target is 0."""
        inputs_TBI = self.reading.inputs(images_BCHW)
        weights_TB, decisions_TB = self.reading.counted(inputs_TBI)
        targets = self.targets(labels_B.expand(weights_TB.shape), inputs_TBI)
        targets = targets * (weights_TB > 0).view(*weights_TB.shape, *[1] * (targets.ndim - 2))
        return Batch(inputs_TBI, targets, weights_TB, self.loss, decisions_TB)
