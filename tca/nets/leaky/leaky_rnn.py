"""The leaky recurrent network: one population with all-to-all or masked recurrent weights and a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tca.nets.leaky.leaky_population import LeakyPopulation
from tca.nets.leaky.leaky_stepper import LeakyStepper
from tca.nets.options import readout_filter
from tca.nets.recurrent import RecurrentNetwork
from tca.utils.checks import Device, DType, Mask, NotNegative, Positive, Seed, Size, checked, whole

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
    ``s_0`` (N) if the initial state is learned; ``w_rec[i, j]`` is the synapse from j to i.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        tau: Time constant of the cells in ms, default 100: a number, or one for each cell.
        dt: Duration of a step in ms, default 10.
        form: ``"A"`` (default) or ``"B"``.
        activation: ``"tanh"`` (default), ``"relu"``, ``"softplus"``, ``"rectified_tanh"`` or ``"linear"``.
        leak: ``"exponential"`` (default) or ``"euler"``, which needs ``dt <= tau``.
        noise: Standard deviation of private noise, default 0. White noise is added to the drive such that a potential
            without other input would fluctuate with this standard deviation.
        readout_tau: Time constant of the filtered readout in ms; ``None`` (default) for none.
        learn_initial: Whether the initial state is a parameter, default ``False``.
        autapses: Whether cells may have synapses onto themselves, default ``True``.
        mask_in: Which input synapses exist, (N, I); ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N); ``None`` (default) for all.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        types: Type of every cell, for the rules that know cells by their type: N whole numbers, or fractions that add
            up to one such as ``(0.8, 0.2)``, the first cells being of type 0; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses that the cells of each type make, such as ``(1, -1)``, 0 for both; ``None``
            (default) for both everywhere. ``project_`` sets weights of the wrong sign to zero. They are drawn such that
            what excites a cell and what inhibits it cancel in the mean.
        gain_rec: The factor g of the recurrent weights, default 1.
        seed: Seed of the weights and of the private noise, default 0.
        device: Where the network lives, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, time constant, mask, type, sign or name is not allowed.

    Papers: form A is the rate version of Bellec et al. (2020), Nature Communications 11:3625; form B that of Murray
        (2019),
    eLife 8:e43299.

    >>> net = LeakyRNN(3, 5, 2, seed=1)
    >>> net(torch.zeros(4, 1, 3)).shape
    torch.Size([4, 1, 2])
    """

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        *,
        tau: float | Sequence[float] | Tensor = 100.0,
        dt: Positive = 10.0,
        form: str = "A",
        activation: str = "tanh",
        leak: str = "exponential",
        noise: NotNegative = 0.0,
        readout_tau: Positive | None = None,
        learn_initial: bool = False,
        autapses: bool = True,
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        mask_out: Mask | None = None,
        types: Sequence[float] | Tensor | None = None,
        dale: Sequence[int] | None = None,
        gain_rec: NotNegative = 1.0,
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
            dt=dt,
            form=form,
            activation=activation,
            leak=leak,
            noise=noise,
            learn_initial=learn_initial,
            autapses=autapses,
            mask_in=mask_in,
            mask_rec=mask_rec,
            types=types,
            dale=dale,
            gain_rec=gain_rec,
        )
        self._read_out(
            n_in,
            n_out,
            filter=None if readout_tau is None else readout_filter(readout_tau, dt, leak),
            scale=1 / math.sqrt(n_rec),
            mask=mask_out,
            generator=generator,
            noise_seed=seed + 1 if noise else None,
        )
        self._convert(device, dtype)

    def stepper(self, trials: int) -> LeakyStepper:
        """Return the network online, one step of time after another, at its initial state.

        Args:
            trials: Number of trials B.
        """
        return LeakyStepper(self, trials)

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        return f"{self.n_in}, {self.n_rec}, {self.n_out}, form={self.form}, activation={self.activation}"
