"""Conditions under which a trained network is tested, as values: new trials, noisy inputs, other options of the task.

Shapes: T time, B batch, I inputs. A condition turns the task and the test trials into the trials of the condition. It
always does so in the same way, so that rules and seeds are tested alike, and never changes the trials it is given.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, TypeVar

import torch
from torch import Tensor

import tasks
from analysis.samples import Samples, mapped
from tasks.neurogym.neurogym_task import NeurogymTask
from tca.batch import Batch
from tca.experiments.config.components import plain
from tca.utils.checks import Count, NotNegative, Positive, Seed, checked, choice, settle
from tca.utils.names import lookup
from tca.utils.noise import by_steps

__all__ = ["Changed", "Clean", "Condition", "FreshTrials", "InputNoise", "Longer", "PixelNoise", "changed_task"]

Given = TypeVar("Given", bound=Batch | Samples)


@dataclass(frozen=True)
class Condition(abc.ABC):
    """A way to test a network."""

    @abc.abstractmethod
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        """Return the trials of the condition, in the type and on the device of the test trials.

        Args:
            task: The task that the network was trained on.
            test: The test trials as they were drawn.

        Raises:
            ValueError: The condition cannot be met for this task.
        """


@dataclass(frozen=True)
class Clean(Condition):
    """The test trials as they were drawn."""

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        return test


@checked
@dataclass(frozen=True)
class FreshTrials(Condition):
    """As many test trials of another seed; tasks with a fixed pool, such as images, draw from their test pool again.

    Args:
        seed: Seed of the trials, default 1,000,003: far from the seeds of training sets.
    """

    seed: Seed = 1_000_003

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        return _drawn(task, test, self.seed)


@checked
@dataclass(frozen=True)
class InputNoise(Condition):
    """The test trials with ``x + N(0, sd^2)``, independent for every step, trial and channel, held within limits.

    Args:
        sd: Standard deviation, default 0.2.
        clip: Lowest and highest value of the noisy inputs, default no limits.
        seed: Seed of the noise, default 0.

    Raises:
        ValueError: A number is out of range, or the limits are not in order.

    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), torch.ones(2, 3), MSE())
    >>> noisy = InputNoise(0.5, clip=(0.0, 1.0)).batch(tasks.make("delayed_xor"), batch)
    >>> bool((noisy.inputs >= 0).all()), bool((noisy.inputs > 0).any())
    (True, True)
    """

    sd: NotNegative = 0.2
    clip: tuple[float, float] | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self, clip=_limits(self.clip))

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        noisy: Batch = self.noisy(test)
        return noisy

    @checked
    def noisy(self, test: Given) -> Given:
        """Return trials of any task, or samples, with noise on their real inputs."""
        seeds = count(self.seed)

        def noisy(inputs: Tensor) -> Tensor:
            return _noisy(inputs, self.sd, self.clip, next(seeds)) if inputs.is_floating_point() else inputs

        return dataclasses.replace(test, inputs=mapped(test.inputs, noisy))


@checked
@dataclass(frozen=True)
class PixelNoise(Condition):
    """The test images with ``x + N(0, sd^2)`` on their pixels, held within the range of a pixel.

    Other channels, such as a go signal, and steps at which no pixels are shown are left alone.

    Args:
        sd: Standard deviation, default 0.2.
        channels: How many of the first channels hold pixels, default all.
        steps: How many of the first steps show pixels, default all.
        clip: Lowest and highest value of a pixel, default 0 and 1.
        seed: Seed of the noise, default 0.

    Raises:
        ValueError: A number is out of range, or the limits are not in order.
    """

    sd: NotNegative = 0.2
    channels: Count | None = None
    steps: Count | None = None
    clip: tuple[float, float] | None = (0.0, 1.0)
    seed: Seed = 0

    def __post_init__(self) -> None:
        settle(self, clip=_limits(self.clip))

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        """Add the noise to the pixels."""
        for name, given, there in (
            ("steps", self.steps, test.steps), ("channels", self.channels, test.inputs.shape[2])
        ):  # fmt: skip
            if given is not None and given > there:
                raise ValueError(f"{name} must be at most {there}, as many as the trials have, got {given}")
        inputs = test.inputs.clone()
        pixels = inputs[: self.steps, :, : self.channels]
        pixels.copy_(_noisy(pixels, self.sd, self.clip, self.seed))
        return dataclasses.replace(test, inputs=inputs)


@checked
@dataclass(frozen=True)
class Changed(Condition):
    """As many test trials of the same task with other options, such as a shifted range of coherences.

    Args:
        options: The options that differ, by name.
        seed: Seed of the trials, default 1,000,003.

    Raises:
        ValueError: No option is given, or the seed is negative.

    >>> task = tasks.make("delayed_xor")
    >>> longer = Changed({"delay": 1000.0}).batch(task, task.split(1, 5, seed=0)[1].batch())
    >>> longer.trials, longer.steps - task.split(1, 1, seed=0)[1].steps
    (5, 10)
    """

    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    seed: Seed = 1_000_003

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", plain("options", self.options))
        if not self.options:
            raise ValueError("options must name at least one option that differs, got none")

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        return _drawn(changed_task(task, self.options), test, self.seed)


@checked
@dataclass(frozen=True)
class Longer(Condition):
    """As many test trials of the same task with one of its times longer, such as its delay.

    Args:
        option: Name of the option, default delay. A range of times is stretched at both ends.
        factor: How many times longer, default 2; less than 1 makes it shorter.
        seed: Seed of the trials, default 1,000,003.

    >>> task = tasks.make("delayed_xor", delay=500.0)
    >>> Longer("delay", 3.0).batch(task, task.split(1, 5, seed=0)[1].batch()).steps
    48
    """

    option: str = "delay"
    factor: Positive = 2.0
    seed: Seed = 1_000_003

    @checked
    def batch(self, task: tasks.Task, test: Batch) -> Batch:
        """Draw the trials."""
        now = lookup(_options(task), self.option, "option of the task")
        several = isinstance(now, tuple | list)
        times = choice(self.option, now if several else [now])
        stretched = tuple(self.factor * time for time in times)
        return _drawn(changed_task(task, {self.option: stretched if several else stretched[0]}), test, self.seed)


@checked
def changed_task(task: tasks.Task, options: Mapping[str, Any]) -> tasks.Task:
    """Return the same task with some options changed.

    Args:
        options: The options that differ, by name.

    Raises:
        ValueError: There is no such option, or a value is not allowed.

    >>> changed_task(tasks.make("delayed_xor"), {"delay": 750.0}).delay
    750.0
    """
    if isinstance(task, NeurogymTask):
        return tasks.make(task.name, **{**dict(task.options), **options})
    for option in options:
        lookup(_options(task), option, f"option of {type(task).__name__}")
    return dataclasses.replace(task, **options)  # type: ignore[type-var]


def _options(task: tasks.Task) -> dict[str, Any]:
    if isinstance(task, NeurogymTask):
        return dict(task.options)
    return {each.name: getattr(task, each.name) for each in dataclasses.fields(task)}  # type: ignore[arg-type]


def _drawn(task: tasks.Task, test: Batch, seed: int) -> Batch:
    """Return as many test trials of a task as there are, in the type and on the device of these."""
    _, drawn = task.split(1, test.trials, seed)
    return drawn.batch().to(test.inputs.device, test.inputs.dtype)


def _noisy(inputs: Tensor, sd: float, clip: tuple[float, float] | None, seed: int) -> Tensor:
    draw = partial(torch.randn, inputs.shape[1:], dtype=torch.float64, device="cpu")
    noise = by_steps(len(inputs), partial(draw, generator=torch.Generator().manual_seed(seed)))
    noisy = inputs + sd * noise.to(inputs)
    return noisy if clip is None else noisy.clamp(*clip)


def _limits(clip: tuple[float, float] | None) -> tuple[float, float] | None:
    if clip is None:
        return None
    limits = choice("clip", clip, 2)
    if len(limits) != 2 or not limits[0] < limits[1]:
        raise ValueError(f"clip must be a lower and a higher limit, got {clip!r}")
    return limits[0], limits[1]
