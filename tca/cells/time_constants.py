"""Time constants as factors per step: the leak of a state and the gain of its drive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.utils.checks import Positive, checked
from tca.utils.names import lookup

__all__ = ["LEAKS", "TOLERANCE", "Constant", "constants_of", "durations", "leak_and_gain", "readout_filter"]

TOLERANCE = 0.01  # largest relative error of a rounded constant

LEAKS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "exponential": lambda ratio: (torch.exp(-ratio), -torch.expm1(-ratio)),
    "euler": lambda ratio: (1 - ratio, ratio),
}


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant of a network in double precision, of which a floating-point type keeps two digits at least.

    Args:
        name: Name of the argument.
        value: The constant, a number or one for each cell.
        complement: One minus the constant where it is a leak per step, computed without cancellation: what has to be
            kept then is the complement, which is the inverse time constant. ``None`` (default) for any other constant.
    """

    name: str
    value: Tensor | float
    complement: Tensor | float | None = None

    def check(self, dtype: torch.dtype) -> None:
        """Raise unless a type holds the constant.

        Args:
            dtype: The floating-point type.

        Raises:
            ValueError: The constant, or the complement of a leak, is rounded by more than one percent.

        >>> Constant("tau", 0.995).check(torch.bfloat16)
        >>> Constant("tau", 0.9995, complement=0.0005).check(torch.bfloat16)
        Traceback (most recent call last):
        ValueError: tau gives 0.9995 per step, which torch.bfloat16 rounds to 1.0: use a wider type
        """
        exact = torch.as_tensor(self.value, dtype=torch.float64, device="cpu")
        rounded = exact.to(dtype).double()
        if self.complement is None:
            wanted, held = exact, rounded
        else:
            wanted, held = torch.as_tensor(self.complement, dtype=torch.float64, device="cpu"), 1 - rounded
        wrong = ~((held - wanted).abs() <= TOLERANCE * wanted.abs())
        if wrong.any():
            first = wrong.reshape(-1).nonzero()[0, 0]
            came, kept = (each.expand_as(wrong).reshape(-1)[first].item() for each in (exact, rounded))
            per_step = "" if self.complement is None else " per step"
            raise ValueError(
                f"{self.name} gives {came!r}{per_step}, which {dtype} rounds to {kept!r}: use a wider type"
            )


@checked
def leak_and_gain(
    name: str, tau: float | Sequence[float] | Tensor, dt: Positive, convention: str, cells: int
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
        TypeError: A duration is no number.

    >>> leak_and_gain("tau", 20.0, 10.0, "euler", 4)
    (0.5, 0.5)
    """
    convert, times = lookup(LEAKS, convention, "leak"), durations(name, tau)
    if times.ndim and tuple(times.shape) != (cells,):
        raise ValueError(f"{name} must be one number or {cells}, one for each cell, got shape {tuple(times.shape)}")
    if convention == "euler" and (times < dt).any():
        raise ValueError(
            f"{name} must be at least dt = {dt} with the Euler leak, got {times.min().item()}; use leak='exponential'"
        )
    leak, gain = convert(dt / times)
    return (leak, gain) if times.ndim else (leak.item(), gain.item())


def durations(name: str, tau: float | Sequence[float] | Tensor) -> Tensor:
    """Return time constants in float64.

    Args:
        name: Name of the argument, for errors.
        tau: Time constant in ms, a number or one per cell.

    Raises:
        ValueError: A time constant is not positive and finite.
        TypeError: It is no number.
    """
    try:
        times = torch.as_tensor(None if isinstance(tau, bool) else tau, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be a number of milliseconds or one for each cell, got {tau!r}") from None
    if not (torch.isfinite(times).all() and (times > 0).all()):
        raise ValueError(f"{name} must be positive and finite, in milliseconds, got {tau!r}")
    return times


def constants_of(learn: Sequence[str] | None, known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the parameters of learned options.

    Args:
        learn: The options; ``None`` for none.
        known: Parameters by option.

    Raises:
        ValueError: One of them cannot be learned.

    >>> constants_of(["tau"], {"tau": "leak"})
    ('leak',)
    """
    return tuple(lookup(known, each, "learned constant") for each in learn or ())


def readout_filter(tau: float, dt: float, convention: str) -> Constant:
    """Return the leak per step of a filtered readout.

    Args:
        tau: Time constant in ms.
        dt: Duration of a step in ms.
        convention: ``"exponential"`` or ``"euler"``.

    >>> readout_filter(20.0, 10.0, "euler").value
    0.5
    """
    return Constant("readout_tau", *leak_and_gain("readout_tau", tau, dt, convention, 1))
