"""How well a network does on trials: its outputs, its loss and its accuracy, without private noise.

Shapes: T time, B batch, I inputs, O outputs.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from tasks.trials import TrialSet
from tca.batch import Batch
from tca.nets import Network

__all__ = ["Measure", "evaluate", "outputs_of"]

TRIALS_AT_ONCE = 512  # which bounds the memory


class Measure(Protocol):
    """What says how good outputs are, such as a ``Task``."""

    def accuracy(self, outputs: Tensor, batch: Batch) -> float:
        """Return the accuracy of outputs of shape ``(T, B, O)`` on the batch, 1 at best."""
        ...


@torch.no_grad()
def outputs_of(net: Network, inputs: Tensor) -> Tensor:
    """Return the outputs of a network, some trials at a time, shape ``(T, B, O)``.

    Args:
        net: The network.
        inputs: What it sees, shape ``(T, B, I)``.
    """
    return torch.cat([net(part) for part in torch.split(inputs, TRIALS_AT_ONCE, 1)], 1)


def evaluate(net: Network, task: Measure, trials: TrialSet | Batch) -> tuple[float, float]:
    """Return loss and accuracy of a network, a loss that is not finite as NaN.

    Args:
        net: The network.
        task: The task, which says what accuracy is.
        trials: The trials.
    """
    batch = trials if isinstance(trials, Batch) else trials.batch()
    outputs = outputs_of(net, batch.inputs)
    loss = batch.loss.mean(outputs, batch.targets, batch.weights).item()
    return (loss if math.isfinite(loss) else math.nan), task.accuracy(outputs, batch)
