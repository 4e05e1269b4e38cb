"""The base class of layered networks: forward pass and tape.

Shapes: T time, B batch, I inputs, N cells, O outputs, P populations.
"""

from __future__ import annotations

import abc
import copy
import math
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from operator import is_not
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tca.cells.activations import Activation
from tca.connections.connection import Connection, ConnectionInput, Reused
from tca.nets.feedforward.interlayer import InterlayerOperation, Shape
from tca.nets.feedforward.layers import Maker
from tca.nets.network import Network
from tca.nets.options import drawing
from tca.tape.leaky_tape import LeakyTape
from tca.tape.perturbed_pass import ByPopulation
from tca.tape.population import Population
from tca.tape.projections import Afferent, Back, Readout
from tca.tape.tape import Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, quick_counts
from tca.utils.host_values import device_generator
from tca.utils.noise import by_steps
from tca.utils.numerics import Workspace

__all__ = ["HiddenLayer", "Layered", "instant_tape"]

Stage = tuple[InterlayerOperation, Shape, Tensor | None]


def instant_tape(activation: Activation, driven: Tensor, rate: Tensor, **rest: Any) -> Tape:
    """Write the rates of cells without memory and return their tape.

    Args:
        driven: Drives, shape ``(T, B, N)``.
        rate: Memory for the rates, shape ``(T + 1, B, N)``, zero at time zero.
    """
    activation.into(driven, rate[1:])
    return LeakyTape(
        rate=rate,
        activity=rate,
        activation=activation,
        leak=0.0,
        gain=1.0,
        recurrence=Recurrence.none(rate),
        **rest,
    )


class HiddenLayer(NamedTuple):
    """A population of a feedforward network.

    Attributes:
        name: Its name.
        shape: Layout of its cells.
        activation: Its activation function, or another function from drives to rates.
        wires: Names of its parameters and constructors of their connections: the weights, then the bias if any.
        operations: Interlayer operations on its rates.
        signs: Name of the buffer with the stream of every cell, if the network has two.
        record: Function of the activation function, the drives and memory for the rates that writes the rates and
            returns the tape; default `instant_tape`.
    """

    name: str
    shape: Shape
    activation: Callable[[Tensor], Tensor]
    wires: tuple[tuple[str, Maker], ...]
    operations: tuple[InterlayerOperation, ...] = ()
    signs: str | None = None
    record: Callable[..., Tape] = instant_tape


