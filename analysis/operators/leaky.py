"""Leaky cells, and cells without memory, differentiated twice.

Shapes: T time, B batch, V vectors, N cells, C steps of a window. What belongs to the cells has T + 1 entries, index t
is step t and index 0 the initial state.

A dot stands for the derivative along a vector of parameters. The gain of a drive is folded into the weights W wherever
it is constant. Without the terms of the second order, those with ``bent``, the pass backwards is that of a gradient,
with signals p to the rates.

    instant     z_t = f(u_t)                         slope = f'(u_t)
        forwards    z'_t = slope_t u'_t
        backwards   told'_t = slope_t p'_t + bent_t z'_t
    form A      v_t = k v_{t-1} + u_t,  z_t = f(v_t)         slope = f'(v_t)
        forwards    v'_t = k v'_{t-1} + u'_t,  z'_t = slope_t v'_t
        backwards   told'_t = slope_t p'_t + bent_t z'_t + k told'_{t+1}
    form B      z_t = k z_{t-1} + g f(u_t)           slope = g f'(u_t)
        forwards    a'_t = slope_t u'_t,  z'_t = k z'_{t-1} + a'_t
        backwards   q'_t = p'_t + k q'_{t+1},  told'_t = slope_t q'_t + bent_t a'_t

With ``f'' = bend f'`` (see ``tca.cells.activations``), bent is ``bend`` times the signal to the rate, p, or q in form
B. In ``u'_t`` and ``p'_t`` is what comes through recurrent weights, ``W z'_{t-1}`` and ``W^T told'_{t+1}``: it must be
added step by step, all else is added before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.operators.cells import Ahead, Back, Cells, Entries, Second, adder, each, flat, nothing

__all__ = ["Instant", "OnPotential", "OnRate"]


@dataclass(frozen=True, eq=False)
class Instant(Cells):
    """Cells without memory and recurrence."""

    def inner(self, tangent: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """Return that of the rates."""
        return tangent

    def ahead(self, run: Ahead) -> Callable[[slice], None]:
        """Multiply by the slope."""
        run.tangent[0] = 0.0

        def through(steps: slice) -> None:
            run.tangent[steps].mul_(self.slope[steps].unsqueeze(2))

        return through

    def back(self, run: Back) -> Callable[[slice, Tensor], None]:
        """Multiply by the slope, and bend."""

        def through(steps: slice, signal: Tensor) -> None:
            if run.bending is not None:
                run.bending[steps].mul_(signal.squeeze(2))
            signal.mul_(self.slope[steps].unsqueeze(2))
            if run.bent is not None and run.inner is not None:
                signal.addcmul_(run.bent[steps].unsqueeze(2), run.inner[steps])

        return through


@dataclass(frozen=True, eq=False, kw_only=True)
class OnPotential(Cells):
    """Form A.

    Attributes:
        leak: Leak per step, a number or ``(N,)``.
    """

    leak: Tensor | float

    def inner(self, tangent: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """Return that of the rates."""
        return tangent

    def ahead(self, run: Ahead) -> Callable[[slice], None]:
        """Move potentials, then rates."""
        entries, slope, add_leak = Entries.of(run.inner, self.weights), each(self.slope), adder(self.leak)
        weights, cube, rows = self.weights.t(), entries.cube, entries.flat
        state = run.initial.expand_as(cube[0]).clone(memory_format=torch.contiguous_format)
        wide = flat(state, self.weights)
        torch.mul(state, slope[0], out=cube[0])

        def through(steps: slice) -> None:
            for t in range(steps.start, steps.stop):
                add_leak(cube[t], state, out=state)
                wide.addmm_(rows[t - 1], weights)
                torch.mul(state, slope[t], out=cube[t])

        return through

    def back(self, run: Back) -> Callable[[slice, Tensor], None]:
        """Go from rates to potentials and add what comes back through their leak."""
        slope, add_leak, second = each(self.slope), adder(self.leak), Second.of(run)
        held = nothing(self.slope, run.vectors)

        def through(steps: slice, signal: Tensor) -> None:
            rows, cube = Entries.of(signal, self.weights)
            later, wide = held, flat(held, self.weights)
            for t in reversed(range(steps.start, steps.stop)):
                here = cube[t - steps.start]
                rows[t - steps.start].addmm_(wide, self.weights)
                second.meet_(t, here)
                here.mul_(slope[t])
                second.bend_(t, here)
                add_leak(here, later, out=here)
                later, wide = here, rows[t - steps.start]
            held.copy_(later)

        return through


@dataclass(frozen=True, eq=False, kw_only=True)
class OnRate(Cells):
    """Form B. At time zero the slope is one, nothing is bent, and what is told is the signal to the rate itself.

    Attributes:
        leak: Leak per step, a number or ``(N,)``.
    """

    leak: Tensor | float

    def inner(self, tangent: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """Return memory of its own."""
        return own()

    def ahead(self, run: Ahead) -> Callable[[slice], None]:
        """Move activities, then rates."""
        slope, add_leak, weights = each(self.slope), adder(self.leak), self.weights.t()
        tangent, inner = Entries.of(run.tangent, self.weights), Entries.of(run.inner, self.weights)
        tangent.cube[0].copy_(run.initial.expand_as(tangent.cube[0]))
        inner.cube[0].zero_()

        def through(steps: slice) -> None:
            for t in range(steps.start, steps.stop):
                inner.flat[t].addmm_(tangent.flat[t - 1], weights)
                inner.cube[t].mul_(slope[t])
                add_leak(inner.cube[t], tangent.cube[t - 1], out=tangent.cube[t])

        return through

    def back(self, run: Back) -> Callable[[slice, Tensor], None]:
        """Add what comes back through the leak of rates and go on to drives."""
        slope, add_leak, second = each(self.slope), adder(self.leak), Second.of(run)
        held, state = nothing(self.slope, run.vectors), nothing(self.slope, run.vectors)

        def through(steps: slice, signal: Tensor) -> None:
            rows, cube = Entries.of(signal, self.weights)
            wide = flat(held, self.weights)
            for t in reversed(range(steps.start, steps.stop)):
                here = cube[t - steps.start]
                rows[t - steps.start].addmm_(wide, self.weights)
                add_leak(here, state, out=state)
                second.meet_(t, state)
                torch.mul(state, slope[t], out=here)
                second.bend_(t, here)
                wide = rows[t - steps.start]
            held.copy_(cube[0])

        return through
