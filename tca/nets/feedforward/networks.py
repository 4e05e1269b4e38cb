"""Feedforward networks: stacked populations without memory between steps.

Shapes: T time, B batch, I inputs, N cells, O outputs, P populations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.cells.activations import ACTIVATIONS
from tca.nets.accepted_options import check_layers, check_options
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.nets.feedforward.layered_network import HiddenLayer, Layered
from tca.nets.feedforward.layers import INITS, ConvLayer, DenseLayer, Layer, LocalLayer, Maker
from tca.utils.arrays import tensor_of
from tca.utils.checks import Device, DType, Mask, Positive, Seed, Size, checked, positive, whole
from tca.utils.names import lookup

__all__ = ["CNN", "MLP", "Feedforward", "LocalNet"]

GIVEN = ("shape", "layers", "n_out")


@checked
class Feedforward(Layered):
    """A feedforward network, ``z_p = f(W_p z_{p-1} + b_p)``, ``y = W_o z_P + b_o``.

    Steps are independent: a trial of T steps is T examples. Inputs of maps are counted channel by channel, row by row.
    Parameters are ``w_1``, ``b_1`` and so on from the inputs upwards, then ``w_out``, ``b_out``.

    Args:
        shape: Layout of the inputs: a number, or channels, height and width.
        layers: The layers from the inputs upwards.
        n_out: Number of outputs O.
        activation: ``"relu"`` (default), ``"tanh"``, ``"softplus"``, ``"rectified_tanh"`` or ``"linear"``.
        bias: Whether hidden cells have biases, default ``True``; outputs always do. All are initially zero.
        init: Distribution of hidden weights: ``"he_normal"`` (default, variance 2 / fan-in), ``"he_uniform"``,
            ``"lecun_normal"`` (1 / fan-in) or ``"lecun_uniform"``.
        init_out: Distribution of readout weights, default ``"lecun_normal"``.
        gain: Factor of the hidden weights, default 1.
        masks: Which synapses exist, by the name of the weights, one or zero in their shape; all where none is given.
            The others have weight zero and no gradient.
        seed: Seed of the weights and of random numbers in training, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, a name or a mask is not allowed, or a layer cannot lie on the one below.

    >>> net = Feedforward(4, [DenseLayer(3)], 2)
    >>> net(torch.zeros(1, 5, 4)).shape
    torch.Size([1, 5, 2])
    """

    def __init__(
        self,
        shape: Size | Sequence[Size],
        layers: Sequence[Layer],
        n_out: Size,
        *,
        activation: str = "relu",
        bias: bool = True,
        init: str = "he_normal",
        init_out: str = "lecun_normal",
        gain: Positive = 1.0,
        masks: Mapping[str, Mask] | None = None,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        super().__init__()
        check_layers(layers, DenseLayer, ConvLayer, LocalLayer, Layer)
        self.shape = check_shape(shape)
        self.n_in, self.n_out = math.prod(self.shape), whole("n_out", n_out, 1)
        function, gain = lookup(ACTIVATIONS, activation, "activation"), positive("gain", gain)
        draw, draw_out = lookup(INITS, init, "init"), lookup(INITS, init_out, "init_out")
        generator = torch.Generator().manual_seed(seed)
        self.hidden_layers: list[HiddenLayer] = []
        lower = self.shape
        for number, layer in enumerate(layers, 1):
            found = layer.wiring(lower)
            wires: list[tuple[str, Maker]] = [(f"w_{number}", found.synapses)]
            self.register_parameter(f"w_{number}", nn.Parameter(draw(found.weight, found.fan_in, generator) * gain))
            if bias:
                wires.append((f"b_{number}", found.biases))
                self.register_parameter(
                    f"b_{number}", nn.Parameter(torch.zeros(*found.bias, dtype=torch.float64, device="cpu"))
                )
            self.hidden_layers.append(
                HiddenLayer(f"hidden_{number}", found.shape, function, tuple(wires), layer.operations)
            )
            lower = found.shape
            for operation in layer.operations:
                lower = operation.shape(lower)
        out = DenseLayer(self.n_out).wiring(lower)
        self.w_out = nn.Parameter(draw_out(out.weight, out.fan_in, generator))
        self.b_out = nn.Parameter(torch.zeros(self.n_out, dtype=torch.float64, device="cpu"))
        self.readout = (("w_out", out.synapses), ("b_out", out.biases))
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state())
        for name, mask in ({} if masks is None else masks).items():
            self._remove_synapses(name, mask)
        self._convert(device, dtype)

    def _remove_synapses(self, name: str, mask: Tensor) -> None:
        """Register a mask and set the weights of missing synapses to zero."""
        weights = {each: value for each, value in self.named_parameters() if each.startswith("w_")}
        weight = lookup(weights, name, "weights in masks")
        mask = tensor_of(mask)
        if mask.shape != weight.shape or not ((mask == 0) | (mask == 1)).all():
            raise ValueError(
                f"masks[{name!r}] must hold zeros and ones in the shape {tuple(weight.shape)}, "
                f"got shape {tuple(mask.shape)}"
            )
        self.register_buffer(f"mask_{name}", mask.to(weight))
        with torch.no_grad():
            weight.mul_(mask.to(weight))

    @torch.no_grad()
    def project_(self) -> None:
        """Return without a change: the parameters have no constraints."""


def check_shape(shape: int | Sequence[int]) -> Shape:
    """Return a layout as a tuple: a number of inputs, or channels, height and width."""
    sides = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(sides) not in (1, 3):
        raise ValueError(f"shape must be a number of inputs, or channels, height and width, got {shape!r}")
    return tuple(whole("shape of the inputs", side, 1) for side in sides)


@checked
class MLP(Feedforward):
    """A multilayer perceptron: a `Feedforward` network of all-to-all layers.

    Args:
        n_in: Number of inputs I.
        sizes: Number of cells of every hidden layer.
        n_out: Number of outputs O.
        then: Interlayer operations after every hidden layer, default none.
        options: Options of `Feedforward`.

    >>> MLP(784, [1024, 512], 10)(torch.zeros(1, 2, 784)).shape
    torch.Size([1, 2, 10])
    """

    def __init__(
        self,
        n_in: Size,
        sizes: Sequence[Size],
        n_out: Size,
        *,
        then: tuple[InterlayerOperation, ...] = (),
        **options: Any,
    ) -> None:
        check_options(MLP, options, ("n_in", "sizes", "n_out"))
        super().__init__(n_in, [DenseLayer(size, then) for size in sizes], n_out, **options)


@checked
class _MapNet(Feedforward):
    """A network whose lower layers are maps of one kind."""

    maps: ClassVar[type[Layer]]

    def __init__(self, shape: Sequence[Size], layers: Sequence[Layer], n_out: Size, **options: Any) -> None:
        check_layers(layers, self.maps, DenseLayer)
        check_options(type(self), options, GIVEN)
        super().__init__(shape, layers, n_out, **options)


class CNN(_MapNet):
    """A convolutional network: a `Feedforward` network whose lower layers are convolutions.

    Args:
        shape: Channels, height and width of the inputs.
        layers: Convolutions, then all-to-all layers.
        n_out: Number of outputs O.
        options: Options of `Feedforward`.

    >>> from tca.nets.feedforward.interlayer import AvgPool
    >>> net = CNN((1, 8, 8), [ConvLayer(4, then=(AvgPool(),)), DenseLayer(16)], 10)
    >>> net(torch.zeros(1, 2, 64)).shape
    torch.Size([1, 2, 10])
    """

    maps = ConvLayer


class LocalNet(_MapNet):
    """A locally connected network: weights of lower layers differ between positions; arguments as of `CNN`.

    >>> LocalNet((1, 8, 8), [LocalLayer(2), DenseLayer(16)], 10).w_1.shape
    torch.Size([2, 36, 9])
    """

    maps = LocalLayer
