"""Download of image sets from the Hugging Face hub, the one use of the network in the package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tasks.images.catalogue import DIGITS, KNOWN
from tasks.images.folders import VARIABLE, data_root
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["fetch"]


@checked
def fetch(name: str, data_dir: str | None = None) -> Path:
    """Download a known image set from the Hugging Face hub into a folder of its name and return the folder.

    The folder gets ``train.parquet`` and ``test.parquet`` with columns ``image`` and ``label``, both or neither. A set
    that is there already is left alone, without a request to the hub. The terms of use are those of the set.

    Args:
        name: The set, for example ``"mnist"``.
        data_dir: Folder that holds the sets, made if need be; default that of the variable ``TCA_DATA``.

    Raises:
        ValueError: The set is unknown or comes with scikit-learn, there is no folder to put it in, or the hub has
            something else under its name.
        ImportError: `datasets` is not installed.
        OSError: The hub cannot be reached or the folder cannot be written.
    """
    if name == DIGITS:
        raise ValueError(f"{DIGITS} come with scikit-learn")
    known, root = lookup(KNOWN, name, "image set"), data_root(data_dir)
    if root is None:
        raise ValueError(f"data_dir must name the folder to put {known.title} in, as {VARIABLE} is not set")
    folder = root / name
    if all((folder / f"{split}.parquet").is_file() for split in ("train", "test")):
        return folder
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            "fetching image sets needs Hugging Face datasets: pip install 'temporal-credit-assignment[vision]'"
        ) from error
    sets = datasets.load_dataset(known.hub)
    parts = {"train": (known.train, "train"), "test": (known.test, known.test_split)}
    unfinished = root / f".{name}.{os.getpid()}.unfinished"
    unfinished.mkdir(parents=True)
    try:
        for split, (count, there) in parts.items():
            part: Any = lookup(sets, there, f"split of {known.hub}")
            if len(part) != count:
                raise ValueError(f"{known.hub} must have {count} rows in its split {there}, got {len(part)}")
            part = part.select_columns([known.image, known.label])
            part = part.rename_columns(
                {old: new for old, new in ((known.image, "image"), (known.label, "label")) if old != new}
            )
            with open(unfinished / f"{split}.parquet", "xb") as file:  # of a path `datasets` would make a pattern
                part.to_parquet(file)
        folder.mkdir(exist_ok=True)
        for split in reversed(parts):
            os.replace(unfinished / f"{split}.parquet", folder / f"{split}.parquet")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
