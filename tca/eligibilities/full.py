"""The Jacobian as propagator: the influence matrix of RTRL, whole or windowed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import InfluenceTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape
from tca.utils.checks import Count, checked

__all__ = ["Full", "Restarted", "Windowed"]


@dataclass(frozen=True)
class Full(Eligibility):
    """``D_t = J_t``: the influence of a synapse on every cell, through every path.

    With the direct signal, run forwards, this is real-time recurrent learning, at a cost of ``N^2 I J`` a step and
    trial; run backwards, backpropagation through time.

    Paper: Williams and Zipser (1989), Neural Computation 1:270.
    """

    local: ClassVar[bool] = False
    joint: ClassVar[bool] = True
    equation: ClassVar[str] = "D_t = J_t"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``J_t^T later``."""
        tape.return_(t, into, later)

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        if type(self).propagate_back_ is not Full.propagate_back_:  # the propagator of a subclass
            return super().filter_(tape, signal, steps, later)
        return tape.filter_jacobian_(signal, steps, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return InfluenceTrace(connection, trials, lambda now: now.leak_matrix() + now.transmission(), step.components)


@checked
@dataclass(frozen=True)
class Windowed(Eligibility):
    """``D_t = J_t`` except at a cut every ``steps``.

    Cuts are counted from the end of each trial, so that its last window is whole. At a cut, before step t where ``(T -
    t + 1) mod steps = 0``, ``D_t = 0``; with ``keep_leak`` only the recurrent transmission is cut (``D_t = leak``). The
    second is not a truncation: the leak carries credit across every cut, so that with windows of one step it is e-prop.

    Args:
        steps: Length of a window, default 10, at least 1. T cuts off a learned initial state only; beyond T there is no
            cut.
        keep_leak: Whether the leak crosses a cut, default ``False``.

    Papers: Williams and Peng (1990), Neural Computation 2:490; Liu et al. (2025), arXiv:2506.06904 (the cut that keeps
    the leak).
    """

    steps: Count = 10
    keep_leak: bool = False
    local: ClassVar[bool] = False
    joint: ClassVar[bool] = True

    @property
    def equation(self) -> str:
        return f"D_t = J_t, every {self.steps} steps from the end {'leak' if self.keep_leak else '0'}"

    def cuts(self, to_go: int | Tensor) -> bool | Tensor:
        """Return whether there is a cut before step t.

        Args:
            to_go: ``T - t``, T the number of steps of the trial; a tensor for one value per trial.
        """
        return (to_go + 1) % self.steps == 0

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        cut = self.cuts(tape.to_go(t))
        if isinstance(cut, Tensor):  # trials of different lengths have their cuts at different steps
            passing = later.masked_fill(cut.view(-1, *[1] * (later.ndim - 1)), 0.0)
            tape.leak_(t, into, later if self.keep_leak else passing)
            tape.transmit_(t, into, passing)
            return
        if not cut or self.keep_leak:
            tape.leak_(t, into, later)
        if not cut:
            tape.transmit_(t, into, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Return a dense influence trace.

        Raises:
            ValueError: The end of the trial, from which the cuts are counted, is not given.
        """
        if step.to_go is None:
            raise ValueError(
                "Windowed counts its windows from the end of the trial: give the number of steps to stream()"
            )
        return InfluenceTrace(connection, trials, self._propagator, step.components)

    def _propagator(self, step: LocalStep) -> Tensor:
        leak, cut = step.leak_matrix(), self.cuts(0 if step.to_go is None else step.to_go)
        kept = leak if self.keep_leak else torch.zeros_like(leak)
        if isinstance(cut, Tensor):
            return torch.where(cut.view(-1, 1, 1), kept, leak + step.transmission())
        return kept if cut else leak + step.transmission()


@checked
@dataclass(frozen=True)
class Restarted(Full):
    """``D_t = J_t``, and 0 after every ``steps`` steps counted from the start of the trial; forwards alone.

    Args:
        steps: Length of a window, default 10, at least 1.
    """

    steps: Count = 10
    executions: ClassVar[tuple[str, ...]] = ("forward",)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        times = count()

        def propagator(now: LocalStep) -> Tensor:
            whole, t = now.leak_matrix() + now.transmission(), next(times)
            return torch.zeros_like(whole) if t and t % self.steps == 0 else whole

        return InfluenceTrace(connection, trials, propagator, step.components)
