"""The record of one forward pass: everything a rule may use.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic, O outputs, C consecutive steps. States and rates are
counted from the initial one: ``rate_TBN`` has T + 1 entries and index t is step t. Presynaptic activity of the steps 1
to T has T entries.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.connections.connection import Connection, ConnectionInput, Initial
from tca.tape.population import Population
from tca.tape.step_derivatives import StepDerivatives

if TYPE_CHECKING:
    from tca.tape.perturbed_pass import PerturbedPass

__all__ = ["Afferent", "Back", "Propagate", "Tape", "filtered"]

Back = Callable[[Tensor, slice], Tensor]
Propagate = Callable[[int, Tensor, Tensor], None]

WINDOW_BYTES = 2**19  # size of a window of the reverse pass, which fits into the cache of one core


def filtered(delivered: Tensor, leak: float) -> Tensor:
    """Return ``ybar_t = leak ybar_{t-1} + (1 - leak) y_t``, whose adjoint is ``Tape.through_readout``.

    A linear readout may filter its inputs or its outputs.

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


class Afferent(NamedTuple):
    """The connection from the population below, without delay.

    Attributes:
        connection: The connection.
        back: Function from a signal to the connection's presynaptic cells, shape ``(C, B, J)``, to one to the rates of
            the population below, back through pooling and the like. ``None`` if they are the same.
    """

    connection: Connection
    back: Back | None = None


@functools.cache
def _kinds_of_fields(kind: type[Tape]) -> tuple[frozenset[str], dict[str, Callable[[], object]]]:
    """Return the names of the fields that are given, and how those that are not begin."""
    found = dataclasses.fields(kind)
    scratch = {each.name: each.default_factory for each in found if not each.init}
    return frozenset(each.name for each in found if each.init), scratch  # type: ignore[return-value]


