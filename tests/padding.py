"""Trials of different lengths, and the same with further steps of no weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import tca
from tca.nets import DualStreamRNN, VectorRNN
from tests.cases import CASES
from tests.test_error_diffusion import rattled
from tests.test_populations import batch_of, scattered

F64 = torch.float64


def uneven(batch: tca.Batch, *lengths: int) -> tca.Batch:
    """The batch with as many steps in each trial, the second of them, as in a delay, without weight."""
    weights = batch.weights + 0.1
    weights[1] = 0
    weights *= torch.arange(batch.steps).unsqueeze(1) < torch.tensor(lengths)
    return replace(batch, weights=weights)


def appended(batch: tca.Batch, steps: int) -> tca.Batch:
    """The batch with further steps that weigh nothing, full of inputs and targets."""
    generator = torch.Generator().manual_seed(23)
    drawn = 3 * torch.randn(steps, *batch.inputs.shape[1:], dtype=batch.inputs.dtype, generator=generator)
    targets = torch.cat([batch.targets.flip(0), batch.targets])[:steps].roll(1, 1)
    decisions = None if batch.decisions is None else _longer(batch.decisions, batch.decisions[:1].expand(steps, -1) & 0)
    return replace(
        batch,
        inputs=torch.cat([batch.inputs, drawn]),
        targets=torch.cat([batch.targets, targets]),
        weights=torch.cat([batch.weights, batch.weights.new_zeros(steps, batch.trials)]),
        decisions=decisions,
    )


def alone(batch: tca.Batch, trial: int) -> tca.Batch:
    """One trial by itself, without any padding."""
    steps = int(batch.trial_lengths[trial])
    one = batch.select([trial])  # type: ignore[arg-type]
    parts = {name: getattr(one, name)[:steps] for name in ("inputs", "targets", "weights")}
    return replace(one, **parts)


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


def _longer(one: Tensor, more: Tensor) -> Tensor:
    return torch.cat([one, more.bool()])
