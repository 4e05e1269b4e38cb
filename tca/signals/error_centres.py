"""Centring of output errors: by the batch mean, a running mean or none.

Shapes: T time, O outputs.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.signals.signal import Buffers
from tca.utils.checks import checked, finite

__all__ = ["BatchCentre", "Centring", "NoCentre", "RunningCentre"]


@dataclass(frozen=True)
class Centring(abc.ABC):
    """The common part subtracted from the output errors of a step."""

    equation: ClassVar[str]

    @abc.abstractmethod
    def centre(self, mean: Tensor, counts: Tensor, buffers: Buffers) -> Tensor:
        """Return the value subtracted from each error, shape ``(T, 1, O)``.

        Args:
            mean: Mean of the errors over the weighted trials at each step, shape ``(T, 1, O)``.
            counts: Whether any trial is weighted at each step, shape ``(T,)``.
            buffers: The signal's state; ``before`` and ``mean`` are the running mean before and after the batch,
                shape ``(O,)``.
        """


@dataclass(frozen=True)
class BatchCentre(Centring):
    """``D = d - mean over the batch``, at every step."""

    equation = "D = d - mean over the batch"

    def centre(self, mean: Tensor, counts: Tensor, buffers: Buffers) -> Tensor:
        return mean


@dataclass(frozen=True)
class NoCentre(Centring):
    """``D = d``."""

    equation = "D = d"

    def centre(self, mean: Tensor, counts: Tensor, buffers: Buffers) -> Tensor:
        return torch.zeros_like(mean)


@checked
@dataclass(frozen=True)
class RunningCentre(Centring):
    """``D_t = d_t - m_t-1``, ``m_t = m_t-1 + rate (d_t - m_t-1)``: the online form of the mean over a batch.

    The mean before a step is subtracted at that step, so that no error is subtracted from itself and none is needed in
    advance; it is updated by the mean over trials at every weighted step and persists across batches.

    Args:
        rate: Update rate of the mean, default 0.01, in (0, 1].
    """

    equation = "D = d - m, m a running mean"
    rate: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < finite("rate of the running mean", self.rate) <= 1:
            raise ValueError(f"rate of the running mean must lie in (0, 1], got {self.rate}")

    def centre(self, mean: Tensor, counts: Tensor, buffers: Buffers) -> Tensor:
        return self.followed(mean, counts, buffers["before"])[:-1].unsqueeze(1)

    def followed(self, mean: Tensor, counts: Tensor, start: Tensor) -> Tensor:
        """Return the running mean before and after all steps, ``(T + 1, O)``.

        Args:
            mean: Mean of the errors at each step, shape ``(T, 1, O)``.
            counts: Whether any trial is weighted at each step, shape ``(T,)``.
            start: The running mean before the first step, shape ``(O,)``.
        """
        found = [start]
        for each, counted in zip(mean[:, 0], counts, strict=True):
            found.append(torch.where(counted, torch.lerp(found[-1], each, self.rate), found[-1]))
        return torch.stack(found)
