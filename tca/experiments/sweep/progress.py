"""Progress on stderr: a line for each finished item above a bar."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from tca.utils.text import printable

__all__ = ["plain_lock", "say", "shown"]

Item = TypeVar("Item")


def shown(items: Iterable[Item], total: int, line: Callable[[Item], str], *, bar: bool = True) -> Iterator[Item]:
    """Yield items, with a line for each and a progress bar.

    Args:
        line: Function from an item to its line, empty for none.
        bar: Whether to show the bar, default yes.
    """
    with tqdm(total=total, disable=not bar, unit="run", file=sys.stderr) as filling:
        for item in items:
            if text := line(item):
                say(text)
            filling.update()
            yield item


def say(text: str) -> None:
    """Write a line to stderr, above the bar if any."""
    tqdm.write(printable(text), file=sys.stderr)


def plain_lock() -> None:
    """Use a lock of threads for bars in a worker: a killed worker would never release one of processes."""
    if multiprocessing.parent_process() is not None:
        tqdm.set_lock(threading.RLock())
