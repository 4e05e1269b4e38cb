"""Which activity is paired with which score: that of the same step, or that of earlier ones.

Shapes: T time, B batch, K channels of the score, D lags, C consecutive steps.

At the best predictor that sees the inputs up to now, a score is uncorrelated with all activity up to now, and with
nothing that comes later. Pairing earlier activity with a score gives credit across time. With ``m_t`` the activity that
is remembered at step t, ``sum_t m_t s_t^T = sum_t g(z_t) x_t^T``: exchange the sums, and ``x_t`` is a mixture of the
scores of step t and later. So a memory of activity in time is a longer score against time, and it is that which is kept
here; a cell would keep the memory.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from tca.signals.signal import WindowFunction
from tca.utils.checks import Filled, Whole, checked

__all__ = ["Filtered", "Lagged", "Reach", "SameStep"]


@dataclass(frozen=True)
class Reach(abc.ABC):
    """What of the scores of its own and later steps the activity of a step is paired with."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """``x_t`` in one line."""

    @abc.abstractmethod
    def channels(self, channels: int) -> int:
        """Return the number of channels of ``x``.

        Args:
            channels: Number of channels K of the score.
        """

    @abc.abstractmethod
    def over(self, score: Tensor) -> WindowFunction:
        """Return a function from a window of steps to ``x`` there, shape ``(C, B, channels)``; zero at time zero.

        Args:
            score: Scores from time zero, where they are zero, shape ``(T + 1, B, K)``; not changed.
        """


@dataclass(frozen=True)
class SameStep(Reach):
    """``x_t = s_t``: activity and score of the same step, blind to what a cell has done before."""

    @property
    def equation(self) -> str:
        """``x_t`` in one line."""
        return "x_t = s_t"

    def channels(self, channels: int) -> int:
        """Return the number that came."""
        return channels

    def over(self, score: Tensor) -> WindowFunction:
        """Return the score itself."""
        return lambda steps: score[steps]


@checked
@dataclass(frozen=True)
class Filtered(Reach):
    """``x_t = s_t + kappa x_{t+1}``: scores meet filtered activity, ``m_t = kappa m_{t-1} + g(z_t)``.

    In a synapse the same is a second trace, ``E_t = kappa E_{t-1} + g'(z_t) slope_t e_t``, met by the score of the
    moment. Several kappas have a correlation each, whose changes add up.

    Args:
        kappas: What the filters keep per step, each in [0, 1), default one of 0.7.

    Raises:
        ValueError: There are none, or one is out of range.
        TypeError: They are no list or tuple of numbers.
    """

    kappas: Annotated[Sequence[float], Filled] = (0.7,)

    def __post_init__(self) -> None:
        """Check the filters."""
        for kappa in self.kappas:
            if not 0 <= kappa < 1:
                raise ValueError(f"kappas must lie in [0, 1), got {kappa:g}")

    @property
    def equation(self) -> str:
        """``x_t`` in one line."""
        return f"x_t = s_t + kappa x_{{t+1}}, kappa = {', '.join(f'{each:g}' for each in self.kappas)}"

    def channels(self, channels: int) -> int:
        """Return as many for each filter."""
        return channels * len(self.kappas)

    def over(self, score: Tensor) -> WindowFunction:
        """Return the scores filtered backwards, side by side."""
        filtered = torch.stack([score] * len(self.kappas), 2)
        kept = score.new_tensor(self.kappas).unsqueeze(-1)
        entries = filtered.unbind(0)
        for t in range(len(entries) - 2, 0, -1):
            entries[t].addcmul_(entries[t + 1], kept)
        side_by_side = filtered.flatten(2)
        return lambda steps: side_by_side[steps]


@checked
@dataclass(frozen=True)
class Lagged(Reach):
    """``x_t = [s_t, s_{t+1}, ..., s_{t+D}]``: a correlation for each lag between activity and score.

    In trials whose only score comes at their end, a lag is a step of the unrolled network, with feedback of its own.

    Args:
        lags: The longest lag D, default 10, at least 0.

    Raises:
        ValueError: ``lags`` is negative.
        TypeError: ``lags`` is no integer.
    """

    lags: Whole = 10

    @property
    def equation(self) -> str:
        """``x_t`` in one line."""
        return f"x_t = [s_t, ..., s_{{t+{self.lags}}}]"

    def channels(self, channels: int) -> int:
        """Return as many for each lag."""
        return channels * (self.lags + 1)

    def over(self, score: Tensor) -> WindowFunction:
        """Return the scores of all lags side by side; only a window of them is ever written down."""
        padded = torch.cat([score, score.new_zeros(self.lags, *score.shape[1:])])
        lagged = padded.unfold(0, self.lags + 1, 1).movedim(-1, 2)  # (T + 1, B, D + 1, K), a view

        def read(steps: slice) -> Tensor:
            found = lagged[steps].flatten(2)
            if steps.start == 0:
                found[0] = 0
            return found

        return read
