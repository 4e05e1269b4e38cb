"""Convex functions that generate Bregman divergences.

A strictly convex F generates the divergence ``D(y, r) = F(y) - F(r) - grad F(r).(y - r)`` of a target y from a
prediction r. Its derivative by r is ``Hess F(r) (r - y)``.

Shapes: unconstrained outputs z, targets y, cotangents and scores ``(..., O)``.

Banerjee et al. (2005), Clustering with Bregman divergences, Journal of Machine Learning Research 6:1705-1749.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from tca.losses.links import ExponentialLink, IdentityLink, Link, PositiveLink, SigmoidLink, UnitLink
from tca.losses.loss import check_between

__all__ = ["BinaryEntropy", "ExponentialSum", "Generator", "ItakuraSaito", "NegativeEntropy", "SquaredNorm"]

L = TypeVar("L", bound=Link)


@dataclass(frozen=True)
class Generator(abc.ABC, Generic[L]):
    """A strictly convex function F of ``(..., O)``, summed over the last axis."""

    links: ClassVar[type]
    """Links with predictions in the domain of F."""
    matched: ClassVar[Link | None]
    """Inverse of ``grad F``, with output error ``r - y``; ``None`` if not defined for all real outputs."""

    @abc.abstractmethod
    def __call__(self, points: Tensor) -> Tensor:
        """Return F, shape ``(...)``.

        Args:
            points: Points in the domain of F, shape ``(..., O)``.
        """

    @abc.abstractmethod
    def divergence(self, targets: Tensor, outputs: Tensor, link: L) -> Tensor:
        """Return ``D(y, r(z))``, shape ``(...)``, differentiable in ``outputs``."""

    @abc.abstractmethod
    def output_error(self, targets: Tensor, outputs: Tensor, link: L) -> Tensor:
        """Return ``J^T Hess F(r) (r - y)`` with ``r = r(z)`` and ``J = dr/dz``, a new tensor of shape ``(..., O)``."""

    @abc.abstractmethod
    def check(self, name: str, targets: Tensor) -> None:
        """Check that F is finite at finite targets.

        Raises:
            ValueError: A target lies outside the domain.
        """


@dataclass(frozen=True)
class SquaredNorm(Generator[Link]):
    """``F = 1/2 |y|^2``, generator of half the squared error. Matched link: the identity."""

    links: ClassVar[type] = Link
    matched: ClassVar[Link | None] = IdentityLink()

    def __call__(self, points: Tensor) -> Tensor:
        return 0.5 * points.square().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: Link) -> Tensor:
        """Return ``1/2 |r - y|^2``."""
        return 0.5 * (link(outputs) - targets).square().sum(-1)

    def output_error(self, targets: Tensor, outputs: Tensor, link: Link) -> Tensor:
        """Return ``J^T (r - y)``."""
        return link.pull(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Accept every real number."""


@dataclass(frozen=True)
class ExponentialSum(Generator[IdentityLink]):
    """``F = sum e^y``, generator of ``sum e^y - e^z - e^z (y - z)``, defined for all real numbers.

    Weights errors by the exponential of the prediction. Overflows for targets or outputs above 88 in float32 and 709 in
    float64. The inverse of ``grad F`` is the logarithm, which is not defined for all outputs.
    """

    links: ClassVar[type] = IdentityLink
    matched: ClassVar[Link | None] = None

    def __call__(self, points: Tensor) -> Tensor:
        return points.exp().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: IdentityLink) -> Tensor:
        """Return the divergence, factored by the larger exponential to avoid overflow."""
        above, below = (targets - outputs).clamp(min=0), (targets - outputs).clamp(max=0)
        when_above = -torch.expm1(-above) - above * (-above).exp()
        when_below = torch.expm1(below) - below
        return torch.where(targets > outputs, targets.exp() * when_above, outputs.exp() * when_below).sum(-1)

    def output_error(self, targets: Tensor, outputs: Tensor, link: IdentityLink) -> Tensor:
        """Return ``e^z (z - y)``."""
        return outputs.exp() * (outputs - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Accept every real number."""


@dataclass(frozen=True)
class NegativeEntropy(Generator[PositiveLink]):
    """``F = sum y log y - y``, generator of the generalised Kullback-Leibler divergence.

    ``D = sum y log(y / r) - y + r``. Matched link: the exponential; the softmax for targets that sum to one.
    """

    links: ClassVar[type] = PositiveLink
    matched: ClassVar[Link | None] = ExponentialLink()

    def __call__(self, points: Tensor) -> Tensor:
        """Return ``sum y log y - y``."""
        return (torch.xlogy(points, points) - points).sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``sum y log y - y log r - y + r``."""
        own = torch.xlogy(targets, targets) - targets
        return (own - targets * link.log(outputs) + link(outputs)).sum(-1)

    def output_error(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``J^T (r - y)`` with ``J = d log r / dz``."""
        return link.pull_log(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets are nonnegative."""
        check_between(name, targets, 0.0)


@dataclass(frozen=True)
class ItakuraSaito(Generator[PositiveLink]):
    """``F = -sum log y``, generator of the Itakura-Saito distance ``sum y/r - log(y/r) - 1``.

    Depends on ratios only. The inverse of ``grad F`` is ``-1/z``, which is not positive for all outputs; with the
    exponential link the output error is ``1 - y/r``.

    Itakura and Saito (1968), Analysis synthesis telephony based on the maximum likelihood method, ICA.
    """

    links: ClassVar[type] = PositiveLink
    matched: ClassVar[Link | None] = None

    def __call__(self, points: Tensor) -> Tensor:
        return -points.log().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``sum e^u - 1 - u`` with ``u = log y - log r``."""
        ratio = targets.log() - link.log(outputs)
        return (torch.expm1(ratio) - ratio).sum(-1)

    def output_error(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``J^T (1 - y/r)`` with ``J = d log r / dz``."""
        return link.pull_log(outputs, -torch.expm1(targets.log() - link.log(outputs)))

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets are positive."""
        check_between(name, targets, 0.0, without_least=True)


@dataclass(frozen=True)
class BinaryEntropy(Generator[UnitLink]):
    """``F = sum y log y + (1 - y) log(1 - y)``, generator of the logistic loss minus the entropy of targets.

    Matched link: the sigmoid.
    """

    links: ClassVar[type] = UnitLink
    matched: ClassVar[Link | None] = SigmoidLink()

    def __call__(self, points: Tensor) -> Tensor:
        return (torch.xlogy(points, points) + torch.xlogy(1 - points, 1 - points)).sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: UnitLink) -> Tensor:
        """Return ``F(y) - sum y log r + (1 - y) log(1 - r)``."""
        expected = targets * link.log(outputs) + (1 - targets) * link.log_complement(outputs)
        return self(targets) - expected.sum(-1)

    def output_error(self, targets: Tensor, outputs: Tensor, link: UnitLink) -> Tensor:
        """Return ``J^T (r - y)`` with ``J = d log(r / (1 - r)) / dz``."""
        return link.pull_log_odds(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        check_between(name, targets, 0.0, 1.0)
