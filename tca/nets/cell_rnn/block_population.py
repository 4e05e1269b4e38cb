"""A recurrent population of general cells: its constants and its forward pass, with derivatives as blocks.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells, S components, G drives, Q rates.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from tca.cells.cell import Bounds, Cell
from tca.cells.cell_derivative_check import check_learned
from tca.cells.local_derivatives import emitted, moved, passed_on
from tca.connections.connection import Bias, Connection, ConnectionInput, Dense, Initial
from tca.kernels.choice import VARIABLE, choose_gated
from tca.nets.recurrent import RecurrentPopulation
from tca.tape.block_tape import BlockTape
from tca.tape.block_weights import runs, with_autapses
from tca.tape.gated_tape import GatedTape
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.arrays import tensor_of
from tca.utils.names import lookup
from tca.utils.numerics import Workspace, lasting

__all__ = ["BlockPopulation"]

CACHED_BYTES = 2**20  # drives of several steps that fit into the cache of one core


class BlockPopulation(RecurrentPopulation, abc.ABC):
    """A recurrent population that may consist of general cells.

    `declare_` makes it one; a population with a faster pass of its own overrides ``cell_rates`` and ``run_cells`` and
    calls those of this class once it has a general cell.
    """

    cell: Cell | None = None  # the general cell, if the population consists of them
    reached: tuple[int, ...]
    input_places: tuple[int, ...]

    def declare_(
        self,
        cell: Cell,
        learn: Sequence[str] | None,
        generator: torch.Generator,
        owners: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Make the population one of general cells, once its synapses are drawn.

        Learned constants become parameters, others that differ between cells buffers.

        Args:
            learn: Names of the constants that are learned; ``None`` for those that the cell declares.
            generator: Source of constants that are drawn.
            owners: The options that set constants, by constant, for errors; default the constants themselves.
        """
        self.cell, self.n_drives, self.passed = cell, len(cell.drives), passed_on(cell)
        self.components, self.n_rates = len(cell.components), self.n_rec * len(cell.rates)
        self.synapses = self.synapses_in = Dense
        self.input_places, self.reached = cell.places(cell.input_drives), cell.places(cell.recurrent_drives)
        if self.s_0 is not None:
            self.s_0 = nn.Parameter(self.s_0.detach().new_zeros(self.n_rec * len(cell.components)))
        self.bounds, drawn = cell.bounds(), cell.draw(self.n_rec, generator)
        for name in learn or ():
            lookup(self.bounds, name, f"constant of {type(cell).__name__}")
        self.learned = tuple(
            name for name, each in self.bounds.items() if (each.learned if learn is None else name in learn)
        )
        check_learned(cell, self.learned)
        first = self.n_drives + len(self.learned)
        self.state_places = tuple(range(first, first + self.components))
        self.fixed: tuple[str, ...] = ()
        for name, bounds in self.bounds.items():
            title = f"{name} per step of {owners[name]}" if name in owners else name
            value = _checked_constant(title, drawn.get(name, getattr(cell, name)), bounds, self.n_rec)
            if name in self.learned:
                if hasattr(self, name):
                    raise ValueError(f"a learned constant must not be called {name!r}, as a part of every network is")
                self.register_parameter(name, nn.Parameter(value.expand(self.n_rec).clone()))
            elif value.ndim:
                self.register_buffer(f"constant_{name}", value.clone())
                self.fixed = (*self.fixed, name)

    def bound_cell(self, use: Mapping[str, Tensor] | None = None, prefix: str = "") -> Cell:
        """Return the cell with the constants of the population.

        Args:
            use: The parameters by name; ``None`` (default) for the population's own, without a graph.
            prefix: Prefix of the parameters' names, default empty.
        """
        assert self.cell is not None
        fixed = {name: self.get_buffer(f"constant_{name}") for name in self.fixed}
        own = {
            name: self.get_parameter(name).detach() if use is None else use[f"{prefix}{name}"] for name in self.learned
        }
        bound: Cell = self.cell.bound(fixed | own)
        return bound

    def external_drive(self, weights: Sequence[Tensor], into: Sequence[Connection], inputs: Tensor) -> Tensor:
        """Return the drives but for the recurrent ones, shape ``(..., G N)``, differentiable.

        Args:
            weights: Weights of the connections, missing synapses at zero.
            inputs: Inputs, shape ``(..., J)``.
        """
        drives: list[Tensor | float] = [0.0] * self.n_drives
        for weight, each in zip(weights, into, strict=True):
            if each.name.endswith("w_rec") or isinstance(each, Initial) or max(each.drives or ()) >= self.n_drives:
                continue
            for place, part in zip(
                each.drives or (), torch.split(each.apply(weight, inputs), self.n_rec, -1), strict=True
            ):
                drives[place] = drives[place] + part
        shape = (*inputs.shape[:-1], self.n_rec)
        return torch.cat(
            [each.expand(shape) if isinstance(each, Tensor) else inputs.new_zeros(shape) for each in drives], -1
        )

    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        """Return the rates, shape ``(T, B, Q N)``, differentiable any number of times.

        Args:
            use: The parameters by name.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drives of every step, shape ``(T, B, G N)``; ``None`` (default) for none.
            prefix: Prefix of the parameters' names, default empty.
        """
        into = self.into_cells(prefix)
        weights = [each.masked(use[each.name]) for each in into]
        cell, drive = self.bound_cell(use, prefix), self.external_drive(weights, into, inputs)
        if noise is not None:
            drive = drive + noise
        start = weights[-1] if self.s_0 is not None else inputs.new_zeros(self.n_rec * len(cell.components))
        state = tuple(each.expand(inputs.shape[1], -1) for each in torch.split(start, self.n_rec))
        rate, rates = torch.cat(emitted(cell, state), -1), []
        for external in drive.unbind(0):
            parts = list(torch.split(external, self.n_rec, -1))
            if self.reached:
                arriving = torch.split(rate @ weights[1].t(), self.n_rec, -1)
                for place, part in zip(self.reached, arriving, strict=True):
                    parts[place] = parts[place] + part
            state = moved(cell, state, tuple(parts))
            rate = torch.cat(emitted(cell, state), -1)
            rates.append(rate)
        return torch.stack(rates)

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
            population: Its specification.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drives of every step, shape ``(T, B, G N)``; ``None`` for none.
            space: Memory to use.
            start: State of the cells at time zero, shape ``(B, S N)``; ``None`` (default) for the initial state.
            rest: Further attributes of the tape.
        """
        steps, trials, _ = inputs.shape
        prefix = f"{population.name}." if population.name else ""
        (cell, autapse), size, into = self.bound_cell().apart(), self.n_rec, self.into_cells(prefix)

        def memory(name: str, parts: int) -> Tensor:
            return space.empty(f"{prefix}{name}", (steps + 1, trials, parts * size), self.w_in)

        drive, states = memory("drive", self.n_drives), memory("state", len(cell.components))
        write_external_ = self._external(drive[1:], inputs, noise, into)
        states[0] = start if start is not None else into[-1].effective() if self.s_0 is not None else 0.0
        apart = torch.unflatten(states, -1, (-1, size))
        if self.passed is not None and len(self.passed) == 1:
            rate = apart[..., self.passed[0], :]
        else:
            rate = memory("rate", len(cell.rates))
        recurrent = into[1].effective() if self.reached else self.w_rec
        arriving = with_autapses(recurrent, autapse)
        weights = [(drive[..., places].unbind(0), arriving[rows].t()) for rows, places in runs(self.reached, size)]
        rates, all_states, gates = rate.unbind(0), apart.unbind(0), torch.unflatten(drive, -1, (-1, size)).unbind(0)
        self._emit_(cell, all_states[0].unbind(-2), rates[0])
        passes = choose_gated(os.environ.get(VARIABLE), cell, self.learned, inputs.dtype, inputs.device)
        in_place = passes is not None
        for t in range(1, steps + 1):
            write_external_(t)
            for driven, weight in weights:
                driven[t].addmm_(rates[t - 1], weight)
            if passes is not None:
                passes.advance_(gates[t], all_states[t - 1], all_states[t])
            else:
                in_place = cell.advance_(gates[t], all_states[t - 1], all_states[t])
            if not in_place:
                state = moved(cell, all_states[t - 1].unbind(-2), gates[t].unbind(-2))
                for into_state, each in zip(all_states[t].unbind(-2), state, strict=True):
                    into_state.copy_(each)
            self._emit_(cell, all_states[t].unbind(-2), rates[t])
        one, zero = rate.new_ones(1, 1, 1), rate.new_zeros(1, 1, 1)
        pres = [inputs, *[rate[:-1]] * bool(self.reached)]
        constant = [zero if isinstance(each, Initial) else one for each in into[len(pres) :]]
        if passes is not None:
            rest |= {"passes": passes}
        return (BlockTape if passes is None else GatedTape)(
            population=population,
            rate=rate,
            leak=0.0,
            gain=1.0,
            links=tuple(ConnectionInput(each, pre) for each, pre in zip(into, (*pres, *constant), strict=True)),
            recurrence=Recurrence(recurrent, self.mask_rec, self.types),
            autapse=autapse,
            cell=cell,
            state=apart,
            driven_by=torch.unflatten(drive, -1, (-1, size)),
            gated=in_place,
            learned=self.learned,
            passed=self.passed,
            reached=self.reached,
            starts=self.s_0 is not None,
            **rest,
        )

    @lasting
    def project_cells_(self) -> None:
        """Restore masks and signs, and the bounds of learned constants."""
        super().project_cells_()
        for name in self.learned:
            self.get_parameter(name).copy_(self.bounds[name].clamped(self.get_parameter(name)))

    def _external(
        self, drive: Tensor, inputs: Tensor, noise: Tensor | None, into: Sequence[Connection]
    ) -> Callable[[int], None]:
        """Return a function that writes the drives by inputs, biases and noise before each step, in place.

        It writes as many steps at once as fit into the cache, where the recurrent product then finds them.

        Args:
            drive: Memory of the drives, shape ``(T, B, G N)``.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drives, shape ``(T, B, G N)``; ``None`` for none.
        """
        size, biases = self.n_rec, drive.new_zeros(drive.shape[-1])
        for each in into:
            if isinstance(each, Bias) and not isinstance(each, Initial) and max(each.drives or ()) < self.n_drives:
                for rows, places in runs(each.drives or (), size):
                    biases[places] += each.effective()[rows]
        weight, many = into[0].effective(), len(drive)
        if drive.device.type == "cpu":
            many = max(1, CACHED_BYTES // (drive[0].numel() * drive.element_size()))
        without = set(range(self.n_drives)) - set(self.input_places)

        def write_(t: int) -> None:
            if (t - 1) % many:
                return
            steps = slice(t - 1, t - 1 + many)
            part, given = drive[steps].flatten(0, 1), inputs[steps].flatten(0, 1)
            for rows, places in runs(self.input_places, size):
                torch.addmm(biases[places], given, weight[rows].t(), out=part[:, places])
            for place in without:
                at = slice(place * size, (place + 1) * size)
                part[:, at] = biases[at]
            if noise is not None:
                drive[steps].add_(noise[steps])

        return write_

    def _emit_(self, cell: Cell, state: tuple[Tensor, ...], into: Tensor) -> None:
        """Write the rates of a state, unless they are a component of it."""
        if self.passed is None or len(self.passed) > 1:
            for part, each in zip(torch.split(into, self.n_rec, -1), emitted(cell, state), strict=True):
                part.copy_(each)


def _checked_constant(name: str, given: Any, bounds: Bounds, cells: int) -> Tensor:
    """Return a constant in float64, a number or one for each cell.

    Args:
        name: Its name, for the message.
        given: The argument.
        bounds: Its range.
        cells: Number of cells N.
    """
    value: Tensor = tensor_of(given).to("cpu", torch.float64)
    if tuple(value.shape) not in ((), (cells,)):
        raise ValueError(f"{name} must be one number or {cells}, one for each cell, got shape {tuple(value.shape)}")
    if not bounds.hold(value):
        raise ValueError(f"{name} must be finite and within [{bounds.low}, {bounds.high}], got {value.tolist()}")
    return value
