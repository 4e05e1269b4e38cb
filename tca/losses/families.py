"""Exponential families: log density ``eta(z).T(y) - A(eta(z))`` plus a function of the target y.

Shapes: unconstrained outputs z, targets y, cotangents and scores ``(..., O)``; the order of a moment is 2, 3 or 4.

T is the sufficient statistic, eta the natural parameter as a function of the unconstrained output (the output itself
if every real number is allowed), A the log partition function. ``grad A`` is the mean of T, ``Hess A`` its covariance.

Wainwright and Jordan (2008), Graphical models, exponential families, and variational inference, Foundations and Trends
in Machine Learning 1:1-305.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tca.losses import moments
from tca.losses.classes import softmax
from tca.losses.loss import check_between, check_classes
from tca.utils.checks import Positive, checked
from tca.utils.numerics import check_real

__all__ = ["BernoulliFamily", "CategoricalFamily", "Family", "GammaFamily", "GaussianFamily", "PoissonFamily"]


@dataclass(frozen=True)
class Family(abc.ABC):
    """An exponential family of distributions of the targets of one step and trial."""

    @abc.abstractmethod
    def log_partition(self, outputs: Tensor) -> Tensor:
        """Return ``A(eta(z))``, shape ``(...)``."""

    @abc.abstractmethod
    def natural(self, outputs: Tensor) -> Tensor:
        """Return the natural parameter ``eta(z)``, shape ``(..., O)``."""

    @abc.abstractmethod
    def statistic(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the sufficient statistic ``T(y)``, shape ``(..., O)``."""

    @abc.abstractmethod
    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``J^T (grad A(eta) - T(y))`` with ``J = d eta / dz``, a new tensor of shape ``(..., O)``."""

    @abc.abstractmethod
    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return the covariance of the score under the family, shape ``(..., O, O)``."""

    @abc.abstractmethod
    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return ``E[s_o^order]`` under the family, shape ``(..., O)``."""

    @abc.abstractmethod
    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets lie in the support of the family.

        Args:
            outputs_shape: Shape ``(T, B, O)`` of the outputs.

        Raises:
            ValueError: The shape or a value does not fit.
        """


@dataclass(frozen=True)
class CanonicalFamily(Family):
    """A family in canonical form, ``eta(z) = z``, with score ``s = grad A(z) - T(y)``."""

    @abc.abstractmethod
    def expected(self, outputs: Tensor) -> Tensor:
        """Return ``grad A(z)``, the mean of the sufficient statistic, a new tensor of shape ``(..., O)``."""

    def natural(self, outputs: Tensor) -> Tensor:
        return outputs

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``grad A(z) - T(y)``."""
        return self.expected(outputs).sub_(self.statistic(outputs, targets))


@dataclass(frozen=True)
class RealFamily(CanonicalFamily):
    """A canonical family of independent real targets with ``T(y) = y``."""

    def statistic(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return targets

    def score_covariance(self, outputs: Tensor) -> Tensor:
        return torch.diag_embed(self.score_moment(outputs, 2))


@dataclass(frozen=True)
class BernoulliFamily(RealFamily):
    """Bernoulli variables, ``A = sum log(1 + e^z)``; targets in [0, 1], shape ``(T, B, O)``."""

    def log_partition(self, outputs: Tensor) -> Tensor:
        """Return ``sum log(1 + e^z)``."""
        return -functional.logsigmoid(-outputs).sum(-1)

    def expected(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``p - y``."""
        return moments.signed(order, moments.bernoulli(outputs.sigmoid(), order))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are numbers in [0, 1] of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("BernoulliFamily", targets, 0.0, 1.0)


@dataclass(frozen=True)
class PoissonFamily(RealFamily):
    """Poisson counts, ``A = sum e^z``; targets are nonnegative, shape ``(T, B, O)``."""

    def log_partition(self, outputs: Tensor) -> Tensor:
        """Return ``sum e^z``."""
        return outputs.exp().sum(-1)

    def expected(self, outputs: Tensor) -> Tensor:
        """Return the rate ``e^z``."""
        return outputs.exp()

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``e^z - y``."""
        return moments.signed(order, moments.poisson(outputs.exp(), order))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are nonnegative numbers of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("PoissonFamily", targets, 0.0)


@checked
@dataclass(frozen=True)
class GaussianFamily(RealFamily):
    """Normal targets of known variance, ``A = variance/2 sum z^2``; the mean is ``variance z``.

    Targets are real, shape ``(T, B, O)``.

    Args:
        variance: Variance of every target, default 1.
    """

    variance: Positive = 1.0

    def log_partition(self, outputs: Tensor) -> Tensor:
        """Return ``variance/2 sum z^2``."""
        return 0.5 * self.variance * outputs.square().sum(-1)

    def expected(self, outputs: Tensor) -> Tensor:
        return self.variance * outputs

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        return moments.normal(torch.full_like(outputs, self.variance), order)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are finite real numbers of the outputs' shape."""
        check_real(outputs_shape, targets)


@dataclass(frozen=True)
class CategoricalFamily(CanonicalFamily):
    """One of O classes, ``A = log sum e^z``, ``T = onehot``; targets are class indices, shape ``(T, B)``."""

    def log_partition(self, outputs: Tensor) -> Tensor:
        """Return ``log sum e^z``."""
        return outputs.logsumexp(-1)

    def statistic(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)

    def expected(self, outputs: Tensor) -> Tensor:
        return softmax(outputs)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return ``diag(p) - p p^T`` with ``p = softmax(z)``."""
        p = softmax(outputs)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``p_o - onehot(class)_o``."""
        return moments.signed(order, moments.bernoulli(softmax(outputs), order))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are class indices below the number of outputs, shape ``(T, B)``."""
        check_classes("CategoricalFamily", outputs_shape, targets)


@checked
@dataclass(frozen=True)
class GammaFamily(Family):
    """Gamma variables of known shape with log scale z, ``mean = shape e^z``.

    The natural parameter ``eta = -e^-z`` is negative, ``A = -shape log(-eta) = shape z``, ``T = y``, and the score is
    ``shape - y e^-z``. Targets have the shape ``(T, B, O)``.

    Args:
        shape: Shape parameter, default 1, the exponential distribution.
    """

    shape: Positive = 1.0

    def log_partition(self, outputs: Tensor) -> Tensor:
        return self.shape * outputs.sum(-1)

    def natural(self, outputs: Tensor) -> Tensor:
        """Return ``-e^-z``."""
        return -(-outputs).exp()

    def statistic(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return targets

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``shape - y e^-z``."""
        return self.shape - targets * (-outputs).exp()

    def score_covariance(self, outputs: Tensor) -> Tensor:
        return torch.diag_embed(self.score_moment(outputs, 2))

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of ``shape - y e^-z``."""
        return moments.signed(order, moments.gamma(torch.full_like(outputs, self.shape), order))

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Check that targets are positive numbers of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("GammaFamily", targets, 0.0, without_least=True)
