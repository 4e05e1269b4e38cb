"""A leaky recurrent population: its parameters and its forward pass.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS
from tca.cells.leaky_cell import FORMS, LeakyCell
from tca.cells.learned_cells import Leaky
from tca.cells.time_constants import Constant, leak_and_gain
from tca.connections.connection import Dense
from tca.kernels.choice import VARIABLE, choose
from tca.kernels.compiled import FUNCTIONS, Passes
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.recurrent_layer import RecurrentLayer, RecurrentWiring
from tca.tape.leaky_tape import LeakyTape
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import positive
from tca.utils.numerics import Workspace

__all__ = ["LeakyLayer", "LeakyPopulation"]

WIDEST = 64  # inputs whose drive a compiled pass computes itself


class LeakyPopulation(BlockPopulation):
    """A leaky recurrent population in one of two forms; see `tca.nets.LeakyRNN` for equations and options.

    With learned time constants it consists of general cells; without, its own passes are faster.

    Args:
        layer: Number of cells, their constants and their wiring.
        dt: Duration of a step in ms.

    Raises:
        ValueError: A size, time constant, mask, type, sign or name is not allowed.
    """

    def __init__(
        self,
        n_pre: int,
        layer: LeakyLayer,
        *,
        dt: float,
        generator: torch.Generator,
        synapses: Callable[..., Any] = Dense,
        synapses_in: Callable[..., Any] = Dense,
    ) -> None:
        super().__init__(
            n_pre,
            layer.size,
            layer.wiring,
            generator=generator,
            scale_in=1 / math.sqrt(n_pre),
            synapses=synapses,
            synapses_in=synapses_in,
        )
        cell: LeakyCell = layer.cell
        self.form = FORMS[cell.form]
        self.activation = ACTIVATIONS[cell.activation] if isinstance(cell.activation, str) else cell.activation
        self.leak_form = self.form.name
        self.dt, self.noise = positive("dt", dt), cell.noise
        constants = leak_and_gain("tau", cell.tau, dt, cell.leak, self.n_rec)
        self.constants = (Constant("tau", *constants),)
        if cell.learn:
            self.declare_(Leaky(constants[0], cell.form, self.activation), ("leak",), generator, {"leak": "tau"})
        else:
            self.leak, self.gain = self._constant("leak", constants[0]), self._constant("gain", constants[1])

    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        if self.cell is not None:
            return super().cell_rates(use, inputs, noise, prefix)
        into = self.into_cells(prefix)
        weights, recurrent = [each.masked(use[each.name]) for each in into], into[1]
        drive = into[0].apply(weights[0], inputs) + weights[2] + (0.0 if noise is None else noise)
        state = weights[3].expand_as(drive[0]) if len(weights) > 3 else torch.zeros_like(drive[0])
        rate, rates = self.form.start(self.activation, state), []
        for external in drive.unbind(0):
            driven = external + recurrent.apply(weights[1], rate)
            state, rate, _ = self.form.advance(self.activation, self.leak, self.gain, state, driven)
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
        if self.cell is not None:
            return super().run_cells(population, inputs, noise, space, start, **rest)
        steps, trials, _ = inputs.shape
        prefix = f"{population.name}." if population.name else ""
        rate = space.empty(f"{prefix}rate", (steps + 1, trials, self.n_rec), self.w_rec)
        in_place = self.form.slope_at_emission
        drive = rate if in_place else space.empty(f"{prefix}drive", tuple(rate.shape), self.w_rec)
        w_in, w_rec, b, *initial = into = self.into_cells(prefix)
        recurrent = w_rec.matrix()
        if start is None and initial:
            start = initial[0].effective()
        passes, delivered, call = self._passes(), None, None
        fused = passes is not None and noise is None and self.n_pre <= WIDEST
        if not fused:
            self._drive_(drive, w_in, b, inputs, noise)
        if passes is None:
            fold = partial(self.form.fold, self.gain)
            begin = rate.new_zeros(()) if start is None else start
            self.form.run_(self.activation, self.leak, drive, fold(recurrent), begin, rate)
        else:
            bias = b.effective() if fused else rate.new_zeros(self.n_rec)  # else in the drive
            if population.alone:
                delivered = rate.new_empty(steps, trials, population.n_out)
            call = passes.forward_(
                (w_in.matrix(), recurrent, bias, *([population.readout] if population.alone else [])),
                inputs if fused else None,
                None if fused else drive,
                None if start is None else start.expand_as(rate[0]),
                rate,
                drive,
                delivered,
            )
        return LeakyTape(
            population=population,
            rate=rate,
            activity=drive,
            activation=self.activation,
            leak=self.leak,
            gain=self.gain,
            links=self._links(into, inputs, rate),
            recurrence=Recurrence(recurrent, self.mask_rec, self.types),
            passes=passes,
            delivered=delivered,
            call=call if fused and start is None else None,
            **rest,
        )

    def _passes(self) -> Passes | None:
        """Return the compiled passes; ``None`` for PyTorch's operations."""
        if type(self.activation) not in FUNCTIONS:
            return None
        on_rate, like = not self.form.slope_at_emission, self.w_rec
        chosen = os.environ.get(VARIABLE)
        return choose(chosen, self.activation, on_rate, self.leak, self.gain, self.n_rec, like.dtype, like.device)

    def _drive_(self, drive: Tensor, w_in: Any, b: Any, inputs: Tensor, noise: Tensor | None) -> None:
        """Write the drive of every step but for the recurrent part, with folded weights."""
        fold = partial(self.form.fold, self.gain)
        flat = drive[1:].view(-1, self.n_rec)
        torch.addmm(fold(b.effective()), inputs.reshape(-1, self.n_pre), fold(w_in.matrix()).t(), out=flat)
        if noise is not None:
            drive[1:].addcmul_(noise, fold(torch.ones_like(self.w_rec[0])))

    def cell_noise(self, drawn: Tensor) -> Tensor:
        leak = torch.as_tensor(self.leak, dtype=torch.float64, device=self.w_rec.device).detach()
        return drawn.to(self.w_rec) * (self.noise * ((1 + leak) / (1 - leak)).sqrt()).to(self.w_rec)


class LeakyLayer(RecurrentLayer):
    """Configuration of a leaky recurrent population, for a `tca.nets.StackedRNN`.

    Args:
        size: Number of cells.
        cell: Their constants, default `LeakyCell()`.
        wiring: Their synapses, default all-to-all.
        options: Fields of the cell and of the wiring, by name.

    >>> LeakyLayer(5, tau=20.0, autapses=False).cell.tau
    20.0
    """

    cells = LeakyCell
    wirings = RecurrentWiring

    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> LeakyPopulation:
        return LeakyPopulation(n_pre, self, dt=dt, generator=generator)
