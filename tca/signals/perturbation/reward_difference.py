"""Scalar reward signals: the change of the reward under a perturbation.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.perturbation.trial_reward import MinusLoss, Reward
from tca.signals.signal import Buffers, Signal, WindowFunction
from tca.tape.tape import Tape
from tca.utils.checks import checked

__all__ = ["RewardDifference", "RewardSignal"]


@dataclass(frozen=True)
class RewardSignal(Signal, abc.ABC):
    """``L_T = m / B`` for all cells, zero elsewhere: a scalar m at a trial's last step T."""

    local: ClassVar[bool] = True
    needs_reward: ClassVar[bool] = True
    horizon: ClassVar[int] = 0

    @abc.abstractmethod
    def worth(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the scalar m of every trial, shape ``(B,)``.

        Args:
            tape: The forward pass with its perturbed pass.
        """

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to m at the ends of trials, zero elsewhere."""
        worth = (self.worth(tape, buffers) / tape.rate.shape[1]).unsqueeze(-1)

        def read(steps: slice) -> Tensor:
            signal = torch.zeros_like(tape.rate[steps])
            if tape.lengths is not None:
                at = torch.arange(steps.start, steps.stop, device=signal.device).unsqueeze(1)
                signal += torch.where((at == tape.lengths).unsqueeze(-1), worth, 0.0)
            elif steps.stop == tape.steps + 1:
                signal[-1] += worth
            return signal

        return read


@checked
@dataclass(frozen=True)
class RewardDifference(RewardSignal):
    """``m = -(R(perturbed) - R(against)) / distance``: the negative slope of the reward along the perturbation.

    The readout learns from its output error.

    Args:
        reward: Reward of a trial, default minus its loss.
    """

    reward: Reward = field(default_factory=MinusLoss)
    equation: ClassVar[str] = "L_T = -(R(xi) - R(0)) / sigma, the same for all cells"

    def worth(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the directional derivative."""
        perturbed, batch = tape.perturbed, tape.trials_shown
        return -(self.reward.of(perturbed.outputs, batch) - self.reward.of(perturbed.against, batch)) / perturbed.size
