"""Kronecker-factored approximations of the influence matrix.

Shapes: B batch, I = N postsynaptic cells, J presynaptic, S components of a cell's state, M = S N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.factors import Factored, Factors, RandomFactors, balance, length
from tca.tape.local_step import LocalStep
from tca.utils.checks import checked
from tca.utils.noise import NoiseDistribution, Signs

__all__ = ["KFRTRL", "ReverseKFRTRL"]


@checked
@dataclass(frozen=True)
class KFRTRL(Factored):
    """``P_t,m,ij ~ C_t,mi A_t,j``: randomly signed presynaptic sums times a matrix over cells.

    With two fresh signs ``xi, xi'`` a step, ``A_t = xi p0 A_{t-1} + xi' p1 pre_t`` and
    ``C_t = xi J_t C_{t-1} / p0 + xi' diag(gain_t) / p1``. It is unbiased, with less variance than UORO,
    for a product of two matrices over cells, ``N^3``, a step and trial.

    Args:
        noise: Distribution of ``xi`` and ``xi'``, default signs; its variance must be one.

    Paper: Mujika, Meier and Steger (2018), NeurIPS, arXiv:1805.10842 (KF-RTRL).
    """

    noise: NoiseDistribution = field(default_factory=Signs)
    equation: ClassVar[str] = "e_t = C_t (x) A_t, A_t = xi p0 A_t-1 + xi' p1 pre, C_t = xi J_t C_t-1/p0 + xi' gain/p1"

    def factors(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, generator: torch.Generator
    ) -> Factors:
        return _KFRTRL(connections, step, trials, self.noise, generator)


@checked
@dataclass(frozen=True)
class ReverseKFRTRL(Factored):
    """``P_t,m,ij ~ A_t,i C_t,mj``: a random direction over postsynaptic cells, times a matrix of states and inputs.

    With fresh ``xi_t`` of variance one for every cell, ``A_t = p0 A_{t-1} + p1 xi_t`` and ``C_t = J_t C_{t-1} / p0 +
    (xi_t gain_t) (x) pre_t / p1``.

    Args:
        noise: Distribution of ``xi``, default signs; its variance must be one.

    Paper: Marschall, Cho and Savin (2020), Journal of Machine Learning Research 21:135 (R-KF-RTRL).
    """

    noise: NoiseDistribution = field(default_factory=Signs)
    equation: ClassVar[str] = "e_t = A_t (x) C_t, A_t = p0 A_t-1 + p1 xi, C_t = J_t C_t-1 / p0 + (xi gain) (x) pre / p1"

    def factors(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, generator: torch.Generator
    ) -> Factors:
        return _ReverseKFRTRL(connections, step, trials, self.noise, generator)


class _KFRTRL(RandomFactors):
    """``A`` (B, J) over the presynaptic cells of every connection, ``C`` (B, M, G N) from drives to states."""

    def start(self) -> None:
        """Start at zero; an initial state has an exact product."""
        self.inputs = [
            self.like.new_full((self.trials, width), impulse)
            for width, impulse in zip(self.widths, self.impulses, strict=True)
        ]
        self.moved = self.like.new_zeros(self.trials, self.components * self.cells, self.drives * self.cells)
        for component, drive in self.initial_drives():
            self._own(self.moved)[:, component, drive] = 1.0

    def advance(self, step: LocalStep, pres: list[Tensor]) -> None:
        """Propagate the matrix and add the step with random signs."""
        passed = self.jacobian(step) @ self.moved
        direct = torch.zeros_like(passed)
        self._own(direct).add_(step.gain_blocks())
        old, new = self.draw(self.trials, 2).unbind(1)
        p0 = balance(length(passed), length(*self.inputs))
        p1 = balance(length(direct), length(*pres))
        self.moved = passed * (old / p0).view(-1, 1, 1) + direct * (new / p1).view(-1, 1, 1)
        self.inputs = [
            (old * p0).unsqueeze(-1) * before + (new * p1).unsqueeze(-1) * pre
            for before, pre in zip(self.inputs, pres, strict=True)
        ]

    def influence(self, index: int) -> Tensor:
        """Return ``C (x) A``."""
        return self.moved[..., self.rows(index)].unsqueeze(-1) * self.inputs[index][:, None, None]

    def gradient(self, index: int, signal: Tensor) -> Tensor:
        """Return ``(C^T L) (x) A``, summed over trials."""
        return torch.einsum("bm,bmi->bi", signal, self.moved[..., self.rows(index)]).t() @ self.inputs[index]

    def _own(self, moved: Tensor) -> Tensor:
        """Return the entries of a matrix from drives to states of the same cell, a view ``(B, S, G, N)``."""
        apart = moved.view(-1, self.components, self.cells, self.drives, self.cells)
        return apart.diagonal(dim1=2, dim2=4)


class _ReverseKFRTRL(RandomFactors):
    """``A`` (B, G N) over the drives of cells, ``C`` (B, M, J) for every connection."""

    def start(self) -> None:
        """Start at zero, an initial state in a random direction."""
        self.cell = self.like.new_zeros(self.trials, self.drives * self.cells)
        states = self.components * self.cells
        self.moved = [self.like.new_zeros(self.trials, states, width) for width in self.widths]
        if any(self.impulses):
            self.cell = self.draw(self.trials, self.drives * self.cells)
            for index, (moved, impulse) in enumerate(zip(self.moved, self.impulses, strict=True)):
                if impulse:
                    own = self.cell[:, self.rows(index)].unsqueeze(-1)
                    moved[:, : own.shape[1]] += own * impulse

    def advance(self, step: LocalStep, pres: list[Tensor]) -> None:
        """Propagate the matrix and add the step in a random direction."""
        jacobian = self.jacobian(step)
        passed = [jacobian @ each for each in self.moved]
        xi = self.draw(self.trials, self.drives * self.cells)
        gained = step.gain_blocks() * xi.view(self.trials, 1, self.drives, self.cells)
        states = [gained[:, :, each.drives or (0,)].sum(2).flatten(1) for each in self.connections]
        everywhere = xi.new_full((self.trials,), math.sqrt(xi.shape[1]))
        p0 = balance(length(*passed), length(self.cell))
        products = [length(one) * length(pre) for one, pre in zip(states, pres, strict=True)]
        p1 = balance(length(torch.stack(products, 1)), everywhere)
        self.cell = p0.unsqueeze(-1) * self.cell + p1.unsqueeze(-1) * xi
        for each, one, pre in zip(passed, states, pres, strict=True):
            each.div_(p0.view(-1, 1, 1)).addcmul_((one / p1.unsqueeze(-1)).unsqueeze(-1), pre.unsqueeze(-2))
        self.moved = passed

    def influence(self, index: int) -> Tensor:
        """Return ``A (x) C``."""
        return self.cell[:, None, self.rows(index), None] * self.moved[index].unsqueeze(2)

    def gradient(self, index: int, signal: Tensor) -> Tensor:
        """Return ``A (x) (L C)``, summed over trials."""
        return self.cell[:, self.rows(index)].t() @ torch.einsum("bm,bmj->bj", signal, self.moved[index])
