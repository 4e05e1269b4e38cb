"""Finding an image set in a folder of parquet files, or saying exactly what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.images.catalogue import DIGITS, KNOWN, KnownSet
from tca.utils.names import unknown

__all__ = ["Located", "check_name", "data_root", "found", "literal", "locate", "shown"]

VARIABLE = "TCA_DATA"
TRAIN_STEMS = ("train",)
TEST_STEMS = ("test", "val", "valid", "validation")
SHOWN = 5


@dataclass(frozen=True)
class Located:
    """An image set that has been found.

    Args:
        name: The name under which it was asked for.
        title: What it is called in reports: that of a known set, else the name of its folder.
        train: Parquet files of the training images, in order.
        test: Parquet files of the test images, in order.
        known: What the set must hold, if its name says so.
    """

    name: str
    title: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    known: KnownSet | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return self.train + self.test


def data_root(data_dir: str | None) -> Path | None:
    """Return the folder that holds the sets: the argument, else the variable ``TCA_DATA``, else none.

    Args:
        data_dir: The argument.
    """
    given = data_dir or os.environ.get(VARIABLE)
    return literal(given) if given else None


def literal(name: str) -> Path:
    """Return the path of a folder; no character has a meaning of its own but ``~`` in front of the first slash.

    Args:
        name: The folder, as it came.
    """
    return Path(name).expanduser() if name.split("/")[0] == "~" else Path(name)


def shown(name: object) -> str:
    r"""Return a name or path in one line, escaping what cannot be printed.

    Args:
        name: The name or path.

    >>> print(shown("a b"), shown("a\nb"))
    a b a\nb
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in str(name))


def check_name(name: object, data_dir: str | None) -> None:
    """Raise unless a name is that of a known set or of a folder; neither it nor its neighbours are opened.

    Args:
        name: The name.
        data_dir: Folder that holds the sets, if not that of ``TCA_DATA``.

    Raises:
        ValueError: There is no such set; the message offers the nearest and says where folders were looked for.
    """
    root = data_root(data_dir)
    if not isinstance(name, str) or not (name == DIGITS or name in KNOWN or _is_folder(root, name)):
        names = [*dict.fromkeys([DIGITS, *KNOWN, *found(root)])]  # a folder may bear the name of a known set
        where = f"in {shown(root)}" if root else f"nowhere, as neither data_dir nor {VARIABLE} is set"
        raise ValueError(f"{unknown(name, names, 'image set')}; folders with a train.parquet were looked for {where}")


def found(root: Path | None) -> list[str]:
    """Return the names of all folders that seem to hold training images, complete or not, sorted.

    Args:
        root: Where to look; ``None`` finds nothing.
    """
    names = (each.name for each in _entries(root) if not each.name.startswith("."))
    return sorted(name for name in names if _is_folder(root, name) and any(_training_files(root, name)))


def locate(name: str, data_dir: str | None) -> Located:
    """Return the files of an image set.

    Args:
        name: A known set, or any folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.

    Raises:
        ValueError: There is no set of this name, or a part of a split is missing.
        FileNotFoundError: The set is known but not there, or a split is missing; the message says where it was looked
            for, which files it should have and which command fetches it.
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
    """Return what lies in a folder, nothing if it cannot be read."""
    try:
        return [] if folder is None else list(folder.iterdir())
    except OSError:
        return []


def _is_folder(root: Path | None, name: str) -> bool:
    """Return whether a name is that of a folder in the root itself."""
    plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return root is not None and plain and os.path.isdir(root / name)


def _training_files(root: Path | None, name: str) -> list[Path]:
    assert root is not None
    places = (root / name, root / name / "data")
    return [each for place in places for each in _entries(place) if re.fullmatch(r"train\b.*\.parquet", each.name)]


def _missing(name: str, known: KnownSet | None, root: Path | None) -> str:
    place = shown(name if root is None else root / name)
    layout = f"{place}/train.parquet and {place}/test.parquet (or val.parquet) with columns image and label"
    if known is None:
        return f"{shown(name)} is incomplete: it must be {layout}"
    where = f"neither data_dir nor {VARIABLE} says where to look for" if root is None else "there should be"
    command = f"python -m tasks.images fetch {name} --data-dir {shown(root or 'DIR')}"
    return f"{known.title} is not here: {where} {layout}; fetch it from the Hugging Face hub by: {command}"
