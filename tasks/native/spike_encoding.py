"""Poisson spikes of groups of input cells at given rates.

Shapes: T time, B batch, G groups, C cells of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_rates", "poisson"]


def check_rates(dt: float, **rates: float) -> None:
    """Raise if a rate is above one spike a step.

    Args:
        dt: Time step in ms.
        rates: Rates in Hz by the name of the argument, each at most one spike a step.

    Raises:
        ValueError: A rate is above ``1000 / dt``.

    >>> check_rates(1.0, rate=40)
    """
    for name, rate in rates.items():
        if rate * dt > 1000:
            raise ValueError(f"{name} must be at most one spike a step, 1000 / dt = {1000 / dt:g} Hz, got {rate:g}")


def poisson(rates_TBG: Tensor, dt: float, per_group: int, generator: torch.Generator) -> Tensor:
    """Return spikes, zeros and ones, shape ``(T, B, G C)``, the cells of a group beside each other.

    A cell spikes in a step with the probability ``rate dt``, independently of all others: a Poisson process of at most
    one spike a step.

    Args:
        rates_TBG: Rate of the cells of each group in Hz, at most ``1000 / dt``.
        dt: Time step in ms.

    >>> rates = torch.tensor([[[0.0, 1000.0]], [[1000.0, 0.0]]])
    >>> poisson(rates, 1.0, 2, torch.Generator()).int().tolist()
    [[[0, 0, 1, 1]], [[1, 1, 0, 0]]]
    """
    chance_TBGC = torch.rand((*rates_TBG.shape, per_group), generator=generator, dtype=torch.float32, device="cpu")
    return (chance_TBGC < (rates_TBG * (dt / 1000)).unsqueeze(-1)).to(torch.float32).flatten(2)
