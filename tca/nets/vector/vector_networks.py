"""Networks whose cells carry a vector with one component for each output, and their conventional twins.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic, C maps, P positions of a map.

Cells come in pairs, ON (even) and OFF (odd). Vectors are laid out component by component.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tca.cells.activations import AlternatingReLU
from tca.connections.connection import Bias, Dense
from tca.connections.vector_weights import InputVectors, VectorBias, Vectors
from tca.nets.accepted_options import check_layers, check_options
from tca.nets.feedforward.interlayer import AvgPool, InterlayerOperation, Shape
from tca.nets.feedforward.layered_network import HiddenLayer, Layered
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer, Maker, Wiring
from tca.nets.feedforward.networks import check_shape
from tca.nets.vector.vector_gates import Gates, gated_tape
from tca.nets.vector.vector_start import SIGNS, ChannelsLast, Componentwise, Weights
from tca.utils.checks import Device, DType, Seed, Size, checked, whole
from tca.utils.names import lookup

__all__ = ["AlternatingNet", "PairedNet", "VectorCNN", "VectorLocalNet", "VectorMLP", "VectorNet"]


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


@checked
class VectorNet(PairedNet):
    """Cells that carry a vector with a component for each output, connected by nonnegative scalars.

        a_ik = sum_j w_ij h_jk + b_ik,   G_i = 1[t_i . a_i >= 0],   h_ik = G_i a_ik,   z_k = sum_j w_j h_jk + b_k

    A cell passes its whole vector or zero, by a fixed random gating vector t of signs. As all weights above the
    first layer are nonnegative, the exact error of a cell is one nonnegative number times the output error,
    the same for all cells; see `tca.signals.GlobalVector`. Inputs are scalars: component k of a cell has weights of its
    own, ``w_1`` of shape ``(K, I, J)``. Each of the K components passes the same convolution, locally connected layer
    or mean pooling; biases and gating vectors are shared over the positions of a convolution's map. Layers above maps
    take these position by position, so that ON and OFF cells alternate. Parameters are called as in `Feedforward`;
    biases have the shape ``(K, I)``, ``w_out`` ``(1, J)``. The network may be taken for a stack of K-fold width by any
    rule, and the gates are constants to every derivative.

    Weights begin in pairs. First layer: ``V ~ N(0, 1 / J)``, ``w_2a = V_a``, ``w_2a+1 = -V_a``. Above: ``V ~ N(0, 4 /
    J)`` of half the size, ``w_2a,2b = w_2a+1,2b+1 = max(V_ab, 0)``, ``w_2a,2b+1 = w_2a+1,2b = max(-V_ab, 0)``; outputs
    are ON cells. With mixed signs all are ``N(0, 2 / J)``, the first layer ``N(0, 1 / J)``.

    Args:
        shape: Layout of the inputs: a number, or channels, height and width.
        layers: The layers from the inputs upwards, with even sizes and channels; only `AvgPool` may follow them.
        n_out: Number of outputs and components K.
        by_position: Whether every position of a map has a gating vector of its own, default ``False``.
        options: ``signs``, ``readout``, ``seed``, ``device`` and ``dtype``, as `PairedNet` takes them.

    Raises:
        ValueError: A size is not allowed or not even, or a layer cannot lie on the one below.
        TypeError: Something else than mean pooling follows a layer.

    Paper: Clark, Abbott and Chung (2021), Credit assignment through broadcasting a global error vector, NeurIPS,
    arXiv:2106.04089.

    >>> net = VectorNet(4, [DenseLayer(6), DenseLayer(2)], 3)
    >>> net.w_1.shape, net.w_2.shape, net(torch.zeros(1, 5, 4)).shape
    (torch.Size([3, 6, 4]), torch.Size([2, 6]), torch.Size([1, 5, 3]))
    """

    def __init__(
        self,
        shape: Size | Sequence[Size],
        layers: Sequence[Layer],
        n_out: Size,
        *,
        by_position: bool = False,
        **options: Any,
    ) -> None:
        check_options(type(self), options, ("n_in", "sizes", "shape", "layers", "n_out"))
        self.by_position = by_position
        super().__init__(shape, layers, n_out, **options)

    @property
    def _rows(self) -> int:
        return 1

    @property
    def _outputs(self) -> Maker:
        return partial(Vectors, components=self.n_out)

    def _first(self, ground: Ground, first: Weights, draw: Callable[[Shape], Tensor]) -> Tensor:
        post, *rest = ground.found.weight
        return first((post, self.n_out, *rest), draw).movedim(1, 0).contiguous()

    def _bias(self, ground: Ground) -> Tensor:
        return torch.zeros(self.n_out, *ground.found.bias, dtype=torch.float64, device="cpu")

    def _synapses(self, ground: Ground) -> Maker:
        if ground.number == 1:
            return partial(InputVectors, inner=ground.found.synapses)
        return partial(Vectors, components=self.n_out, inner=ground.found.synapses)

    def _biases(self, ground: Ground) -> Maker:
        return partial(VectorBias, positions=math.prod(ground.found.shape) // math.prod(ground.found.bias))

    def _population(
        self, ground: Ground, operations: tuple[InterlayerOperation, ...], wires: Any, generator: torch.Generator
    ) -> HiddenLayer:
        gates = Gates(self.n_out, ground.channels, ground.positions, generator=generator, by_position=self.by_position)
        self.add_module(f"gates_{ground.number}", gates)
        return HiddenLayer(
            f"hidden_{ground.number}",
            (self.n_out, *ground.found.shape),
            gates,
            wires,
            tuple(Componentwise(each) for each in operations),
            record=gated_tape,
        )


class AlternatingNet(PairedNet):
    """The conventional twin of a `VectorNet`: scalar cells, even ones ``min(u, 0)``, odd ones ``max(u, 0)``.

    It is drawn, held nonnegative and flattened as a `VectorNet`, has O scalar outputs, and takes its arguments but for
    ``by_position``.

    Paper: baseline of Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089.

    >>> AlternatingNet(4, [DenseLayer(6), DenseLayer(2)], 3).w_out.shape
    torch.Size([3, 2])
    """

    @property
    def _rows(self) -> int:
        return self.n_out

    @property
    def _outputs(self) -> Maker:
        return Dense

    def _first(self, ground: Ground, first: Weights, draw: Callable[[Shape], Tensor]) -> Tensor:
        return first(ground.found.weight, draw)

    def _bias(self, ground: Ground) -> Tensor:
        return torch.zeros(*ground.found.bias, dtype=torch.float64, device="cpu")

    def _synapses(self, ground: Ground) -> Maker:
        return ground.found.synapses

    def _biases(self, ground: Ground) -> Maker:
        return ground.found.biases

    def _population(
        self, ground: Ground, operations: tuple[InterlayerOperation, ...], wires: Any, generator: torch.Generator
    ) -> HiddenLayer:
        return HiddenLayer(
            f"hidden_{ground.number}", ground.found.shape, AlternatingReLU(ground.positions), wires, operations
        )


@checked
class VectorMLP(VectorNet):
    """A multilayer perceptron of vectors: a `VectorNet` of all-to-all layers.

    Args:
        n_in: Number of inputs.
        sizes: Number of cells of every hidden layer, even.
        n_out: Number of outputs and components K.
        options: Options of `VectorNet`.

    >>> sum(each.numel() for each in VectorMLP(784, [1024, 512], 10).parameters())
    8568330
    """

    def __init__(self, n_in: Size, sizes: Sequence[Size], n_out: Size, **options: Any) -> None:
        super().__init__(n_in, [DenseLayer(size) for size in sizes], n_out, **options)


@checked
class _VectorMapNet(VectorNet):
    """A `VectorNet` whose lower layers are maps of one kind."""

    maps: ClassVar[type[Layer]]

    def __init__(self, shape: Sequence[Size], layers: Sequence[Layer], n_out: Size, **options: Any) -> None:
        check_layers(layers, self.maps, DenseLayer)
        super().__init__(shape, layers, n_out, **options)


class VectorCNN(_VectorMapNet):
    """A convolutional network of vectors: arguments of `tca.nets.CNN`, options of `VectorNet`.

    >>> VectorCNN((1, 8, 8), [ConvLayer(4, then=(AvgPool(),)), DenseLayer(16)], 10).w_1.shape
    torch.Size([10, 4, 1, 3, 3])
    """

    maps = ConvLayer


class VectorLocalNet(_VectorMapNet):
    """A locally connected network of vectors: arguments of `tca.nets.LocalNet`, options of `VectorNet`.

    >>> VectorLocalNet((1, 8, 8), [LocalLayer(2), DenseLayer(16)], 10).w_1.shape
    torch.Size([10, 2, 36, 9])
    """

    maps = LocalLayer


def _normal(fan_in: int, generator: torch.Generator) -> Callable[[Shape], Tensor]:
    def draw(shape: Shape) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu") / math.sqrt(fan_in)

    return draw
