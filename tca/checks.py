"""Refusing bad options with an error that names the argument, what came and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

__all__ = ["DivergenceError", "choice", "finite", "instance", "not_negative", "positive", "settle", "whole"]


class DivergenceError(ValueError):
    """What a rule propagates grows without bound at the present weights; training that leads there has diverged."""


def whole(argument: str, value: object, least: int) -> int:
    """Return ``value`` as an integer.

    Args:
        argument: Name of the argument, for the message.
        value: What came.
        least: Smallest allowed value.

    Raises:
        TypeError: ``value`` is no integer.
        ValueError: ``value`` is below ``least``.

    >>> whole("n_train", 3, 1)
    3
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{argument} must be an integer of at least {least}, got {value!r}")
    if value < least:
        raise ValueError(f"{argument} must be at least {least}, got {value}")
    return int(value)


def finite(argument: str, value: object) -> float:
    """Return ``value`` as a float.

    Args:
        argument: Name of the argument, for the message.
        value: What came.

    Raises:
        TypeError: ``value`` is no number.
        ValueError: ``value`` is NaN or infinite.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{argument} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {value}")
    return float(value)


def positive(argument: str, value: object) -> float:
    """Return ``value`` as a float above zero, or raise as `finite` does.

    Args:
        argument: Name of the argument, for the message.
        value: What came.
    """
    number = finite(argument, value)
    if number <= 0:
        raise ValueError(f"{argument} must be greater than 0, got {value}")
    return number


def not_negative(argument: str, value: object) -> float:
    """Return ``value`` as a float of at least zero, or raise as `finite` does.

    Args:
        argument: Name of the argument, for the message.
        value: What came.
    """
    number = finite(argument, value)
    if number < 0:
        raise ValueError(f"{argument} must be 0 or greater, got {value}")
    return number


def choice(argument: str, values: Sequence[object], least: int = 1) -> tuple[float, ...]:
    """Return a list of numbers to choose from as a tuple of floats.

    Args:
        argument: Name of the argument, for the message.
        values: What came.
        least: Smallest allowed number of entries.

    Raises:
        TypeError: ``values`` is no list or tuple, or holds something that is no number.
        ValueError: There are too few values, or one is not finite.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{argument} must be a list or tuple of numbers, got {values!r}")
    if len(values) < least:
        raise ValueError(f"{argument} must hold at least {least} number(s), got {values!r}")
    return tuple(finite(f"{argument}[{place}]", value) for place, value in enumerate(values))


def instance(argument: str, value: object, kind: type, allowed: str) -> None:
    """Raise unless ``value`` is of a kind.

    Args:
        argument: Name of the argument, for the message.
        value: What came.
        kind: The class that it must be an instance of.
        allowed: What may be given, for the message.

    Raises:
        TypeError: ``value`` is of another kind.

    >>> instance("centred", "yes", bool, "True or False")
    Traceback (most recent call last):
    TypeError: centred must be True or False, got 'yes'
    """
    if not isinstance(value, kind):
        raise TypeError(f"{argument} must be {allowed}, got {value!r}")


def settle(options: object, /, **values: object) -> None:
    """Put checked and converted values in the place of what a frozen dataclass was made with.

    Args:
        options: The dataclass, in its ``__post_init__``.
        values: Fields and their values.
    """
    for field, value in values.items():
        object.__setattr__(options, field, value)
