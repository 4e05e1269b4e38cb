"""The number formats in which networks compute, and constants that a format may not be able to hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FLOATS", "TOLERANCE", "Constant", "check_dtype"]

FLOATS = (torch.float32, torch.float64)
TOLERANCE = 0.01  # largest relative error of a rounded constant


def check_dtype(dtype: object) -> None:
    """Raise unless networks compute in this floating-point type.

    In half precision, gradients summed over steps and trials keep two or three digits, a leak near one rounds to one,
    and several kernels of the CPU are missing.

    Args:
        dtype: The type.

    Raises:
        TypeError: It is no type of numbers.
        ValueError: It is another type than float32 and float64.
    """
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be torch.float32 or torch.float64, got {dtype!r}")
    if dtype not in FLOATS:
        raise ValueError(
            f"dtype must be torch.float32 or torch.float64, got {dtype}: networks compute in no other type"
        )


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant of a network in double precision, of which a floating-point type keeps two digits at least.

    Args:
        name: The argument that it comes from.
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
