"""Outputs and loss of one update.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.batch import Batch
from tca.losses import Loss

__all__ = ["Info", "bounded"]


@dataclass(frozen=True, eq=False)
class Info:
    """Batch, outputs and loss of one update.

    Attributes:
        batch: The batch.
        outputs: Outputs of the network before the update, shape ``(T, B, O)``.
    """

    batch: Batch
    outputs: Tensor

    @cached_property
    def loss(self) -> Tensor:
        """Loss on the batch before the update, a scalar without a graph."""
        return self.batch.loss.mean(self.outputs, self.batch.targets, self.batch.weights)

    @property
    def witness(self) -> Tensor:
        """A scalar that is not finite if the loss is not, in less time than the loss.

        With ``Loss.bounded_by_error`` it may be finite where a gradient of the readout is not.
        """
        if bounded(self.batch.loss):
            size: Tensor = torch.linalg.vector_norm(self.outputs)
            return size
        value = self.batch.loss.value(self.outputs, self.batch.targets)
        return torch.dot(self.batch.weights.flatten(), value.flatten())


def bounded(loss: Loss) -> bool:
    """Return whether a loss is finite where its outputs, and their errors, are.

    >>> from tca.losses import MSE, CrossEntropy
    >>> bounded(CrossEntropy()), bounded(MSE())
    (True, False)
    """
    stated = vars(type(loss))  # by the class itself, not inherited
    return "bounded_by_outputs" in stated or "bounded_by_error" in stated
