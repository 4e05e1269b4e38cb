"""A progress bar that a process may be killed in without stopping others."""

from __future__ import annotations

import os
import threading

from tqdm.auto import tqdm

__all__ = ["ProgressBar"]


class ProgressBar(tqdm):  # type: ignore[misc]
    """Show progress, in a forked process under a lock of its own.

    tqdm's lock is one of processes, shared with those that a process forks: one that is killed in it would never
    release it, and all others would wait.
    """


def _unlock() -> None:
    """Give a forked process a lock that it does not share and no thread holds."""
    ProgressBar.set_lock(threading.RLock())


os.register_at_fork(after_in_child=_unlock)
