"""One step of a leaky population differentiated by hand, for each form of the leak; the equations are in ``leaky``.

Shapes: T time, B batch, V vectors, N cells, C steps of a window. What belongs to the cells has T + 1 entries, index 0
being the initial state.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from tca.nets.forms import Form, LeakOnPotential, LeakOnRate
from tca.workspace import Workspace

__all__ = ["STEPS", "Ahead", "Back", "Entries", "Steps", "adder"]

AddLeak = Callable[..., Tensor]
"""``(x, y, out=z)``: write ``x + k y`` into z, which may be x or y, all of shape ``(B, V, N)``."""


class Entries(NamedTuple):
    """What a tensor holds at every step, in the shape for matrix products and in that for all else.

    Attributes:
        flat: Each ``(B * V, N)``.
        cube: Each ``(B, V, N)``.
    """

    flat: Sequence[Tensor]
    cube: Sequence[Tensor]

    @classmethod
    def of(cls, whole: Tensor) -> Entries:
        """Return those of a tensor of shape ``(C, B, V, N)``."""
        return cls(whole.flatten(1, 2).unbind(0), whole.unbind(0))


class Ahead(NamedTuple):
    """A pass forwards.

    Attributes:
        inner: Changes of the drives but for their recurrent part, which turn into those of the potentials times the
            slope (form A) or of the activities times the gain (form B).
        tangent: Changes of the rates; form A has them in ``inner``.
        state: Change of the potential in form A, a single entry.
        slope: Slopes, each ``(B, 1, N)``.
        weights: Folded recurrent weights, presynaptic axis first.
        add_leak: What adds a leaky part.
    """

    inner: Entries
    tangent: Entries
    state: Entries
    slope: Sequence[Tensor]
    weights: Tensor
    add_leak: AddLeak


class Back(NamedTuple):
    """A pass backwards.

    Attributes:
        slope: Slopes, each ``(B, 1, N)``.
        state: Signal to the rate of the step after in form B, shape ``(B, V, N)``.
        add_leak: What adds a leaky part.
        inner: What the pass forwards has left there; ``None`` for a pass of the first order.
        bent: What bends the signals, each ``(B, 1, N)``; ``None`` if nothing does, or for a pass of the first order.
        bending: What is to be multiplied by the signal to the rate, each ``(B, 1, N)``; ``None`` for nothing.
    """

    slope: Sequence[Tensor]
    state: Tensor
    add_leak: AddLeak
    inner: Sequence[Tensor] | None = None
    bent: Sequence[Tensor] | None = None
    bending: Sequence[Tensor] | None = None


@dataclass(frozen=True)
class Steps(abc.ABC):
    """A form of the leak."""

    @abc.abstractmethod
    def finish_slope_(self, slope: Tensor, gain: Tensor | float) -> None:
        """Turn the slope of the activation function into that of the equations.

        Args:
            slope: The slope, shape ``(T + 1, B, N)``.
            gain: One minus the leak, a number or ``(N,)``.
        """

    @abc.abstractmethod
    def finish_bend_(self, bend: Tensor) -> None:
        """Turn the bend of the activation function into that of the equations.

        Args:
            bend: The bend, shape ``(T + 1, B, N)``.
        """

    @abc.abstractmethod
    def inner(self, tangent: Tensor, scratch: Workspace) -> Tensor:
        """Return memory for the drives of a pass forwards.

        Args:
            tangent: Memory for the changes of the rates, shape ``(T + 1, B, V, N)``.
            scratch: Where memory is found.
        """

    @abc.abstractmethod
    def start_(self, run: Ahead, initial: Tensor) -> None:
        """Begin a pass forwards.

        Args:
            run: The pass.
            initial: Change of the initial state, broadcastable to ``(B, V, N)``.
        """

    @abc.abstractmethod
    def ahead_(self, run: Ahead, t: int) -> None:
        """Take a step forwards.

        Args:
            run: The pass.
            t: The step, from 1 to T.
        """

    @abc.abstractmethod
    def back_(self, run: Back, t: int, signal: Tensor, later: Tensor) -> None:
        """Turn ``p'_t`` into ``told'_t`` in place.

        Args:
            run: The pass.
            t: The step, from T to 0.
            signal: The ``p'_t``, shape ``(B, V, N)``, of form B but for what comes back through the leak.
            later: The ``told'_{t+1}``, same shape.
        """


@dataclass(frozen=True)
class OnPotential(Steps):
    """Form A."""

    def finish_slope_(self, slope: Tensor, gain: Tensor | float) -> None:
        """Leave it: the gain is folded into the weights."""

    def finish_bend_(self, bend: Tensor) -> None:
        """Leave it."""

    def inner(self, tangent: Tensor, scratch: Workspace) -> Tensor:
        """Return that of the rates itself."""
        return tangent

    def start_(self, run: Ahead, initial: Tensor) -> None:
        """Set ``v'_0`` and ``z'_0``."""
        (state,) = run.state.cube
        state.copy_(initial.expand_as(state))
        torch.mul(state, run.slope[0], out=run.tangent.cube[0])

    def ahead_(self, run: Ahead, t: int) -> None:
        """Move the potential, then the rate."""
        state = run.state.cube[0]
        run.add_leak(run.inner.cube[t], state, out=state)
        run.state.flat[0].addmm_(run.tangent.flat[t - 1], run.weights)
        torch.mul(state, run.slope[t], out=run.tangent.cube[t])

    def back_(self, run: Back, t: int, signal: Tensor, later: Tensor) -> None:
        """Go from the rate to the potential and add what comes back through its leak."""
        if run.bending is not None:
            run.bending[t].mul_(signal)
        signal.mul_(run.slope[t])
        if run.bent is not None and run.inner is not None:
            signal.addcmul_(run.bent[t], run.inner[t])
        run.add_leak(signal, later, out=signal)


@dataclass(frozen=True)
class OnRate(Steps):
    """Form B. At time zero the slope is one, the bend zero, and what is told the signal to the rate itself."""

    def finish_slope_(self, slope: Tensor, gain: Tensor | float) -> None:
        """Multiply by the gain."""
        slope.mul_(gain)
        slope[0] = 1.0

    def finish_bend_(self, bend: Tensor) -> None:
        """Set it to zero at time zero."""
        bend[0] = 0.0

    def inner(self, tangent: Tensor, scratch: Workspace) -> Tensor:
        """Return memory of its own."""
        return scratch.empty("inner", tuple(tangent.shape), tangent)

    def start_(self, run: Ahead, initial: Tensor) -> None:
        """Set ``z'_0``."""
        run.tangent.cube[0].copy_(initial.expand_as(run.tangent.cube[0]))
        run.inner.cube[0].zero_()

    def ahead_(self, run: Ahead, t: int) -> None:
        """Move the activity, then the rate."""
        run.inner.flat[t].addmm_(run.tangent.flat[t - 1], run.weights)
        run.inner.cube[t].mul_(run.slope[t])
        run.add_leak(run.inner.cube[t], run.tangent.cube[t - 1], out=run.tangent.cube[t])

    def back_(self, run: Back, t: int, signal: Tensor, later: Tensor) -> None:
        """Add what comes back through the leak of the rate and go on to the drive."""
        run.add_leak(signal, run.state, out=run.state)
        if run.bending is not None:
            run.bending[t].mul_(run.state)
        torch.mul(run.state, run.slope[t], out=signal)
        if run.bent is not None and run.inner is not None:
            signal.addcmul_(run.bent[t], run.inner[t])


def adder(leak: Tensor | float) -> AddLeak:
    """Return what adds a leaky part.

    Args:
        leak: Leak per step, a number or ``(N,)``.
    """
    if isinstance(leak, float):
        return partial(torch.add, alpha=leak)
    return lambda x, y, out: torch.addcmul(x, y, leak, out=out)


STEPS: dict[type[Form], Steps] = {LeakOnPotential: OnPotential(), LeakOnRate: OnRate()}
