"""What a pass needs of torch: number formats, autocast and inference mode, and memory used again."""

from __future__ import annotations

import abc
import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import torch
from torch import Tensor

__all__ = [
    "FLOATS",
    "TOLERANCE",
    "Constant",
    "Lasting",
    "Workspace",
    "check_autocast",
    "check_dtype",
    "kept",
    "lasting",
]

FLOATS = (torch.float32, torch.float64)
TOLERANCE = 0.01  # largest relative error of a rounded constant

P = ParamSpec("P")
R = TypeVar("R")


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


def check_autocast(device: torch.device) -> None:
    """Raise where autocast would run products in half precision.

    Args:
        device: The device of the products.

    Raises:
        ValueError: Autocast is on for that kind of device.
    """
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        raise ValueError(
            f"torch.autocast must be off where networks compute, got it on for {kind!r}: rules read the numbers of a "
            "pass in the network's own type"
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


def lasting(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function run without a graph, and outside of inference mode.

    A tensor that is made in inference mode can neither be changed nor saved for a graph outside of it; what a learner
    keeps from one batch to the next must be neither, wherever the first of them was.

    Args:
        function: The function.

    >>> with torch.inference_mode():
    ...     lasting(torch.zeros_like)(torch.ones(2)).is_inference()
    False
    """

    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        with torch.inference_mode(False), torch.no_grad():  # in this order: leaving inference mode enables gradients
            return function(*args, **options)

    return run


class _Maker(abc.ABCMeta):
    """Makes instances outside of inference mode."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Return an instance."""
        with torch.inference_mode(False):
            return super().__call__(*args, **options)

    @property
    def __signature__(cls) -> inspect.Signature:
        """The arguments of the constructor."""
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])


class Lasting(metaclass=_Maker):
    """What is made and copied outside of inference mode, because its tensors are changed later.

    >>> class Mean(Lasting):
    ...     def __init__(self) -> None:
    ...         self.value = torch.zeros(2)
    >>> with torch.inference_mode():
    ...     mean = copy.deepcopy(Mean())
    >>> mean.value.add_(1).tolist()
    [1.0, 1.0]
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return a copy that shares nothing."""
        made = memo[id(self)] = type(self).__new__(type(self))
        with torch.inference_mode(False):
            made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made


def kept(values: Tensor) -> Tensor:
    """Return values as they are, or a copy where they were made in inference mode, which no graph may save.

    Args:
        values: The values.
    """
    with torch.inference_mode(False):
        return values.clone() if values.is_inference() else values


class Workspace:
    """Named tensors handed out again whenever the same shape, type and device are asked for.

    What is handed out holds arbitrary numbers and is overwritten by the next call with the same name: nothing that
    outlives a batch may live here.

    >>> space = Workspace()
    >>> space.empty("rate", (2, 3), torch.zeros(1)).data_ptr() == space.empty("rate", (2, 3), torch.zeros(1)).data_ptr()
    True
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._held: dict[str, Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised tensor.

        Args:
            name: What it is for; one tensor is held per name.
            shape: Its shape.
            like: A tensor with the wanted type and device.
        """
        held = self._held.get(name)
        if held is None or held.shape != shape or held.dtype != like.dtype or held.device != like.device:
            with torch.inference_mode(False):
                held = self._held[name] = torch.empty(shape, dtype=like.dtype, device=like.device)
        return held
