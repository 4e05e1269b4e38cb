"""Reward prediction errors: rewards minus the mean reward of similar trials.

Shapes: T time, B batch, O outputs, K kinds of trials.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.batch import Batch
from tca.signals.perturbation.reward_difference import RewardSignal
from tca.signals.perturbation.trial_reward import MinusLoss, Reward
from tca.signals.signal import Buffers, CustomSignal
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import checked

__all__ = ["RewardPredictionError"]


@checked
@dataclass(frozen=True)
class RewardPredictionError(CustomSignal, RewardSignal):
    """``m = Ebar_c (E - Ebar_c)``, ``E`` minus the reward, ``Ebar_c`` its mean over trials of kind c.

    ``Ebar_c`` is a running mean, ``Ebar_c <- keep Ebar_c + (1 - keep) E``, updated after a batch by the mean of its
    trials of that kind. It starts at zero, so that m is zero for a new kind. The kind of a trial is the class of its
    last weighted target; where targets are numbers there is one kind. A trial whose weights are all zero has no kind.

    ``Ebar`` is in the buffer ``expected``; ``met`` and ``found`` hold counts and sums of the last batch.

    Args:
        reward: Reward of a trial, default minus its loss.
        keep: Decay factor of the running mean, default 0.75, in [0, 1).
        readout_learns: Whether the readout learns from its output error, default ``False``, since a network that learns
            from rewards alone has no such error.

    Raises:
        ValueError: ``keep`` is not in [0, 1).

    Paper: Miconi (2017), eLife 6:e20899.
    """

    reward: Reward = field(default_factory=MinusLoss)
    keep: float = 0.75
    readout_learns: bool = False
    equation: ClassVar[str] = "L_T = Ebar (E - Ebar), the same for all cells"

    def __post_init__(self) -> None:
        if not 0 <= self.keep < 1:
            raise ValueError(f"keep of the expected error must lie in [0, 1), got {self.keep}")

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Start all means at zero."""
        nothing = torch.zeros(population.n_out, dtype=torch.float64, device="cpu").to(population.like)
        return {"expected": nothing, "found": nothing.clone(), "met": nothing.clone()}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Update the expected errors by the last batch."""
        met = buffers["met"] > 0
        moved = torch.lerp(buffers["found"] / buffers["met"].clamp(min=1), buffers["expected"], self.keep)
        buffers["expected"].copy_(torch.where(met, moved, buffers["expected"]))
        buffers["found"].zero_(), buffers["met"].zero_()

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Store the errors of the batch by kind, for ``follow_weights_``."""
        kinds, errors = kinds_of(tape.trials_shown), self._errors(tape)
        shown = (tape.trials_shown.trial_lengths > 0).to(errors)
        buffers["found"].zero_().index_add_(0, kinds, errors * shown)
        buffers["met"].zero_().index_add_(0, kinds, shown)

    def worth(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the prediction error, scaled by the expected error."""
        expected = buffers["expected"][kinds_of(tape.trials_shown)]
        return expected * (self._errors(tape) - expected)

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Return the output error if the readout learns, else zeros."""
        output_signal = super().output_signal(tape, buffers)
        return (
            output_signal
            if self.readout_learns
            else (torch.zeros_like(output_signal[0]), torch.zeros_like(output_signal[1]))
        )

    def _errors(self, tape: Tape) -> Tensor:
        return -self.reward.of(tape.perturbed.outputs, tape.trials_shown)


def kinds_of(batch: Batch) -> Tensor:
    """Return the class of each trial's last weighted target, or zero, ``(B,)``."""
    if batch.targets.ndim != 2:
        return torch.zeros(batch.trials, dtype=torch.int64, device=batch.inputs.device)
    steps = torch.arange(batch.steps, device=batch.inputs.device).unsqueeze(1)
    last = torch.where(batch.weights > 0, steps, -1).amax(0).clamp(min=0)
    return batch.targets.gather(0, last.unsqueeze(0))[0]
