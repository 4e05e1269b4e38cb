"""The derivatives of a step of a population, which a tape defines for its kind of cell.

Shapes: T time, B batch, N cells, C consecutive steps.

The state of a population obeys ``s_t = leak s_{t-1} + gain_t u_t`` to first order, ``u_t`` the drive, and its rate
``z_t`` has the slope ``dz_t/ds_t``. From these, with recurrent weights W, the Jacobian of the state from one step to
the next is

    J_t = leak + diag(gain_t) W diag(slope_{t-1}).

The state of a leaky population is one number per cell (``tca.tape.leaky_tape``), that of a spiking one two, the
potential and the adaptation (``tca.tape.spiking_tape``). A tensor over states has the shape ``(..., N)`` for the first
and ``(..., 2, N)`` for the second, components before cells; leak, gain and slope are then blocks per cell.

A learning signal has three levels: a *rate* signal acts on ``z_t``, a *state* signal on ``s_t``, a *drive* signal on
``u_t``. The slope turns the first into the second, the gain the second into the third.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from functools import cached_property

from torch import Tensor

from tca.connections.connection import Connection
from tca.tape.local_step import LocalStep
from tca.tape.weight_estimates import Recurrence, TypeMeans

__all__ = ["Propagate", "StepDerivatives"]

Propagate = Callable[[int, Tensor, Tensor], None]


class StepDerivatives(abc.ABC):
    """Slope, gain, leak and recurrent transmission of every step, applied to signals."""

    gain: Tensor | float
    recurrence: Recurrence

    @property
    def recurrent(self) -> Tensor:
        """Recurrent weights W, shape ``(N, N)``; empty if there are none."""
        return self.recurrence.weights

    @abc.abstractmethod
    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal, times the slope ``dz/ds``; overwrites the signal.

        Args:
            signal: Signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
        """

    @abc.abstractmethod
    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a state signal as a drive signal, without the constant gain; overwrites the signal.

        Args:
            signal: State signal of these steps.
            steps: The steps, counted from the initial state.
        """

    @abc.abstractmethod
    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``leak_t^T later`` to ``into`` in place.

        Args:
            t: The step of the leak, 1 to T; the first one if ``later`` holds several.
            into: State signal of the step before, or of the steps before.
            later: State signal of the step or steps, same shape.
        """

    @abc.abstractmethod
    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``(J_t - leak)^T later``, the recurrent part, to ``into`` in place.

        Args:
            t: The step of the Jacobian, 1 to T.
            into: State signal of step t - 1.
            later: State signal of step t; not changed.
        """

    def return_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``J_t^T later``, through leak and recurrent synapses, to ``into`` in place.

        Args:
            t: The step of the Jacobian, 1 to T.
            into: State signal of step t - 1.
            later: State signal of step t; not changed.
        """
        self.leak_(t, into, later)
        self.transmit_(t, into, later)

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

    @abc.abstractmethod
    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        """Add ``(J_t - leak)^T later_t`` to ``into_{t-1}`` in place for many steps at once.

        Args:
            into: State signals of the steps before those of ``later``.
            later: State signals of consecutive steps, same shape; not changed.
            first: The first step of ``later``, default 1.
        """

    @abc.abstractmethod
    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add the part of ``(J_t - leak)^T later`` within each cell, autapses, to ``into`` in place.

        Args:
            t: The step of the Jacobian, 1 to T.
            into: State signal of step t - 1.
            later: State signal of step t; not changed.
        """

    @abc.abstractmethod
    def derivative(self, t: int) -> Tensor:
        """Return the derivative of the activation function, or the surrogate gradient, ``(B, N)``.

        Args:
            t: The step, counted from the initial state.
        """

    @abc.abstractmethod
    def local_step(self, t: int) -> LocalStep:
        """Return the local quantities of step t.

        Args:
            t: The step, 1 to T.
        """

    @property
    @abc.abstractmethod
    def synapses(self) -> Tensor:
        """Recurrent weights including the reset, shape ``(N, N)``: ``J - leak = gain synapses slope``."""

    def return_by_type_(self, into: Tensor, later: Tensor, slope: float) -> None:
        """Add ``(gain m W_ab)^T later``, the feedback by cell type, to ``into`` in place.

        Args:
            into: State signals, shape ``(..., N)``.
            later: State signals of the steps after, same shape; not changed.
            slope: The constant slope m.
        """
        gather, spread = self._by_type
        into.add_(later @ gather @ spread, alpha=slope)

    @cached_property
    def transmission(self) -> Tensor:
        """Recurrent weights including the reset times the constant gain, shape ``(N, N)``."""
        return self.synapses * (self.gain if isinstance(self.gain, float) else self.gain.unsqueeze(-1))

    @cached_property
    def type_means(self) -> TypeMeans:
        """Mean recurrent weight of every pair of cell types."""
        return TypeMeans.of(self.recurrence.weights, self.recurrence.types)

    @cached_property
    def _by_type(self) -> tuple[Tensor, Tensor]:
        """Factors of the feedback by type: gain-weighted sums over types, ``(N, A)``, and back, ``(A, N)``."""
        members, weights = self.type_means
        gain = self.gain if isinstance(self.gain, float) else self.gain.unsqueeze(-1)
        return members * gain, weights @ members.mT

    def rows_of(self, connection: Connection) -> Iterable[tuple[slice, slice]]:
        """Return rows of a connection and the drives that they reach; default all and the only one."""
        return ((slice(None), slice(None)),)
