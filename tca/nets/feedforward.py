"""Feedforward networks: populations one above another, each step of time an instant of its own.

Shapes: T time, B batch, I inputs, N cells, O outputs, P populations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tca.activations import ACTIVATIONS, Activation
from tca.checks import positive, whole
from tca.connections import Connection, Link
from tca.names import lookup
from tca.nets.layers import INITS, ConvLayer, DenseLayer, Layer, LocalLayer, Maker
from tca.nets.network import Network
from tca.nets.options import check_inputs, drawing
from tca.nets.passages import Passage, Shape
from tca.place import Place
from tca.tape import Back, Feed, Tape
from tca.workspace import Workspace

__all__ = ["CNN", "MLP", "Feedforward", "LocalNet"]


Stage = tuple[Passage, Shape, Tensor | None]


class Population(NamedTuple):
    """A population of a feedforward network.

    Attributes:
        name: Its name.
        shape: How its cells are laid out.
        activation: Its activation function.
        wires: Names of its parameters and what makes connections of them: the weights, then the bias if there is one.
        passages: What its rates pass before the next population.
        signs: Name of the buffer with the stream of every cell, if the network has two.
    """

    name: str
    shape: Shape
    activation: Activation
    wires: tuple[tuple[str, Maker], ...]
    passages: tuple[Passage, ...] = ()
    signs: str | None = None


class Feedforward(Network):
    """Populations one above another and a linear readout, ``z_p = f(W_p z_{p-1} + b_p)``, ``y = W_o z_P + b_o``.

    A step of time is an instant of its own: a trial of T steps is T examples. Inputs of maps are counted channel by
    channel, row by row. Parameters are ``w_1``, ``b_1`` and so on from the inputs upwards, then ``w_out``, ``b_out``.

    Args:
        shape: How the inputs are laid out: a number, or channels, height and width.
        layers: The layers from the inputs upwards.
        n_out: Number of outputs O.
        activation: ``"relu"`` (default), ``"tanh"``, ``"softplus"``, ``"rectified_tanh"`` or ``"linear"``.
        bias: Whether hidden cells have biases, default ``True``; outputs always do. All begin at zero.
        init: How hidden weights are drawn: ``"he_normal"`` (default, variance 2 / fan-in), ``"he_uniform"``,
            ``"lecun_normal"`` (1 / fan-in) or ``"lecun_uniform"``.
        init_out: How the readout's weights are drawn, default ``"lecun_normal"``.
        gain: Factor of the hidden weights, default 1.
        seed: Seed of the weights and of what is drawn in training, default 0.
        device: Where the network lives, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size or a name is not allowed, or a layer cannot lie on the one below.

    >>> net = Feedforward(4, [DenseLayer(3)], 2)
    >>> net(torch.zeros(1, 5, 4)).shape
    torch.Size([1, 5, 2])
    """

    noise_state: Tensor

    def __init__(
        self,
        shape: int | Sequence[int],
        layers: Sequence[Layer],
        n_out: int,
        *,
        activation: str = "relu",
        bias: bool = True,
        init: str = "he_normal",
        init_out: str = "lecun_normal",
        gain: float = 1.0,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__()
        self.shape = _check_shape(shape)
        self.n_in, self.n_out = math.prod(self.shape), whole("n_out", n_out, 1)
        if not layers:
            raise ValueError("layers must hold at least one layer, got none")
        function, gain = lookup(ACTIVATIONS, activation, "activation"), positive("gain", gain)
        draw, draw_out = lookup(INITS, init, "init"), lookup(INITS, init_out, "init_out")
        generator = torch.Generator().manual_seed(seed)
        self.populations: list[Population] = []
        below = self.shape
        for number, layer in enumerate(layers, 1):
            found = layer.wiring(below)
            wires: list[tuple[str, Maker]] = [(f"w_{number}", found.synapses)]
            self.register_parameter(f"w_{number}", nn.Parameter(draw(found.weight, found.fan_in, generator) * gain))
            if bias:
                wires.append((f"b_{number}", found.biases))
                self.register_parameter(f"b_{number}", nn.Parameter(torch.zeros(*found.bias, dtype=torch.float64)))
            self.populations.append(Population(f"hidden_{number}", found.shape, function, tuple(wires), layer.passages))
            below = found.shape
            for passage in layer.passages:
                below = passage.shape(below)
        out = DenseLayer(self.n_out).wiring(below)
        self.w_out = nn.Parameter(draw_out(out.weight, out.fan_in, generator))
        self.b_out = nn.Parameter(torch.zeros(self.n_out, dtype=torch.float64))
        self._readout: tuple[tuple[str, Maker], ...] = (("w_out", out.synapses), ("b_out", out.biases))
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state())
        self.to(device=device, dtype=dtype)

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the populations, from the inputs upwards."""
        return tuple(each for population in self.populations for each in self._made(population.wires))

    def readout_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the outputs: weights and bias."""
        return self._made(self._readout)

    def places(self) -> tuple[Place, ...]:
        """Return where the populations stand, from the last to the first."""
        last = self.populations[-1]
        onwards = [*(self._made(each.wires)[0] for each in self.populations[1:]), self.readout_connections()[0]]
        return tuple(
            Place(
                each.name,
                each.shape,
                self.n_out,
                self.w_out.detach(),
                self.w_out if each is last and not last.passages else None,
                heard,
                alone=len(self.populations) == 1,
                signs=None if each.signs is None else self.get_buffer(each.signs),
            )
            for each, heard in reversed(tuple(zip(self.populations, onwards, strict=True)))
        )

    def forward(self, inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable by autograd where gradients are enabled.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What ``draw_noise`` returned; ``None`` (default) for none.
        """
        return self.functional({}, inputs, noise) if torch.is_grad_enabled() else self.run(inputs, noise).outputs

    def functional(self, parameters: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs with other parameters, shape ``(T, B, O)``, differentiable any number of times.

        Args:
            parameters: Tensors that stand in for the parameters of these names; the others are the network's own.
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What ``draw_noise`` returned; ``None`` (default) for none.

        Raises:
            ValueError: A name is not that of a parameter, or a shape does not fit.
        """
        check_inputs(inputs, self.n_in, self.w_out)
        own = dict(self.named_parameters())
        for name in parameters:
            lookup(own, name, "parameter")
        use = {**own, **parameters}

        def drive(wires: tuple[tuple[str, Maker], ...], pre: Tensor) -> Tensor:
            made = self._made(wires)
            return sum((each.apply(each.masked(use[each.name]), pre) for each in made), start=pre.new_zeros(()))

        pre = inputs
        for each, stages in zip(self.populations, self._stages(noise), strict=True):
            pre = each.activation(drive(each.wires, pre))
            for passage, shape, numbers in stages:
                pre = passage.through(pre, shape, numbers)
        return drive(self._readout, pre)

    @torch.no_grad()
    def run(self, inputs: Tensor, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the network without a graph and return the tape of its last population.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What ``draw_noise`` returned; ``None`` (default) for none.
            workspace: Memory to use again; the tape is then overwritten by the next run with the same workspace.

        Raises:
            ValueError: A shape does not fit.
        """
        check_inputs(inputs, self.n_in, self.w_out)
        space = Workspace() if workspace is None else workspace
        steps, trials, _ = inputs.shape
        one, nothing = inputs.new_ones(1, 1, 1), inputs.new_empty(0, 0)
        tapes: list[Tape] = []
        pre: Tensor = inputs
        back: Back | None = None
        for place, each, stages in zip(reversed(self.places()), self.populations, self._stages(noise), strict=True):
            rate = space.empty(f"rate of {each.name}", (steps + 1, trials, place.cells), self.w_out)
            synapses, *bias = self._made(each.wires)
            driven = synapses.drive(pre)
            for connection in bias:
                driven += connection.drive(one)
            rate[0].zero_()
            each.activation.into(driven, rate[1:])
            tapes.append(
                Tape(
                    place=place,
                    rate=rate,
                    activity=rate,
                    activation=each.activation,
                    slope_at_emission=True,
                    leak=0.0,
                    gain=1.0,
                    links=(Link(synapses, pre), *(Link(connection, one) for connection in bias)),
                    recurrent=nothing,
                    recurrent_mask=None,
                    types=torch.zeros(place.cells, dtype=torch.int64, device=rate.device),
                    feed=Feed(synapses, back) if tapes else None,
                )
            )
            pre, back = _passed(rate[1:], stages)
        w_out, b_out = self.readout_connections()
        return replace(
            tapes[-1],
            below=tuple(tapes[-2::-1]),
            readout_links=(Link(w_out, pre), Link(b_out, one)),
            readout_back=back,
            outputs=w_out.drive(pre) + b_out.drive(one),
        )

    def draw_noise(self, steps: int, trials: int) -> Tensor | None:
        """Return what the random passages draw for a batch, shape ``(T, B, R)``, ``None`` if there are none.

        R is the number of rates that pass them. It is drawn on the CPU from the network's own generator, whose state is
        part of ``state_dict``, so that every device sees the same numbers.

        Args:
            steps: Number of steps T.
            trials: Number of trials B.
        """
        needed = sum(math.prod(shape) for stages in self._stages(None) for each, shape, _ in stages if each.random)
        if not needed:
            return None
        with drawing(self.noise_state) as generator:
            return torch.rand(steps, trials, needed, generator=generator).to(self.w_out)

    @torch.no_grad()
    def project_(self) -> None:
        """Do nothing: every value of the parameters is allowed."""

    def extra_repr(self) -> str:
        """Return the sizes in one line."""
        return f"{self.shape}, {[each.shape for each in self.populations]}, {self.n_out}"

    def _made(self, wires: tuple[tuple[str, Maker], ...]) -> tuple[Connection, ...]:
        return tuple(make(name, self.get_parameter(name), None) for name, make in wires)

    def _stages(self, noise: Tensor | None) -> list[list[Stage]]:
        """Return the passages behind every population, the layout of the cells there, and what is drawn for them."""
        found, used = [], 0
        for population in self.populations:
            stages: list[Stage] = []
            shape = population.shape
            for passage in population.passages:
                numbers = None
                if passage.random and noise is not None:
                    numbers = noise[..., used : used + math.prod(shape)]
                    used += math.prod(shape)
                stages.append((passage, shape, numbers))
                shape = passage.shape(shape)
            found.append(stages)
        return found


def _passed(rate: Tensor, stages: list[Stage]) -> tuple[Tensor, Back | None]:
    """Return the rates behind all passages, and what takes a signal back through them."""
    if not stages:
        return rate, None
    before = []
    for passage, shape, numbers in stages:
        before.append(rate)
        rate = passage.through(rate, shape, numbers)

    def back(signal: Tensor, steps: slice) -> Tensor:
        if steps.start == 0:  # nothing passed at time zero
            later = back(signal[1:], slice(1, steps.stop))
            return torch.cat([torch.zeros_like(later[:1]), later])
        at = slice(steps.start - 1, steps.stop - 1)
        for (passage, shape, numbers), came in zip(reversed(stages), reversed(before), strict=True):
            signal = passage.back(signal, came[at], shape, None if numbers is None else numbers[at])
        return signal

    return rate, back


def _check_shape(shape: int | Sequence[int]) -> Shape:
    sides = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(sides) not in (1, 3):
        raise ValueError(f"shape must be a number of inputs, or channels, height and width, got {shape!r}")
    return tuple(whole("shape of the inputs", side, 1) for side in sides)


class MLP(Feedforward):
    """A multilayer perceptron: a `Feedforward` network of all-to-all layers.

    Args:
        n_in: Number of inputs I.
        sizes: Number of cells of every hidden layer.
        n_out: Number of outputs O.
        then: What the rates of every hidden layer pass, default nothing.
        options: Whatever `Feedforward` takes.

    >>> MLP(784, [1024, 512], 10)(torch.zeros(1, 2, 784)).shape
    torch.Size([1, 2, 10])
    """

    def __init__(
        self, n_in: int, sizes: Sequence[int], n_out: int, *, then: tuple[Passage, ...] = (), **options: Any
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__(n_in, [DenseLayer(size, then) for size in sizes], n_out, **options)


class CNN(Feedforward):
    """A convolutional network: a `Feedforward` network whose lower layers are convolutions.

    Args:
        shape: Channels, height and width of the inputs.
        layers: Convolutions, then all-to-all layers.
        n_out: Number of outputs O.
        options: Whatever `Feedforward` takes.

    Raises:
        TypeError: A layer is neither.

    >>> from tca.nets.passages import AvgPool
    >>> net = CNN((1, 8, 8), [ConvLayer(4, then=(AvgPool(),)), DenseLayer(16)], 10)
    >>> net(torch.zeros(1, 2, 64)).shape
    torch.Size([1, 2, 10])
    """

    def __init__(self, shape: Sequence[int], layers: Sequence[Layer], n_out: int, **options: Any) -> None:
        """Draw the weights; see the class."""
        _check_kinds(layers, ConvLayer, DenseLayer)
        super().__init__(shape, layers, n_out, **options)


class LocalNet(Feedforward):
    """A locally connected network: a `Feedforward` network whose lower layers have weights for each position.

    Args:
        shape: Channels, height and width of the inputs.
        layers: Locally connected layers, then all-to-all layers.
        n_out: Number of outputs O.
        options: Whatever `Feedforward` takes.

    Raises:
        TypeError: A layer is neither.

    >>> net = LocalNet((1, 8, 8), [LocalLayer(2), DenseLayer(16)], 10)
    >>> net.w_1.shape
    torch.Size([2, 36, 9])
    """

    def __init__(self, shape: Sequence[int], layers: Sequence[Layer], n_out: int, **options: Any) -> None:
        """Draw the weights; see the class."""
        _check_kinds(layers, LocalLayer, DenseLayer)
        super().__init__(shape, layers, n_out, **options)


def _check_kinds(layers: Sequence[Layer], *allowed: type[Layer]) -> None:
    for layer in layers:
        if not isinstance(layer, allowed):
            raise TypeError(f"layers must be {' or '.join(each.__name__ for each in allowed)}, got {layer!r}")
