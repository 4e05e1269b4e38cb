"""Remnants of killed processes in finished records."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tca.experiments.records.files import RecordError, locked

__all__ = ["drop_remnants", "tidy_up"]


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


def _is_remnant(name: str) -> bool:
    """Return whether a file is obsolete after the end of a run: checkpoint, temporary file, count of attempts."""
    return name == "checkpoint" or name.startswith(".begun-") or (name.startswith(".") and name.endswith(".tmp"))
