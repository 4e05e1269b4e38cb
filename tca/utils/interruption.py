"""An interruption while the command is still importing: one line, not a traceback.

Imported by `tca` before everything else; importing takes seconds, with no work begun meanwhile. Where `tca` is
imported other than by its own command, interruptions are unchanged.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

__all__ = ["STATUS", "TEXT", "allow", "ignore", "is_command"]

STATUS = 130
TEXT = "tca: interrupted; the same command goes on where it was"


def is_command() -> bool:
    """Return whether this process was started as ``tca`` or ``python -m tca``."""
    return sys.orig_argv[1:3] == ["-m", "tca"] or os.path.basename(sys.argv[0] if sys.argv else "") == "tca"


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{TEXT}\n".encode())
    os._exit(STATUS)


def allow() -> None:
    """Have interruptions raise ``KeyboardInterrupt`` from now on, unless they are ignored."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """Ignore interruptions of the command from now on: it is at its end."""
    if is_command():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
