"""Files that are written whole or not at all, and folders that one process holds at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["RecordError", "append", "explained", "locked", "write_whole"]


class RecordError(RuntimeError):
    """A record cannot be written, read or resumed; the message is one line that names the folder and the reason."""


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's errors within into `RecordError`.

    Args:
        folder: What is written to.
    """
    try:
        yield
    except OSError as error:
        raise RecordError(f"cannot write the record in {folder}: {error.strerror or error}") from error


def locked(folder: Path) -> IO[bytes]:
    """Return the lock file of a folder, locked until it is closed; the system closes it for a process that dies.

    Args:
        folder: The folder.

    Raises:
        RecordError: Another process has locked it.
    """
    lock = open(folder / ".lock", "a+b", buffering=0)  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        _write_all(lock, f"{os.getpid()}".encode())
    except BlockingIOError:
        with lock:
            lock.seek(0)
            owner = lock.read().decode() or "unknown"
        raise RecordError(f"the record in {folder} is in use by another process (number {owner})") from None
    except OSError:
        lock.close()
        raise
    return lock


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old or the new one, whole, whatever happens.

    Args:
        path: The file.
        content: What it shall hold.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb", buffering=0) as file:
            _write_all(file, content)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file; if that fails, nothing of it is left there.

    Args:
        path: The file, made if need be.
        content: What to add.
    """
    with open(path, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            _write_all(file, content)
        except OSError:
            file.truncate(before)
            raise


def _write_all(file: IO[bytes], content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]
