"""What random numbers of image tasks are for, beside the purposes of `tasks.seeds`; none is used twice."""

from __future__ import annotations

__all__ = ["AUGMENT", "CONDITION", "DISTORT", "FRESH", "VALIDATION"]

VALIDATION, AUGMENT, FRESH, DISTORT, CONDITION = range(100, 105)
