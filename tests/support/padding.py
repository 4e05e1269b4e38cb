"""Trials of different lengths, and the same with further steps of no weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

import tca
from tca.conformance.properties import alone, appended, uneven
from tca.nets import DualStreamRNN, VectorRNN
from tests.support.cases import CASES
from tests.support.small_networks import scattered
from tests.tca.signals.test_error_diffusion import rattled
from tests.tca.test_stacks import batch_of

__all__ = ["F64", "alone", "appended", "problem", "uneven"]

F64 = torch.float64


def problem(name: str, **options: Any) -> tuple[Any, tca.Batch]:
    """A network that a rule works in, and trials of four lengths for it, one of them without any weight."""
    if tca.RULES[name].signal.__class__.__name__ == "GlobalVector":
        net: Any = scattered(VectorRNN(3, 6, 4, dtype=F64))
        batch = batch_of(net, 14)
    elif tca.RULES[name].signal.__class__.__name__ == "ErrorDiffusion":
        net = rattled(DualStreamRNN(6, 5, 3, dtype=F64))
        batch = batch_of(net, 14)
    else:
        filtered = 0.0 if name == "miconi" else CASES[1].readout_leak
        case = replace(CASES[1], form=tca.RULES[name].form or "A", steps=14, trials=4, readout_leak=filtered)
        net, batch = case.net(**options), case.batch()
    return net, uneven(batch, 14, 9, 0, 4)
