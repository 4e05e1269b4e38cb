"""The 1797 handwritten digits that come with scikit-learn, 8 x 8 pixels of 17 grey levels."""

from __future__ import annotations

from functools import cache

import numpy as np

from tasks.images.pixels import ImageData, Pixels, originals

__all__ = ["digits"]

LEVELS, TEST_EVERY = 16, 3


@cache
def digits(size: tuple[int, int] | None = None) -> ImageData:
    """Return the digits; every third is a test image: 1198 to train on, 599 to test on.

    Alpaydin and Kaynak (1998), Cascading classifiers, Kybernetika 34:369-374.

    Args:
        size: Height and width to resample to, bilinearly, with 256 grey levels; ``None`` (default) keeps the pixels.

    Raises:
        ImportError: scikit-learn is not installed.

    >>> digits().train.shape, len(digits().train), len(digits().test), digits((16, 16)).train.shape
    ((1, 8, 8), 1198, 599, (1, 16, 16))
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits need scikit-learn: pip install scikit-learn") from error
    values, labels = load_digits(return_X_y=True)
    images, white = values.reshape(-1, 8, 8), LEVELS
    if size is not None:
        from PIL import Image

        bilinear, white = Image.Resampling.BILINEAR, 255
        levels = (Image.fromarray((each * (white / LEVELS)).astype(np.float32)) for each in images)
        images = np.stack([np.asarray(each.resize(size[::-1], bilinear)) for each in levels]).round().clip(0, white)
    images, labels = images.astype(np.uint8)[:, None], labels.astype(np.int64)
    tests = np.arange(len(labels)) % TEST_EVERY == TEST_EVERY - 1
    train, test = (Pixels(images[chosen], labels[chosen], white) for chosen in (~tests, tests))
    return ImageData("digits", train, test, tuple(map(str, range(10))), originals(train.images, test.images))
