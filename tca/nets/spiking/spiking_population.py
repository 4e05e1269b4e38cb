"""A spiking recurrent population: its parameters, its forward pass and its tape.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from tca.cells.learned_cells import ALIF
from tca.cells.spiking_cell import LEARNABLE, SpikingCell, SpikingCells
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, spike
from tca.cells.time_constants import Constant, constants_of, leak_and_gain
from tca.connections.spike_products import few_times
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.options import check_mask
from tca.nets.recurrent_layer import RecurrentLayer, RecurrentWiring
from tca.nets.spiking.spiking_pass import SpikingPass
from tca.tape.population import Population
from tca.tape.spiking_tape import SpikingTape
from tca.tape.tape import WINDOW_BYTES, Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import NotNegative, checked, positive
from tca.utils.numerics import Workspace

__all__ = ["SpikingLayer", "SpikingPopulation", "SpikingState", "SpikingWiring"]


class SpikingState(NamedTuple):
    """State of the cells of a population, each ``(B, N)``.

    Attributes:
        potential: Potential v.
        adaptation: Adaptation a.
        rate: Spikes z, zeros and ones.
        wait: Steps for which a cell stays refractory, this one included.
    """

    potential: Tensor
    adaptation: Tensor
    rate: Tensor
    wait: Tensor


class SpikingPopulation(BlockPopulation):
    """A population of leaky integrate-and-fire cells, some or all of which adapt; see `tca.nets.SpikingRNN`.

    With learned constants it consists of general cells; without, its own passes are faster.

    Args:
        layer: Number of cells, their constants and their wiring.
        dt: Duration of a step in ms.

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed.
    """

    spiking: ClassVar[bool] = True
    components = 2

    leak: Tensor
    gain: Tensor
    adaptation_leak: Tensor
    adaptation_gain: Tensor
    beta: Tensor
    reset: Tensor

    def __init__(self, n_pre: int, layer: SpikingLayer, *, dt: float, generator: torch.Generator) -> None:
        wiring: SpikingWiring = layer.wiring
        if wiring.learn_initial:
            raise ValueError(
                "learn_initial must be False for spiking cells, which begin at rest: before its first spike a cell "
                "has no rate with a learning signal, and traces of its two components begin at zero"
            )
        mask = check_mask("mask_in", wiring.mask_in, (layer.size, n_pre))
        in_degree = (
            torch.tensor([n_pre], dtype=torch.float64, device="cpu")
            if mask is None
            else mask.sum(1, keepdim=True).clamp(min=1)
        )
        scale_in = wiring.gain_in / in_degree.sqrt()
        super().__init__(n_pre, layer.size, wiring, generator=generator, scale_in=scale_in, bias=wiring.bias)
        cell: SpikingCell = layer.cell
        self.dt, self.noise, self.threshold = positive("dt", dt), cell.noise, cell.threshold
        self.refractory = math.ceil(cell.refractory / dt - 1e-9)
        self.surrogate_gradient = (
            SURROGATE_GRADIENTS[cell.surrogate_gradient]()
            if isinstance(cell.surrogate_gradient, str)
            else cell.surrogate_gradient
        )
        self.reset_in_trace = cell.reset_in_trace
        kept, added = leak_and_gain("tau", cell.tau, dt, cell.leak, self.n_rec)
        kept_long, added_long = leak_and_gain("tau_adaptation", cell.tau_adaptation, dt, cell.leak, self.n_rec)
        strengths = cell.strengths(self.n_rec)
        self.constants = (
            Constant("tau", kept, added),
            Constant("tau_adaptation", kept_long, added_long),
            Constant("threshold", self.threshold),
            Constant("beta", strengths),
        )
        if cell.learn:
            general = ALIF(
                *(kept, kept_long, strengths, self.threshold, self.surrogate_gradient, self.refractory),
                *(cell.scaled_drive, cell.scaled_adaptation, cell.reset_in_trace),
            )
            owners = {"leak": "tau", "adaptation_leak": "tau_adaptation"}
            self.declare_(general, constants_of(cell.learn, LEARNABLE), generator, owners)
            return
        constants = {
            "leak": kept,
            "gain": added if cell.scaled_drive else 1.0,
            "adaptation_leak": kept_long,
            "adaptation_gain": added_long if cell.scaled_adaptation else 1.0,
            "beta": strengths,
            "reset": self.threshold,
        }
        for name, value in constants.items():
            self.register_buffer(
                name, torch.as_tensor(value, dtype=torch.float64, device="cpu").expand(self.n_rec).clone()
            )

    @property
    def cells(self) -> SpikingCells:
        """The constants of the cells."""
        return SpikingCells(
            self.leak,
            self.gain,
            self.adaptation_leak,
            self.adaptation_gain,
            self.beta,
            self.reset,
            self.reset_in_trace,
        )

    def start(self, trials: int) -> SpikingState:
        """Return cells at rest."""
        zero = self.leak.new_zeros(trials, self.n_rec)
        return SpikingState(zero, zero, zero, zero)

    @property
    def n_memory(self) -> int:
        """Numbers of the state of the cells, those of `SpikingState` for each."""
        return super().n_memory if self.cell is not None else self.n_rec * len(SpikingState._fields)

    def state_of(self, memory: Tensor) -> SpikingState:
        """Return the state of the cells as parts.

        Args:
            memory: The state, shape ``(B, 4 N)``.
        """
        return SpikingState(*torch.split(memory, self.n_rec, -1))

    def advance(self, state: SpikingState, drive: Tensor) -> tuple[SpikingState, Tensor]:
        """Return the next state and the surrogate gradient there, both differentiable.

        Args:
            drive: Drive of the step, shape ``(B, N)``.
        """
        wait = torch.where(state.rate > 0, float(self.refractory), (state.wait - 1).clamp(min=0)).detach()
        potential = self.leak * state.potential + self.gain * drive - self.reset * state.rate
        adaptation = self.adaptation_leak * state.adaptation + self.adaptation_gain * state.rate
        distance = (potential - self.beta * adaptation - self.threshold) / self.threshold
        ready = (wait == 0).to(drive)
        rate = spike(distance, self.surrogate_gradient) * ready
        return SpikingState(potential, adaptation, rate, wait), self.surrogate_gradient(
            distance
        ) * ready / self.threshold

    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        """Return the spikes, shape ``(T, B, N)``, differentiable through the surrogate gradient.

        As often as it has derivatives itself.
        """
        if self.cell is not None:
            return super().cell_rates(use, inputs, noise, prefix)
        w_in, w_rec, *bias = (each.masked(use[each.name]) for each in self.into_cells(prefix))
        drive = inputs @ w_in.t() + (0.0 if noise is None else noise)
        for each in bias:
            drive = drive + each
        state, weights, rates = self.start(inputs.shape[1]), w_rec.t(), []
        for external in drive.unbind(0):
            state, _ = self.advance(state, external + state.rate @ weights)
            rates.append(state.rate)
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
        shape = (steps + 1, trials, self.n_rec)
        rate, drive = (space.empty(f"{prefix}{name}", shape, self.w_rec) for name in ("rate", "drive"))
        w_in, w_rec, *bias = into = self.into_cells(prefix)
        folded = (w_in.effective() * self.gain.unsqueeze(-1)).t().contiguous()
        added = [each.effective() * self.gain for each in bias]
        recurrent = w_rec.effective()
        going = SpikingPass(
            self.cells, self.threshold, self.refractory, self.surrogate_gradient, recurrent, drive, rate
        )
        if start is not None:
            going.start_from(*self.state_of(start))
        for window in _windows(drive[1:]):
            present = slice(window.start + 1, window.stop + 1)
            driven = drive[present]
            presynaptic = inputs[window].reshape(-1, self.n_pre)
            arriving = few_times(presynaptic, folded)
            if arriving is None:
                torch.mm(presynaptic, folded, out=driven.view(-1, self.n_rec))
            else:
                driven.copy_(arriving.view_as(driven))
            for each in added:
                driven.add_(each)
            if noise is not None:
                driven.addcmul_(noise[window], self.gain)
            going.through_(present)
        return SpikingTape(
            population=population,
            rate=rate,
            leak=self.leak,
            gain=self.gain,
            slope=drive,
            cells=self.cells,
            links=self._links(into, inputs, rate),
            recurrence=Recurrence(recurrent, self.mask_rec, self.types),
            **rest,
        )

    def cell_noise(self, drawn: Tensor) -> Tensor:
        leak, gain = self._leak_and_gain()
        return drawn.to(self.w_rec) * (self.noise * (1 - leak.square()).sqrt() / gain)

    def _leak_and_gain(self) -> tuple[Tensor, Tensor]:
        """Return leak and gain of the potential, a number or one for each cell."""
        if self.cell is None:
            return self.leak, self.gain
        cell: Any = self.bound_cell()
        leak = torch.as_tensor(cell.leak, dtype=self.w_rec.dtype, device=self.w_rec.device)
        return leak, 1 - leak if cell.scaled_drive else torch.ones_like(leak)


def _windows(values: Tensor) -> Iterator[slice]:
    """Yield windows of steps sized to the cache of a CPU core; all steps on other devices."""
    steps = len(values)
    on_cpu = values.device.type == "cpu"
    size = max(1, WINDOW_BYTES // (values[0].numel() * values.element_size())) if on_cpu else steps
    for first in range(0, steps, size):
        yield slice(first, min(first + size, steps))


@checked
@dataclass(frozen=True, eq=False)
class SpikingWiring(RecurrentWiring):
    """The synapses of a spiking population: those of `tca.nets.RecurrentWiring`, and biases.

    Args:
        autapses: Whether cells may have synapses onto themselves, default ``False``.
        learn_initial: Refused: cells begin at rest.
        bias: Whether cells have biases, default ``False``.
        gain_in: Factor of the input weights, default 1.
    """

    autapses: bool = False
    bias: bool = False
    gain_in: NotNegative = 1.0


class SpikingLayer(RecurrentLayer):
    """Configuration of a spiking recurrent population, for a `tca.nets.StackedRNN`.

    Args:
        size: Number of cells.
        cell: Their constants, default `SpikingCell()`.
        wiring: Their synapses, default all-to-all but for autapses.
        options: Fields of the cell and of the wiring, by name.

    >>> SpikingLayer(5, threshold=1.0, bias=True).cell.threshold
    1.0
    """

    cells = SpikingCell
    wirings = SpikingWiring

    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> SpikingPopulation:
        return SpikingPopulation(n_pre, self, dt=dt, generator=generator)
