"""Durations of the periods of a trial, fixed or drawn for each trial.

Shapes: B batch.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor

from tca.utils.checks import NotNegative, Positive, settle

__all__ = ["Duration", "Percent", "PositiveDuration", "draw_steps", "duration", "settle_durations", "steps_of"]

Duration = NotNegative | tuple[NotNegative, ...]
"""A time in ms: a number, ``(low, high)`` of a uniform distribution, or ``(mean, low, high)`` of an exponential one
truncated to the range."""
PositiveDuration = Positive | tuple[NotNegative, ...]
"""A time in ms above zero, or a range as in ``Duration``."""
Percent = Annotated[float, Ge(0), Le(100)]
"""A percentage, such as the coherence of a stimulus."""


def duration(argument: str, value: Duration, dt: float) -> Duration:
    """Return a valid duration, or raise.

    Args:
        argument: Name of the argument, for the message.
        value: A number, ``(low, high)`` or ``(mean, low, high)``, in ms.
        dt: The time step in ms.

    Raises:
        TypeError: It is not of two or three numbers.
        ValueError: The range is empty, the mean is zero, or a time is shorter than a step.

    >>> duration("delay", (300.0, 600.0), 100.0)
    (300.0, 600.0)
    """
    if isinstance(value, (int, float)):
        steps_of(argument, value, dt)
        return float(value)
    if len(value) not in (2, 3):
        raise TypeError(f"{argument} must be a time in ms, (low, high) or (mean, low, high), got {value!r}")
    low, high = value[-2:]
    if high <= low:
        raise ValueError(f"{argument}'s high must be greater than its low, got {value!r}")
    if value[0] == 0 and len(value) == 3:
        raise ValueError(f"{argument}'s mean must be greater than 0, got {value!r}")
    steps_of(f"{argument}'s low", low, dt)
    steps_of(f"{argument}'s high", high, dt)
    return value


def settle_durations(task: Any, *names: str) -> None:
    """Check and convert durations of a task, in its ``__post_init__``.

    Args:
        task: The task, with its time step ``dt``.

    Raises:
        ValueError: A duration is not allowed.
    """
    settle(task, **{name: duration(name, getattr(task, name), task.dt) for name in names})


def draw_steps(value: Duration, dt: float, trials: int, generator: torch.Generator) -> int | Tensor:
    """Return the steps of a period: a number if it is fixed, else one for each trial, shape ``(B,)``.

    Args:
        value: The duration, as returned by `duration`.
        dt: The time step in ms.
    """
    if isinstance(value, float):
        return steps_of("duration", value, dt)
    low, high = value[-2:]
    quantile_B = torch.rand(trials, generator=generator, dtype=torch.float64, device="cpu")
    if len(value) == 2:
        times_B = low + (high - low) * quantile_B
    else:
        # Inverse of the truncated exponential's distribution function.
        mass = -math.expm1(-(high - low) / value[0])
        times_B = low - value[0] * torch.log1p(-mass * quantile_B)
    return (times_B / dt + 1e-9).floor().long()


def steps_of(argument: str, milliseconds: float, dt: float) -> int:
    """Return the number of whole steps in a time, at least one if it is above zero.

    Args:
        argument: Name of the argument, for the message.
        milliseconds: The time in ms, 0 or greater.
        dt: The time step in ms.

    Raises:
        ValueError: The time is above zero but shorter than a step.

    >>> steps_of("stimulus", 750.0, 100.0)
    7
    """
    steps = math.floor(milliseconds / dt + 1e-9)
    if milliseconds > 0 and steps == 0:
        raise ValueError(f"{argument} must be 0 or at least one time step, got {milliseconds:g} ms with dt = {dt:g} ms")
    return steps
