"""Atomic writes, bounded reads, and locks of folders.

No write follows a symbolic or a hard link: opening a link is an error, and a new file renamed over a link replaces it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tca.utils.own_files import own_file
from tca.utils.text import in_a_line

__all__ = [
    "RecordError", "append", "explained", "facts", "locked", "make_folder", "opened", "read_bytes", "tidy",
    "write_whole",
]  # fmt: skip

BLOCK = 1 << 20


class RecordError(RuntimeError):
    """A record cannot be written, read or resumed; the message is one line that names the folder and the reason."""


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Raise errors of the operating system as `RecordError`."""
    try:
        yield
    except OSError as error:
        raise RecordError(f"cannot write the record in {in_a_line(folder)}: {error.strerror or error}") from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents durably; refuse a link in its place.

    Raises:
        OSError: It cannot be made, or is a symbolic link.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link; name the folder that it leads to", str(folder))
    for each in missing:
        _to_disk(each.parent)


def locked(folder: Path) -> IO[bytes]:
    """Return the lock file of a folder, locked until it is closed or the process dies.

    Raises:
        RecordError: Another process has locked it.
        OSError: It cannot be made, or is a link or no regular file.
    """
    lock = open(folder / ".lock", "a+b", buffering=0, opener=own_file)  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        _write_all(lock, f"{os.getpid()}".encode())
    except BlockingIOError:
        with lock:
            lock.seek(0)
            owner = in_a_line(lock.read(20).decode(errors="replace")) or "unknown"
        raise RecordError(f"the record in {in_a_line(folder)} is in use by another process (number {owner})") from None
    except OSError:
        lock.close()
        raise
    return lock


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file atomically and durably, even across a power cut.

    Args:
        path: The file; a link is replaced, not followed.
    """
    file = _fresh(path)
    try:
        with file:
            _write_all(file, content)
            os.fsync(file.fileno())
            os.replace(file.name, path)
    except OSError:
        Path(file.name).unlink(missing_ok=True)
        raise
    _to_disk(path.parent)
    tidy(path.parent, f".{path.name}.")


def append(path: Path, content: bytes) -> None:
    """Append to a file durably, or not at all.

    Args:
        path: The file, created if missing; no link.
    """
    with open(path, "ab", buffering=0, opener=own_file) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            _write_all(file, content)
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)
            raise


def tidy(folder: Path, start: str = ".") -> None:
    """Remove temporary files of killed writers; those of living writers stay.

    Args:
        start: Start of the names of the files, default that of any hidden file.
    """
    for name in os.listdir(folder):
        if name.startswith(start) and name.endswith(".tmp"):
            with contextlib.suppress(OSError), open(folder / name, "ab", opener=own_file) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / name)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, without blocking on a pipe or device.

    Raises:
        RecordError: It cannot be read, or is no regular file.
    """
    try:
        with open(path, "rb", opener=_unhurried) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            yield file
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "out of memory"
        raise RecordError(f"{in_a_line(path)} cannot be read: {reason}") from error


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        RecordError: It cannot be read, is no regular file, or is larger.
    """
    with opened(path) as file:
        _check_size(file, most)
        blocks, left = [], most
        while block := file.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise OSError(errno.EFBIG, f"it holds more than {most} bytes")
            blocks.append(block)
    return b"".join(blocks)


def facts(path: Path, most: int) -> dict[str, int | str]:
    """Return the size of a file in bytes, and its SHA-256.

    Raises:
        RecordError: It cannot be read, is no regular file, or is larger.
    """
    with opened(path) as file:
        return {"bytes": _check_size(file, most), "sha256": hashlib.file_digest(file, "sha256").hexdigest()}  # type: ignore[arg-type]


def _check_size(file: IO[bytes], most: int) -> int:
    """Return the size of a file in bytes, or raise if it is too large."""
    size = os.fstat(file.fileno()).st_size
    if size > most:
        raise OSError(errno.EFBIG, f"it holds more than {most} bytes")
    return size


def _unhurried(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def _fresh(path: Path) -> IO[bytes]:
    """Return a new temporary file beside another, locked against `tidy` while it is open."""
    while True:
        name = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        file = open(name, "xb", buffering=0, opener=own_file)  # noqa: SIM115
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:
                return file
        file.close()  # removed by `tidy` before it was locked


def _to_disk(folder: Path) -> None:
    """Write the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # not supported by some file systems
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: IO[bytes], content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]
