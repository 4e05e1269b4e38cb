"""Records by the beginning of their name or of its hash, as a user types them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tca.experiments.records.files import RecordError
from tca.utils.names import nearest
from tca.utils.text import in_a_line

__all__ = ["RECORDS", "record_path"]

RECORDS = Path("runs")  # folder of `tca train` where none is given


def record_path(text: str) -> Path:
    """Return the folder that a user names.

    It is the path itself, or within ``runs``; or the one record there whose name, or whose hash at the end of the name,
    begins like the last part of the path. A path that fits neither is returned as it is. Links are not considered.

    Args:
        text: The path.

    Raises:
        RecordError: Several records begin like this.

    >>> record_path("no/such/record").name
    'record'
    """
    places = (Path(text), RECORDS / text)
    for each in places:
        if os.path.lexists(each):
            return each
    for each in places:
        found = sorted(_beginning_with(each))
        if len(found) > 1:
            names = in_a_line(nearest(each.name, [one.name for one in found]))
            raise RecordError(f"{in_a_line(text)} is the beginning of {len(found)} records: {names}")
        if found:
            return found[0]
    return places[0]


def _beginning_with(path: Path) -> Iterator[Path]:
    """Yield the records beside a path whose name, or the hash at its end, begins like its last part."""
    try:
        entries = list(os.scandir(path.parent)) if path.name else []
    except OSError:
        return
    for entry in entries:
        starts = entry.name.startswith(path.name) or entry.name.rpartition("_")[2].startswith(path.name)
        if starts and entry.is_dir(follow_symlinks=False) and os.path.lexists(Path(entry.path) / "run.json"):
            yield Path(entry.path)
