"""Flip-flop memory of the sign of the last pulse on several channels.

Shapes: T time, B batch, K channels, S slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from tasks.durations import steps_of
from tasks.native.timeline import background
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import Count, NotNegative, Positive, checked

__all__ = ["FlipFlop"]


@checked
@dataclass(frozen=True)
class FlipFlop(DrawnTask):
    """Flip-flop memory: each output holds the sign of the last pulse on its own channel.

    Time is cut into slots of the length of a pulse. In each slot each channel shows, with probability ``rate * pulse``,
    a pulse of a random sign, and else noise only; the first slot always has one, so that the target is defined
    throughout. The target of an output changes with the onset of the pulse and is +1 or -1. All steps count equally.

    Trial information: ``pulses``, their number on all channels.

    Sussillo and Barak (2013), Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
    networks, Neural Comput 25:626-649.

    Args:
        dt: Time step in ms.
        bits: Number of channels, and of outputs.
        duration: Time of a trial in ms, rounded down to whole pulses.
        pulse: Time of a pulse in ms, rounded down to whole steps.
        rate: Pulses a second on each channel, at most ``1000 / pulse``.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    >>> task = FlipFlop(bits=2)
    >>> task.n_in, task.n_out, task.measure, task.chance
    (2, 2, 'R2', 0.0)
    """

    dt: Positive = 20.0
    bits: Count = 3
    duration: Positive = 1000.0
    pulse: Positive = 40.0
    rate: float = 3.0
    noise: NotNegative = 0.5
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def __post_init__(self) -> None:
        """Check every option."""
        steps_of("pulse", self.pulse, self.dt)
        if self.duration < self.pulse:
            raise ValueError(f"duration must be at least pulse = {self.pulse:g} ms, got {self.duration:g}")
        if not 0 <= self.rate * self.pulse <= 1000:
            raise ValueError(f"rate must lie between 0 and 1000 / pulse = {1000 / self.pulse:g}, got {self.rate:g}")

    @property
    def n_in(self) -> int:
        """One channel a bit."""
        return self.bits

    @property
    def n_out(self) -> int:
        """One output a bit."""
        return self.bits

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        width = steps_of("pulse", self.pulse, self.dt)
        slots = steps_of("duration", self.duration, self.dt) // width
        shape = (slots, trials, self.bits)
        comes_SBK = (
            torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu") < self.rate * self.pulse / 1000
        )
        comes_SBK[0] = True
        signs_SBK = 2 * torch.randint(2, shape, generator=generator, device="cpu").float() - 1
        # Slot of the last pulse so far: the largest index up to each slot.
        slot_S11 = torch.arange(slots, device="cpu")[:, None, None]
        last_SBK = (comes_SBK * slot_S11).cummax(0).values
        targets_TBK = signs_SBK.gather(0, last_SBK).repeat_interleave(width, 0)
        pulses_TBK = (signs_SBK * comes_SBK).repeat_interleave(width, 0)
        inputs_TBK = background(pulses_TBK.shape, self.noise / math.sqrt(self.dt), generator).add_(pulses_TBK)
        weights_TB = torch.full(inputs_TBK.shape[:2], 1 / inputs_TBK.shape[0], dtype=torch.float32, device="cpu")
        return Batch(inputs_TBK, targets_TBK, weights_TB, self.loss, info={"pulses": comes_SBK.sum((0, 2))})
