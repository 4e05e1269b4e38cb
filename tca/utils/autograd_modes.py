"""Modes of torch: what is kept outlives inference mode, and autocast is refused."""

from __future__ import annotations

import abc
import copy
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import torch
from torch import Tensor

__all__ = ["Lasting", "check_autocast", "kept", "lasting"]

P = ParamSpec("P")
R = TypeVar("R")


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