@dataclass(frozen=True, eq=False, kw_only=True)
class Tape(StepDerivatives, abc.ABC):
    """One forward pass of a population and, for the last one, of the readout.

    Attributes:
        population: The population.
        rate: Rates z, shape ``(T + 1, B, N)``.
        leak: Leak per step of the driven component, a number or ``(N,)``.
        gain: Constant part of the gain, a number or ``(N,)``.
        links: Connections into the population and their presynaptic activity.
        recurrent: Recurrent weights W, shape ``(N, N)``; empty if there are none.
        recurrent_mask: Which recurrent synapses exist, shape ``(N, N)``; ``None`` if all do.
        types: Type of every cell, shape ``(N,)``.
        slope_at_emission: Whether the activity-dependent slope is that of the rate (default) or a part of the gain.
        readout_links: Connections into the outputs and their presynaptic activity: the weights, then the bias.
        readout_leak: Leak per step of the filter of the readout, 0 without one.
        readout_back: Function from a signal to the readout's input to one to the rates; ``None`` if they are the same.
        outputs: Outputs, shape ``(T, B, O)``.
        output_error: Output error, ``dL/dy``, shape ``(T + 1, B, O)``; empty before ``scored``.
        batch: The trials, their targets, weights and loss; ``None`` before ``scored``.
        lengths: Steps of every trial without padding, shape ``(B,)``; ``None`` if no trial is padded.
        perturbed_pass: A perturbed pass over the same trials; ``None`` without one.
        afferent: Connection from the population below; ``None`` for the first.
        lower: The tapes of the populations below, from the next one down to the first; empty in each of them.
        upper: The tape of the population above; ``None`` for the last.
    """

    population: Population
    rate: Tensor
    leak: Tensor | float
    gain: Tensor | float
    links: tuple[ConnectionInput, ...]
    recurrent: Tensor
    recurrent_mask: Tensor | None
    types: Tensor
    slope_at_emission: bool = True
    readout_links: tuple[ConnectionInput, ...] = ()
    readout_leak: float = 0.0
    readout_back: Back | None = None
    outputs: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    output_error: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    batch: Batch | None = None
    lengths: Tensor | None = None
    perturbed_pass: PerturbedPass | None = None
    afferent: Afferent | None = None
    lower: tuple[Tape, ...] = ()
    upper: Tape | None = None
    _sent_back: dict[str, Tensor] = field(init=False, default_factory=dict, repr=False)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return self.rate.shape[0] - 1

    @property
    def readout(self) -> Tensor:
        """Readout weights, shape ``(O, N)``."""
        return self.population.readout

    @cached_property
    def filtered_error(self) -> Tensor:
        """Output error before the readout filter, ``(T + 1, B, O)``; ``output_error`` without a filter."""
        return self.through_readout(self.output_error) if self.upper is None else self.upper.filtered_error

    @cached_property
    def levels(self) -> tuple[Tape, ...]:
        """The tapes of all populations, from the last to the first, all with the same output error."""
        chain = [self]
        for each in self.lower:
            chain.append(
                each.changed(
                    upper=chain[-1],
                    outputs=self.outputs,
                    batch=self.batch,
                    lengths=self.lengths,
                    perturbed_pass=self.perturbed_pass,
                    output_error=self.output_error,
                    readout_leak=self.readout_leak,
                )
            )
        return tuple(chain)

    def changed(self, **values: object) -> Self:
        """Return a copy with other values of some fields; in a third of the time of `dataclasses.replace`."""
        given, scratch = _kinds_of_fields(type(self))
        made = object.__new__(type(self))
        made.__dict__.update({name: each for name, each in self.__dict__.items() if name in given})
        made.__dict__.update({name: make() for name, make in scratch.items()}, **values)
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
        """The trials.

        Raises:
            ValueError: The tape has no output error.
        """
        if self.batch is None:
            raise ValueError("the tape does not know its trials: use Learner.tape")
        return self.batch

    @property
    def perturbed(self) -> PerturbedPass:
        """The perturbed pass.

        Raises:
            ValueError: There is none.
        """
        if self.perturbed_pass is None:
            raise ValueError("the tape has no perturbed pass: the signal needs a perturbation eligibility")
        return self.perturbed_pass

    def scored(self, score_TBO: Tensor, batch: Batch | None = None) -> Tape:
        """Return the tape with its output error.

        Args:
            score_TBO: Output error ``dL/dy`` of the steps 1 to T, shape ``(T, B, O)``.
            batch: The trials.
        """
        raw = functional.pad(score_TBO, (0, 0, 0, 0, 1, 0))
        lengths = batch.trial_lengths if batch is not None and batch.padded else None
        tape = self.changed(batch=batch, lengths=lengths, output_error=raw)
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
        if not self.readout_leak:
            return signal
        filtered = signal * (1 - self.readout_leak)
        entries = filtered.unbind(0)
        for t in range(self.steps - 1, 0, -1):
            entries[t].add_(entries[t + 1], alpha=self.readout_leak)
        return filtered

    def windows(self) -> Iterator[slice]:
        """Yield windows of steps from the last to the first, sized to the cache of a CPU core.

        Time zero comes last, by itself, if the initial state is learned.
        """
        on_cpu = self.rate.device.type == "cpu"
        widest = max(tape.rate[0].numel() for tape in (self, *self.lower))
        size = max(1, WINDOW_BYTES // (widest * self.rate.element_size())) if on_cpu else self.steps
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
        signal = self.readout_links[0].connection.back(self.filtered_error[steps], weight)
        return signal if self.readout_back is None else self.readout_back(signal, steps)

    def send_back(self, signal: Tensor) -> None:
        """Store a state signal for ``errors`` of the population below.

        Args:
            signal: State signal of the steps at hand; not changed.
        """
        if self.afferent is not None:
            self._sent_back["signal"] = signal.clone()

    def backproject(self, steps: slice, weight: Tensor | None = None) -> Tensor:
        """Backproject the stored state signal to the rates of the population below.

        ``G = W^T (gain * L)`` within the step, W the weights from there; a new tensor.

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

    def rows_of(self, connection: Connection) -> Iterable[tuple[slice, slice]]:
        """Return rows of a connection and the drives that they reach; default all and the only one.

        Args:
            connection: The connection.
        """
        return ((slice(None), slice(None)),)

    def filter_back_(self, propagate_back_: Propagate, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter ``L_t`` into ``nu_t = L_t + D_{t+1}^T nu_{t+1}`` in place.

        Returns the filtered signal of the window's first step: ``later`` of the window before.

        Args:
            propagate_back_: Adds ``D_t^T later`` to a signal in place, from t, the signal and ``later``.
            signal: State signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: Filtered signal of the first step of the window after; ``None`` at the end of the trial.
        """
        entries = signal.unbind(0)
        if later is not None:
            propagate_back_(steps.stop, entries[-1], later)
        for index in range(len(entries) - 2, -1, -1):
            propagate_back_(steps.start + index + 1, entries[index], entries[index + 1])
        return entries[0].clone()

    def filter_leak_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter ``nu_t = L_t + leak_{t+1}^T nu_{t+1}`` in place; see ``filter_back_``."""
        return self.filter_back_(self.leak_, signal, steps, later)

    def filter_jacobian_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter ``nu_t = L_t + J_{t+1}^T nu_{t+1}`` in place; see ``filter_back_``."""
        return self.filter_back_(self.return_, signal, steps, later)

    def carry_(self, propagate_back_: Propagate, signal: Tensor, gradients: dict[str, Tensor]) -> bool:
        """Carry traces of all parameters at once and add ``sum_t L_t e_t``; return whether the tape does so.

        By default it does not: the eligibility has a trace for each connection.

        Args:
            propagate_back_: Adds ``D_t^T later`` to a signal in place, from t, the signal and ``later``.
            signal: State signal, shape ``(T + 1, B, N)``.
            gradients: Gradients by the names of the connections, changed in place.
        """
        return False
