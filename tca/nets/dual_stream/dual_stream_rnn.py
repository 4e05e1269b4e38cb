"""The recurrent network of two streams: a leaky population whose weights are magnitudes with fixed signs.

Shapes: T time, B batch, I inputs, H cells of a stream, O outputs.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tca.cells.activations import Sigmoid
from tca.cells.leaky_cell import LeakyCell
from tca.connections.signed import SignedDense
from tca.nets.dual_stream.dual_stream_networks import WIRINGS, streams_of
from tca.nets.leaky.leaky_population import LeakyLayer, LeakyPopulation
from tca.nets.recurrent import RecurrentNetwork
from tca.utils.checks import Device, DType, NotNegative, Positive, Seed, Size, checked, not_negative, positive, whole
from tca.utils.names import lookup

__all__ = ["DualStreamRNN"]


@checked
class DualStreamRNN(LeakyPopulation, RecurrentNetwork):
    """A leaky recurrent network of two streams whose weights are nonnegative magnitudes, ``w_ij = sigma_ij m_ij``.

        z_t = k z_{t-1} + (1 - k)(sigma m h_{t-1} + sigma m_in [x_t; x_t] + b),   h_t = f(z_t)

    with ``f(z) = 1 / (1 + exp(-2 z / width))`` in form A; in form B the leak is on the rates. The outputs are
    ``y = m_p h_p - m_n h_n + b_o``, to be taken as logits. The network is monotone: with both signs all loops feed back
    positively, so that growing weights end in latching. ``project_`` therefore scales the summed weights from other
    cells to at most ``loop_gain_bound 2 width``, reducing the parts above the floor: as the slope is at most
    ``1 / (2 width)``, the gain of the loops stays below the bound.

    Magnitudes begin as ``U[0, 1)``, over H for recurrent synapses, times ``2 / sqrt(I)`` for inputs, over ``sqrt(H)``
    for outputs. No cell has a synapse onto itself. Cells of the + stream come first; parameters are called as in
    `LeakyRNN`.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells of a stream H.
        n_out: Number of outputs O.
        width: Width of the sigmoid, default 3.
        loop_gain_bound: Bound of the gain of the loops, default 0.9; ``None`` for none.
        wiring: Which signs a weight has: ``"streams"`` (default), of both its cells; ``"presynaptic"``, of its
            presynaptic cell, as Dale's principle has it cell by cell.
        floor: Least magnitude, default 1e-4, held by ``project_``.
        tau: Time constant in ms, default 45, a leak of 0.8 with steps of 10 ms.
        dt: Duration of a step in ms, default 10.
        form: ``"A"`` (default), leak on the potential, or ``"B"``, leak on the rate.
        leak: ``"exponential"`` (default) or ``"euler"``.
        noise: Standard deviation of private noise, default 0.
        seed: Seed of the magnitudes and of the noise, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, number or name is not allowed; or synapses at the floor alone exceed the bound.

    >>> net = DualStreamRNN(3, 5, 2)
    >>> net.w_rec.shape, net.w_in.shape, net(torch.zeros(4, 1, 3)).shape
    (torch.Size([10, 10]), torch.Size([10, 6]), torch.Size([4, 1, 2]))
    """

    synapses_out = staticmethod(partial(SignedDense, by_post=False))  # a bare partial is to become a method

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        *,
        width: float = 3.0,
        loop_gain_bound: float | None = 0.9,
        wiring: str = "streams",
        floor: NotNegative = 1e-4,
        tau: float = 45.0,
        dt: Positive = 10.0,
        form: str = "A",
        leak: str = "exponential",
        noise: NotNegative = 0.0,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        for name, size in (("n_in", n_in), ("n_rec", n_rec), ("n_out", n_out)):
            whole(name, size, 1)
        sigmoid = Sigmoid(positive("width", width))
        signs: dict[str, Any] = {"by_post": lookup(WIRINGS, wiring, "wiring")}
        generator = torch.Generator().manual_seed(seed)
        super().__init__(
            n_in,
            LeakyLayer(2 * n_rec, LeakyCell(tau, form, sigmoid, leak, noise), autapses=False),
            dt=dt,
            generator=generator,
            synapses=partial(SignedDense, **signs),
            synapses_in=partial(SignedDense, copied=True, **signs),
        )
        self.floor = not_negative("floor", floor)
        self.loop_gain_bound = None if loop_gain_bound is None else positive("loop_gain_bound", loop_gain_bound)
        self._check_bound(n_rec)
        self.n_in, self.n_out, self.readout_leak = n_in, n_out, 0.0

        def drawn(post: int, pre: int, scale: float) -> nn.Parameter:
            return nn.Parameter(torch.rand(post, pre, generator=generator, dtype=torch.float64, device="cpu") * scale)

        self.w_in = drawn(2 * n_rec, 2 * n_in, 2 / math.sqrt(n_in))
        self.w_rec = drawn(2 * n_rec, 2 * n_rec, 1 / n_rec)
        self.w_out = drawn(n_out, 2 * n_rec, 1 / math.sqrt(n_rec))
        self.b_out = nn.Parameter(torch.zeros(n_out, dtype=torch.float64, device="cpu"))
        self.register_buffer("mask_out", None)
        self.register_buffer("stream_of_cell", streams_of(2 * n_rec))
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state() if noise else None)
        self._convert(device, dtype)
        self.project_()

    def _check_bound(self, n_rec: int) -> None:
        """Raise if the floor keeps the gain of the loops above its bound."""
        if self.loop_gain_bound is None:
            return
        assert isinstance(self.activation, Sigmoid)
        least, most = self.floor * (2 * n_rec - 1), self.loop_gain_bound * 2 * self.activation.width
        if least > most:
            raise ValueError(
                "loop_gain_bound must be at least floor (2 n_rec - 1) / (2 width) = "
                f"{least / (2 * self.activation.width):.3g}, "
                f"since a cell has {2 * n_rec - 1} synapses of at least floor = {self.floor:g} each from other cells "
                f"and may have loop_gain_bound 2 width = {most:.3g}, got loop_gain_bound = {self.loop_gain_bound:g}: "
                "raise loop_gain_bound or width, lower floor or n_rec, or give loop_gain_bound=None for no bound"
            )

    @property
    def streams(self) -> Tensor:
        return self.get_buffer("stream_of_cell")

    @torch.no_grad()
    def project_(self) -> None:
        """Raise magnitudes to the floor, remove synapses of a cell onto itself, and bound the gain of the loops."""
        for weight in (self.w_in, self.w_rec, self.w_out):
            weight.clamp_(min=self.floor)
        if self.mask_rec is not None:
            self.w_rec.mul_(self.mask_rec)
        if self.loop_gain_bound is not None:
            assert isinstance(self.activation, Sigmoid)
            most = self.loop_gain_bound * 2 * self.activation.width
            least = self.floor * (self.w_rec > 0).to(self.w_rec)
            upper = self.w_rec - least
            room = (most - least.sum(1, keepdim=True)).clamp(min=0.0)
            self.w_rec.sub_(upper * (1 - (room / upper.sum(1, keepdim=True).clamp(min=1e-30)).clamp(max=1.0)))

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        return f"{self.n_in}, 2 x {self.n_rec // 2}, {self.n_out}, form={self.form}, activation={self.activation}"
