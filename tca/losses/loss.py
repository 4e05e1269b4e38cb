"""What every loss promises: what an error costs, and its score.

Shapes: T time, B batch, O outputs. The *score* is the derivative of the loss of one step of one trial with respect to
the network's unconstrained output (a logit, never a probability); it is what every signal is made from.

A batch carries weights ``w_TB`` and the loss of a network on it is

    loss = 1/B * sum_b sum_t w_tb * l(y_tb, target_tb)

so that tasks whose weights sum to one over each trial report the mean loss of a trial, whatever its length.
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
    """A loss per step and trial, and its score."""

    admissibility: ClassVar[Admissibility] = UNKNOWN
    """Whether the score has zero conditional mean at the loss's own minimiser over unconstrained outputs."""

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
        return self.weighted(outputs, targets, weights).sum() / weights.shape[1]

    def weighted(self, outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return ``w_tb l_tb``, shape ``(T, B)``; zero without a weight, however large the loss is there.

        Args:
            outputs: Unconstrained outputs, shape ``(T, B, O)``.
            targets: What they should have been.
            weights: Weight of every step and trial, shape ``(T, B)``.
        """
        return torch.where(weights != 0, weights * self.value(outputs, targets), 0.0)

    def require_admissible(self) -> None:
        """Raise unless decorrelating activity and score is justified for this loss.

        Raises:
            ValueError: It is not; the message has the reason.
        """
        self.admissibility.require(self)


@dataclass(frozen=True)
class Likelihood(Loss):
    """Minus the log probability of the targets, but for terms without outputs: a loss that says how targets vary.

    The moments of its score under its own prediction are known. With the targets really so distributed the mean score
    is zero (first Bartlett identity), and ``E[s s^T]`` is the Fisher matrix of the outputs (second Bartlett identity).
    """

    @abc.abstractmethod
    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``E[s s^T]`` over targets drawn from the prediction, shape ``(..., O, O)``.

        Args:
            outputs: Unconstrained outputs, shape ``(..., O)``.
        """

    @abc.abstractmethod
    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return ``E[s_o^order]`` over targets drawn from the prediction, shape ``(..., O)``.

        Args:
            outputs: Unconstrained outputs, shape ``(..., O)``.
            order: 2, 3 or 4.

        Raises:
            ValueError: ``order`` is another number.
        """
