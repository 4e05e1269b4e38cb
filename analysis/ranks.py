"""Ranks of weight changes and of gradients.

Shapes: I rows, J columns of a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tca.utils.checks import Kept, checked
from tca.utils.names import lookup

__all__ = ["Ranks", "ranks", "weight_changes"]


class Ranks(NamedTuple):
    """Ranks of one matrix with singular values ``s``; all zero for the zero matrix.

    Attributes:
        rank: Singular values above the tolerance.
        effective: ``exp(-sum_i p_i log p_i)`` with ``p_i = s_i / sum_j s_j`` (Roy and Vetterli 2007).
        stable: ``sum_i s_i^2 / s_1^2``, the squared Frobenius over the squared spectral norm.
        full: ``min(I, J)``, the largest that each can be.
    """

    rank: int
    effective: float
    stable: float
    full: int


@checked
def ranks(matrices: Mapping[str, Tensor], tolerance: Kept | None = None) -> dict[str, Ranks]:
    """Return rank, effective rank and stable rank of every matrix among some tensors.

    Meant for gradients, ``ranks(learner.grads(batch)[0])``, and for weight changes, ``ranks(weight_changes(before,
    after))``. Kernels of convolutions are matrices with one row for each output channel; vectors are left out.

    Args:
        matrices: Tensors by name.
        tolerance: Singular values that count towards the rank, relative to the largest; default ``max(I, J)`` times the
            round-off of their type. Weights in float32 are rounded after every update, which a larger one leaves out.

    Raises:
        ValueError: None of them is a matrix, or a number is not finite.

    Paper: Roy and Vetterli (2007), EUSIPCO, The effective rank: a measure of effective dimensionality.

    >>> found = ranks({"w": torch.diag(torch.tensor([2.0, 1.0, 1.0])), "b": torch.ones(3)})
    >>> found["w"].rank, round(found["w"].effective, 6), found["w"].stable  # exp of the entropy of 1/2, 1/4, 1/4
    (3, 2.828427, 1.5)
    """
    chosen = {name: each.detach().flatten(1) for name, each in matrices.items() if each.ndim > 1}
    if not chosen:
        raise ValueError(f"matrices must hold a tensor of two or more axes, got {sorted(matrices)}")
    return {name: _ranks(name, each, tolerance) for name, each in chosen.items()}


@checked
def weight_changes(before: nn.Module, after: nn.Module) -> dict[str, Tensor]:
    """Return the changes ``after - before`` of all parameters by name.

    Args:
        before: The network or module before training, such as a deep copy.
        after: The same after training.

    Raises:
        ValueError: Names or shapes of parameters differ.

    >>> before, after = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = after.load_state_dict({name: each + 0.5 for name, each in before.state_dict().items()})
    >>> round(weight_changes(before, after)["bias"].item(), 6)
    0.5
    """
    old, new = (dict(net.named_parameters()) for net in (before, after))
    changes = {}
    for name, each in new.items():
        start = lookup(old, name, "parameter")
        if start.shape != each.shape:
            raise ValueError(
                f"{name} must have one shape, got {tuple(start.shape)} before and {tuple(each.shape)} after"
            )
        changes[name] = each.detach() - start.detach().to(each)
    return changes


def _ranks(name: str, matrix: Tensor, tolerance: float | None) -> Ranks:
    if not matrix.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    full = min(matrix.shape)
    values = torch.linalg.svdvals(matrix.double())
    if not full or not values[0]:
        return Ranks(0, 0.0, 0.0, full)
    least = values[0] * (max(matrix.shape) * torch.finfo(matrix.dtype).eps if tolerance is None else tolerance)
    shares = values / values.sum()
    entropy = -torch.special.xlogy(shares, shares).sum()
    stable = values.square().sum() / values[0].square()
    return Ranks(int((values > least).sum()), float(entropy.exp()), float(stable), full)
