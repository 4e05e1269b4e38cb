"""The tape of a leaky population, whose state is one number per cell.

Shapes: T time, B batch, N cells, C consecutive steps.

A leaky population has one activation function f whose derivative enters once: as the slope if the leak is on the
potential (``s = v``, ``slope = f'(v)``, constant gain), or in the gain if the leak is on the rate (``s = z``,
``gain = alpha f'(u)``, slope one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.batch import Batch
from tca.cells.activations import Activation
from tca.connections.connection import Bias, Dense
from tca.connections.ensemble import EnsembleBias, EnsembleDense
from tca.kernels.compiled import CLASSES, Call, Passes, Return
from tca.losses import CrossEntropy
from tca.tape.local_step import LeakyStep
from tca.tape.tape import Tape

__all__ = ["LeakyTape"]

# Kinds of connections whose gradients are one compiled pass: from inputs, from cells, biases, readout and its biases.
ONE_PASS = (
    (Dense, Dense, Bias, Dense, Bias),
    (EnsembleDense, EnsembleDense, EnsembleBias, EnsembleDense, EnsembleBias),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeakyTape(Tape):
    """One forward pass of a leaky population; see `tca.tape.Tape` for the other attributes.

    Attributes:
        activity: Values of the activation function, shape ``(T + 1, B, N)``; the rate itself if the leak is on the
            potential.
        activation: The activation function. Its derivative is the slope of the rate if ``slope_at_emission`` (leak on
            the potential), else a part of the gain (leak on the rate).
        passes: The compiled passes of the population; ``None`` (default) for PyTorch's operations.
        delivered: Values that the readout weights deliver, shape ``(T, B, O)``; ``None`` (default) if not computed yet.
        call: The compiled pass where nothing but weights, constants and inputs goes into it; else ``None`` (default).
    """

    activity: Tensor
    activation: Activation
    passes: Passes | None = None
    delivered: Tensor | None = None
    call: Call | None = None

    def deliver(self, weights: Tensor) -> Tensor:
        return super().deliver(weights) if self.delivered is None else self.delivered

    def scored(self, batch: Batch) -> Tape:
        if self.passes is None or type(batch.loss) is not CrossEntropy or self.outputs.shape[-1] > CLASSES:
            return super().scored(batch)
        return self._with_raw(self.passes.library.class_error(self.outputs, batch.targets, batch.weights), batch)

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        if self.slope_at_emission:
            self.activation.times_slope_(signal, self.activity[steps])
        return signal

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        if not self.slope_at_emission:
            self.activation.times_slope_(signal, self.activity[steps])
        return signal

    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        if isinstance(self.leak, float):
            into.add_(later, alpha=self.leak)
        else:
            into.addcmul_(later, self.leak)

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        if not self.population.recurrent:
            return
        before, now = self._activities[t - 1], self._activities[t]
        self._return_(before, now, into, later, torch.mm, self.transmission, self._scratch)

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        if not self.population.recurrent:
            return
        steps = slice(first, first + len(later))
        before, now = self.activity[steps.start - 1 : steps.stop - 1], self.activity[steps]
        returned = torch.empty_like(later)
        scratch = (returned if self.slope_at_emission else torch.empty_like(later)), returned
        self._return_(before, now, into, later, torch.matmul, self.transmission, scratch)

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add the diagonal part of ``(J_t - leak)^T later``, that of autapses, to ``into`` in place."""
        if not self.population.recurrent:
            return
        before, now = self._activities[t - 1], self._activities[t]
        self._return_(before, now, into, later, torch.mul, self._own_transmission, self._scratch)

    def derivative(self, t: int) -> Tensor:
        """Return the derivative of the activation function at a step, shape ``(B, N)``."""
        return self.activation.slope(self.activity[t])

    def local_step(self, t: int) -> LeakyStep:
        like = self.rate

        def tensor(value: Tensor | float) -> Tensor:
            return value if isinstance(value, Tensor) else like.new_full((1,), value)

        emits = self.slope_at_emission
        return LeakyStep(
            pres=tuple(link.at(slice(t, t + 1))[0] for link in self.links),
            cells=like.shape[-1],
            leak=tensor(self.leak),
            gain=tensor(self.gain) if emits else tensor(self.gain) * self.derivative(t),
            slope=self.derivative(t) if emits else like.new_ones(1),
            slope_before=self.derivative(t - 1) if emits else like.new_ones(1),
            constant_gain=tensor(self.gain),
            recurrence=self.recurrence,
            to_go=self.to_go(t),
            constant_leak=tensor(self.leak) if emits else None,
        )

    def filter_leak_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter ``nu_t = L_t + leak nu_{t+1}`` in place, by a compiled pass if there is one; return the first step."""
        if self.passes is not None:
            self.passes.filter_(self._networks_first(signal), later)
            return signal[0].clone()
        for t, entry in zip(reversed(range(steps.start, steps.stop)), reversed(signal.unbind(0)), strict=True):
            if later is not None:
                self.leak_(t + 1, entry, later)
            later = entry
        return signal[0].clone()

    def filter_jacobian_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        if self.passes is None:
            return super().filter_jacobian_(signal, steps, later)
        activity, filtered = map(self._networks_first, (self.activity[steps.start :], signal))
        self.passes.adjoint_(self.recurrent, activity, filtered, later)
        return signal[0].clone()

    @property
    def in_one_pass(self) -> bool:
        """Whether ``gradients`` computes those of all connections: their kinds, and no other population."""
        links = (*self.links, *self.readout.links)
        if self.passes is None or self.lower or tuple(type(each.connection) for each in links) not in ONE_PASS:
            return False
        return not (self.readout.back is not None or self.readout.carried)  # outputs of more than the rates

    def gradients(self, feedback: Tensor | None, leak: bool, returned: Return | None) -> dict[str, Tensor]:
        """Return the gradients of all connections by one compiled pass, of a tape that is ``in_one_pass``.

        The learning signal is the output error through feedback weights, times the slope.

        Args:
            feedback: Feedback weights, shape ``(O, N)``; ``None`` for those of the readout.
            leak: Whether the filter is that of the leak.
            returned: The signals that return through synapses; ``None`` if there are none.
        """
        assert self.passes is not None
        links = (*self.links, *self.readout.links)
        connections = [each.connection for each in links]
        gradients = tuple(each.weight.new_empty(each.weight.shape) for each in connections)
        timed = (links[0].pre, self.rate, self.activity, self.filtered_error, self.output_error)
        self.passes.gradients_(
            gradients,
            leak,
            returned,
            self.readout.links[0].connection.effective() if feedback is None else feedback,
            *map(self._networks_first, timed),
        )
        return {one.name: one.finish(gradient) for one, gradient in zip(connections, gradients, strict=True)}

    def _networks_first(self, values: Tensor) -> Tensor:
        """Return values of several steps with the axis of networks first, if there are several."""
        return values

    @property
    def synapses(self) -> Tensor:
        """Recurrent weights W, shape ``(N, N)``."""
        return self.recurrent

    def _return_(
        self,
        before: Tensor,
        now: Tensor,
        into: Tensor,
        later: Tensor,
        through: Callable[..., Tensor],
        weights: Tensor,
        scratch: tuple[Tensor, Tensor],
    ) -> None:
        """Add the backpropagated signal to ``into``, the slope applied before or after the weights."""
        sent, returned = scratch
        if self.slope_at_emission:
            through(later, weights, out=returned)
            self.activation.times_slope_(returned, before)
        else:
            sent.copy_(later)
            self.activation.times_slope_(sent, now)
            through(sent, weights, out=returned)
        into.add_(returned)

    @cached_property
    def _own_transmission(self) -> Tensor:
        return self.transmission.diagonal().contiguous()

    @cached_property
    def _scratch(self) -> tuple[Tensor, Tensor]:
        """Two tensors of a single step, reused at every step, since allocation costs more than the computation."""
        return torch.empty_like(self.rate[0]), torch.empty_like(self.rate[0])

    @cached_property
    def _activities(self) -> tuple[Tensor, ...]:
        return self.activity.unbind(0)
