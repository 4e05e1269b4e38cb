"""From a name to decoded images: embedded, or from parquet files by way of the cache.

Shapes: N images of a split, C channels, H height, W width.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from tasks.images.cache import cache_root, entry, sha256
from tasks.images.catalogue import DIGITS, KnownSet
from tasks.images.digits import digits
from tasks.images.folders import Located, locate
from tasks.images.parquet import Rows, to_array
from tasks.images.pixels import ImageData, Pixels

__all__ = ["load"]

SPLITS = ("train", "test")


def load(name: str, data_dir: str | None, cache_dir: str | None, size: tuple[int, int] | None, grey: bool) -> ImageData:
    """Return an image set; its files are decoded once and lie in the cache from then on.

    Args:
        name: ``"digits"``, a known set, or a folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder of the cache; default ``TCA_CACHE``, else the user's cache.
        size: Height and width to resample to; ``None`` leaves images as they are.
        grey: Whether to convert to grey.

    Raises:
        ValueError: There is no such set, or its files are not what they should be.
        FileNotFoundError: The set is known but not there.
        ImportError: A library is missing; the message names it.
        CacheError: The cache cannot be written.
    """
    if name == DIGITS:
        return digits(size)
    located = locate(name, data_dir)
    signature = tuple((each.stat().st_size, each.stat().st_mtime_ns) for each in located.files)
    return _opened(located, signature, cache_root(cache_dir), size, grey)


@lru_cache(maxsize=16)
def _opened(
    located: Located,
    signature: tuple[tuple[int, int], ...],  # so that files that change are read again
    root: Path,
    size: tuple[int, int] | None,
    grey: bool,
) -> ImageData:
    digests = {split: [sha256(each) for each in getattr(located, split)] for split in SPLITS}
    channels = located.known.shape[0] if located.known else None
    identity = {"sources": digests, "size": size, "grey": grey, "channels": channels}
    made = entry(root, located.name, identity, lambda folder: _decode(located, folder, size, grey))
    about, parts = made.about, dict[str, Pixels]()
    for split in SPLITS:
        shape = (about["images"][split], *about["shape"])
        images = np.memmap(made.folder / f"{split}.images", np.uint8, "r", shape=shape)
        labels = np.fromfile(made.folder / f"{split}.labels", "<i8").astype(np.int64)
        parts[split] = Pixels(images, labels)
    digest = "".join(chain.from_iterable(digests.values()))
    return ImageData(located.title, parts["train"], parts["test"], tuple(about["classes"]), 255, digest)


def _decode(located: Located, folder: Path, size: tuple[int, int] | None, grey: bool) -> Mapping[str, Any]:
    """Write pixels and classes of both splits into a folder and say what they are."""
    scratch = folder / "scratch"
    rows = {split: Rows(getattr(located, split), located.known, scratch) for split in SPLITS}
    if located.known:
        channels = 1 if grey else located.known.shape[0]
    else:
        channels = 1 if grey or all(each.grey() for each in rows.values()) else 3
    shapes: set[tuple[int, ...]] = set()
    counts, highest = {}, -1
    for split, each in rows.items():
        labels = np.fromiter(_written(folder / f"{split}.images", each, located, channels, size, shapes), np.int64)
        (folder / f"{split}.labels").write_bytes(labels.astype("<i8").tobytes())
        counts[split], highest = len(labels), max(highest, int(labels.max(initial=-1)))
        if not len(labels):
            raise ValueError(f"{each.files[0]} holds no image")
    shutil.rmtree(scratch, ignore_errors=True)
    if len({each.names for each in rows.values()}) > 1:
        raise ValueError(f"the splits of {located.title} name their classes differently")
    names = rows["train"].names or tuple(str(number) for number in range(highest + 1))
    if highest >= len(names):
        raise ValueError(f"{located.title} has {len(names)} classes, got class {highest}")
    if located.known:
        _require(located.known, counts, len(names))
    return {"title": located.title, "shape": list(*shapes), "classes": names, "images": counts}


def _written(
    path: Path,
    rows: Rows,
    located: Located,
    channels: int,
    size: tuple[int, int] | None,
    shapes: set[tuple[int, ...]],
) -> Iterator[int]:
    """Write images one after the other and yield their classes. Mapped memory would be killed by a full disk."""
    with open(path, "wb") as file:
        for image, label in tqdm(rows, f"decoding {located.title}", disable=None, unit=" images", leave=False):
            pixels = to_array(image, channels, size, located.known)
            shapes.add(pixels.shape)
            if len(shapes) > 1:
                first, other = sorted(shapes)
                raise ValueError(
                    f"images of {located.title} differ in shape, {first} and {other}: give the size to resample to"
                )
            file.write(pixels.tobytes())
            yield label


def _require(known: KnownSet, counts: Mapping[str, int], classes: int) -> None:
    """Raise unless a set that bears a known name is that set."""
    found, wanted = (counts["train"], counts["test"], classes), (known.train, known.test, known.classes)
    if found != wanted:
        raise ValueError(
            f"{known.title} has {wanted[0]} training images, {wanted[1]} test images and {wanted[2]} classes, "
            f"got {found[0]}, {found[1]} and {found[2]}: a part of it needs a folder of another name"
        )
