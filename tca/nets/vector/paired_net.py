"""Feedforward networks of pairs of an ON and an OFF cell, their layers and their initial weights."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tca.connections.connection import Bias
from tca.nets.accepted_options import check_layers
from tca.nets.feedforward.interlayer import AvgPool, InterlayerOperation, Shape
from tca.nets.feedforward.layered_network import HiddenLayer, Layered
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer, Maker, Wiring
from tca.nets.feedforward.networks import check_shape
from tca.nets.vector.vector_start import SIGNS, ChannelsLast, Weights
from tca.utils.checks import Device, DType, Seed, Size, checked, whole
from tca.utils.names import lookup

__all__ = ["Ground", "PairedNet"]

READOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "pairs": lambda drawn: drawn,
    "constant": lambda drawn: torch.full_like(drawn, math.sqrt(2 / drawn.shape[1])),
}


class Ground(NamedTuple):
    """A layer of pairs with its wiring and number.

    Attributes:
        layer: The layer.
        found: Wiring of scalar cells.
        number: Its number, from one.
    """

    layer: Layer
    found: Wiring
    number: int

    @property
    def channels(self) -> int:
        """Number of cells or maps."""
        return self.found.shape[0]

    @property
    def positions(self) -> int:
        """Number of positions of a map, one for single cells."""
        return math.prod(self.found.shape[1:])

    def between(self) -> tuple[Shape, Callable[[Tensor], Tensor]]:
        """Return the shape of weights with pairs first, and the function that reorders them."""
        weight = self.found.weight
        if not isinstance(self.layer, LocalLayer):
            return weight, lambda drawn: drawn
        square = self.layer.kernel**2
        shape = (weight[0], weight[2] // square, weight[1], square)
        return shape, lambda drawn: drawn.movedim(2, 1).flatten(2)


@checked
class PairedNet(Layered, abc.ABC):
    """Pairs of an ON and an OFF cell, one population above another, all weights above the first layer nonnegative.

    Args:
        shape: Layout of the inputs: a number, or channels, height and width.
        layers: The layers from the inputs upwards, with even sizes and channels; only `AvgPool` may follow them.
        n_out: Number of outputs.
        signs: ``"nonnegative"`` (default): weights above the first layer are never negative, which ``project_`` holds;
            or ``"mixed"``.
        readout: Initial weights onto the outputs: ``"pairs"`` (default), drawn like the others; or
            ``"constant"``, one positive number.
        seed: Seed of the weights and the gates, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size is not allowed or not even, or a layer cannot lie on the one below.
        TypeError: Something else than mean pooling follows a layer.
    """

    def __init__(
        self,
        shape: Size | Sequence[Size],
        layers: Sequence[Layer],
        n_out: Size,
        *,
        signs: str = "nonnegative",
        readout: str = "pairs",
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        super().__init__()
        check_layers(layers, DenseLayer, ConvLayer, LocalLayer, Layer)
        self.shape = check_shape(shape)
        self.n_in, self.n_out = math.prod(self.shape), whole("n_out", n_out, 1)
        start, finished = lookup(SIGNS, signs, "signs"), lookup(READOUTS, readout, "readout")
        self.nonnegative = start.nonnegative
        generator = torch.Generator().manual_seed(seed)
        self.hidden_layers = []
        lower = self.shape
        for number, layer in enumerate(layers, 1):
            ground = Ground(layer, layer.wiring(lower), number)
            if ground.channels % 2:
                raise ValueError(f"layers of pairs must have even sizes and channels, got {ground.channels}")
            draw = _normal(ground.found.fan_in, generator)
            if number == 1:
                weight = self._first(ground, start.first, draw)
            else:
                wanted, arrange = ground.between()
                weight = arrange(start.between(wanted, draw)).contiguous()
            self.register_parameter(f"w_{number}", nn.Parameter(weight))
            self.register_parameter(f"b_{number}", nn.Parameter(self._bias(ground)))
            operations, lower = self._passed(ground, layers[number] if number < len(layers) else None)
            wires = ((f"w_{number}", self._synapses(ground)), (f"b_{number}", self._biases(ground)))
            self.hidden_layers.append(self._population(ground, operations, wires, generator))
        rows, fan_in = self._rows, math.prod(lower)
        self.w_out = nn.Parameter(finished(start.out((rows, fan_in), _normal(fan_in, generator))))
        self.b_out = nn.Parameter(torch.zeros(self.n_out, dtype=torch.float64, device="cpu"))
        self.readout = (("w_out", self._outputs), ("b_out", Bias))
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state())
        self._convert(device, dtype)

    @torch.no_grad()
    def project_(self) -> None:
        """Set negative weights above the first layer to zero in a nonnegative network; biases have any sign."""
        if self.nonnegative:
            for name in (*(each.wires[0][0] for each in self.hidden_layers[1:]), "w_out"):
                self.get_parameter(name).clamp_(min=0)

    @property
    @abc.abstractmethod
    def _rows(self) -> int:
        """Number of rows of the readout's weights."""

    @property
    @abc.abstractmethod
    def _outputs(self) -> Maker:
        """Constructor of the readout's connection."""

    @abc.abstractmethod
    def _first(self, ground: Ground, first: Weights, draw: Callable[[Shape], Tensor]) -> Tensor:
        """Return the weights of the first layer."""

    @abc.abstractmethod
    def _bias(self, ground: Ground) -> Tensor:
        """Return the biases of a layer, zero."""

    @abc.abstractmethod
    def _synapses(self, ground: Ground) -> Maker:
        """Return the constructor of a layer's connection."""

    @abc.abstractmethod
    def _biases(self, ground: Ground) -> Maker:
        """Return the constructor of a layer's biases."""

    @abc.abstractmethod
    def _population(
        self, ground: Ground, operations: tuple[InterlayerOperation, ...], wires: Any, generator: torch.Generator
    ) -> HiddenLayer:
        """Return a population."""

    def _passed(self, ground: Ground, upper: Layer | None) -> tuple[tuple[InterlayerOperation, ...], Shape]:
        """Return the interlayer operations and the layout after them: flat below flat layers."""
        operations, shape = list(ground.layer.operations), ground.found.shape
        if not all(isinstance(each, AvgPool) for each in operations):
            raise TypeError(f"only AvgPool may follow a layer of pairs, got {operations}")
        if len(shape) == 3 and (upper is None or isinstance(upper, DenseLayer)):
            operations.append(ChannelsLast())
        for operation in operations:
            shape = operation.shape(shape)
        return tuple(operations), shape


def _normal(fan_in: int, generator: torch.Generator) -> Callable[[Shape], Tensor]:
    def draw(shape: Shape) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu") / math.sqrt(fan_in)

    return draw
