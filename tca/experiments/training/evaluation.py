"""Outputs, loss and accuracy of a network on trials, without private noise.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from tasks.trials import FixedTrials, TrialSet
from tca.batch import Batch
from tca.nets import Network
from tca.utils.cuda_graphs import Replays

__all__ = ["TRIALS_AT_ONCE", "Measure", "evaluate", "outputs_of"]

TRIALS_AT_ONCE = 512  # a bound on memory


@runtime_checkable
class Measure(Protocol):
    """A measure of outputs, such as a ``Task``."""

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the accuracy of outputs of shape ``(T, B, O)`` on the batch, 1 at best."""
        ...


@torch.no_grad()
def outputs_of(net: Network, inputs: Tensor) -> Tensor:
    """Return the outputs of a network, some trials at a time, shape ``(T, B, O)``.

    Args:
        inputs: Inputs, shape ``(T, B, I)``.
    """
    return torch.cat([net(part) for part in torch.split(inputs, TRIALS_AT_ONCE, 1)], 1)


@torch.no_grad()
def evaluate(
    net: nn.Module, task: Measure, trials: FixedTrials | Batch, replays: Replays | None = None
) -> tuple[float, float]:
    """Return loss and accuracy of a network, NaN for a loss that is not finite.

    Trials pass in pieces, so that sets that make their trials on demand, as those of images, are never held as a whole.
    Outputs and targets are measured together, so that the result does not depend on the pieces but for rounding.

    Args:
        task: Task with the accuracy; its batch holds the first channel of the inputs only.
        replays: Passes of the network on a CUDA device that were made before; ``None`` (default) for none.
    """
    fixed = TrialSet(trials) if isinstance(trials, Batch) else trials
    outputs, asked = [], []
    run = net if replays is None else partial(replays, net, reads=[*net.parameters(), *net.buffers()])
    for piece in fixed.pieces(TRIALS_AT_ONCE):
        outputs.append(run(piece.inputs))
        asked.append(dataclasses.replace(piece, inputs=piece.inputs[..., :1].clone()))
    batch, answers = Batch.joined(asked), torch.cat(outputs, 1)
    loss = batch.loss.mean(answers, batch.targets, batch.weights).item()
    return (loss if math.isfinite(loss) else math.nan), task.accuracy(answers, batch)
