"""How often intervals of 95 % hold the mean: Student's t and the BCa bootstrap, of few values, normal and skewed.

    python -m benchmarks.coverage [REPETITIONS]

Draws samples of a normal and of an exponential distribution, and counts how often each interval holds the known mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import Estimate, bootstrap, mean

__all__ = ["COUNTS", "SOURCES", "covered", "main", "table"]

COUNTS = (3, 5, 10, 20)
REPETITIONS = 4000
RESAMPLES = 1000
SOURCES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "normal": lambda source, count: source.normal(1.0, 1.0, count),
    "exponential": lambda source, count: source.exponential(1.0, count),
}
METHODS: dict[str, Callable[[NDArray[np.float64], int], Estimate]] = {
    "Student's t": lambda values, _: mean(values),
    "BCa": lambda values, seed: bootstrap(values, np.mean, resamples=RESAMPLES, seed=seed),
}


def covered(source: str, method: str, count: int, repetitions: int) -> float:
    """Return how often the interval holds the mean of the distribution, which is 1.

    Args:
        source: Name of the distribution.
        method: Name of the interval.
        count: Values in a sample.
        repetitions: Number of samples.
    """
    drawn = np.random.default_rng(count)
    found = (METHODS[method](SOURCES[source](drawn, count), seed) for seed in range(repetitions))
    return sum(each.low <= 1.0 <= each.high for each in found) / repetitions


def table(repetitions: int) -> str:
    """Return the coverage of every interval in percent as a table in Markdown.

    Args:
        repetitions: Number of samples in every cell.
    """
    head = ("values", *(f"{method}, {source}" for source in SOURCES for method in METHODS))
    rows = [
        (str(count), *(f"{100 * covered(*cell, count, repetitions):.1f}" for cell in
                       ((source, method) for source in SOURCES for method in METHODS)))
        for count in COUNTS
    ]  # fmt: skip
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows))


def main(words: Sequence[str] | None = None) -> int:
    """Print the table.

    Args:
        words: The words of the command line, ``None`` for those of this process.
    """
    words = sys.argv[1:] if words is None else words
    print(table(int(words[0]) if words else REPETITIONS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
