"""Files that the library writes: regular files of its own, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

__all__ = ["own_file"]


def own_file(path: str, flags: int) -> int:
    """Open a regular file without links for writing; an ``opener`` of `open`.

    Raises:
        OSError: It is a link, or no regular file.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, f"{Path(path).name} is a symbolic link") from error
        raise
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
        return descriptor
    os.close(descriptor)
    kind = "has a hard link elsewhere" if stat.S_ISREG(found.st_mode) else "is no regular file"
    raise OSError(errno.EINVAL, f"{Path(path).name} {kind}")
