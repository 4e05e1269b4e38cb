"""Unbiased online recurrent optimization: a random rank-one influence matrix.

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

__all__ = ["UORO"]


@checked
@dataclass(frozen=True)
class UORO(Factored):
    """``P_t ~ A_t (x) C_t``: an unbiased rank-one estimate of the influence matrix.

    With fresh ``xi_t`` of variance one for every state, ``A_t = p0 J_t A_{t-1} + p1 xi_t`` and
    ``C_t = C_{t-1} / p0 + (xi_t gain_t) (x) pre_t / p1``, ``p0`` and ``p1`` such that the two parts of each factor have
    equal norm. A trace is one number per synapse and trial, and a step costs one product with the recurrent weights.

    Args:
        noise: Distribution of ``xi``, default signs. Its variance must be one: the gradient is scaled by it.

    Paper: Tallec and Ollivier (2018), ICLR, arXiv:1702.05043.
    """

    noise: NoiseDistribution = field(default_factory=Signs)
    equation: ClassVar[str] = "e_t = A_t (x) C_t, A_t = p0 J_t A_t-1 + p1 xi, C_t = C_t-1 / p0 + (xi gain) (x) pre / p1"

    def factors(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, generator: torch.Generator
    ) -> Factors:
        return _UORO(connections, step, trials, self.noise, generator)


class _UORO(RandomFactors):
    """``A`` (B, N) or (B, S, N) over states, ``C`` (B, I, J) over the synapses of every connection."""

    def start(self) -> None:
        """Start at zero, an initial state in a random direction."""
        state = (self.cells,) if self.components == 1 else (self.components, self.cells)
        self.state = self.like.new_zeros(self.trials, *state)
        self.synapses = [self.like.new_zeros(self.trials, each.n_post, each.n_pre) for each in self.connections]
        if any(self.impulses):
            own = self.draw(
                self.trials, self.cells * max(len(each.drives or (0,)) for each in self.connections if each.impulse)
            )
            self.state.view(self.trials, -1)[:, : own.shape[1]] = own
            for synapses, impulse in zip(self.synapses, self.impulses, strict=True):
                if impulse:
                    synapses += own.unsqueeze(-1) * impulse

    def advance(self, step: LocalStep, pres: list[Tensor]) -> None:
        """Propagate the first factor and add the step in a random direction."""
        passed = step.kept(self.state) + step.transmitted(self.state)
        xi = self.draw(*self.state.shape)
        drives = [step.credit(each, xi) for each in self.connections]
        everywhere = length(xi).new_full((self.trials,), math.sqrt(xi[0].numel()))
        p0 = balance(length(*self.synapses), length(passed))
        products = [length(one) * length(pre) for one, pre in zip(drives, pres, strict=True)]
        p1 = balance(length(torch.stack(products, 1)), everywhere)
        state = (-1, *[1] * (xi.ndim - 1))
        self.state = p0.view(state) * passed + p1.view(state) * xi
        for synapses, one, pre in zip(self.synapses, drives, pres, strict=True):
            synapses.div_(p0.view(-1, 1, 1)).addcmul_((one / p1.unsqueeze(-1)).unsqueeze(-1), pre.unsqueeze(-2))

    def influence(self, index: int) -> Tensor:
        """Return ``A (x) C``."""
        return self.state.flatten(1)[..., None, None] * self.synapses[index].unsqueeze(1)

    def gradient(self, index: int, signal: Tensor) -> Tensor:
        """Return ``(L . A) C``, summed over trials."""
        along = (signal * self.state.flatten(1)).sum(1)
        return torch.einsum("b,bij->ij", along, self.synapses[index])
