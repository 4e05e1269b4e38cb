"""From a name to decoded images: embedded, or from parquet files by way of the cache.

Shapes: N images of a split, C channels, H height, W width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tasks.images.cache import cache_root, entry, sha256
from tasks.images.catalogue import DIGITS, KnownSet
from tasks.images.copies import Originals
from tasks.images.decoder import Colour, Decoder, bombs_refused, is_grey
from tasks.images.digits import digits
from tasks.images.folders import Located, locate
from tasks.images.image_classes import numbered
from tasks.images.parquet import Shard, shards
from tasks.images.pixels import ImageData, Pixels

__all__ = ["load"]

SPLITS = ("train", "test")
NAME_LENGTH = 60  # characters of a set's name that begin the name of its entry in the cache


def load(
    name: str,
    data_dir: str | None,
    cache_dir: str | None,
    size: tuple[int, int] | None,
    grey: bool,
    background: Colour | None,
) -> ImageData:
    """Return an image set; its files are decoded once and lie in the cache from then on.

    Args:
        name: ``"digits"``, a known set, or a folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder of the cache; default ``TCA_CACHE``, else the user's cache.
        size: Height and width to resample to; ``None`` leaves images as they are.
        grey: Whether to convert to grey.
        background: What shows through transparent images; ``None`` for white, unless nothing would be visible on it.

    Raises:
        ValueError: There is no such set, or its files are not what they should be.
        FileNotFoundError: The set is not there or incomplete.
        ImportError: A library is missing; the message names it.
        CacheError: The cache cannot be written.
    """
    if name == DIGITS:
        return digits(size)
    located = locate(name, data_dir)
    signature = tuple((each.stat().st_size, each.stat().st_mtime_ns) for each in located.files)
    return _opened(located, signature, cache_root(cache_dir), size, grey, background)


@lru_cache(maxsize=16)
def _opened(
    located: Located,
    signature: tuple[tuple[int, int], ...],  # so that files that change are read again
    root: Path,
    size: tuple[int, int] | None,
    grey: bool,
    background: Colour | None,
) -> ImageData:
    digests = {split: [sha256(each) for each in getattr(located, split)] for split in SPLITS}
    channels = located.known.shape[0] if located.known else None
    options = {"size": size, "grey": grey, "channels": channels, "background": background}
    name = re.sub(r"[^\w.-]", "_", located.name, flags=re.ASCII)[:NAME_LENGTH]
    identity = {"name": located.name, "sources": digests, **options}
    made = entry(root, name, identity, lambda folder: _decode(located, folder, size, grey, background))
    about, parts = made.about, dict[str, Pixels]()
    for split in SPLITS:
        shape = (about["images"][split], *about["shape"])
        images = np.memmap(made.folder / f"{split}.images", np.uint8, "r", shape=shape)
        parts[split] = Pixels(images, _numbers(made.folder / f"{split}.labels"))
    return ImageData(
        located.title,
        parts["train"],
        parts["test"],
        tuple(about["classes"]),
        255,
        "".join(chain.from_iterable(digests.values())),
        _numbers(made.folder / "originals"),
        tuple(about["notes"]),
        about["transparent"],
    )


def _decode(
    located: Located,
    folder: Path,
    size: tuple[int, int] | None,
    grey: bool,
    background: Colour | None,
) -> Mapping[str, Any]:
    """Write pixels and classes of both splits into a folder and say what they are."""
    known, splits = located.known, {split: shards(getattr(located, split), located.known) for split in SPLITS}
    classes = numbered(located.title, splits, known)
    counts = {split: len(labels) for split, labels in classes.labels.items()}
    if known:
        _require(known, counts, len(classes.names))
    with bombs_refused():
        decoder = Decoder(_channels(splits, known, grey), size, background, known)
        original = Originals()
        originals_N = [
            original(pixels)
            for split, part in splits.items()
            for pixels in _written(folder / f"{split}.images", part, decoder, located.title, counts[split])
        ]
    for split, labels in classes.labels.items():
        (folder / f"{split}.labels").write_bytes(labels.astype("<i8").tobytes())
    (folder / "originals").write_bytes(np.array(originals_N, "<i8").tobytes())
    notes = [*classes.notes]
    if decoder.transparent and background is None:
        notes.append(f"{located.title}: {decoder.transparent} images are transparent in part, on a white background")
    return {
        "title": located.title,
        "shape": decoder.shape,
        "classes": classes.names,
        "images": counts,
        "notes": notes,
        "transparent": decoder.transparent,
    }


def _channels(splits: Mapping[str, Sequence[Shard]], known: KnownSet | None, grey: bool) -> int:
    if known:
        return 1 if grey else known.shape[0]
    headers = (each for part in splits.values() for shard in part for each in shard.images(is_grey))
    return 1 if grey or all(headers) else 3


def _written(path: Path, part: Sequence[Shard], decoder: Decoder, title: str, count: int) -> Iterator[bytes]:
    """Write images one after the other and yield their bytes. Mapped memory would be killed by a full disk."""
    images = chain.from_iterable(shard.images(decoder) for shard in part)
    with open(path, "wb") as file:
        for pixels in tqdm(images, f"decoding {title}", count, disable=None, unit=" images", leave=False):
            content = pixels.tobytes()
            file.write(content)
            yield content


def _numbers(path: Path) -> NDArray[np.int64]:
    return np.fromfile(path, "<i8").astype(np.int64)


def _require(known: KnownSet, counts: Mapping[str, int], classes: int) -> None:
    """Raise unless a set that bears a known name is that set."""
    found, wanted = (counts["train"], counts["test"], classes), (known.train, known.test, known.classes)
    if found != wanted:
        raise ValueError(
            f"{known.title} has {wanted[0]} training images, {wanted[1]} test images and {wanted[2]} classes, "
            f"got {found[0]}, {found[1]} and {found[2]}: a part of it needs a folder of another name"
        )
