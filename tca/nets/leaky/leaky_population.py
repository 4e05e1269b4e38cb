"""Leaky recurrent populations with the leak on the potential (form A) or on the rate (form B), two different models.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells.

Both forms are run two ways: ``run_`` goes through a trial in place, without a graph, and is what training uses;
``advance`` makes a single step out of place, differentiable, and is what curvature and online learning use.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS, Activation
from tca.connections.connection import Dense, Link
from tca.nets.options import Constant, leak_and_gain
from tca.nets.recurrent import RecurrentPopulation
from tca.tape.leaky_tape import LeakyTape
from tca.tape.population import Place
from tca.tape.tape import Tape
from tca.utils.checks import Mask, not_negative, positive
from tca.utils.names import lookup
from tca.utils.numerics import Workspace

__all__ = ["FORMS", "Form", "LeakOnPotential", "LeakOnRate", "LeakyPopulation"]


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

    def fold(self, gain: Tensor | float, weight: Tensor) -> Tensor:
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
        self,
        activation: Activation,
        leak: Tensor | float,
        drive: Tensor,
        recurrent: Tensor,
        initial: Tensor,
        rate: Tensor,
    ) -> Tensor:
        """Run a trial in place and return the activity, shape ``(T + 1, B, N)``.

        Args:
            activation: The activation function f.
            leak: Leak per step, a number or ``(N,)``; the gain is what it leaves.
            drive: Drive of every step but for the recurrent part, made with folded weights, shape ``(T + 1, B, N)``,
                index 0 unused; overwritten. It may be ``rate`` itself if ``slope_at_emission``.
            recurrent: Folded recurrent weights, shape ``(N, N)``.
            initial: State at time zero, broadcastable to ``(B, N)``.
            rate: Where the rates go, shape ``(T + 1, B, N)``.
        """

    @abc.abstractmethod
    def advance(
        self, activation: Activation, leak: Tensor | float, gain: Tensor | float, state: Tensor, drive: Tensor
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
        self,
        activation: Activation,
        leak: Tensor | float,
        drive: Tensor,
        recurrent: Tensor,
        initial: Tensor,
        rate: Tensor,
    ) -> Tensor:
        """Run a trial; only two potentials are held at a time, since the slope is read off the rate."""
        weights = recurrent.t()
        drives, rates = drive.unbind(0), rate.unbind(0)
        before = initial.expand_as(rates[0]).clone()
        now = torch.empty_like(before)
        rates[0].copy_(activation(before))
        for t in range(1, len(rates)):
            torch.addmm(drives[t], rates[t - 1], weights, out=now)
            if isinstance(leak, float):
                now.add_(before, alpha=leak)
            else:
                now.addcmul_(before, leak)
            activation.into(now, rates[t])
            before, now = now, before
        return rate

    def advance(
        self, activation: Activation, leak: Tensor | float, gain: Tensor | float, state: Tensor, drive: Tensor
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
        self,
        activation: Activation,
        leak: Tensor | float,
        drive: Tensor,
        recurrent: Tensor,
        initial: Tensor,
        rate: Tensor,
    ) -> Tensor:
        """Run a trial; the drives turn into activities where they are, and the gain is what the leak leaves."""
        weights = recurrent.t()
        drives, rates = drive.unbind(0), rate.unbind(0)
        rates[0].copy_(initial.expand_as(rates[0]))
        for t in range(1, len(rates)):
            activity = drives[t].addmm_(rates[t - 1], weights)
            activation.into(activity, activity)
            torch.lerp(activity, rates[t - 1], leak, out=rates[t])
        return drive

    def advance(
        self, activation: Activation, leak: Tensor | float, gain: Tensor | float, state: Tensor, drive: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``r_t``, ``r_t`` and ``f(u_t)``."""
        activity = activation(drive)
        rate = leak * state + gain * activity
        return rate, rate, activity


FORMS: dict[str, Form] = {each.name: each for each in (LeakOnPotential(), LeakOnRate())}


