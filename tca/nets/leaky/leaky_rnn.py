"""The leaky recurrent network: one population with a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tca.cells.leaky_cell import LeakyCell
from tca.cells.time_constants import readout_filter
from tca.nets.accepted_options import check_options
from tca.nets.cell_rnn.cell_stepper import CellStepper
from tca.nets.leaky.leaky_population import LeakyLayer, LeakyPopulation
from tca.nets.leaky.leaky_stepper import LeakyStepper
from tca.nets.leaky.repeated_pass import RepeatedPass
from tca.nets.recurrent import RecurrentNetwork
from tca.nets.recurrent_layer import RecurrentWiring
from tca.nets.stepper import Stepper
from tca.tape.leaky_tape import LeakyTape
from tca.tape.tape import Tape
from tca.utils.checks import Count, Device, DType, Mask, Positive, Seed, Size, checked
from tca.utils.numerics import Workspace

__all__ = ["LeakyRNN"]


@checked
class LeakyRNN(LeakyPopulation, RecurrentNetwork):
    """A leaky recurrent network with activation f, in one of two forms, and a linear readout.

    Form A, leak on the potential: ``v_t = k v_{t-1} + (1 - k)(W z_{t-1} + U x_t + b)``, ``z_t = f(v_t)``.
    Form B, leak on the rate: ``z_t = k z_{t-1} + (1 - k) f(W z_{t-1} + U x_t + b)``.
    Readout: ``y_t = W_o zbar_t + b_o`` with ``zbar = z``, or ``zbar_t = k_o zbar_{t-1} + (1 - k_o) z_t`` if it is
    filtered.
    ``k = exp(-dt / tau)``, or ``1 - dt / tau`` with the Euler leak.

    Weights are drawn as ``W ~ N(0, g^2 / in-degree)``, ``U ~ N(0, 1 / I)``, ``W_o ~ N(0, 1 / N)``; biases and initial
    state are zero. Parameters: ``w_in`` (N, I), ``w_rec`` (N, N), ``b`` (N), ``w_out`` (O, N), ``b_out`` (O), and
    ``s_0`` (N) if the initial state is learned, and ``leak`` (N), k of each cell, if time constants are
    (``learn=("tau",)``; in [0, 0.9999] after every update); ``w_rec[i, j]`` is the synapse from j to i.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        cell: Constants of the cells, default `LeakyCell()`.
        wiring: Their recurrent synapses and those from the inputs, default `RecurrentWiring()`.
        dt: Duration of a step in ms, default 10.
        readout_tau: Time constant of the filtered readout in ms; ``None`` (default) for none.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        seed: Seed of the weights and of the private noise, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.
        options: Fields of the cell (tau, form, activation, leak, noise, learn; see `tca.cells.leaky_cell.LeakyCell`)
            and the wiring (mask_in, mask_rec, cell_types, dale, autapses, gain_rec, learn_initial; see
            `tca.nets.recurrent_layer.RecurrentWiring`), by name.

    Raises:
        ValueError: A size, time constant, mask, type, sign or name is not allowed.

    Papers: form A is the rate version of Bellec et al. (2020), Nature Communications 11:3625; form B that of Murray
    (2019), eLife 8:e43299.

    >>> net = LeakyRNN(3, 5, 2, seed=1)
    >>> net(torch.zeros(4, 1, 3)).shape
    torch.Size([4, 1, 2])
    """

    layer = LeakyLayer

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        cell: LeakyCell | None = None,
        wiring: RecurrentWiring | None = None,
        *,
        dt: Positive = 10.0,
        readout_tau: Positive | None = None,
        mask_out: Mask | None = None,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
        **options: Any,
    ) -> None:
        check_options(LeakyRNN, options, ("n_in", "n_rec", "n_out"))
        layer, generator = LeakyLayer(n_rec, cell, wiring, **options), torch.Generator().manual_seed(seed)
        super().__init__(n_in, layer, dt=dt, generator=generator)
        self._read_out(
            n_in,
            n_out,
            filter=None if readout_tau is None else readout_filter(readout_tau, dt, layer.cell.leak),
            scale=1 / math.sqrt(n_rec),
            mask=mask_out,
            generator=generator,
            noise_seed=seed + 1 if self.noise else None,
        )
        self._convert(device, dtype)

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of a pass, made again in a workspace where only the inputs are others than in the last."""
        if type(self) is not LeakyRNN or noise is not None:
            return super().record(inputs, noise, space)
        last = space.last
        if isinstance(last, RepeatedPass) and last.fits(self, inputs):
            return last(inputs)
        tape = super().record(inputs, noise, space)
        space.last = RepeatedPass.of(tape) if isinstance(tape, LeakyTape) and tape.call is not None else None
        return tape

    @checked
    def stepper(self, trials: Count) -> Stepper:
        return LeakyStepper(self, trials) if self.cell is None else CellStepper(self, trials)

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        return f"{self.n_in}, {self.n_rec}, {self.n_out}, form={self.form}, activation={self.activation}"
