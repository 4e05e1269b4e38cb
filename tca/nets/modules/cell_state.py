"""What a cell module returns, as one tensor of states.

Shapes: B batch, M numbers in the state of a trial.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["ReturnError", "flat", "returned"]


class ReturnError(ValueError):
    """A cell returned something else than its next state, or a pair of an output and that state."""


def returned(found: object, shapes: Sequence[torch.Size], trials: int) -> tuple[tuple[Tensor, ...], bool]:
    """Return the tensors of an output, if there is one, and of a state, and whether there is an output.

    Args:
        found: What a cell returned.
        shapes: Shapes of the tensors in the state of a trial.
        trials: Number of trials B.

    Raises:
        ReturnError: A cell returned something else.
    """
    state = found
    emits = isinstance(found, tuple) and len(found) == 2 and _fits(found[1], shapes, trials)
    if emits and isinstance(found, tuple) and isinstance(found[0], Tensor) and len(found[0]) == trials:
        tensors = found[1] if isinstance(found[1], tuple) else (found[1],)
        return (found[0], *tensors), True
    if _fits(state, shapes, trials):
        return (state if isinstance(state, tuple) else (state,)), False
    wanted = " and ".join(str((trials, *shape)) for shape in shapes)
    raise ReturnError(
        f"cell must return the next state, {wanted} as it was given, or a pair of an output and that state, got "
        f"{_described(found)}: give the state at time zero as initial"
    )


def _fits(state: object, shapes: Sequence[torch.Size], trials: int) -> bool:
    if isinstance(state, Tensor):
        state = (state,)
    return (
        isinstance(state, tuple)
        and all(isinstance(each, Tensor) for each in state)
        and [tuple(each.shape) for each in state] == [(trials, *shape) for shape in shapes]
    )


def _described(found: object) -> str:
    if isinstance(found, Tensor):
        return str(tuple(found.shape))
    if isinstance(found, tuple | list):
        return f"({', '.join(map(_described, found))})"
    return type(found).__name__


def flat(tensors: Sequence[Tensor]) -> Tensor:
    """Return the numbers of tensors ``(B, ...)`` side by side, shape ``(B, M)``."""
    return torch.cat([each.flatten(1) for each in tensors], 1)
