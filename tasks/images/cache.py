"""A cache whose entries are whole or absent.

An entry is a folder of files with a ``meta.json`` that holds the version of the format and the size and SHA-256 of
every file. It is filled under another name and renamed when complete, so a writer may be killed at any moment; the next
one removes the remains. One process fills an entry at a time; the others wait and use it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tasks.images.folders import literal
from tca.utils.own_files import own_file

__all__ = ["CacheError", "Entry", "cache_root", "entry", "sha256"]

FORMAT = 3  # of all files of an entry: a change of decoding makes another format
VARIABLE = "TCA_CACHE"


class CacheError(RuntimeError):
    """The cache cannot be written; the message is one line with the folder, the reason and the way out."""


class Entry(NamedTuple):
    """A complete entry with checked files: its folder, and the facts that were returned when it was filled."""

    folder: Path
    about: Mapping[str, Any]


def cache_root(cache_dir: str | None) -> Path:
    """Return the folder of the cache: the argument, else ``TCA_CACHE``, else ``tca/images`` in the user's cache."""
    if given := cache_dir or os.environ.get(VARIABLE):
        return literal(given)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tca" / "images"


def entry(root: Path, name: str, identity: Mapping[str, Any], fill: Callable[[Path], Mapping[str, Any]]) -> Entry:
    """Return an entry of the cache, filled if it is missing or damaged.

    Args:
        root: Folder of the cache, made if need be; it may be read-only if the entry is there.
        identity: Everything that decides the contents of the entry.
        fill: Writes the files into a new folder and returns the facts to keep with them.

    Raises:
        CacheError: The folder cannot be written.
    """
    text = json.dumps({"format": FORMAT, **identity}, sort_keys=True)
    folder = root / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if there := _read(folder):
        return there
    try:
        root.mkdir(parents=True, exist_ok=True)
        with open(root / f".{folder.name}.lock", "ab", opener=own_file) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system releases the lock of a process that dies
            return _read(folder) or _filled(folder, fill)
    except OSError as error:
        raise CacheError(
            f"cannot write the cache of images in {root}: {error.strerror or error}; "
            f"name another folder by cache_dir or by the variable {VARIABLE}"
        ) from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _filled(folder: Path, fill: Callable[[Path], Mapping[str, Any]]) -> Entry:
    """Make the entry; the remains of a damaged one or of a killed writer go first. The caller holds the lock."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    for remains in (unfinished, folder):
        if remains.exists():
            shutil.rmtree(remains)
    unfinished.mkdir()
    try:
        about = dict(fill(unfinished))
        files = {each.name: _facts(each) for each in sorted(unfinished.iterdir()) if each.is_file()}
        (unfinished / "meta.json").write_text(json.dumps({"format": FORMAT, "about": about, "files": files}, indent=2))
        for each in (*unfinished.iterdir(), unfinished):
            _to_disk(each)
        os.rename(unfinished, folder)
        _to_disk(folder.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Entry(folder, about)


def _read(folder: Path) -> Entry | None:
    """Return the entry if it is whole."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        whole = all(_facts(folder / name) == facts for name, facts in meta["files"].items())
        return Entry(folder, meta["about"]) if whole and meta["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
