"""A recurrent population of general cells: its parameters and its forward pass.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells, S components, G drives, Q rates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.cells.cell import Bounds, Cell
from tca.cells.cell_check import check_cell, check_learned
from tca.cells.local_derivatives import emitted, moved, passed_on
from tca.connections.connection import Bias, Connection, ConnectionInput, Dense, Initial
from tca.nets.recurrent import RecurrentPopulation
from tca.nets.recurrent_layer import RecurrentLayer, RecurrentWiring
from tca.tape.block_tape import BlockTape, runs
from tca.tape.population import Population
from tca.utils.arrays import tensor_of
from tca.utils.checks import NotNegative, Size, checked
from tca.utils.names import lookup
from tca.utils.numerics import Workspace

__all__ = ["CellLayer", "CellPopulation", "CellWiring"]


class CellPopulation(RecurrentPopulation):
    """A recurrent population of general cells; see `tca.nets.CellRNN` for equations and options.

    Args:
        n_pre: Number of inputs or presynaptic cells J.
        layer: Number of cells, the cell and its wiring.
        generator: Source of the weights.

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed.
    """

    leak_form = "cell"

    def __init__(self, n_pre: int, layer: CellLayer, *, generator: torch.Generator) -> None:
        """Draw the weights; see the class."""
        cell, wiring = layer.cell, layer.wiring
        if not type(cell).__module__.startswith("tca."):
            check_cell(cell).require()
        places = cell.places(cell.input_drives), cell.places(cell.recurrent_drives)
        super().__init__(
            n_pre,
            layer.size,
            wiring,
            generator=generator,
            scale_in=wiring.gain_in / math.sqrt(n_pre),
            bias=wiring.bias,
            drives=(len(places[0]), len(places[1])),
        )
        self.input_places, self.reached = places
        self.cell, self.n_drives, self.noise = cell, len(cell.drives), wiring.noise
        self.passed = passed_on(cell)
        if not self.reached:
            del self.w_rec
            self.register_buffer("w_rec", torch.zeros(0, layer.size, dtype=torch.float64, device="cpu"))
        rows = layer.size * len(self.reached)
        two = wiring.bias and cell.recurrent_bias and rows
        self.b_rec = nn.Parameter(torch.zeros(rows, dtype=torch.float64, device="cpu")) if two else None
        if self.s_0 is not None:
            states = layer.size * len(cell.components)
            self.s_0 = nn.Parameter(torch.zeros(states, dtype=torch.float64, device="cpu"))
        self._declare(wiring.learn, generator)

    def _declare(self, learn: Sequence[str] | None, generator: torch.Generator) -> None:
        """Make the learned constants parameters, and those that differ between cells buffers."""
        self.bounds, drawn = self.cell.bounds(), self.cell.draw(self.n_rec, generator)
        for name in learn or ():
            lookup(self.bounds, name, f"constant of {type(self.cell).__name__}")
        self.learned = tuple(
            name for name, each in self.bounds.items() if (each.learned if learn is None else name in learn)
        )
        check_learned(self.cell, self.learned)
        self.fixed: tuple[str, ...] = ()
        for name, bounds in self.bounds.items():
            value = _checked_constant(name, drawn.get(name, getattr(self.cell, name)), bounds, self.n_rec)
            if name in self.learned:
                if hasattr(self, name):
                    raise ValueError(f"a learned constant must not be called {name!r}, as a part of every network is")
                self.register_parameter(name, nn.Parameter(value.expand(self.n_rec).clone()))
            elif value.ndim:
                self.register_buffer(f"constant_{name}", value.clone())
                self.fixed = (*self.fixed, name)

    @property
    def n_rates(self) -> int:
        """Number of rates, Q for each cell."""
        return self.n_rec * len(self.cell.rates)

    def traits(self) -> dict[str, Any]:
        """Return the properties of the cells for the specification of the population."""
        return {
            "recurrent": bool(self.reached),
            "form": self.leak_form,
            "components": len(self.cell.components),
            "drives": self.n_drives,
            "learned": self.learned,
        }

    def bound_cell(self, use: Mapping[str, Tensor] | None = None, prefix: str = "") -> Cell:
        """Return the cell with the constants of the population.

        Args:
            use: The parameters by name; ``None`` (default) for the population's own, without a graph.
            prefix: Prefix of the parameters' names, default empty.
        """
        fixed = {name: self.get_buffer(f"constant_{name}") for name in self.fixed}
        own = {
            name: self.get_parameter(name).detach() if use is None else use[f"{prefix}{name}"] for name in self.learned
        }
        bound: Cell = self.cell.bound(fixed | own)
        return bound

    def into_cells(self, prefix: str = "") -> tuple[Any, ...]:
        """Return the connections into the population: input, recurrent, biases, constants, initial state.

        A learned constant is a bias of a drive of its own.

        Args:
            prefix: Prefix of the parameters' names in the network, default empty.
        """
        into: list[Connection] = [Dense(f"{prefix}w_in", self.w_in, self.mask_in, drives=self.input_places)]
        if self.reached:
            into.append(Dense(f"{prefix}w_rec", self.w_rec, self.mask_rec, drives=self.reached))
        if self.b is not None:
            into.append(Bias(f"{prefix}b", self.b, drives=self.input_places))
        if self.b_rec is not None:
            into.append(Bias(f"{prefix}b_rec", self.b_rec, drives=self.reached))
        for place, name in enumerate(self.learned, self.n_drives):
            into.append(Bias(f"{prefix}{name}", self.get_parameter(name), drives=(place,)))
        if self.s_0 is not None:
            first = self.n_drives + len(self.learned)
            components = tuple(range(first, first + len(self.cell.components)))
            into.append(Initial(f"{prefix}s_0", self.s_0, drives=components))
        return tuple(into)

    def external_drive(self, weights: Sequence[Tensor], into: Sequence[Connection], inputs: Tensor) -> Tensor:
        """Return the drives but for the recurrent ones, shape ``(..., G N)``, differentiable.

        Args:
            weights: Weights of the connections, missing synapses at zero.
            into: The connections.
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
        self, population: Population, inputs: Tensor, noise: Tensor | None, space: Workspace, **rest: Any
    ) -> BlockTape:
        """Run the population without a graph and return its tape.

        Args:
            population: Its specification.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: Noise in the drives of every step, shape ``(T, B, G N)``; ``None`` for none.
            space: Memory to use.
            rest: Further attributes of the tape.
        """
        steps, trials, _ = inputs.shape
        prefix = f"{population.name}." if population.name else ""
        cell, size, into = self.bound_cell(), self.n_rec, self.into_cells(prefix)

        def memory(name: str, parts: int) -> Tensor:
            return space.empty(f"{prefix}{name}", (steps + 1, trials, parts * size), self.w_in)

        drive, states = memory("drive", self.n_drives), memory("state", len(cell.components))
        self._external_(drive[1:].flatten(0, 1), inputs.flatten(0, 1), into)
        if noise is not None:
            drive[1:].add_(noise)
        states[0] = into[-1].effective() if self.s_0 is not None else 0.0
        apart = torch.unflatten(states, -1, (-1, size))
        if self.passed is not None and len(self.passed) == 1:
            rate = apart[..., self.passed[0], :]
        else:
            rate = memory("rate", len(cell.rates))
        recurrent = into[1].effective() if self.reached else self.w_rec
        weights = [(places, recurrent[rows].t()) for rows, places in runs(self.reached, size)]
        state = apart[0].unbind(-2)
        self._emit_(cell, state, rate[0])
        for t in range(1, steps + 1):
            now, before = drive[t], rate[t - 1]
            for places, weight in weights:
                now[:, places].addmm_(before, weight)
            state = moved(cell, state, torch.split(now, size, -1))
            for into_state, each in zip(apart[t].unbind(-2), state, strict=True):
                into_state.copy_(each)
            self._emit_(cell, state, rate[t])
        one, zero = rate.new_ones(1, 1, 1), rate.new_zeros(1, 1, 1)
        pres = [inputs, *[rate[:-1]] * bool(self.reached)]
        constant = [zero if isinstance(each, Initial) else one for each in into[len(pres) :]]
        return BlockTape(
            population=population,
            rate=rate,
            leak=0.0,
            gain=1.0,
            links=tuple(ConnectionInput(each, pre) for each, pre in zip(into, (*pres, *constant), strict=True)),
            recurrent=recurrent,
            recurrent_mask=self.mask_rec,
            types=self.types,
            cell=cell,
            state=apart,
            driven_by=torch.unflatten(drive, -1, (-1, size)),
            learned=self.learned,
            passed=self.passed,
            reached=self.reached,
            starts=self.s_0 is not None,
            **rest,
        )

    def cell_noise(self, drawn: Tensor) -> Tensor:
        """Return private noise of the drives, shape ``(T, B, G N)``, zero if the cells have none.

        Args:
            drawn: Independent normal numbers of that shape.
        """
        noise: Tensor = drawn.to(self.w_in) * self.noise
        return noise

    @torch.no_grad()
    def project_cells_(self) -> None:
        """Restore masks and signs, and the bounds of learned constants."""
        super().project_cells_()
        for name in self.learned:
            self.get_parameter(name).copy_(self.bounds[name].clamped(self.get_parameter(name)))

    def _external_(self, drive: Tensor, inputs: Tensor, into: Sequence[Connection]) -> None:
        """Write the drives by inputs and biases, shape ``(T B, G N)``, in place."""
        size, biases = self.n_rec, drive.new_zeros(drive.shape[-1])
        for each in into:
            if isinstance(each, Bias) and not isinstance(each, Initial) and max(each.drives or ()) < self.n_drives:
                for rows, places in runs(each.drives or (), size):
                    biases[places] += each.effective()[rows]
        weight = into[0].effective()
        for rows, places in runs(self.input_places, size):
            torch.addmm(biases[places], inputs, weight[rows].t(), out=drive[:, places])
        for place in set(range(self.n_drives)) - set(self.input_places):
            at = slice(place * size, (place + 1) * size)
            drive[:, at] = biases[at]

    def _emit_(self, cell: Cell, state: tuple[Tensor, ...], into: Tensor) -> None:
        """Write the rates of a state, unless they are a component of it."""
        if self.passed is None or len(self.passed) > 1:
            for part, each in zip(torch.split(into, self.n_rec, -1), emitted(cell, state), strict=True):
                part.copy_(each)


