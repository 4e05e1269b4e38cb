"""Initial weights between ON-OFF pairs, and the order of their cells in maps.

Shapes: I postsynaptic cells or maps, J presynaptic; every even one is ON, the next one OFF. K components.

With zero biases both cells of a pair have opposite drives and the same gate, so that a nonnegative network of pairs
computes the same as a network of half the width with weights V of both signs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.nets.feedforward.interlayer import InterlayerOperation, Shape

__all__ = ["SIGNS", "ChannelsLast", "Componentwise", "Start", "Weights", "on_off", "on_row", "opposite"]


Weights = Callable[[Shape, Callable[[Shape], Tensor]], Tensor]


def opposite(on: Tensor) -> Tensor:
    """Return rows in pairs, each followed by its negative.

    Args:
        on: Weights of the ON cells, shape ``(I / 2, ...)``.

    >>> opposite(torch.tensor([[1.0], [2.0]])).flatten().tolist()
    [1.0, -1.0, 2.0, -2.0]
    """
    return torch.stack([on, -on], 1).flatten(0, 1)


def on_row(signed: Tensor) -> Tensor:
    """Return nonnegative weights from pairs, ``w_i,2b = max(V_ib, 0)``, ``w_i,2b+1 = max(-V_ib, 0)``.

    Args:
        signed: Weights V of both signs, shape ``(I, J / 2, ...)``.

    >>> on_row(torch.tensor([[1.0, -2.0]])).tolist()
    [[1.0, 0.0, 0.0, 2.0]]
    """
    return torch.stack([signed.clamp(min=0), (-signed).clamp(min=0)], 2).flatten(1, 2)


def on_off(signed: Tensor) -> Tensor:
    """Return nonnegative weights between pairs: like cells for positive weights, unlike cells for negative ones.

    Args:
        signed: Weights V of both signs, shape ``(I / 2, J / 2, ...)``.

    >>> on_off(torch.tensor([[-3.0]])).tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    return torch.stack([on_row(signed), on_row(-signed)], 1).flatten(0, 1)


@dataclass(frozen=True)
class Start:
    """Initialisation of the weights of a network.

    Attributes:
        nonnegative: Whether weights above the first layer must not be negative.
        first: Function that returns weights from the inputs, given a shape with postsynaptic cells or maps first and a
            source of normal numbers of variance one over the fan-in.
        between: The same for weights between populations, presynaptic cells or maps second.
        out: The same for weights onto the outputs.
    """

    nonnegative: bool
    first: Weights
    between: Weights
    out: Weights


def _halved(shape: Shape, axes: int) -> Shape:
    return (*(side // 2 for side in shape[:axes]), *shape[axes:])


SIGNS: dict[str, Start] = {
    "nonnegative": Start(
        True,
        lambda shape, draw: opposite(draw(_halved(shape, 1))),
        lambda shape, draw: on_off(2 * draw(_halved(shape, 2))),
        lambda shape, draw: on_row(2 * draw((shape[0], shape[1] // 2, *shape[2:]))),
    ),
    "mixed": Start(
        False,
        lambda shape, draw: draw(shape),
        lambda shape, draw: math.sqrt(2) * draw(shape),
        lambda shape, draw: math.sqrt(2) * draw(shape),
    ),
}


@dataclass(frozen=True)
class ChannelsLast(InterlayerOperation):
    """Cells of maps position by position, so that ON and OFF cells alternate: ``(..., C, H, W)`` to ``(..., H W C)``.

    >>> ChannelsLast().through(torch.tensor([1.0, 2.0, 3.0, 4.0]), (2, 1, 2), None).tolist()
    [1.0, 3.0, 2.0, 4.0]
    """

    def shape(self, shape: Shape) -> Shape:
        return (*shape[:-3], math.prod(shape[-3:]))

    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return the rates in the other order."""
        apart = rate.reshape(*rate.shape[:-1], -1, shape[-3], math.prod(shape[-2:]))
        return apart.transpose(-1, -2).flatten(-3)

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        """Return the signal in the order of the maps."""
        apart = signal.reshape(*signal.shape[:-1], -1, math.prod(shape[-2:]), shape[-3])
        return apart.transpose(-1, -2).flatten(-3)


@dataclass(frozen=True)
class Componentwise(InterlayerOperation):
    """An interlayer operation applied to every component of the vectors.

    Args:
        inner: The operation; the same linear map for all components.
    """

    inner: InterlayerOperation

    def shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.inner.shape(shape[1:]))

    def through(self, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        return self.inner.through(_apart(rate, shape), shape[1:], drawn).flatten(-2)

    def back(self, signal: Tensor, rate: Tensor, shape: Shape, drawn: Tensor | None) -> Tensor:
        return self.inner.back(_apart(signal, shape), _apart(rate, shape), shape[1:], drawn).flatten(-2)


def _apart(values: Tensor, shape: Shape) -> Tensor:
    return values.reshape(*values.shape[:-1], shape[0], -1)
