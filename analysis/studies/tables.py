"""Tables of the studies, and the statistics in their cells."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.statistics import Estimate

__all__ = ["Table", "difference", "mean_and_spread"]


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
        path.with_suffix(".md").write_text(f"{self}\n", encoding="utf-8")
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.head, *self.rows])
        path.with_suffix(".csv").write_text(text.getvalue(), encoding="utf-8")


def difference(found: Estimate) -> str:
    """Return a mean difference, its standard error and its interval as text.

    Args:
        found: The estimate.

    >>> from analysis.statistics import mean
    >>> difference(mean([0.25, 0.25, 0.25]))
    '+0.250 ± 0.000 [+0.250, +0.250]'
    """
    error = found.spread / math.sqrt(found.count) if found.count else math.nan
    return f"{found.value:+.3f} ± {error:.3f} [{found.low:+.3f}, {found.high:+.3f}]"


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
