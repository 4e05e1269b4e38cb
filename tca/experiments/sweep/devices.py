"""Which device a worker trains on, where a run says only ``cuda`` and there are several.

Workers on a machine take its devices in turn: each holds the lowest number that no other holds while it trains, and
trains on the device of that number, counted round. Numbers are locked files, so that a worker that dies gives its own
back, and workers of several sweeps, or of Dask, need not know of each other.
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

from tca.experiments.records.files import own_file

__all__ = ["held_number", "placed"]


@contextlib.contextmanager
def placed(device: str) -> Iterator[None]:
    """Let ``cuda`` mean one of the devices that this process sees, others than other workers use as far as possible.

    Args:
        device: The device that a run names; unless it is ``cuda`` without a number, nothing is done.
    """
    asked = torch.device(device)
    if asked.type != "cuda" or asked.index is not None or (devices := torch.cuda.device_count()) < 2:
        yield
        return
    with held_number(_folder()) as number, torch.cuda.device(number % devices):
        yield


@contextlib.contextmanager
def held_number(folder: Path) -> Iterator[int]:
    """Hold the lowest number that nobody holds.

    Args:
        folder: Where the numbers are locked, made if need be.

    Raises:
        PermissionError: Others can write there.
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
    """Make a folder that only this user can write to, or raise if the one that is there is another's."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(
            f"{folder} must be a folder that only this user can write to; set TMPDIR to another place"
        )


def _folder() -> Path:
    """Return a folder of this user and of the devices that this process sees."""
    seen = hashlib.sha256(os.environ.get("CUDA_VISIBLE_DEVICES", "").encode()).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"tca-devices-{os.getuid()}-{seen}"
