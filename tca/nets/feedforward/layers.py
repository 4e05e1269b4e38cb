"""Layers of feedforward networks and the initialisation of their weights.

Shapes: N cells of a layer, laid out as ``(N,)`` or as channels, height and width ``(C, H, W)``; K kernel size.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from tca.connections.connection import Bias, Connection, Dense
from tca.connections.convolution import Conv, Geometry, Local, MapBias
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.utils.checks import Size, checked, whole

__all__ = ["INITS", "ConvLayer", "DenseLayer", "Layer", "LocalLayer", "Wiring"]

Maker = Callable[[str, Tensor, Tensor | None], Connection]


class Wiring(NamedTuple):
    """A layer between two populations.

    Attributes:
        shape: Layout of its cells.
        weight: Shape of the weights.
        fan_in: Number of synapses onto a cell.
        synapses: Constructor of the connection from a name, a weight and a mask.
        bias: Shape of the biases.
        biases: Constructor of their connection.
    """

    shape: Shape
    weight: Shape
    fan_in: int
    synapses: Maker
    bias: Shape
    biases: Maker


@dataclass(frozen=True)
class Layer(abc.ABC):
    """Configuration of a population and the synapses onto it."""

    @abc.abstractmethod
    def wiring(self, shape: Shape) -> Wiring:
        """Return the layer above cells of some layout.

        Raises:
            ValueError: The layer does not fit the layout.
        """

    @property
    @abc.abstractmethod
    def operations(self) -> tuple[InterlayerOperation, ...]:
        """Interlayer operations on its rates."""


@checked
@dataclass(frozen=True)
class DenseLayer(Layer):
    """An all-to-all layer.

    Args:
        size: Number of cells.
        then: Interlayer operations on their rates, default none.
    """

    size: Size
    then: tuple[InterlayerOperation, ...] = ()

    @property
    def operations(self) -> tuple[InterlayerOperation, ...]:
        return self.then

    def wiring(self, shape: Shape) -> Wiring:
        """Return all-to-all synapses."""
        fan_in = math.prod(shape)
        return Wiring((self.size,), (self.size, fan_in), fan_in, Dense, (self.size,), Bias)


@dataclass(frozen=True)
class _MapLayer(Layer):
    """Cells in maps, each connected to a square of the maps below."""

    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    then: tuple[InterlayerOperation, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("kernel", 1), ("stride", 1), ("padding", 0)):
            whole(f"{name} of a layer", getattr(self, name), least)

    @property
    def operations(self) -> tuple[InterlayerOperation, ...]:
        return self.then

    def geometry(self, shape: Shape) -> Geometry:
        """Return the geometry of the kernels.

        Raises:
            ValueError: They are no maps, or smaller than the kernel.
        """
        if len(shape) != 3:
            raise ValueError(f"{type(self).__name__} must lie on maps of channels, height and width, got shape {shape}")
        found = Geometry((shape[0], shape[1], shape[2]), self.kernel, self.stride, self.padding)
        if min(found.positions) < 1:
            raise ValueError(f"kernel of a layer must fit into maps of {shape[1:]}, got {self.kernel}")
        return found


@checked
@dataclass(frozen=True)
class ConvLayer(_MapLayer):
    """A convolution: all cells of a map have the same weights.

    Args:
        channels: Number of maps.
        kernel: Side of a cell's square, default 3.
        stride: Step from a cell's square to its neighbour's, default 1.
        padding: Zeros around the maps below, default 0.
        then: Interlayer operations on the rates, default none.
    """

    def wiring(self, shape: Shape) -> Wiring:
        """Return the convolution and a bias for each map."""
        at = self.geometry(shape)
        positions = math.prod(at.positions)
        weight = (self.channels, shape[0], self.kernel, self.kernel)
        cells = (self.channels, *at.positions)
        biases = partial(MapBias, positions=positions)
        return Wiring(cells, weight, at.fan_in, partial(Conv, geometry=at), (self.channels,), biases)


@checked
@dataclass(frozen=True)
class LocalLayer(_MapLayer):
    """A locally connected layer: every cell of a map has weights of its own; options as of `ConvLayer`."""

    def wiring(self, shape: Shape) -> Wiring:
        """Return the synapses and a bias for each cell."""
        at = self.geometry(shape)
        cells = (self.channels, *at.positions)
        weight = (self.channels, math.prod(at.positions), at.fan_in)
        return Wiring(cells, weight, at.fan_in, partial(Local, geometry=at), (math.prod(cells),), Bias)


def _normal(variance: float) -> Callable[[Shape, int, torch.Generator], Tensor]:
    def draw(shape: Shape, fan_in: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
        return drawn * math.sqrt(variance / fan_in)

    return draw


def _uniform(variance: float) -> Callable[[Shape, int, torch.Generator], Tensor]:
    def draw(shape: Shape, fan_in: int, generator: torch.Generator) -> Tensor:
        drawn = torch.rand(*shape, generator=generator, dtype=torch.float64, device="cpu")
        return (2 * drawn - 1) * math.sqrt(3 * variance / fan_in)

    return draw


INITS: dict[str, Callable[[Shape, int, torch.Generator], Tensor]] = {
    "he_normal": _normal(2.0),
    "he_uniform": _uniform(2.0),
    "lecun_normal": _normal(1.0),
    "lecun_uniform": _uniform(1.0),
}
