"""Statistics over seeds: intervals, corrected p values."""

from analysis.statistics.intervals import (
    DECIDING,
    RESAMPLES,
    Estimate,
    bootstrap,
    holm,
    mean,
    paired_difference,
    verdict,
)

__all__ = [
    "DECIDING",
    "RESAMPLES",
    "Estimate",
    "bootstrap",
    "holm",
    "mean",
    "paired_difference",
    "verdict",
]
