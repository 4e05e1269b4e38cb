"""Search for an image set in folders of parquet files; errors name the missing files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tasks.images.catalogue import DIGITS, KNOWN, KnownSet
from tca.utils.names import unknown

__all__ = ["Located", "check_name", "data_root", "found", "literal", "locate", "shown"]

VARIABLE = "TCA_DATA"
TRAIN_STEMS, TEST_STEMS = ("train",), ("test", "val", "valid", "validation")
SHOWN = 5
_TRAINING = re.compile(r"train\b.*\.parquet")


class Located(NamedTuple):
    """The parquet files of an image set, in order; the published set that they must be of, if the name is its."""

    name: str
    title: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    known: KnownSet | None


def data_root(data_dir: str | None) -> Path | None:
    """Return the folder that holds the sets: the argument, else the variable ``TCA_DATA``, else none."""
    given = data_dir or os.environ.get(VARIABLE)
    return literal(given) if given else None


def literal(name: str) -> Path:
    """Return the path of a folder; only ``~`` in front of the first slash has a meaning of its own."""
    return Path(name).expanduser() if name.split("/")[0] == "~" else Path(name)


def shown(name: object) -> str:
    r"""Return a name or path in one line, unprintable characters escaped.

    >>> print(shown("a b"), shown("a\nb"))
    a b a\nb
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(name))


def check_name(name: object, data_dir: str | None) -> None:
    """Raise a ValueError with the nearest names unless a known set or a folder has the name; no folder is opened."""
    root = data_root(data_dir)
    if not isinstance(name, str) or not (name == DIGITS or name in KNOWN or _is_folder(root, name)):
        names = [*dict.fromkeys([DIGITS, *KNOWN, *found(root)])]  # a folder may bear the name of a known set
        where = f"in {shown(root)}" if root else f"nowhere, as neither data_dir nor {VARIABLE} is set"
        raise ValueError(f"{unknown(name, names, 'image set')}; folders with a train.parquet were looked for {where}")


def found(root: Path | None) -> list[str]:
    """Return the sorted names of all folders that seem to hold training images, complete or not."""
    folders = [each for each in _entries(root) if not each.name.startswith(".")]
    return sorted(each.name for each in folders if any(map(_TRAINING.fullmatch, _names(each))))


def locate(name: str, data_dir: str | None) -> Located:
    """Return the files of an image set.

    Args:
        name: A known set, or any folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.

    Raises:
        ValueError: There is no set of this name, or a part of a split is missing.
        FileNotFoundError: The set is known but not there, or a split is missing; the message names the place, the
            files and the command that fetches them.
    """
    check_name(name, data_dir)
    known, root = KNOWN.get(name), data_root(data_dir)
    for folder in (name, *(known.folders if known else ())):
        if root is None:
            break
        train, test = (_split(root / folder, stems) for stems in (TRAIN_STEMS, TEST_STEMS))
        if train and test:
            return Located(name, known.title if known else shown(name), train, test, known)
    raise FileNotFoundError(_missing(name, known, root))


def _split(folder: Path, stems: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files of a split: one file, or numbered ones as the hub keeps them, here or in data/; () if none."""
    for place in (folder, folder / "data"):
        for stem in stems:
            if (place / f"{stem}.parquet").is_file():
                return (place / f"{stem}.parquet",)
            if files := _numbered(place, stem):
                return files
    return ()


def _numbered(place: Path, stem: str) -> tuple[Path, ...]:
    """Return the files of a split that is kept in several, all of which must be there, by their numbers."""
    pattern = re.compile(rf"{stem}-(\d+)-of-(\d+)(-.*)?\.parquet", re.ASCII | re.DOTALL)
    matches = [(match, each) for each in _entries(place) if (match := pattern.fullmatch(each.name)) and each.is_file()]
    parts = sorted((int(match[1]), int(match[2]), each) for match, each in matches)
    numbers, counts = [number for number, _, _ in parts], {count for _, count, _ in parts}
    if parts and (numbers != list(range(len(parts))) or counts != {len(parts)}):
        names = ", ".join(each.name for _, _, each in parts[:SHOWN])
        wanted = " or ".join(map(str, sorted(counts)))
        raise ValueError(
            f"{shown(place)} must hold {wanted} files of the split {stem}, found {len(parts)} (numbered from 0): "
            f"{shown(names)}"
        )
    return tuple(each for _, _, each in parts)


def _entries(folder: Path | None) -> Iterable[Path]:
    """Return the entries of a folder, none if it cannot be read."""
    try:
        return [] if folder is None else list(folder.iterdir())
    except OSError:
        return []


def _is_folder(root: Path | None, name: str) -> bool:
    """Return whether a name is that of a folder in the root itself."""
    plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return root is not None and plain and os.path.isdir(root / name)


def _names(folder: Path) -> list[str]:
    return [each.name for place in (folder, folder / "data") for each in _entries(place)]


def _missing(name: str, known: KnownSet | None, root: Path | None) -> str:
    place = shown(name if root is None else root / name)
    layout = f"{place}/train.parquet and {place}/test.parquet (or val.parquet) with columns image and label"
    if known is None:
        return f"{shown(name)} is incomplete: it must be {layout}"
    where = f"neither data_dir nor {VARIABLE} is set to the folder of" if root is None else "there should be"
    command = f"python -m tasks.images fetch {name} --data-dir {shown(root or 'DIR')}"
    return f"{known.title} is not here: {where} {layout}; fetch it from the Hugging Face hub by: {command}"
