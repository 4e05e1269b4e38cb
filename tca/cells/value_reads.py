"""Find out whether a computation reads numbers of tensors in Python or draws random ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["check_reads"]

READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)


class _ReadError(Exception):
    """A value was read."""


class _NoReads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuse to hand the value of a tensor to Python, as ``if``, ``item`` and ``float`` do."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in READS:
            raise _ReadError
        return func(*args, **(kwargs or {}))


def check_reads(method: str, call: Callable[[], object]) -> None:
    """Raise if a call branches on values, or draws from a global generator.

    Such a branch is taken for all neurons together, and rarely on the values that other checks use.

    Args:
        method: Its name, for the error.
        call: The computation.

    Raises:
        ValueError: It does either.

    >>> check_reads("step", lambda: torch.ones(2).sum().item())
    Traceback (most recent call last):
    ValueError: step: reads values in Python (if, item, float, print), the same for all neurons; use torch.where
    """
    before = _generators()
    try:
        with _NoReads():  # type: ignore[no-untyped-call]
            call()
    except _ReadError:
        raise ValueError(
            f"{method}: reads values in Python (if, item, float, print), the same for all neurons; use torch.where"
        ) from None
    if _generators() != before:
        raise ValueError(f"{method}: draws random numbers; it must be a function of state and drives alone")


def _generators() -> tuple[object, ...]:
    """Return the states of the global generators."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), name, np.asarray(keys).tobytes(), *rest
