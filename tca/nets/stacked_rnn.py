"""Stacked recurrent populations of any cells, with a linear readout of the last.

Shapes: T time, B batch, I inputs, N cells of all populations, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tca.cells.time_constants import readout_filter
from tca.connections.connection import Bias, Connection, ConnectionInput, Dense
from tca.nets.leaky.leaky_population import LeakyLayer
from tca.nets.network import Network
from tca.nets.options import check_mask, drawing, normal_by_steps
from tca.nets.recurrent import RecurrentPopulation
from tca.nets.recurrent_layer import RecurrentLayer
from tca.tape.population import Population
from tca.tape.projections import Afferent, Readout
from tca.tape.tape import Tape, filtered
from tca.utils.checks import Count, Device, DType, Mask, Positive, Seed, Size, checked, positive, quick_counts, whole
from tca.utils.numerics import Workspace

__all__ = ["StackedRNN"]


@checked
class StackedRNN(Network):
    """Stacked recurrent populations, connected without delay, with a linear readout.

    The input of the first population is that of the network, the input of every other the rates below: with the leak on
    the potential ``v^p_t = k v^p_{t-1} + (1 - k)(W^p z^p_{t-1} + U^p z^{p-1}_t + b^p)`` and ``z^p_t = f(v^p_t)``. A
    population is leaky, spiking or of general cells, see `LeakyRNN`, `SpikingRNN` and `CellRNN`, and any may lie above
    any other. The readout is
    ``y_t = W_o z^P_t + b_o``, optionally filtered. Populations connected with the delay of a step are one
    population of a `LeakyRNN` with suitable masks, types and time constants.

    Parameters are called ``layers.0.w_in``, ``layers.0.w_rec``, ``layers.0.b`` and so on, then ``w_out`` and ``b_out``.

    Args:
        n_in: Number of input channels I.
        layers: The populations from the first to the last: `LeakyLayer`, `SpikingLayer`, `CellLayer`, or a number of
            leaky cells.
        n_out: Number of outputs O.
        dt: Duration of a step in ms, default 10.
        readout_tau: Time constant of the filtered readout in ms; ``None`` (default) for none.
        mask_out: Which readout synapses exist; ``None`` (default) for all.
        seed: Seed of the weights and of the private noise, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: There is no layer, or a size, time constant, mask, type, sign or name is not allowed.

    Papers: El Hihi and Bengio (1995), NeurIPS; Pascanu et al. (2014), ICLR.

    >>> net = StackedRNN(3, [LeakyLayer(5, tau=20.0), 4], 2)
    >>> net(torch.zeros(7, 1, 3)).shape, net.layers[1].w_in.shape
    (torch.Size([7, 1, 2]), torch.Size([4, 5]))
    """

    mask_out: Tensor | None
    noise_state: Tensor

    def __init__(
        self,
        n_in: Size,
        layers: Sequence[RecurrentLayer | int],
        n_out: Size,
        *,
        dt: Positive = 10.0,
        readout_tau: Positive | None = None,
        mask_out: Mask | None = None,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        super().__init__()
        self.n_in, self.n_out, self.dt = whole("n_in", n_in, 1), whole("n_out", n_out, 1), positive("dt", dt)
        if not layers:
            raise ValueError("layers must hold at least one population, got none")
        generator = torch.Generator().manual_seed(seed)
        made, lower = list[RecurrentPopulation](), n_in
        for each in layers:
            described = LeakyLayer(each) if isinstance(each, int) else each
            population = described.make(lower, self.dt, generator)
            assert isinstance(population, RecurrentPopulation)
            made.append(population)
            lower = made[-1].n_rates
        self.layers = nn.ModuleList(made)
        self.readout_leak = 0.0
        if readout_tau is not None:
            self.constants = (readout_filter(readout_tau, dt, "exponential"),)
            self.readout_leak = float(self.constants[0].value)
        self.register_buffer("mask_out", check_mask("mask_out", mask_out, (n_out, lower)))
        drawn = torch.randn(n_out, lower, generator=generator, dtype=torch.float64, device="cpu") * (
            1 / math.sqrt(lower)
        )
        self.w_out = nn.Parameter(drawn if self.mask_out is None else drawn * self.mask_out)
        self.b_out = nn.Parameter(torch.zeros(n_out, dtype=torch.float64, device="cpu"))
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state())
        self._convert(device, dtype)

    @property
    def hidden_layers(self) -> tuple[tuple[str, RecurrentPopulation], ...]:
        """The populations from the first to the last, with their names."""
        found = []
        for index, each in enumerate(self.layers):
            assert isinstance(each, RecurrentPopulation)
            found.append((f"layers.{index}", each))
        return tuple(found)

    def hidden_connections(self) -> tuple[Connection, ...]:
        return tuple(each for name, cells in self.hidden_layers for each in cells.into_cells(f"{name}."))

    def readout_connections(self) -> tuple[Connection, ...]:
        return Dense("w_out", self.w_out, self.mask_out), Bias("b_out", self.b_out)

    def populations(self) -> tuple[Population, ...]:
        return self._populations(self.w_out)

    def typed_weights(self) -> tuple[tuple[Tensor, Tensor | None, Tensor], ...]:
        return tuple(each for _, cells in self.hidden_layers for each in cells.typed_weights())

    @property
    def n_noise(self) -> int:
        """Noise channels: one for the drive of each cell, from the first population to the last."""
        return sum(self._channels)

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable any number of times."""
        rates = inputs
        for (name, cells), each in zip(self.hidden_layers, self._split(noise), strict=True):
            rates = cells.cell_rates(use, rates, each, f"{name}.")
        w_out, b_out = (each.masked(use[each.name]) for each in self.readout_connections())
        return filtered(rates @ w_out.t(), self.readout_leak) + b_out

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of the last population with those of the lower ones."""
        w_out, b_out = self.readout_connections()
        readout = w_out.effective()
        rates, tapes = inputs, list[Tape]()
        noises, populations = self._split(noise), reversed(self._populations(readout))
        for (_, cells), population, each in zip(self.hidden_layers, populations, noises, strict=True):
            tape = cells.run_cells(population, rates, each, space)
            tapes.append(tape.changed(afferent=Afferent(tape.links[0].connection)) if tapes else tape)
            rates = tape.rate[1:]
        return tapes[-1].changed(
            lower=tuple(tapes[-2::-1]),
            readout=Readout(
                (ConnectionInput(w_out, rates), ConnectionInput(b_out, rates.new_ones(1, 1, 1))), self.readout_leak
            ),
            outputs=filtered(rates @ readout.t(), self.readout_leak) + b_out.effective(),
        )

    def draw_noise(self, steps: Count, trials: Count) -> Tensor | None:
        """Draw private noise for a trial, ``(T, B, N)``; ``None`` if no population has any."""
        quick_counts(steps=steps, trials=trials)
        if not any(cells.noise for _, cells in self.hidden_layers):
            return None
        with drawing(self.noise_state) as generator:
            drawn = normal_by_steps(steps, trials, self.n_noise, generator, self.w_out.device)
        parts = zip(self.hidden_layers, self._split(drawn), strict=True)
        return torch.cat([cells.cell_noise(part) for (_, cells), part in parts if part is not None], dim=-1)

    @torch.no_grad()
    def project_(self) -> None:
        """Set missing synapses and weights of the wrong sign to zero."""
        for _, cells in self.hidden_layers:
            cells.project_cells_()
        if self.mask_out is not None:
            self.w_out.mul_(self.mask_out)

    def extra_repr(self) -> str:
        """Return the sizes in one line."""
        return f"{self.n_in}, {[cells.n_rec for _, cells in self.hidden_layers]}, {self.n_out}"

    def _populations(self, readout: Tensor) -> tuple[Population, ...]:
        onwards = [cells.into_cells(f"{name}.")[0] for name, cells in self.hidden_layers[1:]]
        onwards.append(self.readout_connections()[0])
        last, alone = len(self.layers) - 1, len(self.layers) == 1
        like = self.w_out.detach()
        return tuple(
            Population(
                name,
                (cells.n_rates,),
                self.n_out,
                like,
                readout if index == last else None,
                efferent,
                alone=alone,
                n_in=self.n_in,
                **cells.traits(),
            )
            for index, ((name, cells), efferent) in reversed(
                tuple(enumerate(zip(self.hidden_layers, onwards, strict=True)))
            )
        )

    @property
    def _channels(self) -> list[int]:
        return [cells.n_drives * cells.n_rec for _, cells in self.hidden_layers]

    def _split(self, noise: Tensor | None) -> Sequence[Tensor | None]:
        if noise is None:
            return [None] * len(self.layers)
        return torch.split(noise, self._channels, dim=-1)
