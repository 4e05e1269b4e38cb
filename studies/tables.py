"""Tables of the studies, and the statistics in their cells."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import scipy.stats

from analysis.statistics.intervals import Estimate, holm, verdict
from tca.cli.text_table import csv_text
from tca.experiments.records.files import write_whole

__all__ = ["COMPARED", "SIDES", "Table", "differences", "mean_and_spread", "rows_of", "share"]

COMPARED = "± s.e.m. [95 %], p, p after Holm"  # what a cell of a difference holds
SIDES = {"holds": "above", "reversed": "below", "undecided": "undecided"}


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Args:
        head: Headings.
        rows: Cells, row by row.

    >>> print(Table(("rule", "accuracy"), (("bptt", "1.00"),)))
    | rule | accuracy |
    | --- | ---: |
    | bptt | 1.00 |
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        """Return the table in Markdown, all columns but the first to the right."""
        rule = ("---", *("---:" for _ in self.head[1:]))
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, rule, *self.rows))

    def write(self, path: Path) -> None:
        """Write the table as Markdown and as comma-separated values.

        Args:
            path: Where to, without a suffix.
        """
        write_whole(path.with_suffix(".md"), f"{self}\n".encode())
        self.write_csv(path)

    def write_csv(self, path: Path) -> None:
        """Write the table as comma-separated values alone.

        Args:
            path: Where to, without a suffix.
        """
        write_whole(path.with_suffix(".csv"), csv_text(self.head, self.rows).encode())


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file of comma-separated values, each by the names of its columns.

    Args:
        path: The file.
    """
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def differences(found: Sequence[Estimate | None]) -> list[str]:
    """Return the differences of one table as text, with p values corrected for their number.

    Each is a mean, its standard error, Student's t interval, p, p after Holm's correction over all of them, and on
    which side of zero it lies; with fewer than five values that is undecided.

    Args:
        found: The differences; ``None`` for an empty cell.

    >>> from analysis.statistics.intervals import mean
    >>> differences([mean([0.2, 0.3, 0.25, 0.21, 0.29]), None, mean([0.25, 0.75]), mean([0.5])])
    ... # doctest: +NORMALIZE_WHITESPACE
    ['+0.250 ± 0.020 [+0.194, +0.306], p 0.00025, 0.00049, above', '',
     '+0.500 ± 0.250 [-2.677, +3.677], p 0.3, 0.3, undecided', '+0.500, undecided']
    """
    corrected = holm([math.nan if each is None else each.p for each in found])
    return ["" if each is None else _difference(each, p) for each, p in zip(found, corrected, strict=True)]


def _difference(found: Estimate, corrected: float) -> str:
    side = SIDES[verdict(found, corrected)]
    if not found.count:
        return "-"
    if found.count < 2:
        return f"{found.value:+.3f}, {side}"
    error = found.spread / math.sqrt(found.count)
    interval = f"{found.value:+.3f} ± {error:.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{interval}, p {found.p:.2g}, {corrected:.2g}, {side}"


def mean_and_spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean and the standard deviation of the numbers that are finite, as text.

    Args:
        values: The numbers.
        digits: Digits after the point.

    >>> mean_and_spread([1.0, 3.0], 1), mean_and_spread([2.0], 1), mean_and_spread([math.nan])
    ('2.0 ± 1.4', '2.0', '-')
    """
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return "-"
    spread = f" ± {statistics.stdev(kept):.{digits}f}" if len(kept) > 1 else ""
    return f"{statistics.fmean(kept):.{digits}f}{spread}"


def share(count: int, total: int) -> str:
    """Return a count with the interval of Clopper and Pearson for its share.

    Args:
        count: How many.
        total: Of how many.

    >>> share(17, 20)
    '17/20 [0.62, 0.97]'
    """
    found = scipy.stats.binomtest(count, total).proportion_ci(method="exact")
    return f"{count}/{total} [{found.low:.2f}, {found.high:.2f}]"
