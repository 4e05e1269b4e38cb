"""Showing on stderr how work goes: a line for everything that is ready, and a bar below."""

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
    """Yield what comes, with a line for each and a bar that fills.

    Args:
        items: What comes.
        total: How many will come.
        line: What to say of one; nothing is said if it is empty.
        bar: Whether to show the bar, default yes.
    """
    with tqdm(total=total, disable=not bar, unit="run", file=sys.stderr) as filling:
        for item in items:
            if text := line(item):
                say(text)
            filling.update()
            yield item


def say(text: str) -> None:
    """Write a line to stderr, above the bar if there is one.

    Args:
        text: The line.
    """
    tqdm.write(printable(text), file=sys.stderr)


def plain_lock() -> None:
    """Have bars in a worker do without a lock between processes, which a worker that is killed would leave behind."""
    if multiprocessing.parent_process() is not None:
        tqdm.set_lock(threading.RLock())
