"""Decoded images and their classes as they lie in the cache, and which images are copies of others.

Shapes: N images of a set, M images of a part of it, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["WHITE", "Colour", "ImageData", "Pixels", "originals"]

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)  # the default background
AT_ONCE = 4096
LONGEST_NAMES = 1 << 16  # characters of all class names that a record lists


@dataclass(frozen=True, eq=False)
class Pixels:
    """The images of one split, memory-mapped from a cache.

    Args:
        images: Pixels, uint8, shape ``(N, C, H, W)``.
        labels: Classes, int64, shape ``(N,)``.
        white: The largest value of a pixel, default 255.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    white: int = 255

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, chosen_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of images, uint8, shape ``(B, C, H, W)``, and their classes, shape ``(B,)``.

        Args:
            chosen_B: Numbers of the images, on the CPU.
        """
        numbers_B = chosen_B.numpy()
        return torch.from_numpy(self.images[numbers_B]), torch.from_numpy(self.labels[numbers_B])

    def moments(self, chosen_M: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation of each channel, exact up to the last rounding.

        Args:
            chosen_M: Numbers of the images to average over.

        >>> pixels = Pixels(np.array([[[[0, 3]]], [[[4, 5]]]], dtype=np.uint8), np.zeros(2, np.int64))
        >>> [moment.tolist() for moment in pixels.moments(torch.tensor([0]))]
        [[1.5], [1.5]]
        """
        counts: NDArray[Any] = np.zeros((self.images.shape[1], 256), np.int64)
        for part in torch.split(chosen_M, AT_ONCE):
            images = self.images[part.numpy()]
            for channel, count in enumerate(counts):
                count += np.bincount(images[:, channel].ravel(), minlength=256)
        value, share = np.arange(256.0), counts / counts.sum(1, keepdims=True)
        mean_C = share @ value
        return mean_C, np.sqrt((share * (value - mean_C[:, None]) ** 2).sum(1))


@dataclass(frozen=True, eq=False)
class ImageData:
    """An image set in memory or in the cache.

    Args:
        title: Name of the set in reports.
        train: The training images.
        test: The test images.
        classes: Name of each class.
        originals: Number of the first image with the same pixels, shape ``(N,)``, training images first.
        notes: Warnings, one line each; default none.
        transparent: Number of images that are not opaque everywhere, default 0.
    """

    title: str
    train: Pixels
    test: Pixels
    classes: tuple[str, ...]
    originals: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    transparent: int = 0

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """Number of the images and SHA-256 of the pixels and classes of both splits, as decoded."""
        digest = hashlib.sha256()
        for each in (self.train, self.test):
            digest.update(f"{each.images.shape} {each.white}".encode())
            for first in range(0, len(each), AT_ONCE):
                digest.update(np.ascontiguousarray(each.images[first : first + AT_ONCE]).data)
            digest.update(np.ascontiguousarray(each.labels, dtype="<i8").data)
        return {"count": len(self.train) + len(self.test), "sha256": digest.hexdigest()}

    @property
    def copies(self) -> dict[str, int]:
        """Number of test and training images that repeat an earlier training image, and of those of another class."""
        labels_N, count = np.concatenate([self.train.labels, self.test.labels]), len(self.train)
        copies_N = (self.originals < count) & (self.originals != np.arange(len(labels_N)))
        contrary_N = copies_N & (labels_N[self.originals] != labels_N)
        parts = {"test": copies_N[count:], "train": copies_N[:count], "under_another_class": contrary_N}
        return {name: int(each.sum()) for name, each in parts.items()}

    @property
    def repeats(self) -> list[str]:
        """A warning of the number of copies, if there are any."""
        test, train, contrary = self.copies.values()
        warning = (
            f"{self.title}: {test} of {len(self.test)} test images and {train} of {len(self.train)} training images "
            f"have the pixels of another training image, {contrary} of them under another class; "
            "dedupe=True trains on none that is tested on and on no other twice"
        )
        return [warning] if test + train else []

    @property
    def distinct(self) -> NDArray[np.int64]:
        """Training images without the pixels of a test image or of an earlier training image, shape ``(M,)``."""
        train_M, test = np.split(self.originals, [len(self.train)])
        kept_M = (train_M == np.arange(len(train_M))) & ~np.isin(train_M, test)
        if not kept_M.any():
            raise ValueError(f"dedupe=True leaves no training image of {self.title}: each is a test image, too")
        return np.flatnonzero(kept_M)

    def leaked(self, pools: Mapping[str, Tensor]) -> int:
        """Count the images held out for validation that have the pixels of one trained on.

        Args:
            pools: Numbers of the images to choose from, by part.
        """
        pixels_N = torch.from_numpy(self.originals)
        return int(torch.isin(pixels_N[pools["validation"]], pixels_N[pools["train"]]).sum())

    def provenance(self, pools: Mapping[str, Tensor], dedupe: bool, background: Colour | None) -> dict[str, Any]:
        """Return the facts of the set for the record of a run, as JSON.

        ``images`` counts those to choose from, ``copies`` those in the files before any is left out, ``transparent``
        the images on which the ``background`` shows. ``classes`` lists names unless they are the numbers themselves or
        very long; then it counts them. ``decoded`` has the checksum by which a resume notices other images.

        Args:
            pools: Numbers of the images to choose from, by part.
            dedupe: Whether copies are left out of training.
            background: Colour behind transparent images, ``None`` for white.
        """
        numbered = self.classes == tuple(map(str, range(len(self.classes))))
        brief = sum(map(len, self.classes)) <= LONGEST_NAMES
        red, green, blue = background or WHITE
        return {
            "set": self.title,
            "images": {part: len(chosen_M) for part, chosen_M in pools.items()},
            "background": f"#{red:02x}{green:02x}{blue:02x}",
            "transparent": self.transparent,
            "dedupe": dedupe,
            "copies": {**self.copies, "validation": self.leaked(pools)},
            "classes": list(self.classes) if brief and not numbered else len(self.classes),
            "decoded": self.facts,
        }


def originals(*splits: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Return for each image the number of the first with the same pixels, by checksum, shape ``(N,)``.

    Args:
        splits: Images of the training split, then of the test split.

    >>> images = np.arange(3, dtype=np.uint8)
    >>> originals(images[[2, 1, 2]], images[[0, 1]]).tolist()
    [0, 1, 0, 3, 1]
    """
    first: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for split in splits for image in split)
    return np.array([first.setdefault(digest, number) for number, digest in enumerate(digests)], np.int64)