class LeakyPopulation(RecurrentPopulation):
    """A leaky recurrent population in one of two forms; see `tca.nets.LeakyRNN` for equations and options.

    Args:
        n_pre: Number of inputs or presynaptic cells J.
        n_rec: Number of cells N.
        generator: Source of the weights.
        synapses: What makes the recurrent connection of a name, a weight and a mask, default all-to-all.
        synapses_in: What makes the connection from the inputs, default all-to-all.
        options: The options of `tca.nets.LeakyRNN` that concern cells and their synapses.

    Raises:
        ValueError: A size, time constant, mask, type, sign or name is not allowed.
    """

    def __init__(
        self,
        n_pre: int,
        n_rec: int,
        *,
        generator: torch.Generator,
        tau: float | Sequence[float] | Tensor = 100.0,
        dt: float = 10.0,
        form: str = "A",
        activation: str = "tanh",
        leak: str = "exponential",
        noise: float = 0.0,
        learn_initial: bool = False,
        autapses: bool = True,
        mask_in: Mask | None = None,
        mask_rec: Mask | None = None,
        types: Sequence[float] | Tensor | None = None,
        dale: Sequence[int] | None = None,
        gain_rec: float = 1.0,
        synapses: Callable[..., Any] = Dense,
        synapses_in: Callable[..., Any] = Dense,
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__(
            n_pre,
            n_rec,
            generator=generator,
            scale_in=1 / math.sqrt(n_pre),
            gain_rec=gain_rec,
            autapses=autapses,
            mask_in=mask_in,
            mask_rec=mask_rec,
            types=types,
            dale=dale,
            learn_initial=learn_initial,
            synapses=synapses,
            synapses_in=synapses_in,
        )
        self.form, self.activation = lookup(FORMS, form, "form"), lookup(ACTIVATIONS, activation, "activation")
        self.leak_form = self.form.name
        self.dt, self.noise = positive("dt", dt), not_negative("noise", noise)
        constants = leak_and_gain("tau", tau, dt, leak, n_rec)
        self.leak, self.gain = self._constant("leak", constants[0]), self._constant("gain", constants[1])
        self.constants = (Constant("tau", *constants),)

    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        """Return the rates, shape ``(T, B, N)``, differentiable any number of times.

        Args:
            use: The parameters by name.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.
            prefix: What the names of the parameters begin with, default nothing.
        """
        into = self.into_cells(prefix)
        weights, recurrent = [each.masked(use[each.name]) for each in into], into[1]
        drive = into[0].apply(weights[0], inputs) + weights[2] + (0.0 if noise is None else noise)
        state = weights[3].expand_as(drive[0]) if len(weights) > 3 else torch.zeros_like(drive[0])
        rate, rates = self.form.start(self.activation, state), []
        for external in drive.unbind(0):
            driven = external + recurrent.apply(weights[1], rate)
            state, rate, _ = self.form.advance(self.activation, self.leak, self.gain, state, driven)
            rates.append(rate)
        return torch.stack(rates)

    def run_cells(self, place: Place, inputs: Tensor, noise: Tensor | None, space: Workspace, **rest: Any) -> Tape:
        """Run the population without a graph and return its tape.

        Args:
            place: Where it stands.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` for none.
            space: Memory to use.
            rest: What else the tape shows.
        """
        steps, trials, _ = inputs.shape
        prefix = f"{place.name}." if place.name else ""
        rate = space.empty(f"{prefix}rate", (steps + 1, trials, self.n_rec), self.w_rec)
        in_place = self.form.slope_at_emission
        drive = rate if in_place else space.empty(f"{prefix}drive", tuple(rate.shape), self.w_rec)
        w_in, w_rec, b, *initial = self.into_cells(prefix)

        def fold(weight: Tensor) -> Tensor:
            return self.form.fold(self.gain, weight)

        flat = drive[1:].view(-1, self.n_rec)
        torch.addmm(fold(b.effective()), inputs.reshape(-1, self.n_pre), fold(w_in.matrix()).t(), out=flat)
        if noise is not None:
            drive[1:].addcmul_(noise, fold(torch.ones_like(self.w_rec[0])))
        start = initial[0].effective() if initial else rate.new_zeros(())
        recurrent = w_rec.matrix()
        activity = self.form.run_(self.activation, self.leak, drive, fold(recurrent), start, rate)
        one, zero = rate.new_ones(1, 1, 1), rate.new_zeros(1, 1, 1)
        return LeakyTape(
            place=place,
            rate=rate,
            activity=activity,
            activation=self.activation,
            slope_at_emission=self.form.slope_at_emission,
            leak=self.leak,
            gain=self.gain,
            links=(
                Link(w_in, inputs),
                Link(w_rec, rate[:-1]),
                Link(b, one),
                *(Link(each, zero) for each in initial),
            ),
            recurrent=recurrent,
            recurrent_mask=self.mask_rec,
            types=self.types,
            **rest,
        )

    def cell_noise(self, drawn: Tensor) -> Tensor:
        """Return private noise of the drive, shape ``(T, B, N)``, zero if the cells have none.

        Args:
            drawn: Independent normal numbers of that shape.
        """
        leak = torch.as_tensor(self.leak, dtype=torch.float64, device=self.w_rec.device)
        return drawn.to(self.w_rec) * (self.noise * ((1 + leak) / (1 - leak)).sqrt()).to(self.w_rec)
