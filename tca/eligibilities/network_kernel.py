"""Mean-field memory through other cells with nonnegative recurrent weights.

Shapes: T time, B batch, N entries of the vectors of all cells, J presynaptic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.connections.vector_weights import Vectors
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.instant import Instant
from tca.eligibilities.leak import Leak
from tca.eligibilities.traces import Trace
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import NotNegative, checked

__all__ = ["NetworkKernel"]


class NetworkTrace(Trace):
    """``e_ij,t = lambda e_ij,t-1 + G_i,t p_ij,t``, ``p`` another trace."""

    def __init__(self, inner: Trace, decay: Callable[[float, float, float | None], float]) -> None:
        """Start at zero.

        Args:
            decay: Function from leak, gain and the network's Perron root to lambda.
        """
        self.inner, self.decay = inner, decay
        self.value = torch.zeros_like(inner.dense())

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the inner trace, decay the outer, add the gated inner one."""
        self.inner.advance(step, pre)
        decay = self.decay(float(step.leak), float(step.constant_gain), step.perron_root_bound)
        self.value.mul_(decay).add_(step.slope.unsqueeze(-1) * self.inner.dense())

    def dense(self) -> Tensor:
        return self.value


@checked
@dataclass(frozen=True)
class NetworkKernel(Eligibility):
    """``e_ij,t = lambda e_ij,t-1 + G_i,t p_j,t`` with ``lambda = leak + gain root``: paths through the other cells.

    In a recurrent network of vectors with nonnegative weights all paths from a cell to the outputs are nonnegative.
    Their mean field is one kernel for all cells, which depends on the recurrent weights through their gated Perron root
    alone; `tca.nets.VectorRNN` bounds that root. The gate belongs to the step at which the trace grows, hence the
    signal must not be gated: ``Rule(GlobalVector(gated=False), NetworkKernel())``.

    Args:
        perron_root: Gated Perron root of the recurrent weights; ``None`` (default) for the network's own bound, which
            networks with weights of both signs do not have.
        leaky: Whether p is the leaky trace ``p_t = leak p_t-1 + gain pre_t`` (default), so that the leak counts twice,
            or ``gain pre_t``.

    Derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089; the nearest published relative is
    Liu et al. (2022), NeurIPS, arXiv:2206.01338.
    """

    perron_root: NotNegative | None = None
    leaky: bool = True
    local: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    of_states: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        return f"e_t = (leak + {'root' if self.perron_root is None else self.perron_root} gain) e_t-1 + G_t p_t"

    @property
    def inner(self) -> Eligibility:
        """The eligibility of the trace p."""
        return Leak() if self.leaky else Instant()

    def check(self, population: Population) -> None:
        """Refuse cells that are not recurrent vectors, or without a root."""
        if not population.recurrent or not isinstance(population.onwards, Vectors):
            raise ValueError(
                f"NetworkKernel needs recurrent cells that carry vectors, and {population.title} has none: "
                "use nets.VectorRNN"
            )
        if self.perron_root is None and population.perron_root_bound is None:
            raise ValueError(
                "perron_root must be given to NetworkKernel, for example NetworkKernel(0.9), since "
                f"{population.title} keeps none: "
                "its recurrent weights have both signs"
            )

    def decay(self, leak: float, gain: float, kept: float | None = None) -> float:
        """Return the decay factor ``lambda`` of output errors per step.

        Args:
            leak: Leak of the cells per step.
            kept: The network's bound of the root, used without one of the kernel; ``None`` (default) if it has none.

        Raises:
            ValueError: Neither is given.
        """
        root = kept if self.perron_root is None else self.perron_root
        if root is None:
            raise ValueError("perron_root must be given to NetworkKernel, since the network keeps none")
        return leak + gain * root

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Refuse: the gated kernel is no propagator of states."""
        raise TypeError("NetworkKernel has no propagator of states; filter_ and trace apply it")

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter by the kernel, the gates and the inner trace in place.

            s^_t = s_t + lambda s^_t+1,   nu_t = G_t s^_t + leak nu_t+1

        Args:
            signal: Ungated signal of these steps, shape ``(C, B, N)``.
            steps: The steps, counted from the initial state.
            later: Both filters at the first step of the window after this one, shape ``(2, B, N)``; ``None`` at the
                end of the trial.
        """
        assert isinstance(tape.leak, float)
        assert isinstance(tape.gain, float)
        decay = self.decay(tape.leak, tape.gain, tape.population.perron_root_bound)
        scores, filtered = (None, None) if later is None else later.unbind(0)
        entries = signal.unbind(0)
        if scores is not None:
            entries[-1].add_(scores, alpha=decay)
        for index in range(len(entries) - 2, -1, -1):
            entries[index].add_(entries[index + 1], alpha=decay)
        first = signal[0].clone()
        tape.lift(signal, steps)
        kept = self.inner.filter_(tape, signal, steps, filtered)
        return torch.stack([first, kept])

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return NetworkTrace(self.inner.trace(connection, step, trials), self.decay)
