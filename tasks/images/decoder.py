"""Decoding one image file: bytes in, pixels of 8 bits a channel out, or an error with the reason.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.images.catalogue import KnownSet
from tasks.images.pixels import WHITE, Colour

__all__ = ["Decoder", "is_grey"]

GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
DEEP = re.compile(r";16[BLN]$")  # Pillow's names of files of 16 bits a channel that it opens in a mode of 8
STRETCHED = {"L;2": 85, "L;4": 17}  # Pillow's factors of grey levels of few bits; the transparent one is not stretched


class Decoder:
    """Decodes images to the same number of channels and the same size, on an opaque background.

    Args:
        channels: 1 for grey (luma, ITU-R 601-2), 3 for red, green and blue.
        size: Height and width to resample to, bilinearly with antialiasing; ``None`` keeps the size.
        background: Colour behind transparent images; ``None`` for white, except that an image without any pixel
            visible on white is refused.
        known: The published set that the images must be of, if any.

    Attributes:
        shape: Shape ``(C, H, W)`` of all images, ``None`` before the first.
        transparent: Number of images so far that are not opaque everywhere.
    """

    def __init__(
        self, channels: int, size: tuple[int, int] | None, background: Colour | None, known: KnownSet | None
    ) -> None:
        self.channels, self.size, self.background, self.known = channels, size, background, known
        self.shape: tuple[int, ...] | None = None
        self.transparent = 0

    def __call__(self, content: bytes) -> NDArray[np.uint8]:
        """Return the pixels of an image file, shape ``(C, H, W)``.

        Raises:
            Exception: The file is damaged, or no still image of 8 bits a channel, of this shape, of the known set.
        """
        from PIL import Image, ImageOps

        image = _opened(content)
        if self.known is not None:
            _require(self.known, image)
        image.load()
        if image.mode == "P" and image.getextrema()[1] >= len(image.getpalette()) // 3:
            raise ValueError("a pixel has a colour that is not in the palette")
        if "exif" in image.info:
            image = ImageOps.exif_transpose(image)
        image, wanted = self._on_ground(image), "L" if self.channels == 1 else "RGB"
        if image.mode != wanted:
            image = image.convert(wanted)
        if self.size is not None and (image.height, image.width) != self.size:
            image = image.resize(self.size[::-1], Image.Resampling.BILINEAR)
        pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
        pixels = pixels[None] if self.channels == 1 else pixels.transpose(2, 0, 1)
        self.shape = self.shape or pixels.shape
        if pixels.shape != self.shape:
            raise ValueError(f"images differ in shape, {self.shape} and {pixels.shape}: give the size to resample to")
        return pixels

    def _on_ground(self, image: Any) -> Any:
        """Return an image without transparency."""
        from PIL import Image

        if not image.has_transparency_data:
            return image
        image = image.convert("RGBA")
        if image.getextrema()[3][0] == 255:
            return image.convert("RGB")
        self.transparent += 1
        ground = Image.new("RGBA", image.size, (*(self.background or WHITE), 255))
        shown = Image.alpha_composite(ground, image)
        if self.background is None and _one_colour(shown) and not _one_colour(image):
            raise ValueError("the image is invisible on white: name a background, such as 'black'")
        return shown.convert("RGB")


def is_grey(content: bytes) -> bool:
    """Return whether an image file is grey, by its header."""
    return _opened(content).mode in GREY_MODES


def _opened(content: bytes) -> Any:
    """Return an image whose header is read and can be decoded without loss of meaning."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("cannot identify image file") from None
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a photograph with further views of it
        raise ValueError(f"images must be still, got an animated {image.format}")
    if image.format == "EPS":  # for which Pillow starts another program
        raise ValueError("images must be made of pixels, got EPS")
    raw = _raw_mode(image)
    mode = image.mode if image.mode not in GREY_MODES | COLOUR_MODES else raw if DEEP.search(raw) else None
    if mode:
        raise ValueError(f"images must have 8 bits a channel, got one of PIL's mode {mode}")
    if raw in STRETCHED and isinstance(image.info.get("transparency"), int):
        image.info["transparency"] *= STRETCHED[raw]
    return image


def _raw_mode(image: Any) -> str:
    """Return Pillow's name of the layout of an image in its file."""
    codec, arguments = (image.tile[0].codec_name, image.tile[0].args) if image.tile else ("", "")
    first, *others = arguments if isinstance(arguments, tuple) and arguments else (arguments,)
    if codec.startswith("ppm") and others[0] > 255:
        return f"{first};16B"
    return first if isinstance(first, str) else ""


def _one_colour(image: Any) -> bool:
    return all(low == high for low, high in image.getextrema())


def _require(known: KnownSet, image: Any) -> None:
    """Raise unless an image can be one of a known set."""
    if known.lossless and image.format == "JPEG":
        raise ValueError(
            f"{known.title} is lossless, got a JPEG image: a compressed copy is another set, "
            "its folder needs another name"
        )
    if (image.height, image.width) != known.shape[1:]:
        raise ValueError(f"images of {known.title} have shape {known.shape[1:]}, got {(image.height, image.width)}")
