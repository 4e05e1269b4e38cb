"""Feedforward networks of two streams: nonnegative magnitudes with signs fixed by the streams of their cells.

Shapes: T time, B batch, I inputs, H cells of a stream, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tca.cells.activations import ACTIVATIONS, Sigmoid
from tca.connections.signed import ScaledBias, SignedConv, SignedDense
from tca.nets.accepted_options import check_layers, check_options
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.nets.feedforward.layered_network import HiddenLayer, Layered
from tca.nets.feedforward.layers import ConvLayer, DenseLayer, Layer, Maker
from tca.nets.feedforward.networks import check_shape
from tca.utils.checks import Device, DType, NotNegative, Positive, Seed, Size, checked, not_negative, positive, whole
from tca.utils.names import lookup

__all__ = ["WIRINGS", "DualStream", "DualStreamCNN", "DualStreamMLP", "magnitudes", "streams_of"]

WIRINGS = {"streams": True, "presynaptic": False}  # whether weights have the sign of the postsynaptic cell
BREADTH: dict[type[Layer], float] = {DenseLayer: 6.0, ConvLayer: 3.0}  # width of the sigmoid, by layer


def streams_of(cells: int) -> Tensor:
    """Return the stream of every cell, +1 for the first half and -1 for the second.

    Args:
        cells: Number of cells of both streams.

    >>> streams_of(4).tolist()
    [1.0, 1.0, -1.0, -1.0]
    """
    return torch.ones(cells, dtype=torch.float64, device="cpu").index_fill_(
        0, torch.arange(cells // 2, cells, device="cpu"), -1.0
    )


def magnitudes(shape: Shape, fan_in: int, asymmetry: tuple[Positive, Positive], generator: torch.Generator) -> Tensor:
    """Return ``U[0, 1) / sqrt(fan-in)``, times one factor within a stream and another between the streams.

    Args:
        shape: Shape of the magnitudes: postsynaptic and presynaptic cells or maps of both streams, then the rest.
        fan_in: Number of synapses onto a cell from one of the streams.
        asymmetry: The two factors.
    """
    drawn = torch.rand(*shape, generator=generator, dtype=torch.float64, device="cpu") / math.sqrt(fan_in)
    post, pre = (streams_of(side) for side in shape[:2])
    same = (post.unsqueeze(1) == pre).view(*shape[:2], *[1] * (len(shape) - 2))
    return torch.where(same, drawn * asymmetry[0], drawn * asymmetry[1])


@checked
class DualStream(Layered):
    """Two streams of cells whose weights are nonnegative magnitudes, ``w_ij = sigma_ij m_ij``, and a linear readout.

        Zp = + P W_pp - N W_np + b_p,   P = f(Zp)
        Zn = + N W_nn - P W_pn + b_n,   N = f(Zn)

    with ``f(z) = 1 / (1 + exp(-2 z / width))`` or another increasing function; both receive the inputs. Every path from
    a cell to an output then has the sign of the cell's stream, for all magnitudes, depths and inputs, unless rates are
    normalised in between. The outputs are logits,
    ``y = 2 / width_out (P W_p - N W_n + b)``, so that their logistic function is a sigmoid of that width. Cells of the
    + stream come first in every population; parameters are called as in `Feedforward`.

    Args:
        shape: Layout of the inputs: a number, or channels, height and width.
        layers: `DenseLayer` and `ConvLayer`, whose sizes and channels are those of one stream.
        n_out: Number of outputs O.
        width: Width of the sigmoids; ``None`` (default) is 6 for all-to-all layers and 3 for convolutions.
        width_out: Width of the sigmoid of the outputs, default 6.
        activation: Activation function of hidden cells; ``None`` (default) for the sigmoids. Policies of the paper have
            ``"relu"`` with `RMSNorm`.
        wiring: Which signs a weight has: ``"streams"`` (default), of both its cells, so that cells excite their own
            stream and inhibit the other; ``"presynaptic"``, of its presynaptic cell, as Dale's principle has it cell by
            cell.
        asymmetry: Factors of the first magnitudes within and between streams of hidden cells, default 1.5 and 0.5.
        floor: Least magnitude, default 1e-4, held by ``project_``.
        block: Whether output c reads only the cells with index c modulo O in their stream, default ``False``.
        seed: Seed of the magnitudes and of random numbers in training, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, number or name is not allowed.
        TypeError: A layer is neither all-to-all nor a convolution, or ``asymmetry`` is no pair of numbers.

    Papers: Kaneko (1999), error diffusion learning algorithm; Yamada et al. (2026), arXiv:2606.31700.

    >>> net = DualStream(4, [DenseLayer(3)], 2)
    >>> net.w_1.shape, net(torch.zeros(1, 5, 4)).shape
    (torch.Size([6, 8]), torch.Size([1, 5, 2]))
    """

    def __init__(
        self,
        shape: Size | Sequence[Size],
        layers: Sequence[Layer],
        n_out: Size,
        *,
        width: float | None = None,
        width_out: Positive = 6.0,
        activation: str | None = None,
        wiring: str = "streams",
        asymmetry: tuple[Positive, Positive] = (1.5, 0.5),
        floor: NotNegative = 1e-4,
        block: bool = False,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        super().__init__()
        check_layers(layers, DenseLayer, ConvLayer)
        self.shape = check_shape(shape)
        self.n_in, self.n_out = math.prod(self.shape), whole("n_out", n_out, 1)
        self.floor, by_post = not_negative("floor", floor), lookup(WIRINGS, wiring, "wiring")
        factors, function = asymmetry, None if activation is None else lookup(ACTIVATIONS, activation, "activation")
        generator = torch.Generator().manual_seed(seed)
        self.hidden_layers = []
        lower = (2 * self.shape[0], *self.shape[1:])
        for number, layer in enumerate(layers, 1):
            found = _doubled(layer).wiring(lower)
            signs: dict[str, Any] = {"by_post": by_post, "copied": number == 1}
            wires: tuple[tuple[str, Maker], ...] = (
                (f"w_{number}", _makers(layer, lower, signs)),
                (f"b_{number}", found.biases),
            )
            start = magnitudes(found.weight, found.fan_in // 2, factors, generator)
            self.register_parameter(f"w_{number}", nn.Parameter(start))
            self.register_parameter(
                f"b_{number}", nn.Parameter(torch.zeros(*found.bias, dtype=torch.float64, device="cpu"))
            )
            self.register_buffer(f"streams_{number}", streams_of(math.prod(found.shape)))
            own = Sigmoid(BREADTH[type(layer)] if width is None else width) if function is None else function
            self.hidden_layers.append(
                HiddenLayer(f"hidden_{number}", found.shape, own, wires, layer.operations, f"streams_{number}")
            )
            lower = found.shape
            for operation in layer.operations:
                lower = operation.shape(lower)
        cells = math.prod(lower)
        self.w_out = nn.Parameter(magnitudes((2 * self.n_out, cells), cells // 2, (1.0, 1.0), generator)[: self.n_out])
        self.b_out = nn.Parameter(torch.zeros(self.n_out, dtype=torch.float64, device="cpu"))
        population = torch.arange(cells, device="cpu") % (cells // 2) % self.n_out
        mask = (population == torch.arange(self.n_out, device="cpu").unsqueeze(1)).double() if block else None
        self.register_buffer("mask_w_out", mask)
        scale = 2 / positive("width_out", width_out)
        self.readout = (
            ("w_out", partial(SignedDense, by_post=False, scale=scale)),
            ("b_out", partial(ScaledBias, scale=scale)),
        )
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state())
        self._convert(device, dtype)
        self.project_()

    @torch.no_grad()
    def project_(self) -> None:
        """Raise magnitudes to the floor; missing synapses stay at zero."""
        for connection in self.connections():
            if not isinstance(connection, (SignedDense, SignedConv)):
                continue
            connection.weight.clamp_(min=self.floor)
            if connection.mask is not None:
                connection.weight.mul_(connection.mask)


@checked
class DualStreamMLP(DualStream):
    """A multilayer perceptron of two streams; see `DualStream`.

    Args:
        n_in: Number of inputs I.
        sizes: Number of cells of a stream in every hidden layer.
        n_out: Number of outputs O.
        then: Interlayer operations after every hidden layer, on the rates of both streams; ``None`` (default)
            for none.
        options: Options of `DualStream`.

    >>> DualStreamMLP(64, [200, 100], 10).w_2.shape
    torch.Size([200, 400])
    """

    def __init__(
        self,
        n_in: Size,
        sizes: Sequence[Size],
        n_out: Size,
        *,
        then: tuple[InterlayerOperation, ...] | None = None,
        **options: Any,
    ) -> None:
        check_options(DualStreamMLP, options, ("n_in", "sizes", "n_out"))
        super().__init__(n_in, [DenseLayer(size, then or ()) for size in sizes], n_out, **options)


@checked
class DualStreamCNN(DualStream):
    """A convolutional network of two streams; see `DualStream`.

    Args:
        shape: Channels, height and width of the inputs.
        layers: Convolutions, then all-to-all layers; channels and sizes are those of a stream.
        n_out: Number of outputs O.
        options: Options of `DualStream`.

    >>> DualStreamCNN((1, 8, 8), [ConvLayer(4), DenseLayer(20)], 10).w_1.shape
    torch.Size([8, 2, 3, 3])
    """

    def __init__(self, shape: Sequence[Size], layers: Sequence[Layer], n_out: Size, **options: Any) -> None:
        check_options(DualStreamCNN, options, ("shape", "layers", "n_out"))
        super().__init__(shape, layers, n_out, **options)


def _doubled(layer: Layer) -> Layer:
    """Return a layer of both streams."""
    if isinstance(layer, ConvLayer):
        return replace(layer, channels=2 * layer.channels)
    assert isinstance(layer, DenseLayer)
    return replace(layer, size=2 * layer.size)


def _makers(layer: Layer, lower: Shape, signs: dict[str, Any]) -> Callable[..., Any]:
    """Return the constructor of a layer's connection."""
    if isinstance(layer, ConvLayer):
        return partial(SignedConv, geometry=layer.geometry(lower), **signs)
    return partial(SignedDense, **signs)
