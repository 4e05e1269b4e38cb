"""How often intervals of 95 % hold the mean: Student's t and the BCa bootstrap, of few values, normal and skewed.

    python -m benchmarks.coverage [REPETITIONS]

Draws samples of a normal and of an exponential distribution, and counts how often each interval holds the known mean;
and how often the interval of a rank correlation over arms and seeds holds that of all arms and seeds there could be.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import Estimate, bootstrap, mean
from analysis.statistics.rank_correlation import rank_correlation

__all__ = ["ARMS", "COUNTS", "SOURCES", "correlated", "covered", "main", "table"]

COUNTS = (3, 5, 10, 20)
REPETITIONS = 4000
ARMS = (4, 6, 10, 20)
SEEDS = 10
BETWEEN, WITHIN = 0.6, 0.5  # correlation of the arms, standard deviation of runs about their arm
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


def correlated(arms: int, repetitions: int) -> float:
    """Return how often the interval of a rank correlation holds that of the population.

    Arms have normal places of correlation .6 and runs scatter about them, so that the correlation of all runs is
    ``r = .6 / (1 + .5^2)`` and the rank correlation ``6 / pi asin(r / 2)``.

    Args:
        arms: Number of arms, with ten seeds each.
        repetitions: Number of samples.
    """
    source = np.random.default_rng(arms)
    truth = 6 / math.pi * math.asin(BETWEEN / (1 + WITHIN**2) / 2)
    held = 0
    names, seeds = np.repeat(np.arange(arms), SEEDS), np.tile(np.arange(SEEDS), arms)
    for seed in range(repetitions):
        places = source.multivariate_normal([0.0, 0.0], [[1.0, BETWEEN], [BETWEEN, 1.0]], arms)
        x, y = (places[names] + WITHIN * source.normal(size=(len(names), 2))).T.tolist()
        found = rank_correlation(x, y, seeds.tolist(), names.tolist(), resamples=RESAMPLES, seed=seed)
        held += found.low <= truth <= found.high
    return held / repetitions


def main(words: Sequence[str] | None = None) -> int:
    """Print the table.

    Args:
        words: The words of the command line, ``None`` for those of this process.
    """
    words = sys.argv[1:] if words is None else words
    repetitions = int(words[0]) if words else REPETITIONS
    print(table(repetitions))
    for arms in ARMS:
        print(f"rank correlation, {arms} arms, {SEEDS} seeds: {100 * correlated(arms, repetitions // 10):.0f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
