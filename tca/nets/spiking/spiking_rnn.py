"""The spiking recurrent network: leaky integrate-and-fire cells, some of which adapt, and a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tca.cells.surrogate_gradients import PseudoDerivative
from tca.nets.options import check_mask, readout_filter
from tca.nets.recurrent import RecurrentNetwork
from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.nets.spiking.spiking_stepper import SpikingStepper
from tca.utils.checks import (
    Device,
    DType,
    Fraction,
    Mask,
    NotNegative,
    Positive,
    Seed,
    Size,
    checked,
    not_negative,
    whole,
)

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

    Where a derivative of a spike is asked for, ``dz/dv = psi_t`` is a pseudo-derivative, zero while refractory. What is
    called the true gradient, a Jacobian or a curvature of this network is that *through the pseudo-derivative*; the
    loss itself is flat almost everywhere.

    The state of a cell is ``(v, a)``, and a state signal has the shape ``(..., B, 2, N)``. What a cell keeps to itself,
    the memory of e-prop, is its leak and the effect of its own spikes on its own adaptation; see
    `tca.cells.spiking_cell` for the equations.

    Weights are drawn from normal distributions with standard deviation ``gain / sqrt(in-degree)``. Parameters: ``w_in``
    (N, I), ``w_rec`` (N, N), ``b`` (N) if there are biases, ``w_out`` (O, N), ``b_out`` (O); ``w_rec[i, j]`` is the
    synapse from j to i. A readout without bias is one whose ``b_out`` needs no gradient.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        tau: Time constant of the potential in ms, default 20: a number, or one for each cell.
        tau_adaptation: Time constant of the adaptation in ms, default 2000: a number, or one for each cell.
        dt: Duration of a step in ms, default 1.
        threshold: The threshold at rest, thr, default 0.03, positive.
        beta: How much adaptation raises the threshold, default 1.8, not negative: a number, or one for each cell, zero
            for a cell that does not adapt.
        adaptive: Fraction of the cells that adapt, the last of them, default 0.5; not read where ``beta`` is given for
            each cell.
        refractory: How long a cell is silent after a spike in ms, default 5, rounded up to whole steps.
        pseudo: Pseudo-derivative: a name, or one of `tca.cells.surrogate_gradients` with its height and width, default
            ``"triangular"``, ``(0.3 / thr) max(0, 1 - |v - A| / thr)``.
        leak: ``"exponential"`` (default) or ``"euler"``, which needs ``dt <= tau``.
        scaled_drive: Whether the drive enters with the factor ``1 - k``, default ``True``. Without it weights must be
            smaller by that factor to do the same.
        scaled_adaptation: Whether a spike enters the adaptation with the factor ``1 - rho``, default ``True``. Without
            it beta must be smaller by that factor to do the same.
        reset_in_trace: Whether the reset is a part of what a cell keeps to itself, as in MDGL, or cut where recurrent
            transmission is cut (default), as in e-prop. It changes no output and no true gradient.
        noise: Standard deviation of private noise, default 0. White noise is added to the drive such that a potential
            without other input and without spikes would fluctuate with this standard deviation.
        readout_tau: Time constant of the filtered readout in ms, default 20; ``None`` for none.
        learn_initial: Refused: cells begin at rest.
        bias: Whether cells have biases, default ``False``.
        autapses: Whether cells may have synapses onto themselves, default ``False``.
        mask_in: Which input synapses exist, (N, I); ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N); ``None`` (default) for all.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        types: Type of every cell, for the rules that know cells by their type: N whole numbers, or fractions that add
            up to one such as ``(0.8, 0.2)``, the first cells being of type 0; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses that the cells of each type make, such as ``(1, -1)``, 0 for both; ``None``
            (default) for both everywhere. ``project_`` sets weights of the wrong sign to zero.
        gain_in: Standard deviation of the input weights times the square root of the in-degree, default 1.
        gain_rec: That of the recurrent weights, default 1.
        gain_out: That of the readout weights, default 1.
        seed: Seed of the weights and of the private noise, default 0.
        device: Where the network lives, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed.

    Papers: Bellec et al. (2018), NeurIPS, arXiv:1803.09574; Bellec et al. (2020), Nature Communications 11:3625; MDGL:
    Liu et al. (2021), PNAS 118:e2111821118.

    >>> net = SpikingRNN(3, 5, 2, seed=1)
    >>> net(torch.ones(10, 1, 3)).shape
    torch.Size([10, 1, 2])
    """

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        *,
        tau: float | Sequence[float] | Tensor = 20.0,
        tau_adaptation: float | Sequence[float] | Tensor = 2000.0,
        dt: Positive = 1.0,
        threshold: Positive = 0.03,
        beta: float | Sequence[float] | Tensor = 1.8,
        adaptive: Fraction = 0.5,
        refractory: NotNegative = 5.0,
        pseudo: str | PseudoDerivative = "triangular",
        leak: str = "exponential",
        scaled_drive: bool = True,
        scaled_adaptation: bool = True,
        reset_in_trace: bool = False,
        noise: NotNegative = 0.0,
        readout_tau: Positive | None = 20.0,
        learn_initial: bool = False,
        bias: bool = False,
        autapses: bool = False,
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        mask_out: Mask | None = None,
        types: Sequence[float] | Tensor | None = None,
        dale: Sequence[int] | None = None,
        gain_in: NotNegative = 1.0,
        gain_rec: NotNegative = 1.0,
        gain_out: NotNegative = 1.0,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        """Draw the weights; see the class."""
        whole("n_in", n_in, 1), whole("n_rec", n_rec, 1), whole("n_out", n_out, 1)
        generator = torch.Generator().manual_seed(seed)
        super().__init__(
            n_in,
            n_rec,
            generator=generator,
            tau=tau,
            tau_adaptation=tau_adaptation,
            dt=dt,
            threshold=threshold,
            beta=beta,
            adaptive=adaptive,
            refractory=refractory,
            pseudo=pseudo,
            leak=leak,
            scaled_drive=scaled_drive,
            scaled_adaptation=scaled_adaptation,
            reset_in_trace=reset_in_trace,
            noise=noise,
            learn_initial=learn_initial,
            bias=bias,
            autapses=autapses,
            mask_in=mask_in,
            mask_rec=mask_rec,
            types=types,
            dale=dale,
            gain_in=gain_in,
            gain_rec=gain_rec,
        )
        mask = check_mask("mask_out", mask_out, (n_out, n_rec))
        in_degree = (
            torch.tensor([n_rec], dtype=torch.float64, device="cpu")
            if mask is None
            else mask.sum(1, keepdim=True).clamp(min=1)
        )
        self._read_out(
            n_in,
            n_out,
            filter=None if readout_tau is None else readout_filter(readout_tau, dt, leak),
            scale=not_negative("gain_out", gain_out) / in_degree.sqrt(),
            mask=mask,
            generator=generator,
            noise_seed=seed + 1 if noise else None,
        )
        self._convert(device, dtype)

    def stepper(self, trials: int) -> SpikingStepper:
        """Return the network online, one step of time after another, at its initial state.

        Args:
            trials: Number of trials B.
        """
        return SpikingStepper(self, trials)

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        adaptive = int((self.beta > 0).sum())
        return f"{self.n_in}, {self.n_rec} ({adaptive} of them adaptive), {self.n_out}, pseudo={self.pseudo}"
