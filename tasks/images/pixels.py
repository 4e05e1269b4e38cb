"""Decoded images: bytes with their classes, as they lie in the cache.

Shapes: N images of a set (in `ImageData` of both its splits), B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ImageData", "Pixels"]

AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Pixels:
    """The images of one split, memory-mapped where they come from a cache.

    Args:
        images: Pixels, uint8, shape ``(N, C, H, W)``.
        labels: Classes, int64, shape ``(N,)``.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def take(self, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of some images, uint8, shape ``(B, C, H, W)``, and of their classes, shape ``(B,)``.

        Args:
            chosen_B: Numbers of the images, on the CPU.
        """
        places = chosen_B.numpy()
        return torch.from_numpy(self.images[places]), torch.from_numpy(self.labels[places])

    def moments(self, chosen_N: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each channel over some images, exact up to the last rounding.

        Args:
            chosen_N: Numbers of the images.

        >>> pixels = Pixels(np.array([[[[0, 3]]], [[[4, 5]]]], dtype=np.uint8), np.zeros(2, np.int64))
        >>> [moment.tolist() for moment in pixels.moments(torch.tensor([0]))]
        [[1.5], [1.5]]
        """
        counts: NDArray[Any] = np.zeros((self.images.shape[1], 256), np.int64)
        for part in torch.split(chosen_N, AT_ONCE):
            images = self.images[part.numpy()]
            for channel, count in enumerate(counts):
                count += np.bincount(images[:, channel].ravel(), minlength=256)
        value, share = np.arange(256.0), counts / counts.sum(1, keepdims=True)
        mean_C = share @ value
        deviation = value - mean_C[:, None]
        return mean_C, np.sqrt((share * deviation**2).sum(1))


@dataclass(frozen=True, eq=False)
class ImageData:
    """An image set in memory or in the cache.

    Args:
        title: What it is called in reports.
        train: The training images.
        test: The test images.
        classes: Name of each class.
        white: The largest value that a pixel can have.
        digest: SHA-256 of what the set was made from, or what made it.
        originals: For every image, training images first, the number of the first one with the same pixels.
        notes: What a user should know of the set, one line each; default none.
        transparent: Number of images that are not opaque everywhere, default 0.
    """

    title: str
    train: Pixels
    test: Pixels
    classes: tuple[str, ...]
    white: int
    digest: str
    originals: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    transparent: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width
