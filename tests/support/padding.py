"""Trials of different lengths, and the same with further steps of no weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import tca
from tca.nets import DualStreamRNN, VectorRNN
from tests.support.cases import CASES
from tests.tca.signals.test_error_diffusion import rattled
from tests.tca.test_stacks import batch_of, scattered

F64 = torch.float64


def uneven(batch: tca.Batch, *lengths: int) -> tca.Batch:
    """The batch with as many steps in each trial, the second of them, as in a delay, without weight."""
    weights = batch.weights + 0.1
    weights[1] = 0
    weights *= torch.arange(batch.steps).unsqueeze(1) < torch.tensor(lengths)
    return replace(batch, weights=weights)


def appended(batch: tca.Batch, steps: int) -> tca.Batch:
    """The batch with further steps without weight, and other inputs and targets after the end of each trial."""
    generator = torch.Generator().manual_seed(23)
    shape = (batch.steps + steps, *batch.inputs.shape[1:])
    inputs = 3 * torch.randn(shape, dtype=batch.inputs.dtype, generator=generator)
    targets = torch.cat([batch.targets, batch.targets.flip(0), batch.targets])[: len(inputs)].roll(1, 1)
    inside = batch.inside
    inputs[: batch.steps][inside] = batch.inputs[inside]
    targets[: batch.steps][inside] = batch.targets[inside]

    def longer(part: Tensor) -> Tensor:
        return torch.cat([part, part.new_zeros(steps, batch.trials)])

    decisions = None if batch.decisions is None else longer(batch.decisions)
    return replace(batch, inputs=inputs, targets=targets, weights=longer(batch.weights), decisions=decisions)


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
