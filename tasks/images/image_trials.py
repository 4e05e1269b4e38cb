"""A fixed set of images that are made into trials when they are asked for, from bytes that stay where they are.

Shapes: T time, B batch, N images of the set, I inputs, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from tasks.images.augmentation import Augmentation
from tasks.images.normalisation import Scaling
from tasks.images.pixels import Pixels
from tasks.images.purposes import AUGMENT, CONDITION
from tasks.seeds import generator
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.checks import Device, DType, checked

__all__ = ["Changes", "ImageTrials", "View"]

PARTS = ("pixels", "chosen_N", "view", "augment", "kept", "device", "dtype")


@dataclass(frozen=True, eq=False)
class View:
    """How a task shows images.

    Args:
        white: The largest value that a pixel can have.
        scaling: What is done to pixels last.
        arrange: Makes a batch from images, shape ``(B, C, H, W)``, and their classes, shape ``(B,)``.
        loss: The loss of a step.
    """

    white: int
    scaling: Scaling
    arrange: Callable[[Tensor, Tensor], Batch]
    loss: Loss


@dataclass(frozen=True, eq=False)
class Changes:
    """Augmentations with what has been drawn for each image of a set.

    Args:
        parts: The augmentations, in the order in which they are applied.
        drawn: What each has drawn, shape ``(N, K)``.
    """

    parts: tuple[Augmentation, ...] = ()
    drawn: tuple[Tensor, ...] = ()

    @classmethod
    def draw(cls, parts: tuple[Augmentation, ...], images: int, source: torch.Generator) -> Changes:
        """Return changes of so many images.

        Args:
            parts: The augmentations.
            images: Number of images.
            source: Where all randomness comes from.
        """
        return cls(parts, tuple(part.draw(images, source) for part in parts))

    def select(self, places_B: Tensor) -> Changes:
        """Return the changes of some of the images.

        Args:
            places_B: Which.
        """
        return Changes(self.parts, tuple(each[places_B] for each in self.drawn))

    def then(self, other: Changes) -> Changes:
        """Return these changes followed by others of the same images.

        Args:
            other: The others.
        """
        return Changes(self.parts + other.parts, self.drawn + other.drawn)

    def apply(self, images_BCHW: Tensor) -> Tensor:
        """Return changed images; the ones given may be overwritten.

        Args:
            images_BCHW: As many images as were drawn for, between 0 and 1.
        """
        for part, drawn_BK in zip(self.parts, self.drawn, strict=True):
            images_BCHW = part.apply(images_BCHW, drawn_BK)
        return images_BCHW


@checked
@final
class ImageTrials(FixedTrials):
    """Images of a pool as a set of trials, of which no more than a batch is held as numbers.

    Batches for training are augmented, each batch anew; whatever else is asked for, `batch` and what is measured on it,
    is not. Changes that belong to the set, such as the noise of a test condition, stay with their image throughout.

    Args:
        pixels: The split that the images are from.
        chosen_N: Their numbers in it, on the CPU.
        view: How they are shown.
        augment: Augmentations of the batches that `batches` returns, default none.
        kept: Changes that belong to the images, default none.
        device: Where batches are made, default the CPU.
        dtype: Their floating-point type, default ``torch.float32``.
    """

    def __init__(
        self,
        pixels: Pixels,
        chosen_N: Tensor,
        view: View,
        augment: tuple[Augmentation, ...] = (),
        kept: Changes | None = None,
        device: Device = "cpu",
        dtype: DType = torch.float32,
    ) -> None:
        """Remember what to show; nothing is read."""
        self.pixels, self.chosen_N, self.view = pixels, chosen_N, view
        self.augment, self.kept = augment, kept or Changes()
        self.device, self.dtype = torch.device(device), dtype

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.chosen_N)

    def __repr__(self) -> str:
        """Return the sizes, not the numbers."""
        one = self.show(torch.tensor([0], dtype=torch.int64, device="cpu"))
        return f"ImageTrials(trials={len(self)}, steps={one.steps}, inputs={one.inputs.shape[2]}, loss={self.loss!r})"

    @property
    def trials(self) -> Batch:
        """All trials as one batch, made anew each time."""
        return self.batch()

    @property
    def steps(self) -> int:
        """Number of time steps T."""
        return self.show(torch.tensor([0], dtype=torch.int64, device="cpu")).steps

    @property
    def loss(self) -> Loss:
        """The loss of a step."""
        return self.view.loss

    def batch(self) -> Batch:
        """Return all trials as one batch, not augmented, in the order in which they were drawn."""
        return self.show(torch.arange(len(self), device="cpu"))

    def part(self, chosen_B: Tensor) -> Batch:
        """Return some of the images, not augmented."""
        return self.show(chosen_B)

    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        """Return some of the images, augmented."""
        return self.show(chosen_B, generator(seed, AUGMENT, number))

    def chosen(self, chosen_B: Tensor) -> ImageTrials:
        """Return a set of some of the images."""
        return self._with(chosen_N=self.chosen_N[chosen_B], kept=self.kept.select(chosen_B))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ImageTrials:
        """Return the set whose batches are made on a device and in a floating-point type."""
        return self._with(device=device or self.device, dtype=dtype or self.dtype)

    def under(self, changes: Augmentation | Sequence[Augmentation], seed: int) -> ImageTrials:
        """Return the same images under a further condition, such as noise on their pixels, drawn once for each.

        Args:
            changes: What is done to them.
            seed: Seed of the condition, 0 or greater.
        """
        parts = (changes,) if isinstance(changes, Augmentation) else tuple(changes)
        return self._with(kept=self.kept.then(Changes.draw(parts, len(self), generator(seed, CONDITION))))

    def show(self, places_B: Tensor, source: torch.Generator | None = None) -> Batch:
        """Return some of the trials.

        Args:
            places_B: Which, counted within the set, on the CPU.
            source: Where augmentation comes from; ``None`` (default) for no augmentation.
        """
        bytes_BCHW, labels_B = self.pixels.take(self.chosen_N[places_B])
        images_BCHW = bytes_BCHW.to(self.device).to(self.dtype).div_(self.view.white)
        changes = self.kept.select(places_B)
        if source is not None:
            changes = changes.then(Changes.draw(self.augment, len(places_B), source))
        images_BCHW = self.view.scaling.apply_(changes.apply(images_BCHW))
        return self.view.arrange(images_BCHW, labels_B.to(self.device))

    def _with(self, **changed: Any) -> ImageTrials:
        return ImageTrials(**{**{name: getattr(self, name) for name in PARTS}, **changed})
