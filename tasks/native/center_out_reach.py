"""Center-out reaching after a delay.

Shapes: T time, B batch, I inputs, C targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from tasks import seeds
from tasks.durations import Duration, PositiveDuration, draw_steps, settle_durations, steps_of
from tasks.native.timeline import Timeline, background
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE, Loss
from tca.utils.checks import NotNegative, Positive, checked, settle

__all__ = ["CenterOutReach", "minimum_jerk"]


def minimum_jerk(fraction: Tensor) -> Tensor:
    """Return the way of a movement of minimum jerk, ``10 s^3 - 15 s^4 + 6 s^5``, 0 before it and 1 after it.

    Args:
        fraction: Fraction s of the time of the movement.

    Flash and Hogan (1985), The coordination of arm movements: an experimentally confirmed mathematical model,
    J Neurosci 5:1688-1703.

    >>> minimum_jerk(torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    s = fraction.clamp(0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)


@checked
@dataclass(frozen=True)
class CenterOutReach(DrawnTask):
    """Center-out reaching: wait for the go cue, then move the hand to the cued one of targets on a circle.

    The inputs are the two coordinates of the target, from its onset on, and a hold channel, 1 until the go cue, all
    with noise. The outputs are the coordinates of the hand: at the centre until a reaction time after the go cue, then
    on a straight path of minimum jerk to the target, where they stay. All steps of a trial count equally.

    Trial information: ``target`` (from 0, counter-clockwise from the right), ``onset`` of the movement in ms, and the
    periods in ms.

    Georgopoulos, Kalaska, Caminiti and Massey (1982), On the relations between the direction of two-dimensional arm
    movements and cell discharge in primate motor cortex, J Neurosci 2:1527-1537; movements as in Flash and Hogan
    (1985), J Neurosci 5:1688-1703.

    Args:
        dt: Time step in ms.
        targets: Number of targets, at least 2.
        fixation: Time before the target appears. This and the delay are in ms: a number, ``(low, high)`` drawn
            uniformly, or ``(mean, low, high)`` drawn from an exponential cut to the range. They are rounded down to
            whole steps.
        delay: Time between target and go cue.
        reaction: Time between go cue and movement in ms.
        movement: Time of the movement in ms.
        hold: Time at the target in ms.
        radius: Distance of the targets from the centre.
        visible: Whether the target stays visible after the go cue, default yes.
        noise: Input noise per square root of a ms: that of a step has standard deviation ``noise / sqrt(dt)``.

    Raises:
        ValueError: An option is out of its range, or a time is shorter than a step.
        TypeError: An option is of a wrong kind.

    >>> task = CenterOutReach(delay=500.0)
    >>> task.split(n_train=4, n_test=2, seed=0)[0]
    TrialSet(trials=4, steps=150, inputs=3, loss=MSE())
    """

    dt: Positive = 10.0
    targets: Annotated[int, Ge(2)] = 8
    fixation: Duration = 200.0
    delay: PositiveDuration = (300.0, 800.0)
    reaction: NotNegative = 150.0
    movement: Positive = 450.0
    hold: NotNegative = 200.0
    radius: Positive = 1.0
    visible: bool = True
    noise: NotNegative = 0.3
    n_in: ClassVar[int] = 3
    n_out: ClassVar[int] = 2
    chance: ClassVar[float] = 0.0
    loss: ClassVar[Loss] = MSE()

    def __post_init__(self) -> None:
        """Check every option."""
        settle_durations(self, "fixation", "delay")
        for name in ("reaction", "movement", "hold"):
            steps_of(name, getattr(self, name), self.dt)

    def conditions(self) -> Batch:
        """Return one trial of each target without noise; times that are drawn have their smallest value."""
        fixed = CenterOutReach(**vars(self))
        settle(fixed, **{name: _least(getattr(self, name)) for name in ("fixation", "delay")})
        return fixed._trials(torch.arange(self.targets, device="cpu"), 0.0, seeds.generator(0))

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return new trials; see `DrawnTask.draw`."""
        target_B = torch.randint(self.targets, (trials,), generator=generator, device="cpu")
        return self._trials(target_B, self.noise / math.sqrt(self.dt), generator)

    def _trials(self, target_B: Tensor, noise: float, generator: torch.Generator) -> Batch:
        trials = len(target_B)
        steps = {name: draw_steps(getattr(self, name), self.dt, trials, generator) for name in ("fixation", "delay")}
        rest = {name: steps_of(name, getattr(self, name), self.dt) for name in ("reaction", "movement", "hold")}
        timeline = Timeline(trials, **steps, **rest)
        angle_B = 2 * math.pi / self.targets * target_B.double()
        goal_B2 = self.radius * torch.stack((angle_B.cos(), angle_B.sin()), 1)

        inputs_TBI = background((timeline.steps, trials, self.n_in), noise, generator)
        shown_TB = timeline.during("delay", "hold" if self.visible else "delay")
        inputs_TBI[..., :2] += shown_TB[..., None] * goal_B2
        inputs_TBI[..., 2] += timeline.during("fixation", "delay")
        timeline.end_(inputs_TBI)
        times_T1 = torch.arange(timeline.steps, dtype=torch.float64, device="cpu")[:, None]
        onset = torch.as_tensor(timeline.edges["movement"][0], dtype=torch.int64, device="cpu").expand(trials)
        way_TB = minimum_jerk((times_T1 - onset) / rest["movement"])
        targets_TB2 = (way_TB[..., None] * goal_B2).float()
        timeline.end_(targets_TB2)
        inside_TB = timeline.inside
        weights_TB = inside_TB.float() / inside_TB.sum(0)
        info = timeline.info(self.dt, target=target_B, onset=self.dt * onset)
        return Batch(inputs_TBI, targets_TB2, weights_TB, self.loss, info=info)


def _least(time: Duration) -> float:
    return time if isinstance(time, float) else time[-2]
