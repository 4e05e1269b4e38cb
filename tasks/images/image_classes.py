"""Classes as they are written in files, numbered from 0 without gaps; the same numbers in every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.images.catalogue import KnownSet
from tasks.images.folders import shown
from tasks.images.parquet import Shard, pyarrow, unreadable

__all__ = ["Classes", "numbered"]

MANY, SHOWN = 1000, 5
KINDS = {"numbers": ("integer",), "truth values": ("boolean",), "words": ("string", "large_string", "string_view")}


class Classes(NamedTuple):
    """Names in the order of their numbers, the number of every image by split, and warnings of one line each."""

    names: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...]


def numbered(title: str, splits: Mapping[str, Sequence[Shard]], known: KnownSet | None) -> Classes:
    """Return the classes of a set; no image is read.

    Where files declare the names of classes, their numbers stay. Else the classes are those of the training images:
    numbers in ascending order, words in that of the alphabet.

    Args:
        title: Name of the set in reports.
        splits: The files of ``"train"`` and ``"test"`` images.
        known: The published set that the files must be of, if any.

    Raises:
        ValueError: A row has no class or one that does not exist, files disagree, or there are too many classes.
    """
    declared = _agreed([shard for part in splits.values() for shard in part])
    written = {split: [(shard, _checked(shard, declared)) for shard in part] for split, part in splits.items()}
    train, tested = ({value for _, values in written[split] for value in values} for split in ("train", "test"))
    names, there, notes = declared or (), list[Any](range(len(declared or ()))), list[str]()
    if not declared:
        there = sorted(train)
        names, notes = _undeclared(title, there, splits["train"], known)
    elif listed := _listed([names[place] for place in sorted(tested - train)]):
        notes = [f"{title}: test images are of classes that no training image has: {listed}"]
    numbers, labels = {value: place for place, value in enumerate(there)}, dict[str, NDArray[np.int64]]()
    for split, part in written.items():
        for shard, values in part:
            for row, value in enumerate(values):
                if value not in numbers:
                    raise unreadable(shard.path, f"no training image is of class {value!r}", row)
        labels[split] = np.array([numbers[value] for _, values in part for value in values], np.int64)
    return Classes(names, labels, tuple(notes))


def _agreed(shards: Sequence[Shard]) -> tuple[str, ...] | None:
    """Return the names that files declare; plain numbers without names may lie beside them."""
    kinds, naming = [_kind(shard) for shard in shards], [shard for shard in shards if shard.names]
    for shard, kind in zip(shards, kinds, strict=True):
        if kind != kinds[0]:
            raise unreadable(shard.path, f"its classes are {kind}, those of {shards[0].path} are {kinds[0]}")
        if shard.names and shard.names != naming[0].names:
            raise unreadable(shard.path, f"it names its classes differently than {naming[0].path}")
    return naming[0].names if naming and kinds[0] == "numbers" else None


def _kind(shard: Shard) -> str:
    types, kind = pyarrow().types, shard.label
    kind = kind.value_type if types.is_dictionary(kind) else kind
    for name, arrow in KINDS.items():
        if any(getattr(types, f"is_{each}")(kind) for each in arrow):
            return name
    raise unreadable(shard.path, f"the column of classes must hold whole numbers or words, got {kind}")


def _checked(shard: Shard, declared: tuple[str, ...] | None) -> list[Any]:
    """Return the classes of a file as they are written, each of which is one."""
    values = shard.labels()
    for row, value in enumerate(values):
        if value is None or value == "" or (not isinstance(value, str) and value < 0):
            raise unreadable(shard.path, f"the class must be a number of 0 or greater or a word, got {value!r}", row)
        if declared and value >= len(declared):
            raise unreadable(shard.path, f"there are names for {len(declared)} classes, got class {value}", row)
    return values


def _undeclared(
    title: str, there: Sequence[Any], shards: Sequence[Shard], known: KnownSet | None
) -> tuple[tuple[str, ...], list[str]]:
    """Return the names of the classes of training images, and a warning if these are numbered anew."""
    path, images, names = shards[0].path, sum(map(len, shards)), tuple(map(str, there))
    if len(there) > max(MANY, images // 2):
        raise unreadable(path, f"{len(there)} different classes of {images} training images are too many to learn")
    renumbered = not isinstance(there[0], str) and there != list(range(len(there)))
    if known and (renumbered or isinstance(there[0], str)):
        raise unreadable(path, f"classes of {known.title} are 0 to {known.classes - 1}, got {_listed(names)}")
    last = len(there) - 1
    return names, [f"{title}: classes {_listed(names)} are numbered 0 to {last} in this order"] if renumbered else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:SHOWN])) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
