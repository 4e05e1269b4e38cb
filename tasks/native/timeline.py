"""The periods of a trial in order, with the same or with different lengths in different trials.

Shapes: T time, B batch, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Timeline", "background", "per_trial", "trial_weights"]


class Timeline:
    """Periods in order, aligned at the start of the trial, and padded to the end of the longest trial.

    Args:
        trials: Number of trials B.
        periods: Steps of each period, in their order: one number, or one for every trial, shape ``(B,)``.

    >>> timeline = Timeline(2, cue=1, delay=torch.tensor([1, 2]), go=1)
    >>> timeline.during("go").int().T.tolist()
    [[0, 0, 1, 0], [0, 0, 0, 1]]
    >>> timeline.inside.int().T.tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1]]
    """

    def __init__(self, trials: int, **periods: int | Tensor) -> None:
        """Compute the first and last step of each period."""
        self.trials = trials
        self.edges: dict[str, tuple[int | Tensor, int | Tensor]] = {}
        end: int | Tensor = 0
        for name, steps in periods.items():
            self.edges[name] = (end, end + steps)
            end = end + steps
        self.end = end
        self.steps = int(end.max()) if isinstance(end, Tensor) else end
        self._times_T1 = torch.arange(self.steps, device="cpu").unsqueeze(1)

    @property
    def inside(self) -> Tensor:
        """Steps before a trial's end, boolean, shape ``(T, B)``."""
        return (self._times_T1 < self.end).expand(self.steps, self.trials)

    def during(self, first: str, last: str | None = None) -> Tensor:
        """Return the steps from the start of one period to the end of another, boolean, shape ``(T, B)``.

        Args:
            last: The last period; the first one by default.
        """
        start, end = self.edges[first][0], self.edges[last or first][1]
        return ((self._times_T1 >= start) & (self._times_T1 < end)).expand(self.steps, self.trials)

    def info(self, dt: float, **columns: Tensor) -> dict[str, Tensor]:
        """Return columns of trial information: the durations of all periods in ms, and others.

        Args:
            dt: Time step in ms.
            columns: Further columns, shape ``(B,)``; they replace a duration of the same name.

        >>> Timeline(2, cue=1, delay=torch.tensor([1, 2])).info(10.0, cue=torch.tensor([0, 3]))
        {'cue': tensor([0, 3]), 'delay': tensor([10., 20.], dtype=torch.float64)}
        """
        durations = {
            name: torch.as_tensor(end - start, dtype=torch.int64, device="cpu")
            for name, (start, end) in self.edges.items()
        }
        return {name: dt * steps.double().expand(self.trials) for name, steps in durations.items()} | columns

    def end_(self, channels_TBC: Tensor) -> None:
        """Set channels to zero after the end of each trial, in place."""
        if isinstance(self.end, Tensor):
            channels_TBC.mul_(self.inside.unsqueeze(-1))

    def show(
        self, channels_TBC: Tensor, period: str, values_BC: Tensor, noise: float, generator: torch.Generator
    ) -> None:
        """Set channels to noisy values during a period, in place.

        Args:
            values_BC: Values in each trial, shape ``(B, C)``.
            noise: Standard deviation of the noise of a step.
        """
        start, end = self.edges[period]
        if isinstance(start, int) and isinstance(end, int):
            channels_TBC[start:end] = _noisy(end - start, values_BC, noise, generator)
        else:
            mask_TB1 = self.during(period).unsqueeze(-1)
            channels_TBC[:] = torch.where(mask_TB1, _noisy(self.steps, values_BC, noise, generator), channels_TBC)


def per_trial(values: tuple[float, ...], chosen: Tensor) -> Tensor:
    """Return the value of an option that each trial drew, in float64.

    Args:
        chosen: Their indices.
    """
    return torch.tensor(values, dtype=torch.float64, device="cpu")[chosen]


def background(shape: tuple[int, ...], noise: float, generator: torch.Generator) -> Tensor:
    """Return Gaussian noise, zeros without noise.

    Args:
        noise: Standard deviation.
    """
    if noise == 0:
        return torch.zeros(shape, dtype=torch.float32, device="cpu")
    return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu").mul_(noise)


def _noisy(steps: int, values_BC: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    return background((steps, *values_BC.shape), noise, generator).add_(values_BC)


def trial_weights(decisions_TB: Tensor, inside_TB: Tensor, elsewhere: float) -> Tensor:
    """Return weights that sum to 1 over each trial, from 1 at decision steps and ``elsewhere`` at others.

    Args:
        decisions_TB: Decision steps, boolean, shape ``(T, B)``.
        inside_TB: Steps before the trial's end, boolean, shape ``(T, B)``.
        elsewhere: Weight of other steps of the trial relative to decision steps.

    >>> decisions_TB, inside_TB = torch.tensor([[False], [True], [False]]), torch.tensor([[True], [True], [False]])
    >>> trial_weights(decisions_TB, inside_TB, elsewhere=1.0).T.tolist()
    [[0.5, 0.5, 0.0]]
    """
    weights_TB = decisions_TB.to(torch.float32)
    if elsewhere:
        weights_TB.masked_fill_(inside_TB & ~decisions_TB, elsewhere)
    return weights_TB.div_(weights_TB.sum(0))
