"""The interface of losses.

Shapes: T time, B batch, O outputs. The *output error* is the derivative of the loss of one step of one trial by the
network's unconstrained output (a logit, never a probability). Every learning signal starts from it. Of a negative log
likelihood it is the *score*, after which the method that computes it is named.

A batch carries weights ``w_TB`` and the loss of a network on it is

    loss = 1/B * sum_b sum_t w_tb * l(y_tb, target_tb)

so that tasks whose weights sum to one over each trial report the mean loss of a trial of any length.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses.admissibility import UNKNOWN, Admissibility

__all__ = ["Likelihood", "Loss"]


@dataclass(frozen=True)
class Loss(abc.ABC):
    """A loss per step and trial, with its output error."""

    admissibility: ClassVar[Admissibility] = UNKNOWN
    """Whether the output error has zero conditional mean at the minimum over unconstrained outputs."""

    @abc.abstractmethod
    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
        """

    @abc.abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
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
            targets: Targets to check.

        Raises:
            ValueError: The shape or a value does not fit.
            TypeError: The data type does not fit.
        """

    def mean(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return ``1/B sum_b sum_t w_tb l_tb``, a scalar, differentiable in ``outputs``.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: Targets; their shape depends on the loss.
            weights: Weight of every step and trial, shape ``(T, B)``.
        """
        return self.weighted(outputs, targets, weights).sum() / weights.shape[1]

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

        Raises:
            ValueError: ``order`` is out of range.
        """
