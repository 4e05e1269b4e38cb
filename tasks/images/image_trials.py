"""A fixed set of images, made into trials from bytes when they are asked for.

Shapes: T time, B batch, N images of the set, K numbers drawn for an image, I inputs, C channels, H height, W width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from tasks.images.augmentation import Augmentation
from tasks.images.pixels import Pixels
from tasks.seeds import AUGMENT, CONDITION, generator
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.losses import Loss
from tca.utils.checks import Device, DType, Seed, checked

__all__ = ["Changes", "ImageTrials", "drawn"]

Changes = tuple[tuple[Augmentation, Tensor], ...]
"""Augmentations in the order in which they are applied, each with its draws, shape ``(N, K)``."""


def drawn(parts: Sequence[Augmentation], images: int, source: torch.Generator) -> Changes:
    """Return augmentations with their draws."""
    return tuple((part, part.draw(images, source)) for part in parts)


@checked
@final
@dataclass(frozen=True, eq=False, repr=False)
class ImageTrials(FixedTrials):
    """Images of a pool as a set of trials, at most a batch of which is held as floating-point numbers.

    Batches for training are augmented, each batch anew; `batch` and measurements are not. Changes that belong to the
    set, such as the noise of a test condition, stay with their image throughout. Trial information: ``image``, its
    number in the split, and ``label``.

    Args:
        pixels: The split that the images are from.
        chosen_N: Their numbers in it, on the CPU.
        view: Makes a batch from images between 0 and 1, shape ``(B, C, H, W)``, and their classes, shape ``(B,)``.
        augment: Augmentations of the batches that `batches` returns, default none.
        kept: Changes that belong to the images, default none.
        device: Where batches are made, default the CPU.
        dtype: Their floating-point type, default ``torch.float32``.
    """

    pixels: Pixels
    chosen_N: Tensor  # noqa: N815
    view: Callable[[Tensor, Tensor], Batch]
    augment: tuple[Augmentation, ...] = ()
    kept: Changes = ()
    device: Device = "cpu"
    dtype: DType = torch.float32

    def __len__(self) -> int:
        return len(self.chosen_N)

    def __repr__(self) -> str:
        one = self._first
        return f"ImageTrials(trials={len(self)}, steps={one.steps}, inputs={one.inputs.shape[2]}, loss={one.loss!r})"

    @property
    def trials(self) -> Batch:
        """All trials as one batch, made anew each time."""
        return self.batch()

    @property
    def steps(self) -> int:
        return self._first.steps

    @property
    def loss(self) -> Loss:
        return self._first.loss

    @property
    def _first(self) -> Batch:
        return self.show(torch.tensor([0], dtype=torch.int64, device="cpu"))

    def batch(self) -> Batch:
        return self.show(torch.arange(len(self), device="cpu"))

    def part(self, chosen_B: Tensor) -> Batch:
        return self.show(chosen_B)

    def lesson(self, chosen_B: Tensor, seed: int, number: int) -> Batch:
        return self.show(chosen_B, generator(seed, AUGMENT, number) if self.augment else None)

    def chosen(self, chosen_B: Tensor) -> ImageTrials:
        return dataclasses.replace(self, chosen_N=self.chosen_N[chosen_B], kept=self._kept(chosen_B))

    @checked
    def to(self, device: Device | None = None, dtype: DType | None = None) -> ImageTrials:
        return dataclasses.replace(self, device=device or self.device, dtype=dtype or self.dtype)

    @checked
    def under(self, changes: Augmentation | Sequence[Augmentation], seed: Seed) -> ImageTrials:
        """Return the same images under a further condition, such as noise, drawn once for each.

        Args:
            seed: Seed of the condition, 0 or greater.
        """
        parts = (changes,) if isinstance(changes, Augmentation) else tuple(changes)
        return dataclasses.replace(self, kept=self.kept + drawn(parts, len(self), generator(seed, CONDITION)))

    @checked
    def show(self, chosen_B: Tensor, source: torch.Generator | None = None) -> Batch:
        """Return some of the trials.

        Args:
            chosen_B: Which, counted within the set, on the CPU.
            source: Randomness of the augmentation; ``None`` (default) for no augmentation.
        """
        rows_B = self.chosen_N[chosen_B]
        bytes_BCHW, labels_B = self.pixels.take(rows_B)
        images_BCHW = bytes_BCHW.to(self.device).to(self.dtype).div_(self.pixels.white)
        added = () if source is None else drawn(self.augment, len(chosen_B), source)
        for part, drawn_BK in self._kept(chosen_B) + added:
            images_BCHW = part.apply(images_BCHW, drawn_BK)
        batch = self.view(images_BCHW, labels_B.to(self.device))
        return dataclasses.replace(batch, info={"image": rows_B, "label": labels_B})

    def _kept(self, chosen_B: Tensor) -> Changes:
        return tuple((part, drawn_NK[chosen_B]) for part, drawn_NK in self.kept)
