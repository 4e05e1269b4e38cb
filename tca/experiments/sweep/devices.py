"""Devices of workers, for runs with the device ``cuda`` on a machine with several.

During training a worker holds the lowest number that no other worker holds, and uses the device of that number modulo
the number of devices. Numbers are locked files: the lock of a dead worker is released, and workers of several sweeps,
or of Dask, share the devices.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from tca.utils.own_files import own_file

__all__ = ["held_number", "placed"]


@contextlib.contextmanager
def placed(device: str) -> Iterator[None]:
    """Make the least used visible device the current one for ``cuda`` without a number.

    Args:
        device: Device of a run; others than ``cuda`` without a number have no effect.
    """
    asked = torch.device(device)
    if asked.type != "cuda" or asked.index is not None or (devices := torch.cuda.device_count()) < 2:
        yield
        return
    with held_number(_folder()) as number, torch.cuda.device(number % devices):
        yield


@contextlib.contextmanager
def held_number(folder: Path) -> Iterator[int]:
    """Hold the lowest free number.

    Args:
        folder: Folder of the locks, created if missing.

    Raises:
        PermissionError: Other users can write to it.
    """
    _take(folder)
    for number in itertools.count():
        with open(folder / str(number), "ab", opener=own_file) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return


def _take(folder: Path) -> None:
    """Make a folder that only this user can write to, or raise if it belongs to another."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(
            f"{folder} must be a folder that only this user can write to; set TMPDIR to another place"
        )


def _folder() -> Path:
    """Return the folder of this user and the visible devices."""
    seen = hashlib.sha256(os.environ.get("CUDA_VISIBLE_DEVICES", "").encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"tca-devices-{os.getuid()}-{seen}"
