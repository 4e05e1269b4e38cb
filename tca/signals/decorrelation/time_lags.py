"""Pairing of scores with activity of the same or earlier steps.

Shapes: T time, B batch, K channels of the score, D lags, C consecutive steps.

At the best predictor of past inputs a score is uncorrelated with present and past activity, but not with later
activity. Pairing earlier activity with a score gives credit across time. With a memory ``m_t`` of activity at step t,
``sum_t m_t s_t^T = sum_t g(z_t) x_t^T``: exchanging the sums makes ``x_t`` a mixture of the scores of step t and later.
The library computes this mixture; a cell would hold the memory.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tca.signals.signal import WindowFunction
from tca.utils.checks import Filled, Whole, checked

__all__ = ["Filtered", "Lagged", "Reach", "SameStep"]


@dataclass(frozen=True)
class Reach(abc.ABC):
    """The scores of present and later steps paired with a step's activity."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of ``x_t``."""

    @abc.abstractmethod
    def channels(self, channels: int) -> int:
        """Return the number of channels of ``x``.

        Args:
            channels: Number of channels K of the score.
        """

    @abc.abstractmethod
    def over(self, score: Tensor) -> WindowFunction:
        """Return a function from windows to ``x``, shape ``(C, B, channels)``.

        ``x`` is zero at time zero.

        Args:
            score: Scores from time zero, where they are zero, shape ``(T + 1, B, K)``; not changed.
        """


@dataclass(frozen=True)
class SameStep(Reach):
    """``x_t = s_t``: activity and score of the same step, without memory."""

    equation: ClassVar[str] = "x_t = s_t"

    def channels(self, channels: int) -> int:
        return channels

    def over(self, score: Tensor) -> WindowFunction:
        return lambda steps: score[steps]


@checked
@dataclass(frozen=True)
class Filtered(Reach):
    """``x_t = s_t + kappa x_{t+1}``: scores meet filtered activity, ``m_t = kappa m_{t-1} + g(z_t)``.

    In a synapse this is a second trace, ``E_t = kappa E_{t-1} + g'(z_t) slope_t e_t``, multiplied by the present score.
    Several kappas have a correlation each, whose changes add up.

    Args:
        kappas: Decay factors of the filters per step, each in [0, 1), default one of 0.7.

    Raises:
        ValueError: There are none, or one is out of range.
        TypeError: They are not a list or tuple of numbers.
    """

    kappas: Annotated[Sequence[float], Filled] = (0.7,)

    def __post_init__(self) -> None:
        for kappa in self.kappas:
            if not 0 <= kappa < 1:
                raise ValueError(f"kappas must lie in [0, 1), got {kappa:g}")

    @property
    def equation(self) -> str:
        return f"x_t = s_t + kappa x_{{t+1}}, kappa = {', '.join(f'{each:g}' for each in self.kappas)}"

    def channels(self, channels: int) -> int:
        return channels * len(self.kappas)

    def over(self, score: Tensor) -> WindowFunction:
        """Return the scores filtered backwards, side by side."""
        filtered = torch.stack([score] * len(self.kappas), 2)
        kept = torch.stack([score.new_full((1,), each) for each in self.kappas])
        entries = filtered.unbind(0)
        for t in range(len(entries) - 2, 0, -1):
            entries[t].addcmul_(entries[t + 1], kept)
        side_by_side = filtered.flatten(2)
        return lambda steps: side_by_side[steps]


@checked
@dataclass(frozen=True)
class Lagged(Reach):
    """``x_t = [s_t, s_{t+1}, ..., s_{t+D}]``: a correlation for each lag between activity and score.

    In trials with a single score at their end, a lag is a step of the unrolled network with its own feedback weights.

    Args:
        lags: The longest lag D, default 10, at least 0.
    """

    lags: Whole = 10

    @property
    def equation(self) -> str:
        return f"x_t = [s_t, ..., s_{{t+{self.lags}}}]"

    def channels(self, channels: int) -> int:
        return channels * (self.lags + 1)

    def over(self, score: Tensor) -> WindowFunction:
        """Return the scores of all lags side by side, window by window."""
        padded = torch.cat([score, score.new_zeros(self.lags, *score.shape[1:])])
        lagged = padded.unfold(0, self.lags + 1, 1).movedim(-1, 2)  # (T + 1, B, D + 1, K), a view

        def read(steps: slice) -> Tensor:
            found = lagged[steps].flatten(2)
            if steps.start == 0:
                found[0] = 0
            return found

        return read
