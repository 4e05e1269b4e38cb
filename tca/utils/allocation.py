"""A bound on the tensors that are made, for networks described by a file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch.overrides import TorchFunctionMode

__all__ = ["AtMost"]

SIZED = {"empty", "eye", "expand", "full", "new_empty", "new_full", "new_ones", "new_zeros", "normal", "ones", "rand",
         "randint", "randn", "repeat", "tile", "zeros"}  # fmt: skip
RANGES = {"arange", "linspace", "randperm"}


class AtMost(TorchFunctionMode):
    """Refuse within to make a tensor of more elements than a number.

    Args:
        elements: The number.

    >>> import torch
    >>> with AtMost(10):
    ...     torch.zeros(3, 3).shape
    torch.Size([3, 3])
    >>> with AtMost(10):
    ...     torch.randn(10**9, 10**9)
    Traceback (most recent call last):
    ValueError: a tensor of 1000000000 x 1000000000 elements would be more than the 10 that are allowed here
    """

    def __init__(self, elements: int) -> None:
        super().__init__()
        self.elements = elements

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch unless its result would be too large."""
        options = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in SIZED or name in RANGES:
            for sizes in _sizes(name, args, options):
                if math.prod(sizes) > self.elements:
                    asked = " x ".join(map(str, sizes))
                    raise ValueError(
                        f"a tensor of {asked} elements would be more than the {self.elements} that are allowed here"
                    )
        return func(*args, **options)


def _sizes(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> list[list[int]]:
    """Return the sizes among the arguments of a function: those in tuples, and integers in a row."""
    given = [*args, *(options[each] for each in ("size", "n", "end", "steps") if each in options)]
    tuples = [[int(part) for part in each if isinstance(part, int)] for each in given if isinstance(each, tuple | list)]
    row = [each for each in given if isinstance(each, int) and not isinstance(each, bool)]
    if name == "eye":
        return [row * 2 if len(row) == 1 else row]
    if name in RANGES:
        return [[max(row, default=0)]]
    return tuples or [row]
