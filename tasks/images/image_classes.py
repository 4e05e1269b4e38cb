"""Classes as they are written in files, numbered from 0 without gaps; the same numbers in every split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.images.catalogue import KnownSet
from tasks.images.folders import shown
from tasks.images.parquet import Shard, pyarrow, unreadable

__all__ = ["Classes", "numbered"]

MANY = 1000
SHOWN = 5


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of an image set.

    Args:
        names: Their names, in the order of their numbers.
        labels: Number of the class of every image, by split.
        notes: What a user should know, one line each.
    """

    names: tuple[str, ...]
    labels: Mapping[str, NDArray[np.int64]]
    notes: tuple[str, ...] = ()


def numbered(title: str, splits: Mapping[str, Sequence[Shard]], known: KnownSet | None) -> Classes:
    """Return the classes of a set; no image is read.

    Where files declare the names of classes, their numbers stay. Else the classes are those of the training images:
    numbers in ascending order, words in that of the alphabet.

    Args:
        title: What the set is called.
        splits: The files of ``"train"`` and ``"test"`` images.
        known: What the set must be, if its name says so.

    Raises:
        ValueError: A row has no class or one that does not exist, files disagree, or there are too many classes.
    """
    declared = _agreed([shard for part in splits.values() for shard in part])
    written = {split: [(shard, _checked(shard, declared)) for shard in part] for split, part in splits.items()}
    train, tested = ({value for _, values in written[split] for value in values} for split in ("train", "test"))
    if declared:
        found = declared, {place: place for place in range(len(declared))}, _untaught(title, declared, tested - train)
    else:
        found = _found(title, sorted(train), splits["train"], known)
    names, numbers, notes = found
    labels = {
        split: np.array([number for shard, values in part for number in _mapped(shard, values, numbers)], np.int64)
        for split, part in written.items()
    }
    return Classes(names, labels, notes)


def _agreed(shards: Sequence[Shard]) -> tuple[str, ...] | None:
    """Return the names that files declare; those of plain numbers may lie beside them."""
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
    if types.is_integer(kind):
        return "numbers"
    if types.is_boolean(kind):
        return "truth values"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "words"
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


def _untaught(title: str, names: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    """Return what a user should know of classes that only test images have."""
    listed = _listed([names[place] for place in sorted(places)])
    return (f"{title}: test images are of classes that no training image has: {listed}",) if listed else ()


def _found(
    title: str, there: list[Any], shards: Sequence[Shard], known: KnownSet | None
) -> tuple[tuple[str, ...], dict[Any, int], tuple[str, ...]]:
    """Return names and numbers of the classes that training images have, and what a user should know of them."""
    path, images = shards[0].path, sum(map(len, shards))
    if len(there) > max(MANY, images // 2):
        raise unreadable(path, f"{len(there)} different classes of {images} training images are too many to learn")
    names, last = tuple(map(str, there)), len(there) - 1
    renumbered = not isinstance(there[0], str) and there != list(range(len(there)))
    if known and (renumbered or isinstance(there[0], str)):
        raise unreadable(path, f"classes of {known.title} are 0 to {known.classes - 1}, got {_listed(names)}")
    notes = (f"{title}: classes {_listed(names)} are numbered 0 to {last} in this order",) if renumbered else ()
    return names, {value: place for place, value in enumerate(there)}, notes


def _mapped(shard: Shard, values: Iterable[Any], numbers: Mapping[Any, int]) -> Iterable[int]:
    for row, value in enumerate(values):
        if value not in numbers:
            raise unreadable(shard.path, f"no training image is of class {value!r}", row)
        yield numbers[value]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:SHOWN])) + (f", ... ({len(names)} in all)" if len(names) > SHOWN else "")
