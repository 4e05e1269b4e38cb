"""Kernel RNN learning: influence and time constants learned from perturbations.

Shapes: B batch, I = N postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.draws import DRAWS
from tca.eligibilities.factors import StochasticEligibility
from tca.eligibilities.traces import SynapticTrace, Trace, over
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.utils.checks import NotNegative, checked
from tca.utils.noise import NoiseDistribution, Normal, source

__all__ = ["LearnedKernel"]


@checked
@dataclass(frozen=True)
class LearnedKernel(StochasticEligibility):
    """``P_t,l,ij ~ A_li C_t,ij`` with ``C_ij,t = k_i C_ij,t-1 + gain_i pre_j`` and ``k = 1 - gamma``: KeRNL.

    The effect of a cell on the others is ``A`` times a memory that decays with ``gamma``. Both are learned by
    predicting the effect of state perturbations. Noise ``zeta_t`` is added to the states after every
    step, the difference to the unperturbed network is ``d_t = J_t d_{t-1} + zeta_t``, the prediction ``A Om_t`` with
    ``Om_t = k Om_{t-1} + zeta_t``, and after every step

        A <- A - rate (A Om - d) Om^T,    gamma <- gamma - rate (A^T (A Om - d)) Gam,    Gam = dOm / dgamma,

    with means over the trials that still run and the rates divided by the number of cells. This is the limit of small
    perturbations, free of cancellation; the size of the noise is a factor of the rates. A perturbation enters at the
    same point of a step as synaptic input, so that one memory serves both.

    ``A`` is in the buffer ``kernel``, ``gamma`` in ``decay``, the seed of the noise in ``draws``; they persist across
    batches. With both rates zero, ``A`` the identity and ``gamma`` one minus the leak it is the trace of RFLO.

    Args:
        decay: First value of gamma, default 0.8, in [0, 1].
        kernel_rate: Learning rate of A times the number of cells, default 0.1; zero freezes it.
        decay_rate: Learning rate of gamma times the number of cells, default 0.1; zero freezes it.
        noise: Distribution of the perturbations, default normal with variance one.

    Raises:
        ValueError: ``decay`` is not in [0, 1], or a rate is negative.

    Paper: Roth, Kanitscheider and Fiete (2019), ICLR.
    """

    decay: float = 0.8
    kernel_rate: NotNegative = 0.1
    decay_rate: NotNegative = 0.1
    noise: NoiseDistribution = field(default_factory=Normal)
    local: ClassVar[bool] = False
    equation: ClassVar[str] = "e_t = A (x) C_t, C_t = (1 - gamma) C_t-1 + gain (x) pre, A and gamma learned"

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay of the kernel must lie in [0, 1], got {self.decay}")

    def check(self, population: Population) -> None:
        """Refuse populations other than one of recurrent rate cells."""
        if population.components > 1 or not population.recurrent:
            raise ValueError(
                f"{type(self).__name__} learns how recurrent cells with one number as their state reach one another, "
                f"and {population.title} has no such cells"
            )
        if not population.alone:
            raise ValueError(
                f"{type(self).__name__} learns the kernel of one recurrent population from perturbations in it, and "
                f"{population.title} is not alone: paths that lead through another would be missing"
            )

    def buffers(self, population: Population, generator: torch.Generator) -> dict[str, Tensor]:
        """Start with the identity as kernel."""
        own = torch.eye(population.cells, dtype=torch.float64, device="cpu").to(population.like)
        return super().buffers(population, generator) | {
            "kernel": own,
            "decay": torch.full((population.cells,), self.decay, dtype=torch.float64, device="cpu").to(population.like),
        }

    def traces(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, buffers: dict[str, Tensor]
    ) -> list[Trace]:
        """Return traces that share the learned kernel."""
        kernel = _Kernel(self, step, trials, buffers)
        return [_KernelTrace(kernel, connection, trials) for connection in connections]


class _Kernel:
    """``A`` and ``gamma`` of a population, learned from perturbations."""

    def __init__(self, kind: LearnedKernel, step: LocalStep, trials: int, buffers: dict[str, Tensor]) -> None:
        """Start a trial without perturbation.

        Args:
            kind: The learning rates and the noise.
            buffers: ``A``, ``gamma`` and the seed; the first two are changed in place.
        """
        self.kind, self.reach, self.gamma = kind, buffers["kernel"], buffers["decay"]
        self.generator = source(buffers[DRAWS])
        self.difference, self.memory, self.slope = self.reach.new_zeros(3, trials, step.cells).unbind(0)
        self.step: LocalStep | None = None

    @property
    def kept(self) -> Tensor:
        """Decay factor of each cell's memory per step, shape ``(N,)``."""
        return (1 - self.gamma).clamp(min=0)

    def catch_up(self, step: LocalStep) -> None:
        """Perturb, predict and learn, once a step for all connections.

        Args:
            step: The local quantities of the step.
        """
        if step is self.step:
            return
        self.step = step
        zeta = self.kind.noise.draw(tuple(self.memory.shape), self.generator).to(self.memory)
        passed = step.kept(self.difference)
        self.difference = passed + step.transmitted(self.difference) + zeta
        self.slope = self.kept * self.slope - self.memory
        self.memory = self.kept * self.memory + zeta
        self._learn(step.to_go)

    def _learn(self, to_go: int | Tensor | None) -> None:
        """Learn from the trials that still run.

        Args:
            to_go: Number of later steps, one for all trials or one each, negative after the end.
        """
        trials, cells = self.memory.shape
        error = self.memory @ self.reach.t() - self.difference
        if isinstance(to_go, Tensor):
            runs = to_go >= 0
            trials, error = max(1, int(runs.sum())), error.masked_fill(~runs.unsqueeze(-1), 0.0)
        change = (error @ self.reach * self.slope).sum(0)
        self.reach.sub_(error.t() @ self.memory, alpha=self.kind.kernel_rate / (trials * cells))
        self.gamma.sub_(change, alpha=self.kind.decay_rate / (trials * cells)).clamp_(0, 1)


class _KernelTrace(Trace):
    """The eligibility trace of one connection, multiplied by ``A``."""

    def __init__(self, kernel: _Kernel, connection: Connection, trials: int) -> None:
        self.kernel = kernel
        self.own = SynapticTrace(connection, trials, lambda step: kernel.kept.unsqueeze(0))

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Update ``A`` and ``gamma`` once a step, then advance the synapses."""
        self.kernel.catch_up(step)
        self.own.advance(step, pre)

    def dense(self) -> Tensor:
        return over(self.kernel.reach, self.own.value.shape[1]).unsqueeze(-1) * self.own.dense().unsqueeze(1)

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``sum_b (A^T L)_bi C_bij``."""
        return self.own.gradient(signal @ self.kernel.reach)
