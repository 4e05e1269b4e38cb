"""Loaded by the process that workers are forked from: it says nothing when the process that asks has died."""

from __future__ import annotations

import sys
from types import TracebackType

__all__: list[str] = []


def _quiet(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error unless it is the end of the pipe from the process that asks."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


if sys.argv[:1] == ["-c"]:  # as multiprocessing starts it
    sys.excepthook = _quiet
