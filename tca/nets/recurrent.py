"""Recurrent populations, and networks of one of them with a linear readout.

Shapes: T time, B batch, I inputs, J presynaptic cells or inputs, N cells, O outputs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.cells.time_constants import Constant
from tca.connections.connection import Bias, Connection, ConnectionInput, Dense, Initial, Reused, constant_input
from tca.nets.network import Network
from tca.nets.options import check_mask, drawing, normal_by_steps
from tca.nets.wired_population import WiredPopulation
from tca.tape.population import Population
from tca.tape.projections import Readout
from tca.tape.tape import Tape, filtered
from tca.utils.checks import Count, quick_counts
from tca.utils.numerics import Workspace, lasting

__all__ = ["RecurrentNetwork", "RecurrentPopulation"]


class RecurrentPopulation(WiredPopulation, abc.ABC):
    """A recurrent population: cells, and the connections into them; see its base class for the arguments."""

    spiking: ClassVar[bool] = False  # whether the cells spike
    leak_form: str = "A"  # where the leak acts: on the potential, or on the rate ("B")
    components: int = 1  # numbers in the state of a cell
    n_drives: int = 1  # drives of a cell
    input_places: tuple[int, ...] | None = None  # drives that inputs reach; not given for cells with one drive
    reached: tuple[int, ...] | None = None  # drives that recurrent synapses reach, likewise
    state_places: tuple[int, ...] | None = None  # drives of a learned initial state, likewise
    learned: tuple[str, ...] = ()  # constants of the cells that are learned
    noise: float = 0.0  # standard deviation of private noise
    constants: tuple[Constant, ...] = ()  # constants that the floating-point type must resolve

    @cached_property
    def reused(self) -> Reused:
        """Makes the connections, each once."""
        return Reused()

    @property
    def n_memory(self) -> int:
        """Numbers M of the state of the cells."""
        return self.n_rec * self.components

    def traits(self) -> dict[str, Any]:
        """Return the properties of the cells for the specification of the population."""
        return {
            "recurrent": self.reached != (),
            "spiking": self.spiking,
            "form": self.leak_form,
            "components": self.components,
            "drives": self.n_drives,
            "learned": self.learned,
        }

    def into_cells(self, prefix: str = "") -> tuple[Any, ...]:
        """Return the connections into the population: input, recurrent, biases, learned constants, initial state.

        A learned constant is a bias of a drive of its own.

        Args:
            prefix: Prefix of the parameters' names in the network, default empty.
        """
        made = self.reused
        into = [made(self.synapses_in, f"{prefix}w_in", self.w_in, self.mask_in, self.input_places)]
        if self.reached != ():
            into.append(made(self.synapses, f"{prefix}w_rec", self.w_rec, self.mask_rec, self.reached))
        if self.b is not None:
            into.append(made(Bias, f"{prefix}b", self.b, None, self.input_places))
        if self.b_rec is not None:
            into.append(made(Bias, f"{prefix}b_rec", self.b_rec, None, self.reached))
        for place, name in enumerate(self.learned, self.n_drives):
            into.append(made(Bias, f"{prefix}{name}", self.get_parameter(name), None, (place,)))
        if self.s_0 is not None:
            into.append(made(Initial, f"{prefix}s_0", self.s_0, None, self.state_places))
        return tuple(into)

    def _links(self, into: Sequence[Connection], inputs: Tensor, rate: Tensor) -> tuple[ConnectionInput, ...]:
        """Return connections with inputs, rates of the step before, one for biases and zero for an initial state."""
        rest = (constant_input(float(not isinstance(each, Initial)), rate) for each in into[2:])
        return tuple(map(ConnectionInput, into, (inputs, rate[:-1], *rest)))

    @abc.abstractmethod
    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        """Return the rates, shape ``(T, B, N)``, differentiable any number of times.

        Args:
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.
            prefix: Prefix of the parameters' names, default empty.
        """

    @abc.abstractmethod
    def run_cells(
        self,
        population: Population,
        inputs: Tensor,
        noise: Tensor | None,
        space: Workspace,
        start: Tensor | None = None,
        **rest: Any,
    ) -> Tape:
        """Run the population without a graph and return its tape.

        Args:
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drive of every step, shape ``(T, B, N)``; ``None`` for none.
            start: State of the cells at time zero, shape ``(B, M)``; ``None`` (default) for the initial state.
        """

    @abc.abstractmethod
    def cell_noise(self, drawn: Tensor) -> Tensor:
        """Return private noise of the drive, shape ``(T, B, N)``, zero if the cells have none.

        Args:
            drawn: Independent normal numbers of that shape.
        """


class RecurrentNetwork(RecurrentPopulation, Network, abc.ABC):
    """One recurrent population and the readout ``y_t = W_o zbar_t + b_o``, filtered or not."""

    synapses_out: ClassVar[Callable[..., Any]] = Dense  # constructor of the readout's connection

    mask_out: Tensor | None
    noise_state: Tensor | None
    w_out: nn.Parameter
    b_out: nn.Parameter

    @property
    def streams(self) -> Tensor | None:
        """Stream of every cell, +1 or -1, shape ``(N,)``; ``None`` if there is one."""
        return None

    def _read_out(
        self,
        n_in: int,
        n_out: int,
        *,
        filter: Constant | None,
        scale: Tensor | float,
        mask: Tensor | None,
        generator: torch.Generator,
        noise_seed: int | None,
    ) -> None:
        """Draw the readout; the last step of making a network.

        Args:
            filter: Leak per step of the filter of the readout; ``None`` if there is none.
            scale: Standard deviation of its weights.
            mask: Which of them exist, (O, N); ``None`` for all.
            noise_seed: Seed of the private noise; ``None`` if there is none.
        """
        self.n_in, self.n_out, self.readout_leak = n_in, n_out, 0.0 if filter is None else float(filter.value)
        self.constants = self.constants if filter is None else (*self.constants, filter)
        shape = (n_out, self.n_rates)
        self.w_out = self._draw("out", shape, scale, check_mask("mask_out", mask, shape), generator)
        self.b_out = nn.Parameter(torch.zeros(n_out, dtype=torch.float64, device="cpu"))
        state = None if noise_seed is None else torch.Generator().manual_seed(noise_seed).get_state()
        self.register_buffer("noise_state", state)

    def populations(self) -> tuple[Population, ...]:
        return (self._place(self.w_out),)

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the population: input, recurrent, bias, learned initial state."""
        return self.into_cells()

    def readout_connections(self) -> tuple[Any, ...]:
        weights = self.reused(self.synapses_out, "w_out", self.w_out, self.mask_out)
        return weights, self.reused(Bias, "b_out", self.b_out)

    @property
    def n_noise(self) -> int:
        """Noise channels: one for each drive of each cell."""
        return self.n_drives * self.n_rec

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable any number of times."""
        w_out, b_out = self.readout_connections()
        delivered = w_out.apply(w_out.masked(use[w_out.name]), self.cell_rates(use, inputs, noise))
        outputs = filtered(delivered, self.readout_leak) + use[b_out.name]
        for each in self.skip_connections:
            outputs = outputs + each.apply(each.masked(use[each.name]), inputs)
        return outputs

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of the population with the outputs."""
        return self._recorded(inputs, noise, space)

    @property
    def starts_anywhere(self) -> bool:
        """Yes, unless the initial state is learned."""
        return self.s_0 is None

    def record_from(self, start: Tensor, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        if not self.starts_anywhere:
            return super().record_from(start, inputs, noise, space)
        sizes = [self.n_memory, self.n_rates if self.readout_leak else 0]
        if (found := tuple(start.shape)) != (wanted := (inputs.shape[1], sum(sizes))):
            raise ValueError(f"start must have shape (B, M) = {wanted}, got {found}")
        cells, read = torch.split(start.to(self.w_out), sizes, -1)
        return self._recorded(inputs, noise, space, read if self.readout_leak else None, start=cells)

    def _recorded(
        self, inputs: Tensor, noise: Tensor | None, space: Workspace, read: Tensor | None = None, **options: Any
    ) -> Tape:
        w_out, b_out = self.readout_connections()
        readout = w_out.matrix()
        tape = self.run_cells(self._place(readout), inputs, noise, space, **options)
        rates = tape.rate[1:]
        if read is None:
            delivered = tape.deliver(readout)
        else:  # filtered rates at time zero: the same as k / (1 - k) of them at the first step
            rates = rates.clone()
            rates[0].add_(read, alpha=self.readout_leak / (1 - self.readout_leak))
            delivered = rates @ readout.t()
        outputs = filtered(delivered, self.readout_leak) + b_out.effective()  # `delivered` may be written again
        links = [ConnectionInput(w_out, rates), ConnectionInput(b_out, constant_input(1.0, rates))]
        for each in self.skip_connections:
            outputs.add_(each.drive(inputs))
            links.append(ConnectionInput(each, inputs))
        into_outputs = Readout(tuple(links), self.readout_leak, carried=read is not None)
        return tape.changed(readout=into_outputs, outputs=outputs)

    def draw_noise(self, steps: Count, trials: Count) -> Tensor | None:
        """Draw private noise for a trial, ``(T, B, N)``; ``None`` if the network has none.

        It is drawn from the network's own generator, whose state is part of ``state_dict``; on another device than
        the CPU from one there that this one seeds.
        """
        if not all(type(each) is int and 0 < each < 2**63 for each in (steps, trials)):
            quick_counts(steps=steps, trials=trials)
        if self.noise_state is None:
            return None
        with drawing(self.noise_state) as generator:
            return self.cell_noise(normal_by_steps(steps, trials, self.n_noise, generator, self.w_out.device))

    @lasting
    def project_(self) -> None:
        """Set missing synapses and weights of the wrong sign to zero, readout included."""
        self.project_cells_()
        if self.mask_out is not None:
            self.w_out.mul_(self.mask_out)

    def _place(self, readout: Tensor) -> Population:
        return Population(
            "",
            (self.n_rates,),
            self.n_out,
            readout,
            readout,
            self.readout_connections()[0],
            alone=True,
            signs=self.streams,
            n_in=self.n_in,
            **self.traits(),
        )
