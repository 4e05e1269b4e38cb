"""Removal of records, and of remnants of killed processes in finished records."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tca.experiments.records.files import RecordError, explained, locked
from tca.experiments.records.sealed_json import NAMES

__all__ = ["discard", "drop_remnants", "tidy_up"]

OWN = ("result.json", "measured.json")  # files of a record beside those that it seals


def tidy_up(folder: Path) -> None:
    """Remove remnants of killed processes from a finished record, unless it is locked or read-only."""
    with contextlib.suppress(OSError, RecordError):
        if any(map(_is_remnant, os.listdir(folder))):
            with locked(folder):
                drop_remnants(folder)


def drop_remnants(folder: Path) -> None:
    """Remove remnants from the record of a run that has ended."""
    for name in filter(_is_remnant, os.listdir(folder)):
        (folder / name).unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove the record of a run; other files of its folder stay.

    Raises:
        RecordError: Another process trains the run, or the folder cannot be changed.
    """
    if not folder.is_dir():
        return
    with explained(folder), locked(folder):
        files = [name for name in os.listdir(folder) if NAMES.fullmatch(name) or name in OWN or _is_remnant(name)]
        for name in sorted(files, key=lambda each: each != "result.json"):  # first, so that the rest is unfinished
            (folder / name).unlink(missing_ok=True)


def _is_remnant(name: str) -> bool:
    """Return whether a file is obsolete after the end of a run: checkpoint, temporary file, count of attempts."""
    return name == "checkpoint" or name.startswith(".begun-") or (name.startswith(".") and name.endswith(".tmp"))
