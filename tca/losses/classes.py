"""Probabilities of classes and of the target's class, new tensors without a loss of digits where they are near 0 or 1.

Shapes: T time, B batch, O outputs, which are the logits of as many classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["lead", "others", "softmax", "take_from_target_"]


def softmax(outputs: Tensor) -> Tensor:
    """Return the softmax over the last axis, a new tensor; over a short one the kernel for a leading axis is faster.

    Args:
        outputs: Logits, shape ``(..., O)``.
    """
    if outputs.shape[-1] > 32:
        return torch.softmax(outputs, -1)
    return torch.softmax(outputs.movedim(-1, 0).contiguous(), 0).movedim(0, -1)


def take_from_target_(values: Tensor, targets: Tensor, amount: float) -> Tensor:
    """Subtract a number from the entry of each target's class, in place, and return the tensor.

    Args:
        values: One number a class, shape ``(T, B, O)``.
        targets: Class indices, shape ``(T, B)``.
        amount: What to subtract.
    """
    less = values.new_full((), -amount).expand(*targets.shape, 1)
    return values.scatter_add_(-1, targets.unsqueeze(-1), less)


def others(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the logits with minus infinity in the place of each target's.

    Args:
        outputs: Logits, shape ``(T, B, O)``.
        targets: Class indices, shape ``(T, B)``.
    """
    return outputs.scatter(-1, targets.unsqueeze(-1), -torch.inf)


def lead(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the log odds of each target's class, shape ``(T, B)``: its probability is the sigmoid of that.

    Args:
        outputs: Logits of at least two classes, shape ``(T, B, O)``.
        targets: Class indices, shape ``(T, B)``.

    >>> lead(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[1]])).item()
    2.0
    """
    own = outputs.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return own - others(outputs, targets).logsumexp(-1)
