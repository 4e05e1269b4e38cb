"""Facts of an image set for the record of a run: which options took effect, and on how many images.

Shapes: M images of a pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from tasks.images.copies import copies, leaked
from tasks.images.decoder import WHITE, Colour
from tasks.images.pixels import ImageData

__all__ = ["provenance"]

LONGEST_NAMES = 1 << 16  # characters of all names of classes that are written down


def provenance(data: ImageData, pools: Mapping[str, Tensor], dedupe: bool, background: Colour | None) -> dict[str, Any]:
    """Return the facts of an image set as JSON holds them.

    ``images`` counts those to choose from, ``copies`` what the files hold before any is left out, ``transparent`` the
    images on which the ``background`` shows. ``classes`` lists names by number where these are not the numbers
    themselves, or how many there are where the list would be very long.

    Args:
        data: The set.
        pools: Numbers of the images to choose from for training, validation and test, each of shape ``(M,)``.
        dedupe: Whether training images with the pixels of others are left out.
        background: Colour that shows through transparent images, ``None`` for white.
    """
    numbered = data.classes == tuple(map(str, range(len(data.classes))))
    brief = sum(map(len, data.classes)) <= LONGEST_NAMES
    classes = list(data.classes) if brief and not numbered else len(data.classes)
    red, green, blue = background or WHITE
    return {
        "set": data.title,
        "images": {part: len(chosen_M) for part, chosen_M in pools.items()},
        "background": f"#{red:02x}{green:02x}{blue:02x}",
        "transparent": data.transparent,
        "dedupe": dedupe,
        "copies": {**copies(data), "validation": leaked(data, pools["train"], pools["validation"])},
        "classes": classes,
    }
