"""The 1797 handwritten digits that come with scikit-learn, 8 x 8 pixels of 17 grey levels.

Shapes: N images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tasks.images.copies import originals
from tasks.images.pixels import ImageData, Pixels

__all__ = ["digits"]

LEVELS = 16
TEST_EVERY = 3


@cache
def digits(size: tuple[int, int] | None = None) -> ImageData:
    """Return the digits; every third is a test image, whatever the seed: 1198 to train on, 599 to test on.

    Alpaydin and Kaynak (1998), Cascading classifiers, Kybernetika 34:369-374.

    Args:
        size: Height and width to resample to, bilinearly; ``None`` (default) leaves the pixels as they are.

    Raises:
        ImportError: scikit-learn is not installed.

    >>> digits().shape, len(digits().train), len(digits().test), digits((16, 16)).shape
    ((1, 8, 8), 1198, 599, (1, 16, 16))
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits need scikit-learn: pip install scikit-learn") from error
    values, labels = load_digits(return_X_y=True)
    levels = values.reshape(-1, 8, 8)
    images = levels.astype(np.uint8) if size is None else _resampled(levels, size)
    labels, tests = labels.astype(np.int64), np.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1
    train, test = (Pixels(images[chosen, None], labels[chosen]) for chosen in (~tests, tests))
    digest = hashlib.sha256(levels.astype(np.uint8).tobytes() + labels.tobytes()).hexdigest()
    names = tuple(str(digit) for digit in range(10))
    white = LEVELS if size is None else 255
    return ImageData("digits", train, test, names, white, digest, originals(train.images, test.images))


def _resampled(levels_NHW: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the images at another size with 256 levels, as 17 are too few to hold values in between."""
    from PIL import Image

    height, width = size
    floats = (levels_NHW * (255 / LEVELS)).astype(np.float32)
    resized = [Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR) for each in floats]
    return np.stack([np.asarray(each) for each in resized]).round().clip(0, 255).astype(np.uint8)
