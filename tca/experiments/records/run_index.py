"""An index of the records below a folder, so that many runs are listed and filtered at once.

The folders are the truth. The index is a file of SQLite in the user's cache, never in the folder; it is brought up to
date before every use, and made anew when it is missing, damaged or of another version. A record is read again when its
folder has changed. Where the cache cannot be written, the index is in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tasks.images.cache import VARIABLE, cache_root
from tca.experiments.records.files import RecordError
from tca.experiments.records.run_filters import RunCondition
from tca.experiments.records.run_rows import COLUMNS, row_of
from tca.utils.text import in_a_line

__all__ = ["Row", "index_path", "list_runs", "setting_names"]

Answer = TypeVar("Answer")
Row = dict[str, Any]
VERSION = 1  # of the columns and of how they are read
DEEPEST = 4  # folders below the one that is listed
SETTLED = 2_000_000_000  # nanoseconds after which a folder that changes has another time
TYPES = {str: "TEXT", int: "INTEGER", float: "REAL"}
AT_ONCE = 1000  # rows of a transaction
SECONDS_TO_WAIT = 5.0  # for another process that writes the index
# Errors of an index that is whole: used by others, or on a disk that is full or read-only.
OCCUPIED = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
)  # fmt: skip
MARKS = ("run.json", "metrics.jsonl", "checkpoint", "weights.safetensors", "result.json")


def list_runs(
    folder: str | Path,
    conditions: Sequence[RunCondition] = (),
    *,
    sort: str = "date",
    descending: bool = False,
    limit: int | None = None,
    rebuild: bool = False,
) -> tuple[list[Row], int]:
    """Return rows of runs below a folder, and how many fulfil the conditions.

    Links are not followed.

    Args:
        folder: The folder, or a record.
        conditions: Conditions that all hold, default none.
        sort: Column or setting to sort by, default the date; runs without it are last.
        descending: Whether the largest is first, default no.
        limit: Largest number of rows; ``None`` (default) for all.
        rebuild: Whether to read every record again, default no.

    Raises:
        RecordError: The folder cannot be read.
        ValueError: A column is unknown.
    """
    root = Path(folder)
    if not root.is_dir():
        raise RecordError(f"{in_a_line(root)} is no folder")
    path = index_path(root)
    if rebuild:
        _remove(path)
    key = RunCondition.column(sort)
    where = " AND ".join(f"({each.sql})" for each in conditions) or "1"
    values = [value for each in conditions for value in each.values]
    order = f"{key} IS NULL, {key} {'DESC' if descending else 'ASC'}, folder"
    text = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE {where} ORDER BY {order} LIMIT ?"

    def query(index: sqlite3.Connection) -> tuple[list[Any], int]:
        count = index.execute(f"SELECT count(*) FROM runs WHERE {where}", values).fetchone()[0]
        return index.execute(text, [*values, -1 if limit is None else limit]).fetchall(), count

    found, count = _asked(path, root, query)
    return [dict(zip(COLUMNS, each, strict=True)) for each in found], count


def setting_names(folder: str | Path) -> list[str]:
    """Return the names of all settings that a run below a folder has, with dots.

    Args:
        folder: The folder.
    """
    root, text = Path(folder), "SELECT DISTINCT key FROM runs, json_each(runs.settings) ORDER BY key"
    return _asked(index_path(root), root, lambda index: [str(name) for (name,) in index.execute(text)])


def index_path(root: Path) -> Path:
    """Return the file of the index of a folder, in the user's cache.

    Args:
        root: The folder.
    """
    cache = cache_root(None)
    key = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:32]
    return (cache if os.environ.get(VARIABLE) else cache.parent) / "runs" / f"{key}.sqlite3"


def _asked(path: Path, root: Path, query: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Return the answer of the index, up to date; a damaged one is made anew."""
    for where in (path, path, None):  # once more after damage, then in memory
        try:
            with contextlib.closing(_opened(where)) as index:
                _refresh(index, root)
                return query(index)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in OCCUPIED:
                _remove(path)
        except OSError:
            continue  # the cache cannot be written
    raise RecordError(f"the runs in {in_a_line(root)} cannot be listed: SQLite fails in memory, too")


