"""Finding an image set in a folder of parquet files, or saying exactly what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.images.catalogue import DIGITS, KNOWN, KnownSet
from tca.names import unknown

__all__ = ["Located", "check_name", "data_root", "found", "locate"]

VARIABLE = "TCA_DATA"
TRAIN_STEMS = ("train",)
TEST_STEMS = ("test", "val", "valid", "validation")


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
    return Path(given).expanduser() if given else None


def check_name(name: object, data_dir: str | None) -> None:
    """Raise unless a name is that of a known set or of a folder with training images; files are not opened.

    Args:
        name: The name.
        data_dir: Folder that holds the sets, if not that of ``TCA_DATA``.

    Raises:
        ValueError: There is no such set; the message offers the nearest and says where folders were looked for.
    """
    root = data_root(data_dir)
    names = [*dict.fromkeys([DIGITS, *KNOWN, *found(root)])]  # a folder may bear the name of a known set
    if name not in names:
        where = f"in {root}" if root else f"nowhere, as neither data_dir nor {VARIABLE} is set"
        raise ValueError(f"{unknown(name, names, 'image set')}; folders with a train.parquet were looked for {where}")


def found(root: Path | None) -> list[str]:
    """Return the names of all folders that hold training images, sorted.

    Args:
        root: Where to look; ``None`` finds nothing.
    """
    if root is None or not root.is_dir():
        return []
    return sorted(each.name for each in root.iterdir() if each.is_dir() and any(_splits(each, TRAIN_STEMS)))


def locate(name: str, data_dir: str | None) -> Located:
    """Return the files of an image set.

    Args:
        name: A known set, or any folder of parquet files.
        data_dir: Folder that holds the sets; default that of the variable ``TCA_DATA``.

    Raises:
        ValueError: There is no set of this name, or a part of a split is missing.
        FileNotFoundError: The set is known but not there; the message says where it was looked for, which files it
            should have and which command fetches it.
    """
    check_name(name, data_dir)
    known, root = KNOWN.get(name), data_root(data_dir)
    for folder in (name, *(known.folders if known else ())):
        if root is None:
            break
        train, test = (next(_splits(root / folder, stems), ()) for stems in (TRAIN_STEMS, TEST_STEMS))
        if train and test:
            return Located(name, known.title if known else name, train, test, known)
    raise FileNotFoundError(_missing(name, known, root))


def _splits(folder: Path, stems: tuple[str, ...]) -> Iterator[tuple[Path, ...]]:
    """Yield the files of every split there is: one file, or numbered ones as the hub keeps them, here or in data/."""
    for place in (folder, folder / "data"):
        for stem in stems:
            if (place / f"{stem}.parquet").is_file():
                yield (place / f"{stem}.parquet",)
            elif numbered := tuple(sorted(place.glob(f"{stem}-*-of-*.parquet"))):
                wanted = int(numbered[0].name.split("-of-")[1][:5])
                if len(numbered) != wanted:
                    raise ValueError(f"{place} must hold {wanted} files of the split {stem}, found {len(numbered)}")
                yield numbered


def _missing(name: str, known: KnownSet | None, root: Path | None) -> str:
    place = name if root is None else root / name
    layout = f"{place}/train.parquet and {place}/test.parquet (or val.parquet) with columns image and label"
    if known is None:
        return f"{name} is incomplete: it must be {layout}"
    where = f"neither data_dir nor {VARIABLE} says where to look for" if root is None else "there should be"
    command = f"python -m tasks.images fetch {name} --data-dir {root or 'DIR'}"
    return f"{known.title} is not here: {where} {layout}; fetch it from the Hugging Face hub by: {command}"
