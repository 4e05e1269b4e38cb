"""Types of the options of image tasks, and their values as JSON."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch.nn import functional

from tasks.images.augmentation import Augmentation, augmentations
from tasks.images.normalisation import NORMALISATIONS, Normalisation
from tca.losses import LOSSES, Loss
from tca.utils.checks import Made, Named, Size, Such
from tca.utils.names import lookup

__all__ = ["Augmentations", "Background", "Directory", "NamedLoss", "PixelSize", "Scaling", "plain", "takes_classes"]

PIXELS_AT_MOST = 89_478_485  # of an image that Pillow decodes without a warning


def _fits(size: int | tuple[int, int] | None) -> bool:
    height, width = size if isinstance(size, tuple) else (size or 1, size or 1)
    return height * width <= PIXELS_AT_MOST


def _is_opaque(colour: str) -> bool:
    from PIL import ImageColor

    try:
        return len(ImageColor.getrgb(colour)) == 3
    except ValueError:
        return False


Augmentations = Annotated[tuple[Augmentation, ...], Made(augmentations, object)]
Background = Annotated[str, Such(_is_opaque, "an opaque colour such as 'white' or '#00ff80'")]
Directory = Annotated[str, Made(str, Path)]
NamedLoss = Annotated[Loss, Made(lambda name: lookup(LOSSES, name, "loss"), str)]
PixelSize = Annotated[Size | tuple[Size, Size] | None, Such(_fits, f"at most {PIXELS_AT_MOST} pixels in all")]
Scaling = Annotated[str, Named(NORMALISATIONS)] | Normalisation


@functools.cache
def takes_classes(loss: Loss) -> bool:
    """Return whether the targets of a loss are class numbers, not one real number for each class.

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
    """Return the value of an option as JSON, or raise a ValueError for a loss or a normalisation without a name."""
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