@checked
@dataclass(frozen=True, eq=False)
class CellWiring(RecurrentWiring):
    """The synapses of a population of general cells, its noise and the constants that it learns.

    Args:
        mask_in: Which input synapses exist, (N, J), for all drives alike; ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N), for all drives alike; ``None`` (default) for all.
        cell_types: Type of every cell, or fractions; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses of each type; ``None`` (default) for both.
        autapses: Whether cells may have synapses onto themselves, default ``True``.
        gain_rec: Factor of the recurrent weights, default 1.
        learn_initial: Whether the initial state is a parameter, default ``False``.
        bias: Whether drives have biases, default ``True``.
        gain_in: Factor of the input weights, default 1.
        noise: Standard deviation of private noise in every drive, default 0.
        learn: Names of the constants of the cell that are parameters; ``None`` (default) for those that the cell
            declares.
    """

    bias: bool = True
    gain_in: NotNegative = 1.0
    noise: NotNegative = 0.0
    learn: Sequence[str] | None = None


@checked
class CellLayer(RecurrentLayer):
    """Configuration of a population of general cells, for a `tca.nets.StackedRNN`.

    Args:
        size: Number of cells.
        cell: The cell, one of `tca.cells` or the user's own.
        wiring: Its synapses, default all-to-all.
        options: Fields of the wiring, by name.

    >>> from tca.cells import GRU
    >>> CellLayer(5, GRU(), autapses=False).wiring.autapses
    False
    """

    cells: ClassVar[type] = Cell
    wirings = CellWiring

    def __init__(self, size: Size, cell: Cell | None = None, wiring: CellWiring | None = None, **options: Any) -> None:
        """Check the options; see the class."""
        if cell is None and self.cells is Cell:
            raise TypeError("cell must be a tca.cells.Cell, for example tca.cells.GRU(), got None")
        super().__init__(size, cell, wiring, **options)

    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> CellPopulation:
        """Return the population.

        Args:
            n_pre: Number of inputs, or of cells of the population below.
            dt: Duration of a step in ms, of no effect: constants of cells are per step.
            generator: Source of the weights.
        """
        return CellPopulation(n_pre, self, generator=generator)


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
