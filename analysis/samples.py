"""Inputs, targets and loss of any model: samples that add up to one loss, in chunks of any size.

Shapes: N samples, K outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tca.batch import Batch
from tca.losses import Loss
from tca.utils.arrays import tensor_of
from tca.utils.names import shorten
from tca.utils.numerics import kept

__all__ = ["Criterion", "Samples", "joined", "mapped", "share", "tensors", "total"]

Criterion = Loss | Callable[[Any, Any], Any]
"""A loss of the library, a criterion of ``torch.nn``, or any function of outputs and targets."""

WEIGHTED = (nn.CrossEntropyLoss, nn.NLLLoss)  # means over targets that count, each with the weight of its class


@dataclass(frozen=True, eq=False)
class Samples:
    """N samples of inputs and targets, and one loss of them all.

    A mean over samples (``reduction="mean"``, and losses of the library) is taken over all N, however they are divided
    into chunks; the denominator of a cross-entropy with class weights or an ignored class is that of all N, too.

    Args:
        inputs: A tensor; or a tuple of positional or a mapping of named arguments of the model.
        targets: A tensor, or a tuple or mapping of tensors, as the loss takes them.
        loss: ``loss(outputs, targets)``, one number.
        axis: Axis of the samples in every input, default 0.
        target_axis: The same in targets and outputs; ``None`` (default) for that of the inputs.
        sums: Whether the loss is a sum over samples, not a mean; ``None`` (default) to take it from ``loss.reduction``.

    Raises:
        TypeError: The loss cannot be called, or inputs or targets hold no tensor.

    >>> whole = Samples(torch.zeros(3, 2), torch.tensor([[1.0], [1.0], [4.0]]), nn.MSELoss())
    >>> whole.trials, [share(whole.select(part), torch.zeros(len(range(3)[part]), 1), total(whole)).item()
    ...                for part in (slice(0, 2), slice(2, 3))]
    (3, [0.6666666865348816, 5.333333492279053])
    """

    inputs: Any
    targets: Any
    loss: Criterion
    axis: int = 0
    target_axis: int | None = None
    sums: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.loss, type) or not (isinstance(self.loss, Loss) or callable(self.loss)):
            raise TypeError(f"loss must be a loss or a function of outputs and targets, got {self.loss!r}")
        for name in ("inputs", "targets"):
            value = getattr(self, name)
            if not tensors(value):
                raise TypeError(f"{name} must be a tensor, or a tuple or mapping of tensors, got {shorten(value)}")
        if tensors(self.inputs)[0].ndim <= self.axis or not self.trials:
            shape = tuple(tensors(self.inputs)[0].shape)
            raise ValueError(f"inputs must hold at least one sample along axis {self.axis}, got shape {shape}")
        if getattr(self.loss, "reduction", None) == "none":
            raise ValueError("loss must return one number, got reduction='none': use 'mean' or 'sum'")

    @property
    def trials(self) -> int:
        """Number of samples N."""
        return tensors(self.inputs)[0].shape[self.axis]

    @property
    def steps(self) -> int:
        """One: a sample has no steps that the library counts."""
        return 1

    @property
    def summed(self) -> bool:
        """Whether the losses of chunks add up to that of all."""
        return getattr(self.loss, "reduction", None) == "sum" if self.sums is None else self.sums

    @property
    def stated(self) -> bool:
        """Whether it is known how the loss combines samples."""
        return self.sums is not None or isinstance(self.loss, Loss) or hasattr(self.loss, "reduction")

    @cached_property
    def weight(self) -> float:
        """The denominator of a mean: the number of samples, or the weight of targets that count."""
        if not self._weighted:
            return self.trials
        counted = self.targets != self.loss.ignore_index  # type: ignore[union-attr]
        weights: Tensor | None = self.loss.weight  # type: ignore[union-attr]
        return float(
            counted.sum() if weights is None else weights.double().to(self.targets.device)[self.targets[counted]].sum()
        )

    @property
    def _weighted(self) -> bool:
        classes = isinstance(self.targets, Tensor) and not self.targets.is_floating_point()
        return isinstance(self.loss, WEIGHTED) and self.loss.reduction == "mean" and classes

    def value(self, outputs: Any) -> Tensor:
        """Return the loss of outputs, divided by ``weight`` if it is a mean, differentiable in them.

        Raises:
            ValueError: The loss is not one number.
        """
        if isinstance(self.loss, Loss):
            return self.loss.value(outputs, self.targets).mean()
        if not self._weighted:
            return self._one(self.loss(outputs, self.targets))
        criterion = copy.copy(self.loss)
        criterion.reduction = "sum"  # type: ignore[attr-defined]
        return self._one(criterion(outputs, self.targets)) / max(self.weight, torch.finfo(torch.float32).tiny)

    def _one(self, loss: Any) -> Tensor:
        if isinstance(loss, Tensor) and loss.numel() == 1 and loss.is_floating_point():
            return loss.reshape(())
        came = f"shape {tuple(loss.shape)} of {loss.dtype}" if isinstance(loss, Tensor) else repr(loss)
        raise ValueError(f"loss must return one real number, got {came}: use reduction='mean' or 'sum'")

    def select(self, trials: Tensor | slice) -> Samples:
        """Return some of the samples, in their order.

        Raises:
            ValueError: An input or a target has no such axis, or another number of samples.
        """

        def chosen(name: str, axis: int) -> Any:
            def pick(tensor: Tensor) -> Tensor:
                if tensor.ndim <= axis or tensor.shape[axis] != self.trials:
                    raise ValueError(
                        f"{name} must have {self.trials} samples along axis {axis} to be taken in chunks, "
                        f"got shape {tuple(tensor.shape)}"
                    )
                return tensor[(slice(None),) * axis + (trials,)]

            return mapped(getattr(self, name), pick)

        return replace(self, inputs=chosen("inputs", self.axis), targets=chosen("targets", self.answers))

    @property
    def answers(self) -> int:
        """Axis of the samples in targets and outputs."""
        return self.axis if self.target_axis is None else self.target_axis

    def pieces(self, size: int) -> list[Samples]:
        """Return the samples in chunks of a size, the last of the rest."""
        starts = range(0, self.trials, size)
        return [self] if size >= self.trials else [self.select(slice(at, at + size)) for at in starts]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Samples:
        """Return the samples and their loss on a device and in a floating-point type; integers keep theirs."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        loss = copy.deepcopy(self.loss).to(device, dtype) if isinstance(self.loss, nn.Module) else self.loss
        return replace(self, inputs=mapped(self.inputs, move), targets=mapped(self.targets, move), loss=loss)

    def kept(self) -> Samples:
        """Return the samples with inference-mode tensors copied, since no graph may save them."""
        return replace(self, inputs=mapped(self.inputs, kept), targets=mapped(self.targets, kept))


