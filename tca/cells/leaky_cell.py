"""Leaky cells: their constants, and the leak on the potential (form A) or on the rate (form B), two different models.

Shapes: T time, B batch, N cells.

Both forms are run two ways: ``run_`` goes through a trial in place, without a graph, for training;
``advance`` makes a single step out of place, differentiable, for curvature and online learning.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS, Activation
from tca.cells.time_constants import LEAKS, constants_of, durations
from tca.utils.checks import Named, NotNegative, checked

__all__ = ["FORMS", "Form", "LeakOnPotential", "LeakOnRate", "LeakyCell"]

Number = Tensor | float  # the same for all cells, or one for each

PRODUCTS: dict[int, Callable[..., Tensor]] = {2: torch.addmm, 3: torch.baddbmm}  # by the axes of the weights


@dataclass(frozen=True)
class Form(abc.ABC):
    """A leaky population: how drives become states and states become rates."""

    name: ClassVar[str]
    slope_at_emission: ClassVar[bool]  # whether f' is the slope of the rate, or else a part of the gain

    def start(self, activation: Activation, initial: Tensor) -> Tensor:
        """Return the rates of the initial state.

        Args:
            activation: The activation function f.
            initial: State at time zero, shape ``(B, N)``.
        """
        return activation(initial) if self.slope_at_emission else initial

    def fold(self, gain: Number, weight: Tensor) -> Tensor:
        """Return a weight for ``run_``: times the gain in form A, where the gain is a constant factor of the drive.

        Args:
            gain: One minus the leak, a number or ``(N,)``.
            weight: A weight, postsynaptic axis first.
        """
        if not self.slope_at_emission:
            return weight
        return weight * (gain if isinstance(gain, float) else gain.view(-1, *[1] * (weight.ndim - 1)))

    @abc.abstractmethod
    def run_(
        self, activation: Activation, leak: Number, drive: Tensor, recurrent: Tensor, initial: Tensor, rate: Tensor
    ) -> Tensor:
        """Run a trial in place and return the activity, shape ``(T + 1, B, N)``.

        Args:
            activation: The activation function f.
            leak: Leak per step, a number or ``(N,)``; the gain is one minus it.
            drive: Drive of every step but for the recurrent part, made with folded weights, shape ``(T + 1, B, N)``,
                index 0 unused; overwritten. It may be ``rate`` itself if ``slope_at_emission``.
            recurrent: Folded recurrent weights, shape ``(N, N)``; ``(S, N, N)`` of S networks, whose trials have the
                shape ``(S, B, N)``.
            initial: State at time zero, broadcastable to ``(B, N)``.
            rate: Where the rates go, shape ``(T + 1, B, N)``.
        """

    @abc.abstractmethod
    def advance(
        self, activation: Activation, leak: Number, gain: Number, state: Tensor, drive: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next state, its rate and the value of the activation function, each ``(B, N)``.

        Args:
            activation: The activation function f.
            leak: Leak per step, a number or ``(N,)``.
            gain: One minus the leak, a number or ``(N,)``.
            state: State before the step, shape ``(B, N)``.
            drive: Drive of the step, shape ``(B, N)``.
        """


