"""Surrogate gradients: smooth functions that replace the derivative of a spike (pseudo-derivatives).

For a spike ``z = [v > A]``, ``dz/dv`` is replaced by ``psi = p(u) / thr`` with the distance ``u = (v - A) / thr`` to
the threshold ``A`` in units of its resting value ``thr``. It is zero for a refractory cell.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tca.utils.checks import Positive, checked
from tca.utils.names import lookup

__all__ = [
    "SURROGATE_GRADIENTS",
    "Boxcar",
    "ExponentialSurrogate",
    "FastSigmoid",
    "Gaussian",
    "SurrogateGradient",
    "Triangular",
    "spike",
    "surrogate_gradient_of",
]


@checked
@dataclass(frozen=True)
class SurrogateGradient(abc.ABC):
    """A surrogate gradient ``p(u)`` with its maximum ``gamma`` at the threshold.

    Args:
        gamma: Height at the threshold, default 0.3, positive. Gradients through many spikes explode for large and
            vanish for small values.
        width: Width in units of the threshold, default 1, positive.

    Raises:
        ValueError: ``gamma`` or ``width`` is not positive and finite.
    """

    gamma: Positive = 0.3
    width: Positive = 1.0

    @abc.abstractmethod
    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``, differentiable by autograd.

        Args:
            distance: Distance u to the threshold.
        """


@checked
@dataclass(frozen=True)
class Triangular(SurrogateGradient):
    """``p(u) = gamma max(0, 1 - |u| / width)``.

    Args:
        gamma: Height at the threshold, default 0.3, positive.
        width: Half the base in units of the threshold, default 1, positive.

    Paper: Bellec et al. (2018), NeurIPS, arXiv:1803.09574.

    >>> Triangular(gamma=0.5)(torch.tensor([0.0, -0.5, 2.0])).tolist()
    [0.5, 0.25, 0.0]
    """

    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``."""
        return torch.rsub(distance.abs(), self.gamma, alpha=self.gamma / self.width).relu()


@checked
@dataclass(frozen=True)
class FastSigmoid(SurrogateGradient):
    """``p(u) = gamma / (1 + |u| / width)^2``: the derivative of ``u / (1 + |u|)``.

    Args:
        gamma: Height at the threshold, default 0.3, positive.
        width: Distance at which a quarter remains, in units of the threshold, default 1, positive.

    Paper: Zenke and Ganguli (2018), Neural Computation 30:1514.
    """

    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``."""
        return self.gamma / (1 + distance.abs() / self.width).square()


@checked
@dataclass(frozen=True)
class Gaussian(SurrogateGradient):
    """``p(u) = gamma exp(-(u / width)^2 / 2)``.

    Args:
        gamma: Height at the threshold, default 0.3, positive.
        width: Standard deviation in units of the threshold, default 1, positive.

    Paper: Yin, Corradi and Bohte (2021), Nature Machine Intelligence 3:905.
    """

    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``."""
        return self.gamma * torch.exp(-(distance / self.width).square() / 2)


@checked
@dataclass(frozen=True)
class ExponentialSurrogate(SurrogateGradient):
    """``p(u) = gamma exp(-|u| / width)``.

    Args:
        gamma: Height at the threshold, default 0.3, positive.
        width: Distance at which ``1/e`` remains, in units of the threshold, default 1, positive.

    Paper: Shrestha and Orchard (2018), NeurIPS, arXiv:1810.08646.
    """

    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``."""
        return self.gamma * torch.exp(-distance.abs() / self.width)


@checked
@dataclass(frozen=True)
class Boxcar(SurrogateGradient):
    """``p(u) = gamma [|u| < width]``, the straight-through estimator near the threshold; ``p'(u) = 0``.

    Args:
        gamma: Height, default 0.3, positive.
        width: Half the base in units of the threshold, default 1, positive.

    Paper: Bengio, Leonard and Courville (2013), arXiv:1308.3432.
    """

    def __call__(self, distance: Tensor) -> Tensor:
        """Return ``p(u)``."""
        return self.gamma * (distance.abs() < self.width).to(distance)


SURROGATE_GRADIENTS: dict[str, type[SurrogateGradient]] = {
    "triangular": Triangular,
    "fast_sigmoid": FastSigmoid,
    "gaussian": Gaussian,
    "exponential": ExponentialSurrogate,
    "boxcar": Boxcar,
}


@checked
def surrogate_gradient_of(name: str = "triangular", gamma: float = 0.3, width: float = 1.0) -> SurrogateGradient:
    """Return a surrogate gradient by name.

    Args:
        name: ``"triangular"`` (default), ``"fast_sigmoid"``, ``"gaussian"``, ``"exponential"`` or ``"boxcar"``.
        gamma: Height at the threshold, default 0.3.
        width: Width in units of the threshold, default 1.

    Raises:
        ValueError: The name is unknown, or a number is not positive.

    >>> surrogate_gradient_of("gaussian", width=0.5)
    Gaussian(gamma=0.3, width=0.5)
    """
    return lookup(SURROGATE_GRADIENTS, name, "surrogate gradient")(gamma, width)


class _Spike(torch.autograd.Function):
    """The step function with a differentiable surrogate gradient."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, surrogate_gradient: SurrogateGradient) -> Tensor:
        """Return ``[u > 0]``."""
        ctx.save_for_backward(distance)
        ctx.surrogate_gradient = surrogate_gradient
        return (distance > 0).to(distance)

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor, None]:
        """Return the errors times the surrogate gradient."""
        (distance,) = ctx.saved_tensors
        return errors[0] * ctx.surrogate_gradient(distance), None


@checked
def spike(distance: Tensor, surrogate_gradient: SurrogateGradient) -> Tensor:
    """Return ``[u > 0]`` with the derivative ``p(u)``, itself differentiable.

    Args:
        distance: Distance u to the threshold, in units of its resting value.
        surrogate_gradient: Surrogate gradient p.

    >>> u = torch.tensor([0.5], requires_grad=True)
    >>> z = spike(u, Triangular(gamma=0.5))
    >>> (first,) = torch.autograd.grad(z, u, create_graph=True)
    >>> z.item(), first.item(), torch.autograd.grad(first, u)[0].item()
    (1.0, 0.25, -0.5)
    """
    found: Tensor = _Spike.apply(distance, surrogate_gradient)  # type: ignore[no-untyped-call]
    return found