def _opened(path: Path | None) -> sqlite3.Connection:
    """Return a connection to an index of this version, made anew if it is of another."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    index = sqlite3.connect(":memory:" if path is None else path, timeout=SECONDS_TO_WAIT, isolation_level=None)
    try:
        index.execute("PRAGMA trusted_schema = OFF")
        if _version(index) != VERSION:
            columns = ", ".join(f"{name} {TYPES[kind]}" for name, kind in COLUMNS.items())
            index.execute("BEGIN IMMEDIATE")
            if _version(index) != VERSION:  # another process may have made it meanwhile
                index.execute("DROP TABLE IF EXISTS runs")
                index.execute(f"CREATE TABLE runs ({columns}, stamp TEXT, PRIMARY KEY (folder))")
                index.execute(f"PRAGMA user_version = {VERSION}")
            index.execute("COMMIT")
    except BaseException:
        index.close()
        raise
    return index


def _version(index: sqlite3.Connection) -> int:
    version: int = index.execute("PRAGMA user_version").fetchone()[0]
    return version


def _remove(path: Path) -> None:
    for each in (path, path.with_name(f"{path.name}-journal")):
        with contextlib.suppress(OSError):
            each.unlink()


def _refresh(index: sqlite3.Connection, root: Path) -> None:
    """Read records that are new or have changed, and drop those that are gone."""
    known = dict(index.execute("SELECT folder, stamp FROM runs"))
    there = set()
    changed: list[tuple[Any, ...]] = []
    for place, folder, stamp in _records(root, known):
        there.add(place)
        if known.get(place) != stamp:
            changed.append((*row_of(folder, place).values(), stamp))
        if len(changed) == AT_ONCE:
            _write(index, changed, [])
            changed = []
    _write(index, changed, [(place,) for place in known.keys() - there])


def _write(index: sqlite3.Connection, changed: list[tuple[Any, ...]], gone: list[tuple[str]]) -> None:
    """Replace and drop rows in one transaction."""
    if changed or gone:
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        index.execute("BEGIN IMMEDIATE")
        index.executemany(f"INSERT OR REPLACE INTO runs VALUES ({marks})", changed)
        index.executemany("DELETE FROM runs WHERE folder = ?", gone)
        index.execute("COMMIT")


def _records(root: Path, known: dict[str, str]) -> Iterator[tuple[str, Path, str]]:
    """Yield path below the folder, folder and stamp of every record."""
    waiting: list[tuple[str, Path, int]] = [("", root, 0)]
    if _is_record(root):
        yield ".", root, _stamp(os.lstat(root))
    while waiting:
        place, folder, depth = waiting.pop()
        try:
            entries = os.scandir(folder)
        except OSError as error:
            if depth:
                continue
            raise RecordError(f"{in_a_line(folder)} cannot be read: {error.strerror}") from error
        with entries:
            for entry in entries:
                try:
                    if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                        continue
                    stamp = _stamp(entry.stat(follow_symlinks=False))
                except OSError:
                    continue
                here = f"{place}{entry.name}".encode(errors="replace").decode()
                if known.get(here) == stamp or _is_record(Path(entry.path)):
                    yield here, Path(entry.path), stamp
                elif depth < DEEPEST:
                    waiting.append((f"{here}/", Path(entry.path), depth + 1))


def _stamp(facts: os.stat_result) -> str:
    """Return what changes with a folder; of one that changed just now, what never comes again."""
    fresh = time.time_ns() - facts.st_mtime_ns < SETTLED
    return f"{facts.st_ino} {facts.st_mtime_ns}{f' {time.time_ns()}' if fresh else ''}"


def _is_record(folder: Path) -> bool:
    return any(os.path.lexists(folder / each) for each in MARKS)