def total(data: Batch | Samples) -> float:
    """Return the divisor of the loss of a whole set: its trials, or the weight of its samples."""
    return data.weight if isinstance(data, Samples) else data.trials


def share(part: Batch | Samples, outputs: Any, whole: float) -> Tensor:
    """Return the share of a chunk in the loss of a set, a scalar, differentiable in the outputs.

    Args:
        part: The chunk.
        outputs: The outputs of a model for it.
        whole: Divisor of the loss of the set, see `total`.
    """
    if isinstance(part, Samples):
        return part.value(outputs) if part.summed else part.value(outputs) * (part.weight / whole)
    return part.loss.mean(outputs, part.targets, part.weights) * (part.trials / whole)


def joined(parts: Sequence[Any], axis: int) -> Any:
    """Return tensors, or nested tuples or mappings of tensors, joined along an axis entry by entry.

    >>> joined([{"y": torch.zeros(2)}, {"y": torch.ones(1)}], 0)
    {'y': tensor([0., 0., 1.])}
    """
    columns = zip(*(tensors(each) for each in parts), strict=True)
    whole = iter([torch.cat(column, min(axis, column[0].ndim - 1)) for column in columns])
    return mapped(parts[0], lambda _: next(whole))


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors of a tensor, or of nested tuples, lists and mappings.

    >>> [each.tolist() for each in tensors({"x": torch.ones(1), "more": (torch.zeros(1), None)})]
    [[1.0], [0.0]]
    """
    found: list[Tensor] = []
    mapped(value, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a value with every tensor in it changed; arrays become tensors and lists tuples.

    >>> mapped([torch.ones(1), {"mask": None}], torch.neg)
    (tensor([-1.]), {'mask': None})
    """
    if isinstance(value, Tensor | np.ndarray):
        return change(tensor_of(value))
    if isinstance(value, Mapping):
        return {name: mapped(each, change) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return tuple(mapped(each, change) for each in value)
    return value
