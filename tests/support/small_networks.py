"""Networks of six cells with every weight away from zero, and three trials of unequal lengths."""

from __future__ import annotations

from typing import Any

import torch

import tca
from tca import cells, nets

F64 = torch.float64
NETS: dict[str, Any] = {
    "form A": lambda: nets.LeakyRNN(3, 6, 2, form="A", dtype=F64, learn_initial=True),
    "form B": lambda: nets.LeakyRNN(3, 6, 2, form="B", dtype=F64),
    "learned leak": lambda: nets.LeakyRNN(3, 6, 2, learn=("tau",), dtype=F64),
    "spiking": lambda: nets.SpikingRNN(3, 6, 2, beta=1.8, adaptive=0.5, dtype=F64, readout_tau=None),
    "GRU": lambda: nets.CellRNN(cells.GRU(), 3, 6, 2, dtype=F64, learn_initial=True),
    "LSTM": lambda: nets.CellRNN(cells.LSTM(), 3, 6, 2, dtype=F64, learn_initial=True),
}


def scattered(net: Any, seed: int = 7) -> Any:
    """Return the network with noise added to every parameter, so that none is zero."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in net.parameters():
            each += 0.3 * torch.randn(each.shape, dtype=F64, generator=source)
    net.project_()
    return net


def trials(steps: int = 9) -> tca.Batch:
    """Return three trials, the second of which ends two steps early."""
    source = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(steps, 3, each, dtype=F64, generator=source) for each in (3, 2))
    weights = torch.rand(steps, 3, dtype=F64, generator=source)
    weights[steps - 2 :, 1] = 0.0
    return tca.Batch(inputs, targets, weights, tca.losses.MSE())
