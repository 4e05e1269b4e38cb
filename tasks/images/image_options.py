"""Options of image tasks: checked, asked, and written down as JSON knows them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from tasks.images.augmentation import Augmentation
from tasks.images.normalisation import NORMALISATIONS, Normalisation
from tca.losses import LOSSES, Loss
from tca.utils.checks import whole
from tca.utils.names import shorten

__all__ = ["background", "plain", "size", "takes_classes"]

PIXELS_AT_MOST = 89_478_485  # of an image that Pillow decodes without misgivings


def background(value: object) -> tuple[int, int, int] | None:
    """Return red, green and blue of a colour, or nothing.

    Args:
        value: What came.

    Raises:
        ValueError: It is no colour, or a transparent one.
        TypeError: It is no word.

    >>> background("white"), background("#00ff80")
    ((255, 255, 255), (0, 255, 128))
    """
    from PIL import ImageColor

    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"background must be a colour such as 'white' or '#00ff80', got {value!r}")
    try:
        red, green, blue, *alpha = ImageColor.getrgb(value)
    except ValueError:
        alpha = [0]
    if alpha:
        raise ValueError(f"background must be an opaque colour such as 'white' or '#00ff80', got {value!r}")
    return red, green, blue


def size(value: object) -> int | tuple[int, int] | None:
    """Return a number of pixels, or height and width, or nothing.

    Args:
        value: What came.

    Raises:
        ValueError: A number is less than 1, there are not two of them, or they make an image too large to hold.
        TypeError: A number is no integer.
    """
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str):
        height = width = whole("size", value, 1)
    elif len(value) == 2:
        height, width = whole("size's height", value[0], 1), whole("size's width", value[1], 1)
    else:
        raise ValueError(f"size must be one number of pixels, or height and width, got {shorten(value)}")
    if height * width > PIXELS_AT_MOST:
        raise ValueError(f"size must be at most {PIXELS_AT_MOST} pixels in all, got {shorten(value)}")
    return (height, width) if isinstance(value, Sequence) else height


@functools.cache
def takes_classes(loss: Loss) -> bool:
    """Return whether the targets of a loss are class numbers, not one real number for each class.

    Args:
        loss: The loss.

    Raises:
        ValueError: They can be neither.

    >>> takes_classes(LOSSES["cross_entropy"]), takes_classes(LOSSES["mse"])
    (True, False)
    """
    label = torch.zeros(1, 1, dtype=torch.int64, device="cpu")
    try:
        loss.check((1, 1, 2), label)
    except (TypeError, ValueError):
        try:
            loss.check((1, 1, 2), functional.one_hot(label, 2).float())
        except (TypeError, ValueError) as error:
            raise ValueError(f"loss must take classes or one number for each of them, got {loss!r}: {error}") from error
        return False
    return True


def plain(value: Any) -> Any:
    """Return the value of an option as JSON knows it.

    Args:
        value: The value.

    Raises:
        ValueError: It is a loss or a normalisation without a name.
    """
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if isinstance(value, Augmentation):
        return value.to_json()
    if isinstance(value, Loss):
        return _named("loss", LOSSES, value)
    if isinstance(value, Normalisation):
        return _named("normalise", NORMALISATIONS, value)
    return value


def _named(option: str, table: Mapping[str, Any], value: Any) -> str:
    names = [name for name, each in table.items() if each == value]
    if not names:
        raise ValueError(f"{option}={value!r} cannot be written down, as it has no name; those that have: {[*table]}")
    return names[0]
