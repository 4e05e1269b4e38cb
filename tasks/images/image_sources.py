"""From a name to decoded images: embedded, or from parquet files by way of the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.images.cache import cache_root, entry, sha256
from tasks.images.catalogue import DIGITS
from tasks.images.decoder import Decoder, is_grey
from tasks.images.folders import Located, locate
from tasks.images.image_classes import numbered
from tasks.images.parquet import shards
from tasks.images.pixels import Colour, ImageData, Pixels, originals
from tca.utils.progress_bar import ProgressBar

__all__ = ["PixelFormat", "digits", "load"]

SPLITS = ("train", "test")
LEVELS, TEST_EVERY = 16, 3  # of the digits
NAME_LENGTH = 60  # characters of a set's name that begin the name of its entry in the cache


class PixelFormat(NamedTuple):
    """The form of decoded images: height and width if resampled, grey or not, colour behind transparent images."""

    size: tuple[int, int] | None = None
    grey: bool = False
    background: Colour | None = None


def load(name: str, data_dir: str | None, cache_dir: str | None, form: PixelFormat) -> ImageData:
    """Return an image set; its files are decoded once and kept in the cache.

    Args:
        name: ``"digits"``, a known set, or a folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder of the cache; default ``TCA_CACHE``, else the user's cache.

    Raises:
        ValueError: There is no such set, or its files are not valid.
        FileNotFoundError: The set is not there or incomplete.
        ImportError: A library is missing; the message names it.
        CacheError: The cache cannot be written.
    """
    if name == DIGITS:
        return digits(form.size)
    located = locate(name, data_dir)
    files = [each.stat() for each in located.train + located.test]
    return _opened(located, tuple((each.st_size, each.st_mtime_ns) for each in files), cache_root(cache_dir), form)


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


@lru_cache(maxsize=16)
def _opened(
    located: Located,
    signature: tuple[tuple[int, int], ...],  # so that files that change are read again
    root: Path,
    form: PixelFormat,
) -> ImageData:
    digests = {split: [sha256(each) for each in getattr(located, split)] for split in SPLITS}
    channels = located.known.shape[0] if located.known else None
    name = re.sub(r"[^\w.-]", "_", located.name, flags=re.ASCII)[:NAME_LENGTH]
    identity = {"name": located.name, "sources": digests, "channels": channels, **form._asdict()}
    folder, about = entry(root, name, identity, lambda folder: _decode(located, folder, form))
    train, test = (
        Pixels(
            np.memmap(folder / f"{split}.images", np.uint8, "r", shape=(about["images"][split], *about["shape"])),
            _numbers(folder / f"{split}.labels"),
        )
        for split in SPLITS
    )
    classes, notes = tuple(about["classes"]), tuple(about["notes"])
    return ImageData(located.title, train, test, classes, _numbers(folder / "originals"), notes, about["transparent"])


def _decode(located: Located, folder: Path, form: PixelFormat) -> Mapping[str, Any]:
    """Write pixels and classes of both splits into a folder and return the facts of the set."""
    known, splits = located.known, {split: shards(getattr(located, split), located.known) for split in SPLITS}
    classes = numbered(located.title, splits, known)
    counts = {split: len(labels) for split, labels in classes.labels.items()}
    present = (counts["train"], counts["test"], len(classes.names))
    if known and present != (known.train, known.test, known.classes):
        raise ValueError(
            f"{known.title} has {known.train} training images, {known.test} test images and {known.classes} classes, "
            f"got {present[0]}, {present[1]} and {present[2]}: a part of it needs a folder of another name"
        )
    every = chain.from_iterable(splits.values())
    coloured = known.shape[0] == 3 if known else not all(all(shard.images(is_grey)) for shard in every)
    decoder = Decoder(3 if coloured and not form.grey else 1, form.size, form.background, known)
    for split, part in splits.items():
        images = chain.from_iterable(shard.images(decoder) for shard in part)
        # Written one after the other: a process that fills mapped memory is killed by a full disk.
        with open(folder / f"{split}.images", "wb") as file:
            title = f"decoding {located.title}"
            for pixels in ProgressBar(images, title, counts[split], disable=None, unit=" images", leave=False):
                file.write(pixels.tobytes())
        (folder / f"{split}.labels").write_bytes(classes.labels[split].astype("<i8").tobytes())
    shape = decoder.shape or ()
    decoded = (np.memmap(folder / f"{split}.images", np.uint8, "r").reshape(-1, *shape) for split in SPLITS)
    (folder / "originals").write_bytes(originals(*decoded).astype("<i8").tobytes())
    notes = [*classes.notes]
    if decoder.transparent and form.background is None:
        notes.append(f"{located.title}: {decoder.transparent} images are transparent in part, on a white background")
    return {
        "shape": shape,
        "classes": classes.names,
        "images": counts,
        "notes": notes,
        "transparent": decoder.transparent,
    }


def _numbers(path: Path) -> NDArray[np.int64]:
    return np.fromfile(path, "<i8").astype(np.int64)
