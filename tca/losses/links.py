"""Links: maps ``r(z)`` from unconstrained outputs to real, positive or probability predictions.

Logarithms and log odds of predictions, and their derivatives J, are computed without numbers that underflow.

Shapes: unconstrained outputs z, targets y, cotangents and scores ``(..., O)``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tca.losses.classes import softmax
from tca.losses.loss import check_between, check_distributions

__all__ = [
    "LINKS",
    "ExponentialLink",
    "IdentityLink",
    "Link",
    "PositiveLink",
    "SigmoidLink",
    "SoftmaxLink",
    "SoftplusLink",
    "UnitLink",
]


@dataclass(frozen=True)
class Link(abc.ABC):
    """A differentiable map from outputs to predictions, both of shape ``(..., O)``."""

    @abc.abstractmethod
    def __call__(self, outputs: Tensor) -> Tensor:
        """Return the predictions ``r(z)``, shape ``(..., O)``, a new tensor."""

    @abc.abstractmethod
    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``J^T cotangent`` with ``J = dr/dz``, a new tensor."""

    @abc.abstractmethod
    def check(self, name: str, targets: Tensor) -> None:
        """Check that finite targets lie in the closed range of the link.

        Raises:
            ValueError: A target lies outside.
        """


@dataclass(frozen=True)
class PositiveLink(Link):
    """A link to positive predictions."""

    @abc.abstractmethod
    def log(self, outputs: Tensor) -> Tensor:
        """Return ``log r(z)``, finite for every finite z."""

    @abc.abstractmethod
    def pull_log(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``J^T cotangent`` with ``J = d log r / dz``, a new tensor."""


@dataclass(frozen=True)
class UnitLink(PositiveLink):
    """An elementwise link to predictions in (0, 1)."""

    @abc.abstractmethod
    def log_complement(self, outputs: Tensor) -> Tensor:
        """Return ``log(1 - r(z))``, finite for every finite z."""

    @abc.abstractmethod
    def pull_log_odds(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``J^T cotangent`` with ``J = d log(r / (1 - r)) / dz``, a new tensor."""


@dataclass(frozen=True)
class IdentityLink(Link):
    """``r = z``: the outputs are the predictions."""

    def __call__(self, outputs: Tensor) -> Tensor:
        return outputs.clone()

    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        return cotangent.clone()

    def check(self, name: str, targets: Tensor) -> None:
        """Accept every real number."""


@dataclass(frozen=True)
class ExponentialLink(PositiveLink):
    """``r = e^z`` elementwise; overflows for z above 88 in float32 and 709 in float64."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return ``e^z``."""
        return outputs.exp()

    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``e^z cotangent``."""
        return outputs.exp() * cotangent

    def log(self, outputs: Tensor) -> Tensor:
        return outputs.clone()

    def pull_log(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        return cotangent.clone()

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets are nonnegative."""
        check_between(name, targets, 0.0)


@dataclass(frozen=True)
class SoftplusLink(PositiveLink):
    """``r = log(1 + e^z)`` elementwise, at most ``|z| + log 2``.

    >>> round(SoftplusLink()(torch.zeros(1)).item(), 4), SoftplusLink().log(torch.tensor([-1000.0])).item()
    (0.6931, -1000.0)
    """

    def __call__(self, outputs: Tensor) -> Tensor:
        """Return ``log(1 + e^z)``, accurate for small and large exponentials."""
        return torch.logaddexp(outputs, outputs.new_zeros(()))

    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        return outputs.sigmoid() * cotangent

    def log(self, outputs: Tensor) -> Tensor:
        return torch.where(outputs < -40, outputs, self(outputs.clamp(min=-40)).log())

    def pull_log(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``sigmoid(z) / log(1 + e^z) cotangent``."""
        return (functional.logsigmoid(outputs) - self.log(outputs)).exp() * cotangent

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets are nonnegative."""
        check_between(name, targets, 0.0)


@dataclass(frozen=True)
class SigmoidLink(UnitLink):
    """``r = 1 / (1 + e^-z)`` elementwise."""

    def __call__(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``r (1 - r) cotangent``."""
        return outputs.sigmoid() * (-outputs).sigmoid() * cotangent

    def log(self, outputs: Tensor) -> Tensor:
        """Return ``-log(1 + e^-z)``."""
        return functional.logsigmoid(outputs)

    def pull_log(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``(1 - r) cotangent``."""
        return (-outputs).sigmoid() * cotangent

    def log_complement(self, outputs: Tensor) -> Tensor:
        """Return ``-log(1 + e^z)``."""
        return functional.logsigmoid(-outputs)

    def pull_log_odds(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        return cotangent.clone()

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets lie in [0, 1]."""
        check_between(name, targets, 0.0, 1.0)


@dataclass(frozen=True)
class SoftmaxLink(PositiveLink):
    """``r = e^z / sum e^z``: outputs are the logits of one distribution."""

    def __call__(self, outputs: Tensor) -> Tensor:
        return softmax(outputs)

    def pull(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``r (cotangent - r.cotangent)``."""
        r = softmax(outputs)
        return r * (cotangent - (r * cotangent).sum(-1, keepdim=True))

    def log(self, outputs: Tensor) -> Tensor:
        """Return ``z - log sum e^z``."""
        return outputs.log_softmax(-1)

    def pull_log(self, outputs: Tensor, cotangent: Tensor) -> Tensor:
        """Return ``cotangent - r sum cotangent``."""
        return cotangent - softmax(outputs) * cotangent.sum(-1, keepdim=True)

    def check(self, name: str, targets: Tensor) -> None:
        """Check that targets are probabilities that sum to one."""
        check_distributions(name, targets)


LINKS: tuple[Link, ...] = (IdentityLink(), ExponentialLink(), SoftplusLink(), SigmoidLink(), SoftmaxLink())
