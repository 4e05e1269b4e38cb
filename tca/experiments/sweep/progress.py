"""Progress on stderr: a line for each finished item above a bar."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tca.utils.progress_bar import ProgressBar
from tca.utils.text import printable

__all__ = ["RunsBar", "say", "shown", "updates_made"]

Item = TypeVar("Item")
MOST_LOOKED_AT, MOST_NAMED = 100, 3  # runs in training
LAST_BYTES = 1 << 16  # of the measurements, which hold the last one


def shown(items: Iterable[Item], total: int, line: Callable[[Item], str], *, bar: bool = True) -> Iterator[Item]:
    """Yield items, with a line for each and a progress bar.

    Args:
        line: Function from an item to its line, empty for none.
        bar: Whether to show the bar if there are items, default yes.
    """
    with ProgressBar(total=total, disable=not (bar and total), unit="run", file=sys.stderr) as filling:
        for item in items:
            if text := line(item):
                say(text)
            filling.update()
            yield item


class RunsBar:
    """A bar over the updates of several runs, with time left and the names of those in training.

    The updates of a run in training are those of its last measurement. A run that ends early counts whole.

    Args:
        runs: Updates of each run, by name.
        folder: Function from the name of a run to its record.
        label: Function from the name of a run to a few words for the user.
        bar: Whether to show the bar.
    """

    def __init__(
        self, runs: Mapping[str, int], folder: Callable[[str], Path], label: Callable[[str], str], *, bar: bool
    ) -> None:
        self._runs, self._folder, self._label, self._ended = dict(runs), folder, label, 0
        self.bar = ProgressBar(total=sum(runs.values()), disable=not bar, unit="update", file=sys.stderr)

    def look(self, names: Sequence[str]) -> None:
        """Show the updates made by runs in training.

        Args:
            names: Names of the runs that were started and have not ended.
        """
        made = {name: updates_made(self._folder(name)) for name in names[:MOST_LOOKED_AT]}
        going = [name for name, steps in made.items() if steps is not None]
        self.bar.n = max(self.bar.n, self._ended + sum(min(made[name] or 0, self._runs[name]) for name in going))
        text = [f"{self._label(name)} {made[name]}/{self._runs[name]}" for name in going]
        more = [f"{len(going) - MOST_NAMED} more"] if len(going) > MOST_NAMED else []
        self.bar.set_postfix_str("; ".join([*text[:MOST_NAMED], *more]))

    def ended(self, name: str, text: str) -> None:
        """Count a run that has ended and show its line."""
        say(text)
        self._ended += self._runs[name]
        self.bar.n = max(self.bar.n, self._ended)
        self.bar.refresh()


def updates_made(folder: Path) -> int | None:
    """Return the updates of a run at its last measurement, ``None`` before the first.

    >>> updates_made(Path("no such folder")) is None
    True
    """
    try:
        with open(folder / "metrics.jsonl", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_BYTES))
            lines = file.read(LAST_BYTES).splitlines(keepends=True)
        return int(json.loads(next(line for line in reversed(lines) if line.endswith(b"\n")))["step"])
    except (OSError, ValueError, LookupError, TypeError, StopIteration):
        return None


def say(text: str) -> None:
    """Write a line to stderr, above the bar if any."""
    ProgressBar.write(printable(text), file=sys.stderr)
