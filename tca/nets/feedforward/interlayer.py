"""Interlayer operations: pooling, dropout and normalisation.

Shapes: M any number of leading steps and trials; N cells of a map ``(C, H, W)``, channel by channel, row by row.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tca.utils.checks import Count, checked, finite

__all__ = ["AvgPool", "Dropout", "InterlayerOperation", "MaxPool", "RMSNorm"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class InterlayerOperation(abc.ABC):
    """A fixed function of the rates of a population, without parameters."""

    random = False  # whether every pass draws random numbers

    @abc.abstractmethod
    def shape(self, shape: Shape) -> Shape:
        """Return the layout of the cells after the operation.

        Raises:
            ValueError: The operation does not fit the layout.
        """

    @abc.abstractmethod
    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return the rates after the operation, shape ``(..., J)``, differentiable.

        Args:
            rate: Rates, shape ``(..., N)``.
            drawn: Numbers drawn uniformly from [0, 1), one for each rate, for a random operation in training; ``None``
                otherwise.
        """

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Backpropagate a signal through the operation, shape ``(..., N)``.

        Args:
            signal: Signal, shape ``(..., J)``.
            rate: The rates before the operation, shape ``(..., N)``.
            drawn: The random numbers of the pass, if any.
        """
        with torch.inference_mode(False), torch.enable_grad():
            before = rate.clone().requires_grad_()
            (returned,) = torch.autograd.grad(self.through(before, shape, drawn), before, signal)
        return returned


@checked
@dataclass(frozen=True)
class _Pool(InterlayerOperation):
    """Pooling of squares of a map."""

    kernel: Count = 2
    stride: Count | None = None

    def shape(self, shape: Shape) -> Shape:
        """Return channels and the pooled height and width."""
        if len(shape) != 3:
            raise ValueError(f"pooling needs a map of channels, height and width, got a population of shape {shape}")
        if min(shape[1:]) < self.kernel:
            raise ValueError(f"kernel of the pooling must be at most {min(shape[1:])}, got {self.kernel}")
        step = self.stride or self.kernel
        return shape[0], *((side - self.kernel) // step + 1 for side in shape[1:])

    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return the pooled rates."""
        pooled = self.pooled(rate.reshape(-1, *shape))
        return pooled.reshape(*rate.shape[:-1], -1)

    @abc.abstractmethod
    def pooled(self, maps: Tensor) -> Tensor:
        """Return pooled maps, shape ``(M, C, H', W')``.

        Args:
            maps: Maps, shape ``(M, C, H, W)``.
        """


@checked
@dataclass(frozen=True)
class AvgPool(_Pool):
    """The mean over squares of a map.

    Args:
        kernel: Side of the square, default 2.
        stride: Step between two squares; ``None`` (default) for the side.

    >>> AvgPool().through(torch.tensor([1.0, 2.0, 3.0, 6.0]), (1, 2, 2), None).tolist()
    [3.0]
    """

    def pooled(self, maps: Tensor) -> Tensor:
        return functional.avg_pool2d(maps, self.kernel, self.stride)

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return an equal share of every square's signal for each of its cells."""
        signals, maps = signal.reshape(-1, *self.shape(shape)), rate.reshape(-1, *shape)
        square, step = [self.kernel] * 2, [self.stride or self.kernel] * 2
        spread: Tensor = torch.ops.aten.avg_pool2d_backward(signals, maps, square, step, [0, 0], False, True, None)
        return spread.reshape(rate.shape)


@checked
@dataclass(frozen=True)
class MaxPool(_Pool):
    """The largest of squares of a map.

    Args:
        kernel: Side of the square, default 2.
        stride: Step between two squares; ``None`` (default) for the side.

    >>> MaxPool().through(torch.tensor([1.0, 2.0, 3.0, 6.0]), (1, 2, 2), None).tolist()
    [6.0]
    """

    def pooled(self, maps: Tensor) -> Tensor:
        return functional.max_pool2d(maps, self.kernel, self.stride)


@checked
@dataclass(frozen=True)
class Dropout(InterlayerOperation):
    """Rates set to zero at random in training, the others divided by the remaining share.

    Args:
        share: Probability that a rate is set to zero, default 0.5, in [0, 1).

    Raises:
        ValueError: ``share`` lies outside.

    Paper: Srivastava et al. (2014), Journal of Machine Learning Research 15:1929.
    """

    share: float = 0.5
    random = True

    def __post_init__(self) -> None:
        if not 0 <= finite("share of the dropout", self.share) < 1:
            raise ValueError(f"share of the dropout must lie in [0, 1), got {self.share}")

    def shape(self, shape: Shape) -> Shape:
        return shape

    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return the remaining rates, all of them if ``drawn`` is ``None``."""
        return rate if drawn is None else rate * (drawn >= self.share) / (1 - self.share)

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        return self.through(signal, shape, drawn)


@checked
@dataclass(frozen=True)
class RMSNorm(InterlayerOperation):
    """Rates divided by their root mean square over the cells of an example.

    Args:
        eps: Addition to the mean square, default 1e-8, positive.

    Paper: Zhang and Sennrich (2019), NeurIPS.

    >>> RMSNorm().through(torch.tensor([3.0, 3.0]), (2,), None).tolist()
    [1.0, 1.0]
    """

    eps: float = 1e-8

    def __post_init__(self) -> None:
        if not finite("eps of the normalisation", self.eps) > 0:
            raise ValueError(f"eps of the normalisation must be positive, got {self.eps}")

    def shape(self, shape: Shape) -> Shape:
        return shape

    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        return rate * self._inverse(rate)

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return ``(G - y mean(G y)) / rms`` with the normalised rates y."""
        inverse = self._inverse(rate)
        normalised = rate * inverse
        return (signal - normalised * (signal * normalised).mean(-1, keepdim=True)) * inverse

    def _inverse(self, rate: Tensor) -> Tensor:
        return (rate.square().mean(-1, keepdim=True) + self.eps).rsqrt()
