"""Convex functions that generate Bregman divergences.

A strictly convex F generates ``D(y, r) = F(y) - F(r) - grad F(r).(y - r)``, the distance of a target y from a
prediction r: what F at the target exceeds its tangent at the prediction by. Its derivative by r is
``Hess F(r) (r - y)``.

Banerjee et al. (2005), Clustering with Bregman divergences, Journal of Machine Learning Research 6:1705-1749.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from tca.losses.links import Exponential, Identity, Link, PositiveLink, Sigmoid, UnitLink
from tca.losses.targets import check_between

__all__ = ["BinaryEntropy", "ExponentialSum", "Generator", "ItakuraSaito", "NegativeEntropy", "SquaredNorm"]

L = TypeVar("L", bound=Link)


@dataclass(frozen=True)
class Generator(abc.ABC, Generic[L]):
    """A strictly convex function F of ``(..., O)``, summed over the last axis."""

    links: ClassVar[type]
    """The links whose predictions lie where F is defined."""
    matched: ClassVar[Link | None]
    """The inverse of ``grad F``, with which the score is ``r - y``; ``None`` if it does not take all real outputs."""

    @abc.abstractmethod
    def __call__(self, points: Tensor) -> Tensor:
        """Return F, shape ``(...)``.

        Args:
            points: Where, inside the domain of F, shape ``(..., O)``.
        """

    @abc.abstractmethod
    def divergence(self, targets: Tensor, outputs: Tensor, link: L) -> Tensor:
        """Return ``D(y, r(z))``, shape ``(...)``, differentiable in ``outputs``.

        Args:
            targets: The targets y, shape ``(..., O)``.
            outputs: Unconstrained outputs z, same shape.
            link: The link r.
        """

    @abc.abstractmethod
    def score(self, targets: Tensor, outputs: Tensor, link: L) -> Tensor:
        """Return ``J^T Hess F(r) (r - y)`` with ``r = r(z)`` and ``J = dr/dz``, a new tensor of shape ``(..., O)``.

        Args:
            targets: The targets y, shape ``(..., O)``.
            outputs: Unconstrained outputs z, same shape.
            link: The link r.
        """

    @abc.abstractmethod
    def check(self, name: str, targets: Tensor) -> None:
        """Raise unless F is finite at finite ``targets``.

        Args:
            name: Of the loss, for the message.
            targets: What came, shape ``(..., O)``.

        Raises:
            ValueError: A target lies outside the domain.
        """


@dataclass(frozen=True)
class SquaredNorm(Generator[Link]):
    """``F = 1/2 |y|^2``, which generates half the squared error. Matched link: the identity."""

    links: ClassVar[type] = Link
    matched: ClassVar[Link | None] = Identity()

    def __call__(self, points: Tensor) -> Tensor:
        """Return half the squared norm."""
        return 0.5 * points.square().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: Link) -> Tensor:
        """Return ``1/2 |r - y|^2``."""
        return 0.5 * (link(outputs) - targets).square().sum(-1)

    def score(self, targets: Tensor, outputs: Tensor, link: Link) -> Tensor:
        """Return ``J^T (r - y)``."""
        return link.pull(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Accept every real number."""


@dataclass(frozen=True)
class ExponentialSum(Generator[Identity]):
    """``F = sum e^y``, defined for all real numbers, which generates ``sum e^y - e^z - e^z (y - z)``.

    Errors count by the size of the prediction: overflows where a target or an output exceeds 88 in float32 and 709 in
    float64. The matched link would be the logarithm, which takes positive outputs only.
    """

    links: ClassVar[type] = Identity
    matched: ClassVar[Link | None] = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return the sum of exponentials."""
        return points.exp().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: Identity) -> Tensor:
        """Return the divergence with the larger of the two exponentials taken out, so that nothing overflows first."""
        above, below = (targets - outputs).clamp(min=0), (targets - outputs).clamp(max=0)
        when_above = -torch.expm1(-above) - above * (-above).exp()
        when_below = torch.expm1(below) - below
        return torch.where(targets > outputs, targets.exp() * when_above, outputs.exp() * when_below).sum(-1)

    def score(self, targets: Tensor, outputs: Tensor, link: Identity) -> Tensor:
        """Return ``e^z (z - y)``."""
        return outputs.exp() * (outputs - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Accept every real number."""


