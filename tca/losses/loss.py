"""The interface of losses, and checks of their targets.

Shapes: T time, B batch, O outputs. The *output error* is the derivative of the loss of one step of one trial by the
network's unconstrained output (a logit, never a probability). Every learning signal starts from it. Of a negative log
likelihood it is the *score*.

A batch carries weights ``w_TB`` and the loss of a network on it is

    loss = 1/B * sum_b sum_t w_tb * l(y_tb, target_tb)

so that tasks whose weights sum to one over each trial report the mean loss of a trial of any length.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tca.losses.admissibility import UNKNOWN, Admissibility
from tca.utils.checks import checked

__all__ = ["Likelihood", "Loss", "check_between", "check_classes", "check_distributions", "foreign"]

OWN = ("tca.", "analysis.")  # packages whose losses are tested


@dataclass(frozen=True)
class Loss(abc.ABC):
    """A loss per step and trial, with its output error."""

    admissibility: ClassVar[Admissibility] = UNKNOWN
    """Whether the output error has zero conditional mean at the minimum over unconstrained outputs."""
    rewarded: ClassVar[bool] = False
    """Whether targets are rewards for actions, so that the score serves as the error of the prediction."""
    bounded_by_outputs: ClassVar[bool] = False
    """Whether it grows no faster than the outputs: finite where the sum of their squares is. Not inherited."""
    bounded_by_error: ClassVar[bool] = False
    """Whether it is finite where its output errors and the sum of the squares of the outputs are. Not inherited."""

    @abc.abstractmethod
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
        """

    @abc.abstractmethod
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the output error ``d value / d outputs``, a new tensor of shape ``(T, B, O)``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
        """

    @abc.abstractmethod
    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check targets against the shape of the outputs.

        Args:
            outputs_shape: The shape ``(T, B, O)`` of the outputs.

        Raises:
            ValueError: The shape or a value does not fit.
        """

    @checked
    def mean(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return ``1/B sum_b sum_t w_tb l_tb``, a scalar, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
            weights: Weight of every step and trial, shape ``(T, B)``.
        """
        return self.weighted(outputs, targets, weights).sum() / weights.shape[1]

    @checked
    def weighted(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return ``w_tb l_tb``, shape ``(T, B)``; zero where the weight is zero, even of an infinite loss.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
            weights: Weight of every step and trial, shape ``(T, B)``.
        """
        return torch.where(weights != 0, weights * self.value(outputs, targets), 0.0)

    def require_admissible(self) -> None:
        """Check that activity and score may be decorrelated for this loss.

        Raises:
            ValueError: They may not; the message gives the reason.
        """
        self.admissibility.require(self)


@dataclass(frozen=True)
class Likelihood(Loss):
    """A negative log likelihood of the targets, up to terms that do not depend on the outputs.

    The moments of its score under the predicted distribution are known. If targets follow this distribution, the mean
    score is zero (first Bartlett identity) and ``E[s s^T]`` the Fisher matrix of the outputs (second Bartlett
    identity).
    """

    @abc.abstractmethod
    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``E[s s^T]`` over targets drawn from the predicted distribution, shape ``(..., O, O)``.

        Args:
            outputs: Unconstrained outputs, shape ``(..., O)``.
        """

    @abc.abstractmethod
    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return ``E[s_o^order]`` over targets drawn from the predicted distribution, shape ``(..., O)``.

        Args:
            outputs: Unconstrained outputs, shape ``(..., O)``.
            order: 2, 3 or 4.
        """


def foreign(part: Any) -> bool:
    """Return whether a loss or one of its fields has a class defined outside the library.

    >>> from tca.losses import MSE
    >>> foreign(MSE())
    False
    """
    if not is_dataclass(part) or isinstance(part, type):
        return False
    names = [each.name for each in fields(part)]
    own = type(part).__module__.startswith(OWN)
    return not own or any(foreign(getattr(part, name)) for name in names)


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
    low, high = torch.stack(targets.aminmax()).tolist()
    if low < least or (without_least and low == least) or (most is not None and high > most):
        above = f"be {'greater than ' if without_least else 'at least '}{least:g}"
        allowed = above if most is None else f"lie in {'(' if without_least else '['}{least:g}, {most:g}]"
        raise ValueError(f"targets must {allowed} for {name}, got values from {low:.3g} to {high:.3g}")


def check_classes(name: str, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
    """Check that targets are class indices below the number of outputs, shape ``(T, B)``.

    Args:
        name: Name of the loss, for the message.
        outputs_shape: Shape ``(T, B, O)`` of the outputs.

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
    low, high = torch.stack(targets.aminmax()).tolist()
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
