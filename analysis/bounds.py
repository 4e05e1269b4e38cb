"""Checks of numbers that a user has given."""

from __future__ import annotations

import math

__all__ = ["at_least", "whole"]


def at_least(name: str, value: float, least: float, below: float = math.inf) -> float:
    """Return a number, having checked that it lies in a range.

    Args:
        name: What to call it in the error.
        value: The number.
        least: The least it may be.
        below: What it must stay below, default infinity.

    Raises:
        ValueError: It does not.

    >>> at_least("l2", 0.5, 0.0)
    0.5
    """
    if not least <= value < below:
        raise ValueError(f"{name} must be at least {least:g} and below {below:g}, got {value!r}")
    return value


def whole(name: str, value: int, least: int) -> int:
    """Return a whole number, having checked that it is one and large enough.

    Args:
        name: What to call it in the error.
        value: The number.
        least: The least it may be.

    Raises:
        ValueError: It is not.

    >>> whole("probes", 3, 0)
    3
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return value
