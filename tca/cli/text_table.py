"""Tables as text for a terminal and as comma-separated values."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["TextTable", "csv_text"]


@dataclass(frozen=True)
class TextTable:
    """Text in rows and columns, with notes below.

    Args:
        head: Headings.
        rows: Cells, row by row.
        notes: Notes below the table, default none.
        meanings: Descriptions of numeric columns, by heading, default none.
        left: Number of text columns, aligned left, default 2; the others are numeric.
        grouped: Whether to print a blank line where the first column changes, default yes.
        title: Title of the table on a page, default none.
        shared: Columns that have one value in each group, which a page shows in the heading of the group; default none.
        marked: A mark of some rows, by their place, which a page shows beside their name; default none.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str] = ()
    meanings: Mapping[str, str] = field(default_factory=dict)
    left: int = 2
    grouped: bool = True
    title: str = ""
    shared: Sequence[str] = ()
    marked: Mapping[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines, group = [], ""
        for row in (self.head, *self.rows):
            if self.grouped and group and row[0] != group:
                lines.append("")
            cells = [cell.ljust(width) if place < self.left else cell.rjust(width)
                     for place, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
            lines.append("  ".join(cells).rstrip())
            group = row[0]
        width = max(80, *map(len, lines))
        return "\n".join([*lines, "", *(textwrap.fill(note, width) for note in self.notes)])

    @property
    def places(self) -> list[int]:
        """Columns that are no heading of groups: the first column and shared ones of a grouped table are."""
        hidden = {self.head[0], *self.shared} if self.grouped else set()
        return [place for place, name in enumerate(self.head) if name not in hidden]

    def heading(self, row: Sequence[str]) -> tuple[str, str]:
        """Return the heading of the group of a row and its shared columns, two empty texts without groups."""
        if not self.grouped:
            return "", ""
        return row[0], "".join(f" · {name} {row[self.head.index(name)]}" for name in self.shared)

    def csv(self) -> str:
        """Return the table as comma-separated values."""
        return csv_text(self.head, self.rows)


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""Return rows as comma-separated values, numbers in full.

    >>> csv_text(["rule", "loss"], [("bptt", 0.1)])
    'rule,loss\nbptt,0.1\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()