@dataclass(frozen=True)
class LeakOnPotential(Form):
    """Form A: ``v_t = leak v_{t-1} + gain u_t``, ``z_t = f(v_t)``."""

    name: ClassVar[str] = "A"
    slope_at_emission: ClassVar[bool] = True

    def run_(
        self, activation: Activation, leak: Number, drive: Tensor, recurrent: Tensor, initial: Tensor, rate: Tensor
    ) -> Tensor:
        """Run a trial; only two potentials are held at a time, since the slope is read off the rate."""
        scale, write = activation.scaled(drive)
        weights, add_product = _scaled_(scale, drive, recurrent).mT, PRODUCTS[recurrent.ndim]
        drives, rates = drive.unbind(0), rate.unbind(0)
        before = initial.expand_as(rates[0]).clone()
        activation.into(before, rates[0])
        before.mul_(scale)
        now = torch.empty_like(before)
        one_leak = isinstance(leak, float)
        for t in range(1, len(rates)):
            add_product(drives[t], rates[t - 1], weights, out=now)
            if one_leak:
                now.add_(before, alpha=leak)  # type: ignore[arg-type]
            else:
                now.addcmul_(before, leak)  # type: ignore[arg-type]
            write(now, rates[t])
            before, now = now, before
        return rate

    def advance(
        self, activation: Activation, leak: Number, gain: Number, state: Tensor, drive: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``v_t``, ``f(v_t)`` and ``f(v_t)``."""
        potential = leak * state + gain * drive
        rate = activation(potential)
        return potential, rate, rate


@dataclass(frozen=True)
class LeakOnRate(Form):
    """Form B: ``r_t = leak r_{t-1} + gain f(u_t)``."""

    name: ClassVar[str] = "B"
    slope_at_emission: ClassVar[bool] = False

    def run_(
        self, activation: Activation, leak: Number, drive: Tensor, recurrent: Tensor, initial: Tensor, rate: Tensor
    ) -> Tensor:
        """Run a trial; the drives turn into activities where they are, and the gain is one minus the leak."""
        scale, write = activation.scaled(drive)
        weights, add_product = _scaled_(scale, drive, recurrent).mT, PRODUCTS[recurrent.ndim]
        drives, rates = drive.unbind(0), rate.unbind(0)
        rates[0].copy_(initial.expand_as(rates[0]))
        for t in range(1, len(rates)):
            activity = add_product(drives[t], rates[t - 1], weights, out=drives[t])
            write(activity, activity)
            torch.lerp(activity, rates[t - 1], leak, out=rates[t])
        return drive

    def advance(
        self, activation: Activation, leak: Number, gain: Number, state: Tensor, drive: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``r_t``, ``r_t`` and ``f(u_t)``."""
        activity = activation(drive)
        rate = leak * state + gain * activity
        return rate, rate, activity


def _scaled_(scale: float, drive: Tensor, recurrent: Tensor) -> Tensor:
    """Multiply the drives of all steps in place; return the recurrent weights times the same power of two.

    The numbers keep their digits.
    """
    if scale == 1.0:
        return recurrent
    drive[1:].mul_(scale)
    return recurrent * scale


FORMS: dict[str, Form] = {each.name: each for each in (LeakOnPotential(), LeakOnRate())}


@checked
@dataclass(frozen=True, eq=False)
class LeakyCell:
    """The constants of leaky rate cells; see `tca.nets.LeakyRNN` for the equations.

    Args:
        tau: Time constant in ms, default 100: a number, or one for each cell.
        form: ``"A"`` (default), leak on the potential, or ``"B"``, leak on the rate.
        activation: ``"tanh"`` (default), ``"relu"``, ``"softplus"``, ``"rectified_tanh"`` or ``"linear"``, or an
            activation function of `tca.cells.activations`.
        leak: ``"exponential"`` (default) or ``"euler"``, which needs ``dt <= tau``.
        noise: Standard deviation of private noise, default 0. White noise is added to the drive such that a potential
            without other input would fluctuate with this standard deviation.
        learn: ``("tau",)`` for learned time constants, parameters ``leak`` of the network, one leak per step for each
            cell; ``None`` (default) for none.
    """

    tau: float | Sequence[float] | Tensor = 100.0
    form: Annotated[str, Named(FORMS)] = "A"
    activation: Annotated[str, Named(ACTIVATIONS)] | Activation = "tanh"
    leak: Annotated[str, Named(LEAKS)] = "exponential"
    noise: NotNegative = 0.0
    learn: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the time constants."""
        durations("tau", self.tau)
        constants_of(self.learn, {"tau": "leak"})