@dataclass(frozen=True)
class NegativeEntropy(Generator[PositiveLink]):
    """``F = sum y log y - y``, which generates the generalised Kullback-Leibler divergence.

    ``D = sum y log(y / r) - y + r``. Matched link: the exponential, and the softmax where targets and predictions
    sum to one.
    """

    links: ClassVar[type] = PositiveLink
    matched: ClassVar[Link | None] = Exponential()

    def __call__(self, points: Tensor) -> Tensor:
        """Return ``sum y log y - y``."""
        return (torch.xlogy(points, points) - points).sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``sum y log y - y log r - y + r``."""
        own = torch.xlogy(targets, targets) - targets
        return (own - targets * link.log(outputs) + link(outputs)).sum(-1)

    def score(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``r - y`` taken back through ``log r``."""
        return link.pull_log(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Raise if a target is negative."""
        check_between(name, targets, 0.0)


@dataclass(frozen=True)
class ItakuraSaito(Generator[PositiveLink]):
    """``F = -sum log y``, which generates the Itakura-Saito distance ``sum y/r - log(y/r) - 1``.

    It depends on ratios alone. The matched link would be ``-1/z``, which takes negative outputs only; with the
    exponential the score is ``1 - y/r``.

    Itakura and Saito (1968), Analysis synthesis telephony based on the maximum likelihood method, ICA.
    """

    links: ClassVar[type] = PositiveLink
    matched: ClassVar[Link | None] = None

    def __call__(self, points: Tensor) -> Tensor:
        """Return minus the sum of logarithms."""
        return -points.log().sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``sum e^u - 1 - u`` with ``u = log y - log r``."""
        ratio = targets.log() - link.log(outputs)
        return (torch.expm1(ratio) - ratio).sum(-1)

    def score(self, targets: Tensor, outputs: Tensor, link: PositiveLink) -> Tensor:
        """Return ``1 - y/r`` taken back through ``log r``."""
        return link.pull_log(outputs, -torch.expm1(targets.log() - link.log(outputs)))

    def check(self, name: str, targets: Tensor) -> None:
        """Raise unless every target is positive."""
        check_between(name, targets, 0.0, without_least=True)


@dataclass(frozen=True)
class BinaryEntropy(Generator[UnitLink]):
    """``F = sum y log y + (1 - y) log(1 - y)``, which generates the logistic loss less the entropy of its targets.

    Matched link: the sigmoid.
    """

    links: ClassVar[type] = UnitLink
    matched: ClassVar[Link | None] = Sigmoid()

    def __call__(self, points: Tensor) -> Tensor:
        """Return minus the entropy of answers that are yes with these probabilities."""
        return (torch.xlogy(points, points) + torch.xlogy(1 - points, 1 - points)).sum(-1)

    def divergence(self, targets: Tensor, outputs: Tensor, link: UnitLink) -> Tensor:
        """Return ``F(y) - sum y log r + (1 - y) log(1 - r)``."""
        expected = targets * link.log(outputs) + (1 - targets) * link.log_complement(outputs)
        return self(targets) - expected.sum(-1)

    def score(self, targets: Tensor, outputs: Tensor, link: UnitLink) -> Tensor:
        """Return ``r - y`` taken back through the log odds."""
        return link.pull_log_odds(outputs, link(outputs) - targets)

    def check(self, name: str, targets: Tensor) -> None:
        """Raise unless targets lie in [0, 1]."""
        check_between(name, targets, 0.0, 1.0)
