"""Gates of vector cells: one gate for all components.

Shapes: M any number of leading steps and trials; K components, C maps or cells, P positions of a map, I = C P cells,
N = K I.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tca.tape.tape import Tape
from tca.tape.vector_tape import VectorTape
from tca.tape.weight_estimates import Recurrence

__all__ = ["Gates", "gated_tape"]


class Gates(nn.Module):
    """``h_i = G_i a_i`` with ``G_i = 1[t_i . a_i >= 0]``: a cell passes its whole vector or zero.

    The gating vectors t are random signs and never learn. They come in pairs: that of an odd cell or map is minus that
    of the even one before it. The gate is a constant to every derivative.

    Args:
        components: Number of components K.
        channels: Number of maps C, or of cells, even.
        positions: Number of positions P of a map, default 1.
        generator: Source of the signs.
        by_position: Whether every position has a gating vector of its own, default ``False``.

    Paper: Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089.
    """

    vectors: Tensor

    def __init__(
        self,
        components: int,
        channels: int,
        positions: int = 1,
        *,
        generator: torch.Generator,
        by_position: bool = False,
    ) -> None:
        super().__init__()
        self.shape = (components, channels, positions)
        drawn = torch.randint(
            2, (components, channels // 2, positions if by_position else 1), generator=generator, device="cpu"
        )
        signs = 2.0 * drawn.double() - 1
        self.register_buffer("vectors", torch.stack([signs, -signs], 2).flatten(1, 2))

    def open(self, drive: Tensor) -> Tensor:
        """Return one where a cell passes its vector and zero elsewhere, shape ``(..., I)``, without a graph.

        Args:
            drive: Drives of the cells, shape ``(..., N)``.
        """
        apart = drive.detach().reshape(*drive.shape[:-1], *self.shape)
        along = apart[..., 0, :, :] * self.vectors[0]
        for component, signs in zip(apart.unbind(-3)[1:], self.vectors[1:], strict=True):  # without K-fold memory
            along.addcmul_(component, signs)
        return along.ge_(0).flatten(-2)

    def forward(self, drive: Tensor) -> Tensor:
        """Return the gated vectors, shape ``(..., N)``, differentiable but for the gates.

        Args:
            drive: The vectors of all cells, shape ``(..., N)``.
        """
        apart = drive.reshape(*drive.shape[:-1], self.shape[0], -1)
        return (apart * self.open(drive).unsqueeze(-2)).flatten(-2)


def gated_tape(gates: Gates, driven: Tensor, rate: Tensor, **rest: Any) -> Tape:
    """Write the rates of vector cells without memory and return their tape.

    Args:
        driven: Drives, shape ``(T, B, N)``.
        rate: Memory for the rates, shape ``(T + 1, B, N)``, zero at time zero.
    """
    components = gates.shape[0]
    opened = gates.open(driven)
    apart = (*driven.shape[:-1], components, driven.shape[-1] // components)
    torch.mul(driven.view(apart), opened.unsqueeze(-2), out=rate[1:].view(apart))
    recurrence = Recurrence.none(rate)
    return VectorTape(
        rate=rate,
        gates=torch.cat([torch.zeros_like(opened[:1]), opened]),
        components=components,
        shared=recurrence.weights,
        leak=0.0,
        gain=1.0,
        recurrence=recurrence,
        **rest,
    )
