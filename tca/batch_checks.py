"""Checks of the tensors of a batch: shapes when it is made, values when a network takes it.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tca.losses import Loss
from tca.utils.names import shorten

if TYPE_CHECKING:
    from tca.batch import Batch

__all__ = ["check_fit", "check_parts"]

FIRST = "; of batch-first arrays make trials by tasks.from_arrays(..., batch_first=True), or use transpose(0, 1)"
ONE = "; tasks.from_arrays takes one target a trial"


def check_parts(batch: Batch) -> None:
    """Raise unless the parts of a batch are of the right types and fit each other.

    Raises:
        TypeError: A part is of another type.
        ValueError: A shape does not fit the others.
    """
    for name in ("inputs", "targets", "weights"):
        if not isinstance(getattr(batch, name), Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(getattr(batch, name)).__name__}")
    if batch.decisions is not None and not isinstance(batch.decisions, Tensor):
        raise TypeError(f"decisions must be a tensor or None, got {type(batch.decisions).__name__}")
    if not isinstance(batch.loss, Loss):
        raise TypeError(f"loss must be a loss, for example tca.losses.MSE(), got {batch.loss!r}")
    if batch.inputs.ndim != 3:
        raise ValueError(f"inputs must have shape (T, B, I), got {tuple(batch.inputs.shape)}")
    if 0 in batch.inputs.shape:
        raise ValueError(
            f"inputs must hold at least one step, trial and channel, got shape {tuple(batch.inputs.shape)}"
        )
    grid = tuple(batch.inputs.shape[:2])
    for name in ("targets", "weights", "decisions"):
        part = getattr(batch, name)
        if part is not None and tuple(part.shape[:2]) != grid:
            raise ValueError(
                f"{name} must start with the shape (T, B) = {grid} of the inputs, got {tuple(part.shape)}"
                + (ONE if part.shape == grid[1:] else FIRST if part.shape[:2] in (grid[::-1], grid[:1]) else "")
            )
    if batch.weights.ndim != 2:
        raise ValueError(f"weights must have shape (T, B) = {grid}, got {tuple(batch.weights.shape)}")
    if batch.decisions is not None and (batch.decisions.dtype != torch.bool or batch.decisions.ndim != 2):
        raise TypeError(
            f"decisions must be boolean with shape (T, B) = {grid}, "
            f"got {batch.decisions.dtype} {tuple(batch.decisions.shape)}"
        )
    for name, each in {"lengths": batch.lengths, **batch.info}.items() if isinstance(batch.info, Mapping) else ():
        if batch.steps != batch.trials and getattr(each, "shape", None) == (batch.steps,):
            raise ValueError(
                f"inputs must have shape (T, B, I), but {name} has one value for each of the {batch.steps} first "
                f"entries of their shape {tuple(batch.inputs.shape)}" + FIRST
            )
    if batch.lengths is not None:
        _check_lengths(batch.lengths, batch.steps, batch.trials)
    if batch.start is not None:
        _check_start(batch.start, batch.trials)


def check_fit(batch: Batch, n_in: int) -> bool:
    """Raise unless inputs, weights and types of a batch fit a network; return whether a trial is padded.

    Args:
        n_in: Number of input channels of the network.

    Raises:
        TypeError: A part is of another number format or on another device.
        ValueError: The number of channels differs, or a value is not allowed.
    """
    if batch.inputs.shape[2] != n_in:
        raise ValueError(f"inputs must have {n_in} channels as the network does, got {batch.inputs.shape[2]}")
    for name in ("inputs", "weights"):
        if not getattr(batch, name).is_floating_point():
            raise TypeError(f"{name} must be real numbers, got dtype {getattr(batch, name).dtype}")
    for name in ("targets", "weights", "decisions"):
        part = batch.weights if getattr(batch, name) is None else getattr(batch, name)
        dtype = batch.inputs.dtype if part.is_floating_point() else part.dtype
        if (part.dtype, part.device) != (dtype, batch.inputs.device):
            raise TypeError(
                f"{name} must be {dtype} on {batch.inputs.device} as the inputs are, got {part.dtype} on {part.device}"
            )
    weights, lengths = batch.weights, batch.lengths
    late = weights[:0] if lengths is None else weights * ~batch.inside
    short = weights[-1] == 0 if lengths is None else lengths.to(weights.device) < batch.steps
    wrong = ~(weights.isfinite() & (weights >= 0))
    flags = [each.any() for each in (~batch.inputs.isfinite(), wrong, late, short)]
    endless, unweighable, ended, padded = torch.stack(flags).tolist()  # the host reads once
    if endless:
        raise ValueError("inputs must be finite, got NaN or infinity")
    if unweighable:
        raise ValueError("weights must be finite and not negative")
    if ended:
        raise ValueError("weights must be zero after the lengths of the trials, got a weight after the end of one")
    return bool(padded)


def _check_start(start: object, trials: int) -> None:
    if isinstance(start, Tensor) and start.is_floating_point() and start.shape[:1] == (trials,):
        return
    got = f"{start.dtype} {tuple(start.shape)}" if isinstance(start, Tensor) else shorten(start)
    raise ValueError(f"start must be a real tensor of one state for each of the {trials} trials, got {got}")


def _check_lengths(lengths: object, steps: int, trials: int) -> None:
    """Raise unless lengths are integers between 0 and the number of steps."""
    if not isinstance(lengths, Tensor):
        raise TypeError(f"lengths must be a tensor of integers, got {lengths!r}")
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise TypeError(f"lengths must be integers, got dtype {lengths.dtype}")
    if tuple(lengths.shape) != (trials,):
        raise ValueError(f"lengths must have shape (B,) = ({trials},), got {tuple(lengths.shape)}")
    if lengths.min() < 0 or lengths.max() > steps:
        raise ValueError(
            f"lengths must lie between 0 and the {steps} steps of the batch, "
            f"got {int(lengths.min())} to {int(lengths.max())}"
        )
