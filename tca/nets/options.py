"""Checks and conversions of the options that networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tca.names import lookup

__all__ = ["LEAKS", "check_mask", "check_size", "leak_and_gain"]

LEAKS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "exponential": lambda ratio: (torch.exp(-ratio), -torch.expm1(-ratio)),
    "euler": lambda ratio: (1 - ratio, ratio),
}


def check_size(name: str, size: int) -> int:
    """Return a size if it is a whole number of at least one.

    Args:
        name: Name of the argument, for the error.
        size: What came.

    Raises:
        ValueError: It is not.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {size!r}")
    return size


def check_mask(name: str, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """Return a mask as zeros and ones in float64, ``None`` if all synapses exist.

    Args:
        name: Name of the argument, for the error.
        mask: What came: zeros and ones, or booleans.
        shape: The shape of the weights.

    Raises:
        ValueError: Another shape, or another value than zero and one.
    """
    if mask is None:
        return None
    mask = torch.as_tensor(mask).to(torch.float64)
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape} of its weights, got {tuple(mask.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{name} must hold zeros and ones only")
    return mask


def leak_and_gain(
    name: str, tau: float | Sequence[float] | Tensor, dt: float, convention: str, cells: int
) -> tuple[Tensor | float, Tensor | float]:
    """Return leak and gain per step: ``exp(-dt/tau)`` and its complement, or ``1 - dt/tau`` and its own by Euler.

    Args:
        name: Name of the argument, for errors.
        tau: Time constant in ms, a number or one per cell.
        dt: Duration of a step in ms.
        convention: ``"exponential"`` or ``"euler"``.
        cells: Number of cells.

    Raises:
        ValueError: A duration is not positive and finite, the number of time constants is not that of the cells, a name
            is unknown, or ``dt > tau`` with the Euler leak, which would be negative.

    >>> leak_and_gain("tau", 20.0, 10.0, "euler", 4)
    (0.5, 0.5)
    """
    convert = lookup(LEAKS, convention, "leak")
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise ValueError(f"dt must be a positive number of milliseconds, got {dt!r}")
    single = isinstance(tau, (int, float))
    times = torch.as_tensor(tau, dtype=torch.float64)
    if not single and tuple(times.shape) != (cells,):
        raise ValueError(f"{name} must be one number or {cells}, one for each cell, got shape {tuple(times.shape)}")
    if not (torch.isfinite(times).all() and (times > 0).all()):
        raise ValueError(f"{name} must be positive and finite, in milliseconds, got {tau!r}")
    if convention == "euler" and (times < dt).any():
        raise ValueError(
            f"{name} must be at least dt = {dt} with the Euler leak, got {times.min().item()}; use leak='exponential'"
        )
    leak, gain = convert(dt / times)
    return (leak.item(), gain.item()) if single else (leak, gain)
