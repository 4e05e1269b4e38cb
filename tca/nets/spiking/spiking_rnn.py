"""The spiking recurrent network: LIF and ALIF cells with a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

from typing import Any

import torch

from tca.cells.spiking_cell import SpikingCell
from tca.cells.time_constants import readout_filter
from tca.nets.accepted_options import check_options
from tca.nets.cell_rnn.cell_stepper import CellStepper
from tca.nets.options import check_mask
from tca.nets.recurrent import RecurrentNetwork
from tca.nets.spiking.spiking_population import SpikingLayer, SpikingPopulation, SpikingWiring
from tca.nets.spiking.spiking_stepper import SpikingStepper
from tca.nets.stepper import Stepper
from tca.utils.checks import Count, Device, DType, Mask, NotNegative, Positive, Seed, Size, checked

__all__ = ["SpikingRNN"]


@checked
class SpikingRNN(SpikingPopulation, RecurrentNetwork):
    """A network of leaky integrate-and-fire cells (LIF), with adaptive thresholds where ``beta > 0`` (ALIF).

    Potential: ``v_t = k v_{t-1} + (1 - k)(W z_{t-1} + U x_t + b) - thr z_{t-1}``.
    Adaptation: ``a_t = rho a_{t-1} + (1 - rho) z_{t-1}``.
    Spike: ``z_t = 1`` where ``v_t > thr + beta a_t`` and the cell is not refractory, else 0. After a spike a cell is
    refractory for some steps, in which its potential goes on.
    Readout: ``y_t = W_o zbar_t + b_o`` with ``zbar_t = k_o zbar_{t-1} + (1 - k_o) z_t``.
    ``k = exp(-dt / tau)``, ``rho = exp(-dt / tau_adaptation)``, or by Euler.

    Where a derivative of a spike is asked for, ``dz/dv = psi_t`` is a surrogate gradient, zero while refractory. What
    is called the true gradient, a Jacobian or a curvature of this network is that *through the surrogate gradient*; the
    loss itself is flat almost everywhere.

    The state of a cell is ``(v, a)``, and a state signal has the shape ``(..., B, 2, N)``. What a cell keeps to itself,
    the memory of e-prop, is its leak and the effect of its own spikes on its own adaptation; see
    `tca.cells.spiking_cell` for the equations.

    Weights are drawn from normal distributions with standard deviation ``gain / sqrt(in-degree)``. Parameters: ``w_in``
    (N, I), ``w_rec`` (N, N), ``b`` (N) if there are biases, ``w_out`` (O, N), ``b_out`` (O); ``w_rec[i, j]`` is the
    synapse from j to i. With learned constants, ``learn=("tau", "tau_adaptation", "beta")`` or some of them, ``leak``
    and ``adaptation_leak`` per step, in [0, 0.9999] after every update, and ``beta``, not negative, (N) each. A
    readout without bias is one whose ``b_out`` needs no gradient.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        cell: Constants of the cells, default `SpikingCell()`.
        wiring: Their recurrent synapses and those from the inputs, default `SpikingWiring()`.
        dt: Duration of a step in ms, default 1.
        readout_tau: Time constant of the filtered readout in ms, default 20; ``None`` for none.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        gain_out: Standard deviation of the readout weights times the square root of the in-degree, default 1.
        seed: Seed of the weights and of the private noise, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.
        options: Fields of the cell (tau, threshold, beta and so on; see `tca.cells.spiking_cell.SpikingCell`) and the
            wiring (mask_in, mask_rec, cell_types, dale, autapses, bias, gain_in, gain_rec; see
            `tca.nets.spiking.spiking_population.SpikingWiring`), by name.

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed.

    Papers: Bellec et al. (2018), NeurIPS, arXiv:1803.09574; Bellec et al. (2020), Nature Communications 11:3625; MDGL:
    Liu et al. (2021), PNAS 118:e2111821118.

    >>> net = SpikingRNN(3, 5, 2, seed=1)
    >>> net(torch.ones(10, 1, 3)).shape
    torch.Size([10, 1, 2])
    """

    layer = SpikingLayer

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        cell: SpikingCell | None = None,
        wiring: SpikingWiring | None = None,
        *,
        dt: Positive = 1.0,
        readout_tau: Positive | None = 20.0,
        mask_out: Mask | None = None,
        gain_out: NotNegative = 1.0,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
        **options: Any,
    ) -> None:
        check_options(SpikingRNN, options, ("n_in", "n_rec", "n_out"))
        layer, generator = SpikingLayer(n_rec, cell, wiring, **options), torch.Generator().manual_seed(seed)
        super().__init__(n_in, layer, dt=dt, generator=generator)
        mask = check_mask("mask_out", mask_out, (n_out, n_rec))
        in_degree = (
            torch.tensor([n_rec], dtype=torch.float64, device="cpu")
            if mask is None
            else mask.sum(1, keepdim=True).clamp(min=1)
        )
        self._read_out(
            n_in,
            n_out,
            filter=None if readout_tau is None else readout_filter(readout_tau, dt, layer.cell.leak),
            scale=gain_out / in_degree.sqrt(),
            mask=mask,
            generator=generator,
            noise_seed=seed + 1 if self.noise else None,
        )
        self._convert(device, dtype)

    @checked
    def stepper(self, trials: Count) -> Stepper:
        return SpikingStepper(self, trials) if self.cell is None else CellStepper(self, trials)

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        strength = self.beta if self.cell is None else self.bound_cell().beta  # type: ignore[attr-defined]
        adaptive = int((strength > torch.zeros_like(self.w_rec[0])).sum())
        return f"{self.n_in}, {self.n_rec} ({adaptive} of them adaptive), {self.n_out}, {self.surrogate_gradient}"
