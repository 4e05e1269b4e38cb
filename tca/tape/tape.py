"""The record of one forward pass: everything a rule may use.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic, O outputs, C consecutive steps. States and rates are
counted from the initial one: ``rate_TBN`` has T + 1 entries and index t is step t. Presynaptic activity of the steps 1
to T has T entries.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.connections.connection import ConnectionInput, Initial
from tca.tape.population import Population
from tca.tape.projections import Afferent, Readout
from tca.tape.step_derivatives import StepDerivatives
from tca.tape.weight_estimates import Recurrence

if TYPE_CHECKING:
    from tca.tape.perturbed_pass import PerturbedPass

__all__ = ["Tape", "filtered"]

WINDOW_BYTES = 2**19  # size of a window of the reverse pass, which fits into the cache of one core


def filtered(delivered: Tensor, leak: float) -> Tensor:
    """Return ``ybar_t = leak ybar_{t-1} + (1 - leak) y_t``, whose adjoint is ``Tape.through_readout``.

    Args:
        delivered: Values of every step, shape ``(T, ...)``.
        leak: Leak per step, 0 for no filter.

    >>> filtered(torch.ones(3, 1, 1), 0.5).flatten().tolist()
    [0.5, 0.75, 0.875]
    """
    if not leak:
        return delivered
    value, values = torch.zeros_like(delivered[0]), []
    for each in delivered.unbind(0):
        value = leak * value + (1 - leak) * each
        values.append(value)
    return torch.stack(values)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tape(StepDerivatives, abc.ABC):
    """One forward pass of a population and, for the last one, of the readout.

    Attributes:
        population: The population.
        rate: Rates z, shape ``(T + 1, B, N)``.
        leak: Leak per step of the driven component, a number or ``(N,)``.
        gain: Constant part of the gain, a number or ``(N,)``.
        links: Connections into the population and their presynaptic activity.
        recurrence: Recurrent weights, their mask and the types of the cells.
        readout: Connections into the outputs, for the last population, and the filter of the readout.
        outputs: Outputs, shape ``(T, B, O)``.
        output_error: Output error, ``dL/dy``, shape ``(T + 1, B, O)``; empty before ``with_error``.
        batch: The trials, their targets, weights and loss; ``None`` before ``with_error``.
        perturbed_pass: A perturbed pass over the same trials; ``None`` without one.
        afferent: Connection from the population below; ``None`` for the first.
        lower: The tapes of the populations below, from the next one down to the first; empty in each of them.
        upper: The tape of the population above; ``None`` for the last.
    """

    window_factor = 1  # size of a window in units of `WINDOW_BYTES`

    population: Population
    rate: Tensor
    leak: Tensor | float
    gain: Tensor | float
    links: tuple[ConnectionInput, ...]
    recurrence: Recurrence
    readout: Readout = field(default_factory=Readout)
    outputs: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    output_error: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    batch: Batch | None = None
    perturbed_pass: PerturbedPass | None = None
    afferent: Afferent | None = None
    lower: tuple[Tape, ...] = ()
    upper: Tape | None = None

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.rate.shape[0] - 1

    def with_recurrent(self, weights: Tensor) -> Self:
        """Return the tape with other recurrent weights of the same shape, the activity being the same."""
        return self.changed(recurrence=self.recurrence._replace(weights=weights))

    @property
    def slope_at_emission(self) -> bool:
        """Whether the activity-dependent slope is that of the rate, or a part of the gain (form B)."""
        return self.population.form != "B"

    @cached_property
    def lengths(self) -> Tensor | None:
        """Steps of every trial without padding, shape ``(B,)``; ``None`` if no trial is padded."""
        return self.batch.trial_lengths if self.batch is not None and self.batch.padded else None

    @cached_property
    def filtered_error(self) -> Tensor:
        """Output error before the readout filter, ``(T + 1, B, O)``; ``output_error`` without a filter."""
        return self.through_readout(self.output_error) if self.upper is None else self.upper.filtered_error

    @cached_property
    def levels(self) -> tuple[Tape, ...]:
        """The tapes of all populations, from the last to the first, all with the same output error."""
        chain = [self]
        same = {name: getattr(self, name) for name in ("outputs", "batch", "perturbed_pass", "output_error")}
        for each in self.lower:
            chain.append(each.changed(upper=chain[-1], readout=Readout(leak=self.readout.leak), **same))
        return tuple(chain)

    def changed(self, **values: object) -> Self:
        """Return a copy with other values of some fields; in a third of the time of `dataclasses.replace`."""
        made = object.__new__(type(self))
        made.__dict__.update({name: self.__dict__[name] for name in self.__dataclass_fields__}, **values)
        return made

    @property
    def learns_initial(self) -> bool:
        """Whether an initial state is a parameter, so that a learning signal at time zero is needed."""
        links = [link for tape in (self, *self.lower) for link in tape.links]
        return any(isinstance(link.connection, Initial) for link in links)

    @cached_property
    def over(self) -> Tensor | None:
        """Steps after the end of their trial, boolean, shape ``(T + 1, B)``; ``None`` if no trial is padded."""
        if self.lengths is None:
            return None
        return torch.arange(self.steps + 1, device=self.lengths.device).unsqueeze(1) > self.lengths

    @cached_property
    def samples(self) -> Tensor:
        """Rates at all steps of all trials without padding, shape ``(M, N)``."""
        return self.rate[1:].flatten(0, 1) if self.over is None else self.rate[1:][~self.over[1:]]

    def to_go(self, t: int) -> int | Tensor:
        """Return the number of later steps, one for each trial, ``(B,)``, if padded.

        Args:
            t: The step, 1 to T; the number is negative after the end of a trial.
        """
        return (self.steps if self.lengths is None else self.lengths) - t

    @property
    def trials_shown(self) -> Batch:
        """The trials; an error if the tape has no output error."""
        if self.batch is None:
            raise ValueError("the tape does not know its trials: use Learner.tape")
        return self.batch

    @property
    def perturbed(self) -> PerturbedPass:
        """The perturbed pass; without one, an error."""
        if self.perturbed_pass is None:
            raise ValueError("the tape has no perturbed pass: the signal needs a perturbation eligibility")
        return self.perturbed_pass

    def scored(self, batch: Batch) -> Tape:
        """Return the tape with the output error of its trials.

        Args:
            batch: The trials.
        """
        error = batch.loss.output_error(self.outputs, batch.targets)
        return self.with_error(error.mul_(batch.weights.unsqueeze(-1) / batch.trials), batch)

    def with_error(self, error_TBO: Tensor, batch: Batch | None = None) -> Tape:
        """Return the tape with an output error.

        Args:
            error_TBO: Output error ``dL/dy`` of the steps 1 to T, shape ``(T, B, O)``.
            batch: The trials.
        """
        return self._with_raw(functional.pad(error_TBO, (0, 0, 0, 0, 1, 0)), batch)

    def _with_raw(self, raw: Tensor, batch: Batch | None) -> Tape:
        """Return the tape with an output error of its own memory, shape ``(T + 1, B, O)``."""
        tape = self.changed(batch=batch, output_error=raw)
        if tape.over is not None:  # padding: the error of an infinite output may be infinite there
            raw.masked_fill_(tape.over.unsqueeze(-1), 0.0)
        return tape

    def through_readout(self, signal: Tensor) -> Tensor:
        """Backpropagate an output error through the leaky readout filter.

        With a filtered readout, ``y_t = k y_{t-1} + (1 - k) W_o z_t``, the error with respect to ``W_o z_t`` is
        ``score_t = (1 - k) err_t + k score_{t+1}``.

        Args:
            signal: Output error from time zero, where it is zero, shape ``(T + 1, B, O)``; not changed.
        """
        if not self.readout.leak:
            return signal
        filtered = signal * (1 - self.readout.leak)
        entries = filtered.unbind(0)
        for t in range(self.steps - 1, 0, -1):
            entries[t].add_(entries[t + 1], alpha=self.readout.leak)
        return filtered

    def deliver(self, weights: Tensor) -> Tensor:
        """Return the values that the readout weights deliver, ``W_o z_t``, a new tensor ``(T, B, O)``.

        Args:
            weights: Readout weights of the forward pass, shape ``(O, N)``.
        """
        return self.rate[1:] @ weights.t()

    @property
    def window_steps(self) -> int:
        """Steps of a window of the reverse pass, sized to the cache of a CPU core."""
        if self.rate.device.type != "cpu":
            return self.steps
        widest = max(tape.rate[0].numel() for tape in (self, *self.lower))
        return max(1, self.window_factor * WINDOW_BYTES // (widest * self.rate.element_size()))

    def windows(self) -> Iterator[slice]:
        """Yield windows of steps from the last to the first, sized to the cache of a CPU core.

        Time zero comes last, by itself, if the initial state is learned.
        """
        size = self.window_steps
        for stop in range(self.steps + 1, 1, -size):
            yield slice(max(1, stop - size), stop)
        if self.learns_initial:
            yield slice(0, 1)

    def errors(self, steps: slice, weight: Tensor | None = None) -> Tensor:
        """Return the rate signal of the direct errors of the population, a new tensor ``(C, B, N)``.

        The readout backprojects those of the last population, the one above those of any other, after ``send_back``.

        Args:
            steps: The steps, counted from the initial state.
            weight: Feedback weights in the shape of the forward ones; ``None`` (default) for the forward ones.
        """
        if self.upper is not None and steps.start == 0:  # no population above reads initial rates
            return torch.zeros_like(self.rate[steps])
        if self.upper is not None:
            return self.upper.backproject(steps, weight)
        signal = self.readout.links[0].connection.back(self.filtered_error[steps], weight)
        return signal if self.readout.back is None else self.readout.back(signal, steps)

    @cached_property
    def _sent_back(self) -> dict[str, Tensor]:
        return {}

    def send_back(self, signal: Tensor) -> None:
        """Store a state signal for ``errors`` of the population below.

        Args:
            signal: State signal of the steps at hand; not changed.
        """
        if self.afferent is not None:
            self._sent_back["signal"] = signal.clone()

    def backproject(self, steps: slice, weight: Tensor | None = None) -> Tensor:
        """Backproject the stored state signal to the rates of the population below.

        ``G = W^T (gain * L)``, a new tensor.

        Args:
            steps: The steps of the stored signal, counted from the initial state.
            weight: Feedback weights in the shape of the forward ones; ``None`` (default) for the forward ones.
        """
        if self.afferent is None:
            raise ValueError(f"{self.population.title} has no population below it")
        signal = self.drive(self._sent_back["signal"].clone(), steps)
        signal.mul_(self.gain)
        returned = self.afferent.connection.back(signal, weight)
        return returned if self.afferent.back is None else self.afferent.back(returned, steps)

    def scale_gain_(self, gradient: Tensor) -> None:
        """Multiply a gradient in place by the constant gain, which ``drive`` omits.

        Args:
            gradient: Gradient of a connection into the population, postsynaptic axis first.
        """
        gain = self.gain
        if isinstance(gain, Tensor):
            gradient.mul_(gain.view(-1, *[1] * (gradient.ndim - 1)))
        elif gain != 1.0:
            gradient.mul_(gain)

    def gather_(self, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t driven_t (x) pre_t`` of a connection to its gradient in place.

        Args:
            link: The connection and its presynaptic activity.
            gradient: Accumulated gradient, in the shape of the weight.
            driven: Signal to the drive of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
        """
        link.connection.outer_(gradient, driven, link.at(steps))
