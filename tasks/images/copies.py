"""Images with the same pixels: found by their checksums, counted, and left out of what is trained on.

Shapes: N images of both splits, those of the training split first; M images of the training split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.images.pixels import ImageData

__all__ = ["Originals", "copied", "copies", "distinct", "leaked", "originals", "shared"]


class Originals:
    """Numbers images in turn and finds for each the first one with the same pixels.

    >>> found = Originals()
    >>> [found(pixels) for pixels in (b"one", b"other", b"one")]
    [0, 1, 0]
    """

    def __init__(self) -> None:
        """Begin without images."""
        self._first: dict[bytes, int] = {}
        self._count = 0

    def __call__(self, pixels: bytes) -> int:
        """Return the number of the first image with the pixels of the next one, its own if there is none before it.

        Args:
            pixels: The bytes of the next image; all images have the same shape.
        """
        self._count += 1
        return self._first.setdefault(hashlib.blake2b(pixels, digest_size=16).digest(), self._count - 1)


def originals(*splits: Iterable[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """Return the number of the first image with the same pixels for every image, shape ``(N,)``.

    Args:
        splits: Images of the training split, then of the test split.

    >>> images = np.arange(3, dtype=np.uint8)
    >>> originals(images[[2, 1, 2]], images[[0, 1]]).tolist()
    [0, 1, 0, 3, 1]
    """
    found = Originals()
    return np.array([found(image.tobytes()) for split in splits for image in split], np.int64)


def copies(data: ImageData) -> dict[str, int]:
    """Count test and training images with the pixels of an earlier training image, and those under another class.

    Args:
        data: The set.
    """
    labels_N, count = np.concatenate([data.train.labels, data.test.labels]), len(data.train)
    copies_N = (data.originals < count) & (data.originals != np.arange(len(labels_N)))
    contrary_N = copies_N & (labels_N[data.originals] != labels_N)
    found = {"test": copies_N[count:], "train": copies_N[:count], "under_another_class": contrary_N}
    return {name: int(each.sum()) for name, each in found.items()}


def copied(data: ImageData) -> str | None:
    """Return in one line how many images have the pixels of an earlier training image, or ``None`` if none has.

    Args:
        data: The set.
    """
    test, train, contrary = copies(data).values()
    if not test + train:
        return None
    return (
        f"{data.title}: {test} of {len(data.test)} test images and {train} of {len(data.train)} training images have "
        f"the pixels of another training image, {contrary} of them under another class; "
        "dedupe=True trains on none that is tested on and on no other twice"
    )


def leaked(data: ImageData, trained_M: Tensor, held_M: Tensor) -> int:
    """Count images held out that have the pixels of one trained on.

    Args:
        data: The set.
        trained_M: Numbers of the training images that are trained on.
        held_M: Numbers of those that are held out.
    """
    pixels_N = torch.from_numpy(data.originals)
    return int(torch.isin(pixels_N[held_M], pixels_N[trained_M]).sum())


def shared(data: ImageData, trained_M: Tensor, held_M: Tensor) -> str | None:
    """Return in one line how many of the images held out have the pixels of one trained on, or ``None`` if none has.

    Args:
        data: The set.
        trained_M: Numbers of the training images that are trained on.
        held_M: Numbers of those that are held out.
    """
    count = leaked(data, trained_M, held_M)
    if not count:
        return None
    return (
        f"{data.title}: {count} of {len(held_M)} images held out have the pixels of an image that is trained on; "
        "dedupe=True leaves such images out"
    )


def distinct(data: ImageData) -> NDArray[np.int64]:
    """Return the training images that no test image and no earlier training image has the pixels of, shape ``(M,)``.

    Args:
        data: The set.

    Raises:
        ValueError: There is none.
    """
    train_M, test = np.split(data.originals, [len(data.train)])
    kept_M = (train_M == np.arange(len(train_M))) & ~np.isin(train_M, test)
    if not kept_M.any():
        raise ValueError(f"dedupe=True leaves no training image of {data.title}: each is a test image, too")
    return np.flatnonzero(kept_M)
