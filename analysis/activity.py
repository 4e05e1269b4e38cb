"""Activity given as an array: what all measures of it start from.

Shapes: T time, B batch, I inputs, N units, M samples.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from tca.arrays import tensor_of
from tca.batch import Batch
from tca.nets import Network

__all__ = ["Activity", "centred", "rates"]

Activity = Tensor | NDArray[Any]
"""Activity of N units at M samples, shape ``(M, N)``, or over time and trials, shape ``(T, B, N)``."""


def centred(name: str, activity: Activity) -> Tensor:
    """Return activity with the mean of every unit taken away, float64, shape ``(M, N)``.

    Args:
        name: What to call it in an error.
        activity: Activity, shape ``(M, N)`` or ``(T, B, N)``.

    Raises:
        ValueError: The shape is wrong, there are fewer than two samples, a value is not finite, or nothing varies.

    >>> centred("activity", torch.tensor([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    values = tensor_of(activity).detach().to(torch.float64)
    if values.ndim not in (2, 3) or not values.numel():
        raise ValueError(f"{name} must have shape (samples, units) or (time, trials, units), got {tuple(values.shape)}")
    values = values.reshape(-1, values.shape[-1])
    if len(values) < 2:
        raise ValueError(f"{name} must have at least two samples, got {len(values)}")
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    moved = values - values.mean(0)
    if moved.norm() <= 1e-12 * values.norm():
        raise ValueError(f"{name} must vary from sample to sample, got the same values in all")
    return moved


def rates(net: Network, inputs: Tensor | Batch) -> Tensor:
    """Return the rates of a network's last hidden population without private noise, float64, shape ``(T, B, N)``.

    Args:
        net: The network.
        inputs: Inputs, shape ``(T, B, I)``, or the trials that hold them.

    Raises:
        ValueError: The inputs do not fit the network.

    >>> from tca.nets import LeakyRNN
    >>> rates(LeakyRNN(2, 5, 1), torch.zeros(4, 3, 2)).shape
    torch.Size([4, 3, 5])
    """
    given = inputs.inputs if isinstance(inputs, Batch) else inputs
    own = next(net.parameters())
    return net.run(given.to(own)).rate[1:].to(torch.float64)
