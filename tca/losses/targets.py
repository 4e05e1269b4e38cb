"""Checks of targets by type, shape and range.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_between", "check_classes", "check_distributions", "check_real"]


def check_real(outputs_shape: tuple[int, ...], targets: Tensor) -> None:
    """Check that targets are finite real numbers of a shape.

    Args:
        outputs_shape: Required shape.
        targets: Targets to check.

    Raises:
        ValueError: The shape differs, or a number is not finite.
        TypeError: They are not floating-point numbers.
    """
    if not targets.is_floating_point():
        raise TypeError(f"targets must be real numbers, got dtype {targets.dtype}")
    if tuple(targets.shape) != tuple(outputs_shape):
        raise ValueError(f"targets must have shape (T, B, O) = {tuple(outputs_shape)}, got {tuple(targets.shape)}")
    if not torch.isfinite(targets).all():
        raise ValueError("targets must be finite, got NaN or infinity")


def check_between(
    name: str, targets: Tensor, least: float, most: float | None = None, *, without_least: bool = False
) -> None:
    """Check that real targets lie in an interval.

    Args:
        name: Name of the loss, for the message.
        targets: Targets to check, finite.
        least: Smallest allowed value.
        most: Largest allowed value; default unbounded.
        without_least: Whether ``least`` itself is excluded, default no.

    Raises:
        ValueError: A target is out of range.
    """
    if not targets.numel():
        return
    low, high = (float(edge) for edge in targets.aminmax())
    if low < least or (without_least and low == least) or (most is not None and high > most):
        above = f"be {'greater than ' if without_least else 'at least '}{least:g}"
        allowed = above if most is None else f"lie in {'(' if without_least else '['}{least:g}, {most:g}]"
        raise ValueError(f"targets must {allowed} for {name}, got values from {low:.3g} to {high:.3g}")


def check_classes(name: str, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
    """Check that targets are class indices below the number of outputs, shape ``(T, B)``.

    Args:
        name: Name of the loss, for the message.
        outputs_shape: Shape ``(T, B, O)`` of the outputs.
        targets: Targets to check.

    Raises:
        ValueError: The shape differs, or an index is out of range.
        TypeError: They are not int64.
    """
    if targets.dtype != torch.int64:
        raise TypeError(f"targets must be class indices of dtype torch.int64 for {name}, got {targets.dtype}")
    if tuple(targets.shape) != tuple(outputs_shape[:-1]):
        raise ValueError(
            f"targets must have shape (T, B) = {tuple(outputs_shape[:-1])} for {name}, got {tuple(targets.shape)}"
        )
    low, high = (int(edge) for edge in targets.aminmax())
    if low < 0 or high >= outputs_shape[-1]:
        raise ValueError(f"targets must be classes 0 to {outputs_shape[-1] - 1}, got values from {low} to {high}")


def check_distributions(name: str, targets: Tensor) -> None:
    """Check that real targets are probabilities that sum to one, to half of the digits.

    Args:
        name: Name of the loss, for the message.
        targets: Targets to check, finite, classes on the last axis.

    Raises:
        ValueError: A probability is negative, or a sum is not one.
    """
    check_between(name, targets, 0.0)
    sums = targets.sum(-1)
    if (sums - 1).abs().max() > torch.finfo(targets.dtype).eps ** 0.5:
        low, high = (float(edge) for edge in sums.aminmax())
        raise ValueError(f"targets must sum to 1 over the last axis for {name}, got sums from {low:.6g} to {high:.6g}")
