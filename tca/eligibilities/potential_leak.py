"""The leak of the potential alone as propagator: the presynaptic trace of OTTT.

Shapes: B batch, S components of a cell's state, I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.leak import Leak
from tca.eligibilities.traces import PresynapticTrace, SynapticTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["PotentialLeak"]


@dataclass(frozen=True)
class PotentialLeak(Leak):
    """``D_t = P leak_t P``, ``P`` the projection of the state onto the driven component, the potential.

    The trace of a spiking cell is ``a_t = kappa a_{t-1} + pre_t``, one number per presynaptic cell and time constant:
    neither adaptation nor, unless ``reset_in_trace``, the reset takes part. With the errors of the step, through the
    layers above within the step, this is online training through time. Cells whose state is one number have the trace
    of ``Leak``.

    Paper: Xiao, Meng, Zhang, He and Lin (2022), Online training through time for spiking neural networks, NeurIPS,
    arXiv:2210.04195.
    """

    equation: ClassVar[str] = "D_t = leak of the potential"

    def check(self, population: Population) -> None:
        if population.general and population.components > 1:
            raise ValueError(
                f"{type(self).__name__} keeps the only component that is driven, and cells of {population.title} have "
                f"{population.components}, which may all be: use Leak()"
            )

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        if into.ndim < tape.rate.ndim:
            super().propagate_back_(tape, t, into, later)
            return
        driven = torch.zeros_like(later)
        driven.select(-2, 0).copy_(later.select(-2, 0))
        super().propagate_back_(tape, t, into, driven)  # no connection drives the other components: they are not read

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        if step.components == 1:
            return super().trace(connection, step, trials)
        if step.constant_leak is None:
            return DrivenTrace(SynapticTrace(connection, trials, lambda now: now.leak[:, 0, 0]), step.components)
        return DrivenTrace(PresynapticTrace(connection, step, trials), step.components)


class DrivenTrace(Trace):
    """A trace of the driven component, zero in all others."""

    def __init__(self, potential: PresynapticTrace | SynapticTrace, components: int) -> None:
        """Bind the trace of the potential.

        Args:
            potential: The trace of the potential before its first step.
            components: Components S of a cell's state.
        """
        self.potential, self.components = potential, components

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        self.potential.advance(step, pre)

    def dense(self) -> Tensor:
        """Return the trace of every synapse, shape ``(B, S, I, J)``."""
        dense = self.potential.dense()
        return torch.stack([dense, *[torch.zeros_like(dense)] * (self.components - 1)], 1)

    def gradient(self, signal: Tensor) -> Tensor:
        return self.potential.gradient(signal[:, 0])
