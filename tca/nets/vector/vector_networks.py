"""Networks whose cells carry a vector with one component for each output, and their conventional twins.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic, C maps, P positions of a map.

Cells come in pairs, ON (even) and OFF (odd). Vectors are laid out component by component.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from tca.cells.activations import AlternatingReLU
from tca.connections.connection import Dense
from tca.connections.vector_weights import InputVectors, VectorBias, Vectors
from tca.nets.accepted_options import check_layers, check_options
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.nets.feedforward.layered_network import HiddenLayer
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, LocalLayer, Maker
from tca.nets.vector.paired_net import Ground, PairedNet
from tca.nets.vector.vector_gates import Gates, gated_tape
from tca.nets.vector.vector_start import Componentwise, Weights
from tca.utils.checks import Size, checked

__all__ = ["AlternatingNet", "VectorCNN", "VectorLocalNet", "VectorMLP", "VectorNet"]


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

    >>> from tca.nets import AvgPool
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
