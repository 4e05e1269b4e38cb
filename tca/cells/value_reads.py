"""Find out whether a computation reads numbers of tensors outside of torch or draws random ones."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["check_reads"]

READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
EXPORTS = ("tolist", "numpy", "__array__", "__dlpack__", "data_ptr", "untyped_storage", "storage")  # unseen by dispatch
GENERATORS = (np.random.Generator, np.random.RandomState, np.random.BitGenerator, random.Random)
DRAWS = "draws random numbers; it must be a function of state and drives alone"


class _RefusedError(Exception):
    """An operation that a cell must not contain."""


class _NoReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuse to draw, or to hand the value of a tensor to Python, as ``if``, ``item`` and ``float`` do."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in READS:
            raise _RefusedError(
                "reads values in Python (if, item, float, print), the same for all neurons; use torch.where"
            )
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _RefusedError(DRAWS)
        return func(*args, **(kwargs or {}))


class _NoExports(TorchFunctionMode):
    """Refuse to hand the memory of a tensor to NumPy or Python, where it has no derivative."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in EXPORTS:
            raise _RefusedError(
                f"takes values out of torch ({name}), where they have no derivative; use its operations"
            )
        return func(*args, **(kwargs or {}))


def check_reads(method: str, call: Callable[[], object], owner: object = None) -> None:
    """Raise if a call takes values out of torch, or draws random numbers.

    A branch on values is taken for all neurons together, and rarely on the values that other checks use. Generators of
    NumPy and Python are the global ones and those that the owner, its class and the functions of this class hold.

    Args:
        method: Its name, for the error.
        call: The computation.
        owner: The object whose method is called; ``None`` (default) for none.

    Raises:
        ValueError: It does either.

    >>> check_reads("step", lambda: torch.ones(2).sum().item())
    Traceback (most recent call last):
    ValueError: step: reads values in Python (if, item, float, print), the same for all neurons; use torch.where
    >>> check_reads("step", lambda: torch.ones(2).tolist())
    Traceback (most recent call last):
    ValueError: step: takes values out of torch (tolist), where they have no derivative; use its operations
    """
    held = list(_held_generators(owner))
    before = _states(held)
    try:
        with _NoReads(), _NoExports():  # type: ignore[no-untyped-call]
            call()
    except _RefusedError as error:
        raise ValueError(f"{method}: {error}") from None
    if _states(held) != before:
        raise ValueError(f"{method}: {DRAWS}")


def _held_generators(owner: object) -> Iterator[object]:
    """Yield generators among the attributes of an object and its class, and in the scope of its functions.

    Functions are those of the modules that define the class and its bases.
    """
    kinds = type(owner).__mro__
    homes, seen = {kind.__module__ for kind in kinds}, set()
    waiting = [*getattr(owner, "__dict__", {}).values(), *(each for kind in kinds for each in vars(kind).values())]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, GENERATORS):
            yield each
        elif isinstance(each, dict | list | tuple):
            waiting += each.values() if isinstance(each, dict) else each
        elif inspect.isfunction(each) and each.__module__ in homes:
            used = inspect.getclosurevars(each)
            waiting += [*used.nonlocals.values(), *used.globals.values()]


def _states(held: list[object]) -> tuple[object, ...]:
    """Return the states of the global generators and of others."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    numpy_state = name, np.asarray(keys).tobytes(), *rest
    return (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        numpy_state,
        [pickle.dumps(each) for each in held],
    )
