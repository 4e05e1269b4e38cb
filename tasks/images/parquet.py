"""Reading images from parquet files through Hugging Face `datasets`, without its cache and without any network.

Shapes: C channels, H height, W width.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.images.catalogue import KnownSet

__all__ = ["Rows", "library", "to_array"]

GREY_MODES = frozenset({"1", "L", "LA"})
COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})
ROWS_AT_ONCE = 512


def library() -> ModuleType:
    """Return Hugging Face `datasets`.

    Raises:
        ImportError: It is not installed; the message names the extra.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "image sets other than digits need Hugging Face datasets: pip install 'temporal-credit-assignment[vision]'"
        ) from error
    module: ModuleType = datasets
    return module


class Rows:
    """The rows of one split, in order, read as they are asked for.

    Args:
        files: Parquet files, in order.
        known: What the set must be, if its name says so.
        scratch: A folder for files that `datasets` makes, which may be removed afterwards.

    Attributes:
        names: Names of the classes, ``None`` if the files hold plain numbers.

    Raises:
        ImportError: `datasets` is not installed.
        ValueError: The files cannot be read or have other columns.
    """

    def __init__(self, files: Sequence[Path], known: KnownSet | None, scratch: Path) -> None:
        """Read the columns' names and types."""
        self.files, self.known = files, known
        datasets = library()
        try:
            # Not `load_dataset("parquet", ...)`, which reports every use to the hub.
            self._table = datasets.IterableDataset.from_parquet(
                [str(each) for each in files], split=datasets.NamedSplit("train"), cache_dir=str(scratch)
            )
        except (OSError, ValueError) as error:
            raise self._unreadable(error) from error
        features = self._table.features
        self._image = self._column("image", [] if known is None else [known.image], features)
        self._label = self._column("label", [] if known is None else [known.label], features)
        feature = features[self._label]
        if not str(feature.dtype).startswith(("int", "uint")):
            raise ValueError(f"column {self._label} of {files[0]} must hold class numbers, got {feature.dtype}")
        self.names: tuple[str, ...] | None = (
            tuple(feature.names) if isinstance(feature, datasets.ClassLabel) and feature.names else None
        )

    def __iter__(self) -> Iterator[tuple[Any, int]]:
        """Yield every image, loaded by PIL, with its class.

        Raises:
            ValueError: A row holds no image or a negative class, or the files cannot be read.
        """
        return self._opened(load=True)

    def grey(self) -> bool:
        """Return whether every image is grey; headers are read up to the first one in colour."""
        return all(image.mode in GREY_MODES for image, _ in self._opened(load=False))

    def _opened(self, load: bool) -> Iterator[tuple[Any, int]]:
        from PIL import Image

        row = 0
        try:
            for part in self._table.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
                pairs = zip(part.column(self._image).to_pylist(), part.column(self._label).to_pylist(), strict=True)
                for cell, label in pairs:
                    content = cell["bytes"] if isinstance(cell, dict) else cell
                    if not isinstance(content, bytes):
                        raise ValueError("the image must be there as bytes, not as a path or nothing")
                    if label is None or label < 0:
                        raise ValueError(f"the class must be a number of 0 or greater, got {label}")
                    image = Image.open(io.BytesIO(content))
                    if load:
                        image.load()  # here, so that a damaged image is reported with its row
                    yield image, label
                    row += 1
        except (OSError, ValueError) as error:
            raise self._unreadable(error, row) from error

    def _column(self, name: str, others: Sequence[str], features: Any) -> str:
        for each in (name, *others):
            if each in features:
                return each
        raise ValueError(f"{self.files[0]} must have columns image and label, got {', '.join(features)}")

    def _unreadable(self, error: Exception, row: int | None = None) -> ValueError:
        where = "" if row is None else f" at row {row}"
        return ValueError(f"{', '.join(map(str, self.files))} cannot be read{where}: {error}")


def to_array(image: Any, channels: int, size: tuple[int, int] | None, known: KnownSet | None) -> NDArray[np.uint8]:
    """Return an image as bytes of shape ``(C, H, W)``.

    Args:
        image: The image, as PIL opens it.
        channels: 1 for grey (luma, ITU-R 601-2), 3 for red, green and blue; the image is converted.
        size: Height and width to resample to, bilinearly with antialiasing; ``None`` leaves it as it is.
        known: What the set must be, if its name says so.

    Raises:
        ValueError: The image is of a kind that bytes cannot hold, or not what the known set holds.
    """
    from PIL import Image, ImageOps

    if image.mode not in GREY_MODES | COLOUR_MODES:
        raise ValueError(f"images must have 8 bits a channel, got one of PIL's mode {image.mode}")
    if known is not None and known.lossless and image.format == "JPEG":
        raise ValueError(
            f"{known.title} is lossless, got a JPEG image: what was compressed again is another set, "
            "its folder needs another name"
        )
    if known is not None and (image.height, image.width) != known.shape[1:]:
        raise ValueError(f"images of {known.title} have shape {known.shape[1:]}, got {(image.height, image.width)}")
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode in {"P", "PA"}:
        image = image.convert("RGBA")  # a palette may be transparent, which PIL warns of otherwise
    wanted = "L" if channels == 1 else "RGB"
    if image.mode != wanted:
        image = image.convert(wanted)
    if size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.asarray(image, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