class Layered(Network, abc.ABC):
    """Layers ``z_p = f(drive_p)`` with a readout, without memory between steps.

    Attributes:
        hidden_layers: The populations from the inputs upwards.
        readout: Names of the readout's parameters and constructors of their connections: weights, then bias.
        noise_state: State of the generator of random numbers in training.
    """

    hidden_layers: list[HiddenLayer]
    readout: tuple[tuple[str, Maker], ...]
    noise_state: Tensor
    w_out: nn.Parameter

    @cached_property
    def reused(self) -> Reused:
        """Makes the connections, each once."""
        return Reused()

    def hidden_connections(self) -> tuple[Connection, ...]:
        return tuple(each for hidden in self.hidden_layers for each in self._made(hidden.wires))

    def readout_connections(self) -> tuple[Connection, ...]:
        return self._made(self.readout)

    def populations(self) -> tuple[Population, ...]:
        # made again only for other layers, parameters or buffers
        made_of = (self.hidden_layers, *self._parameters.values(), *self._buffers.values())
        before, made = self.__dict__.get("_populations", ((), ()))
        if len(before) != len(made_of) or any(map(is_not, before, made_of)):
            made = self._made_populations()
            self.__dict__["_populations"] = made_of, made
        return made  # type: ignore[no-any-return]

    def _made_populations(self) -> tuple[Population, ...]:
        last = self.hidden_layers[-1]
        reads = not last.operations and self.w_out.shape == (self.n_out, math.prod(last.shape))
        onwards = [*(self._made(each.wires)[0] for each in self.hidden_layers[1:]), self.readout_connections()[0]]
        return tuple(
            Population(
                each.name,
                each.shape,
                self.n_out,
                self.w_out,
                self.w_out if each is last and reads else None,
                efferent,
                alone=len(self.hidden_layers) == 1,
                signs=None if each.signs is None else self.get_buffer(each.signs),
                n_in=self.n_in,
            )
            for each, efferent in reversed(tuple(zip(self.hidden_layers, onwards, strict=True)))
        )

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable any number of times."""

        def drive(wires: tuple[tuple[str, Maker], ...], pre: Tensor) -> Tensor:
            made = self._made(wires)
            return sum((each.apply(each.masked(use[each.name]), pre) for each in made), start=pre.new_zeros(()))

        pre = inputs
        for each, stages in zip(self.hidden_layers, self._stages(noise), strict=True):
            pre = each.activation(drive(each.wires, pre))
            for operation, shape, numbers in stages:
                pre = operation.through(pre, shape, numbers)
        return drive(self.readout, pre)

    @torch.no_grad()
    def perturbed(self, inputs: Tensor, noise: Tensor | None, extra: ByPopulation) -> Tape:
        net = copy.copy(self)
        net.hidden_layers = [
            each._replace(record=_perturbed(each.record, extra[each.name])) for each in self.hidden_layers
        ]
        return net.record(inputs, noise, Workspace())

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of the last population with those of the lower ones."""
        steps, trials, _ = inputs.shape
        one = inputs.new_ones(1, 1, 1)
        tapes: list[Tape] = []
        pre: Tensor = inputs
        back: Back | None = None
        for population, each, stages in zip(
            reversed(self.populations()), self.hidden_layers, self._stages(noise), strict=True
        ):
            rate = space.empty(f"rate of {each.name}", (steps + 1, trials, population.cells), self.w_out)
            synapses, *bias = self._made(each.wires)
            driven = synapses.drive(pre)
            for connection in bias:
                driven += connection.drive(one)
            rate[0].zero_()
            tapes.append(
                each.record(
                    each.activation,
                    driven,
                    rate,
                    population=population,
                    links=(ConnectionInput(synapses, pre), *(ConnectionInput(connection, one) for connection in bias)),
                    afferent=Afferent(synapses, back) if tapes else None,
                )
            )
            pre, back = _passed(rate[1:], stages)
        w_out, b_out = self.readout_connections()
        return tapes[-1].changed(
            lower=tuple(tapes[-2::-1]),
            readout=Readout((ConnectionInput(w_out, pre), ConnectionInput(b_out, one)), back=back),
            outputs=w_out.drive(pre) + b_out.drive(one),
        )

    def draw_noise(self, steps: Count, trials: Count) -> Tensor | None:
        """Draw the numbers of random interlayer operations, ``(T, B, R)``; ``None`` without any.

        R is the number of rates that pass them. Numbers are drawn from the network's own generator, whose state is part
        of ``state_dict``; on another device than the CPU from one there that this one seeds.
        """
        quick_counts(steps=steps, trials=trials)
        if not self.n_noise:
            return None
        with drawing(self.noise_state) as generator:
            shape = (trials, self.n_noise)
            there = device_generator(generator, self.w_out.device)
            draw = partial(torch.rand, shape, generator=there, dtype=torch.float32, device=there.device)
            return by_steps(steps, draw).to(self.w_out)

    def extra_repr(self) -> str:
        """Return the sizes in one line."""
        return f"{self.shape}, {[each.shape for each in self.hidden_layers]}, {self.n_out}"

    def _made(self, wires: tuple[tuple[str, Maker], ...]) -> tuple[Connection, ...]:
        return tuple(
            self.reused(make, name, cast(Tensor, self._parameters[name]), self._buffers.get(f"mask_{name}"))
            for name, make in wires
        )

    @property
    def n_noise(self) -> int:
        """Noise channels: one for each rate before a random interlayer operation."""
        return sum(math.prod(shape) for stages in self._stages(None) for each, shape, _ in stages if each.random)

    def _stages(self, noise: Tensor | None) -> list[list[Stage]]:
        """Return the interlayer operations of every population, with layouts and random numbers."""
        found, used = [], 0
        for hidden in self.hidden_layers:
            stages: list[Stage] = []
            shape = hidden.shape
            for operation in hidden.operations:
                numbers = None
                if operation.random and noise is not None:
                    numbers = noise[..., used : used + math.prod(shape)]
                    used += math.prod(shape)
                stages.append((operation, shape, numbers))
                shape = operation.shape(shape)
            found.append(stages)
        return found


def _perturbed(record: Callable[..., Tape], extra: Tensor) -> Callable[..., Tape]:
    """Return a recorder of a population that adds a perturbation to its drive."""

    def perturbed(activation: Activation, driven: Tensor, rate: Tensor, **rest: Any) -> Tape:
        return record(activation, driven + extra, rate, **rest)

    return perturbed


def _passed(rate: Tensor, stages: list[Stage]) -> tuple[Tensor, Back | None]:
    """Return the rates after all interlayer operations, and their backward function."""
    if not stages:
        return rate, None
    before = []
    for operation, shape, numbers in stages:
        before.append(rate)
        rate = operation.through(rate, shape, numbers)

    def back(signal: Tensor, steps: slice) -> Tensor:
        if steps.start == 0:  # no operation at time zero
            later = back(signal[1:], slice(1, steps.stop))
            return torch.cat([torch.zeros_like(later[:1]), later])
        at = slice(steps.start - 1, steps.stop - 1)
        for (operation, shape, numbers), came in zip(reversed(stages), reversed(before), strict=True):
            signal = operation.back(signal, came[at], shape, None if numbers is None else numbers[at])
        return signal

    return rate, back
