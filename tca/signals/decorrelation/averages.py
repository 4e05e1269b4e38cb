"""Decay and initial values of running correlations.

Shapes: N cells, K channels of the score.

With the decay factor ``lam`` per update, two numbers decide whether the average is slow enough: ``c =
updates (1 - lam)``, its renewal over a training, and ``rho = (1 - lam) / rate``, its speed relative to a readout with
this learning rate.
"""

from __future__ import annotations

import abc
import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.utils.checks import Count, Positive, checked, finite

__all__ = [
    "Average",
    "CollapseWarning",
    "CorrelationStart",
    "Decay",
    "NormalStart",
    "Share",
    "TimeConstant",
    "UniformStart",
    "warn_if_fast",
]

MOST_SHARE, MOST_SPEED = 4.0, 5.0  # of c and of rho: above, activity may vanish


class CollapseWarning(UserWarning):
    """The correlation is averaged so fast that activity may vanish."""


@checked
def warn_if_fast(lam: float, updates: Count | None = None, rate: float | None = None) -> None:
    """Warn of averages so fast that activity may vanish.

    That is ``c > 4`` or ``rho > 5``.

    Args:
        updates: Number of updates of the training; ``None`` skips the check of c.
        rate: Learning rate of the readout; ``None`` skips the check of rho.

    >>> warn_if_fast(0.9999, updates=3000, rate=1e-3)
    """
    share = 0.0 if updates is None else updates * (1 - lam)
    speed = 0.0 if rate is None else (1 - lam) / rate
    if share > MOST_SHARE:
        warnings.warn(
            f"updates * (1 - lam) = {share:.3g} is above {MOST_SHARE:g}: activity may vanish; choose lam nearer to 1",
            CollapseWarning,
            stacklevel=3,
        )
    if speed > MOST_SPEED:
        warnings.warn(
            f"(1 - lam) / rate = {speed:.3g} is above {MOST_SPEED:g}: activity may vanish; "
            "choose lam nearer to 1 or a faster readout",
            CollapseWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class Average(abc.ABC):
    """A running average ``R <- lam R + (1 - lam) x``."""

    @property
    @abc.abstractmethod
    def lam(self) -> float:
        """Decay factor per update, in [0, 1]."""


@checked
@dataclass(frozen=True)
class Decay(Average):
    """A decay factor; with 1, a fixed correlation, the rule is direct feedback alignment.

    Args:
        kept: Decay factor lam per update, default 0.9999, in [0, 1].
    """

    kept: float = 0.9999

    def __post_init__(self) -> None:
        if not 0 <= finite("kept", self.kept) <= 1:
            raise ValueError(f"kept must lie in [0, 1], got {self.kept}")

    @property
    def lam(self) -> float:
        return float(self.kept)


@checked
@dataclass(frozen=True)
class TimeConstant(Average):
    """A time constant in updates, ``lam = exp(-1 / updates)``.

    Args:
        updates: The time constant in updates, positive.
    """

    updates: Positive

    @property
    def lam(self) -> float:
        return math.exp(-1 / self.updates)


@checked
@dataclass(frozen=True)
class Share(Average):
    """A renewed fraction c per training, ``lam = 1 - c / updates``.

    Sensible are 0.05 to 0.4; near 0 the rule is direct feedback alignment.

    Args:
        updates: Number of updates of the training.
        c: The fraction, default 0.3, positive, at most ``updates``.

    Warns:
        CollapseWarning: ``c`` is above 4.

    >>> Share(3000).lam
    0.9999
    """

    updates: Count
    c: Positive = 0.3

    def __post_init__(self) -> None:
        if self.c > self.updates:
            raise ValueError(f"c must be at most updates = {self.updates}, got {self.c:g}")
        warn_if_fast(self.lam, self.updates)

    @property
    def lam(self) -> float:
        return 1 - self.c / self.updates


@dataclass(frozen=True)
class CorrelationStart(abc.ABC):
    """Random initial values of a correlation, without which it does not learn."""

    @abc.abstractmethod
    def draw(self, cells: int, channels: int, generator: torch.Generator) -> Tensor:
        """Return the correlation (N, K), in float64 on the CPU."""


@checked
@dataclass(frozen=True)
class NormalStart(CorrelationStart):
    """Independent normal numbers.

    Args:
        scale: Standard deviation, default 1e-2, positive. At 1e-4 and below networks did not learn.
    """

    scale: Positive = 1e-2

    def draw(self, cells: int, channels: int, generator: torch.Generator) -> Tensor:
        return torch.randn(cells, channels, generator=generator, dtype=torch.float64, device="cpu") * self.scale


@checked
@dataclass(frozen=True)
class UniformStart(CorrelationStart):
    """Independent uniform numbers within ``+-gain sqrt(6 / (N + K))``.

    Args:
        gain: The gain, default 1e-2, positive.

    Paper: Glorot and Bengio (2010), AISTATS.
    """

    gain: Positive = 1e-2

    def draw(self, cells: int, channels: int, generator: torch.Generator) -> Tensor:
        """Return the numbers."""
        drawn = torch.rand(cells, channels, generator=generator, dtype=torch.float64, device="cpu")
        return (2 * drawn - 1) * self.gain * math.sqrt(6 / (cells + channels))
