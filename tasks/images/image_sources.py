"""From a name to decoded images: embedded, or from parquet files by way of the cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from tasks.images.cache import cache_root, entry, sha256
from tasks.images.catalogue import DIGITS
from tasks.images.decoder import Decoder, is_grey
from tasks.images.digits import digits
from tasks.images.folders import Located, locate
from tasks.images.image_classes import numbered
from tasks.images.parquet import shards
from tasks.images.pixels import Colour, ImageData, Pixels, originals

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
    """Return an image set; its files are decoded once and kept in the cache.

    Args:
        name: ``"digits"``, a known set, or a folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.
        cache_dir: Folder of the cache; default ``TCA_CACHE``, else the user's cache.
        size: Height and width to resample to; ``None`` keeps the size.
        grey: Whether to convert to grey.
        background: Colour behind transparent images; ``None`` for white, unless nothing would be visible on it.

    Raises:
        ValueError: There is no such set, or its files are not valid.
        FileNotFoundError: The set is not there or incomplete.
        ImportError: A library is missing; the message names it.
        CacheError: The cache cannot be written.
    """
    if name == DIGITS:
        return digits(size)
    located = locate(name, data_dir)
    files = [each.stat() for each in located.train + located.test]
    signature = tuple((each.st_size, each.st_mtime_ns) for each in files)
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
    folder, about = entry(root, name, identity, lambda folder: _decode(located, folder, size, grey, background))
    train, test = (
        Pixels(
            np.memmap(folder / f"{split}.images", np.uint8, "r", shape=(about["images"][split], *about["shape"])),
            _numbers(folder / f"{split}.labels"),
        )
        for split in SPLITS
    )
    notes = tuple(about["notes"])
    same = _numbers(folder / "originals")
    return ImageData(located.title, train, test, tuple(about["classes"]), same, notes, about["transparent"])


def _decode(
    located: Located, folder: Path, size: tuple[int, int] | None, grey: bool, background: Colour | None
) -> Mapping[str, Any]:
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
    decoder = Decoder(3 if coloured and not grey else 1, size, background, known)
    for split, part in splits.items():
        images = chain.from_iterable(shard.images(decoder) for shard in part)
        # Written one after the other: a process that fills mapped memory is killed by a full disk.
        with open(folder / f"{split}.images", "wb") as file:
            title = f"decoding {located.title}"
            for pixels in tqdm(images, title, counts[split], disable=None, unit=" images", leave=False):
                file.write(pixels.tobytes())
        (folder / f"{split}.labels").write_bytes(classes.labels[split].astype("<i8").tobytes())
    shape = decoder.shape or ()
    decoded = (np.memmap(folder / f"{split}.images", np.uint8, "r").reshape(-1, *shape) for split in SPLITS)
    (folder / "originals").write_bytes(originals(*decoded).astype("<i8").tobytes())
    notes = [*classes.notes]
    if decoder.transparent and background is None:
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
