"""Losses as frozen values: what an error costs, and its score.

Shapes: T time, B batch, O outputs. The *score* is the derivative of the loss of one step of one trial with respect to
the network's unconstrained output (a logit, never a probability); it is what every signal is made from.

A batch carries weights ``w_TB`` and the loss of a network on it is

    loss = 1/B * sum_b sum_t w_tb * l(y_tb, target_tb)

so that tasks whose weights sum to one over each trial report the mean loss of a trial, whatever its length.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LOSSES", "MSE", "CrossEntropy", "Logistic", "Loss"]


@dataclass(frozen=True)
class Loss(abc.ABC):
    """A loss per step and trial, and its score."""

    @abc.abstractmethod
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: What they should have been; see the class for the shape.
        """

    @abc.abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``d value / d outputs``, shape ``(T, B, O)``, a new tensor.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: What they should have been; see the class for the shape.
        """

    @abc.abstractmethod
    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise if ``targets`` cannot be targets of outputs of this shape.

        Args:
            outputs_shape: The shape ``(T, B, O)`` of the outputs.
            targets: The candidate targets.

        Raises:
            ValueError: The shape or a value does not fit.
            TypeError: The data type does not fit.
        """

    def mean(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return ``1/B sum_b sum_t w_tb l_tb``, a scalar, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: What they should have been.
            weights: Weight of every step and trial, shape ``(T, B)``.
        """
        return (weights * self.value(outputs, targets)).sum() / weights.shape[1]


@dataclass(frozen=True)
class MSE(Loss):
    """Half the squared error summed over outputs, ``l = 1/2 |y - target|^2``, score ``y - target``.

    Targets are real, shape ``(T, B, O)``.

    >>> outputs, targets = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[0.0, 1.0]]])
    >>> MSE().value(outputs, targets).item(), MSE().score(outputs, targets).tolist()
    (2.5, [[[1.0, 2.0]]])
    """

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        return 0.5 * (outputs - targets).square().sum(-1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``outputs - targets``."""
        return outputs - targets

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` are finite real numbers of the outputs' shape."""
        _check_real(outputs_shape, targets)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Softmax cross-entropy, ``l = -log softmax(y)[target]``, score ``softmax(y) - onehot(target)``.

    Targets are class indices, an integer tensor of shape ``(T, B)``.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[1]])
    >>> round(CrossEntropy().value(outputs, targets).item(), 4), CrossEntropy().score(outputs, targets).tolist()
    (0.6931, [[[0.5, -0.5]]])
    """

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        return outputs.logsumexp(-1) - outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the probabilities with one taken from the target's."""
        score = _softmax(outputs)
        minus_one = outputs.new_full((), -1.0).expand(*targets.shape, 1)
        return score.scatter_add_(-1, targets.unsqueeze(-1), minus_one)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` are class indices below the number of outputs, one for every step and trial."""
        if targets.dtype != torch.int64:
            raise TypeError(f"targets must be class indices of dtype torch.int64 for CrossEntropy, got {targets.dtype}")
        if tuple(targets.shape) != tuple(outputs_shape[:-1]):
            raise ValueError(
                f"targets must have shape (T, B) = {tuple(outputs_shape[:-1])} for CrossEntropy, "
                f"got {tuple(targets.shape)}"
            )
        low, high = (int(edge) for edge in targets.aminmax())
        if low < 0 or high >= outputs_shape[-1]:
            raise ValueError(f"targets must be classes 0 to {outputs_shape[-1] - 1}, got values from {low} to {high}")


@dataclass(frozen=True)
class Logistic(Loss):
    """Independent logistic losses, ``l = sum_o log(1 + e^y_o) - target_o y_o``, score ``sigmoid(y) - target``.

    Targets are probabilities between 0 and 1, shape ``(T, B, O)``.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[1.0, 0.0]]])
    >>> round(Logistic().value(outputs, targets).item(), 4), Logistic().score(outputs, targets).tolist()
    (1.3863, [[[-0.5, 0.5]]])
    """

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``sigmoid(outputs) - targets``."""
        return torch.sigmoid(outputs).sub_(targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` are numbers in [0, 1] of the outputs' shape."""
        _check_real(outputs_shape, targets)
        if targets.numel() and (targets.min() < 0 or targets.max() > 1):
            raise ValueError(
                f"targets must lie in [0, 1] for Logistic, got values from {targets.min():.3g} to {targets.max():.3g}"
            )


def _softmax(outputs: Tensor) -> Tensor:
    """Return the softmax over the last axis, a new tensor; over a short one the kernel for a leading axis is faster."""
    if outputs.shape[-1] > 32:
        return torch.softmax(outputs, -1)
    return torch.softmax(outputs.movedim(-1, 0).contiguous(), 0).movedim(0, -1)


def _check_real(outputs_shape: tuple[int, ...], targets: Tensor) -> None:
    if not targets.is_floating_point():
        raise TypeError(f"targets must be real numbers, got dtype {targets.dtype}")
    if tuple(targets.shape) != tuple(outputs_shape):
        raise ValueError(f"targets must have shape (T, B, O) = {tuple(outputs_shape)}, got {tuple(targets.shape)}")
    if not torch.isfinite(targets).all():
        raise ValueError("targets must be finite, got NaN or infinity")


LOSSES: dict[str, Loss] = {"mse": MSE(), "cross_entropy": CrossEntropy(), "logistic": Logistic()}
