"""Cell-type-specific propagation with a constant slope: the traces of ModProp.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic, A types, G groups of cells with the same type, leak
and gain, P sources: the groups where a trace is the same for all cells of a group, else the postsynaptic cells.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection, Initial
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import Trace
from tca.tape.local_step import LocalStep
from tca.tape.population import Population, needs_rates, needs_synapses
from tca.tape.tape import Tape
from tca.tape.weight_estimates import TypeMeans
from tca.utils.checks import DivergenceError, checked
from tca.utils.deferred_checks import act_if
from tca.utils.host_values import constant

__all__ = ["TypePropagation", "check_stable"]


class TypeTrace(Trace):
    """``e_lij = 1[l=i] p_ij + q_g(l),ij``: the postsynaptic cell's own trace and one per group of cells.

    ``p_t = leak p_{t-1} + gain_t (x) pre_t``, and with ``M`` the propagator from cell to cell but for the leak,
    ``q_a,t = leak_a q_a,t-1 + M_a,g(i) p_t-1 + sum_h M_ah n_h q_h,t-1``, ``n_h`` cells being in group h.
    """

    def __init__(self, connection: Connection, step: LocalStep, trials: int, slope: float) -> None:
        """Start at zero, an initial state at one.

        Args:
            step: The first step, which states the constants.
        """
        cells = connection.n_post
        alike = (step.leak, step.constant_gain, step.recurrence.types.to(step.leak))
        rows = torch.stack([each.expand(cells) for each in alike], 1)
        groups, self.group = torch.unique(rows, dim=0, return_inverse=True)
        self.leak, self.gain, self.type = groups[:, 0], groups[:, 1], groups[:, 2].long()
        self.cells = torch.bincount(self.group, minlength=len(groups)).to(rows)
        self.by_group = step.gain.ndim == 1 and not isinstance(connection, Initial)
        self.source_group = torch.arange(len(groups), device=rows.device) if self.by_group else self.group
        self.source = self.group if self.by_group else torch.arange(cells, device=rows.device)
        self.slope = slope
        self.own = rows.new_full((trials, len(self.source_group), connection.n_pre), connection.impulse)
        self.spread = rows.new_zeros(trials, len(groups), len(self.source_group), connection.n_pre)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Decay and propagate the traces and add the presynaptic activity."""
        weights = step.type_means().weights[self.type][:, self.type]
        hop = self.slope * self.gain.unsqueeze(-1) * weights
        passed = torch.einsum("ah,bhpj->bapj", hop * self.cells, self.spread)
        passed.addcmul_(hop[:, self.source_group].unsqueeze(-1), self.own.unsqueeze(1))
        self.spread.mul_(self.leak.view(-1, 1, 1)).add_(passed)
        gain = self.gain if self.by_group else step.gain
        self.own.mul_(self.leak[self.source_group].unsqueeze(-1))
        self.own.addcmul_(gain.unsqueeze(-1), pre.unsqueeze(-2))

    def dense(self) -> Tensor:
        dense = self.spread[:, self.group][:, :, self.source]
        dense.diagonal(dim1=1, dim2=2).add_(self.own[:, self.source].transpose(-1, -2))
        return dense

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``sum_b (L_bi p_bij + sum_a (sum_{l in a} L_bl) q_b,a,ij)``, shape ``(I, J)``."""
        by_group = signal.new_zeros(len(signal), len(self.leak)).index_add_(1, self.group, signal)
        result = torch.einsum("ba,bapj->pj", by_group, self.spread)[self.source]
        for source, own in enumerate(self.own.unbind(1)):
            members = self.source == source
            result[members] += signal[:, members].t() @ own
        return result


@checked
@dataclass(frozen=True)
class TypePropagation(Eligibility):
    """``D_t = leak + gain m W_ab``: the Jacobian with mean weights of cell types and a constant slope m.

    The propagator depends on types, not on activity. With the direct signal this is ModProp; with linear cells,
    ``m = 1`` and weights equal to their types' means it is the true gradient. Where the leak is on the potential the
    traces are presynaptic: ``G (G + 1)`` numbers for each presynaptic cell, G being the number of types.

    Args:
        slope: The constant m that replaces the slope of every activation function, default 0.25, not negative.

    Raises:
        ValueError: ``slope`` is negative or not finite. When used: the propagator's spectral radius is not below one,
            so that the traces would diverge.

    Paper: Liu et al. (2022), Biologically-plausible backpropagation through arbitrary timespans via local
    neuromodulators, NeurIPS, arXiv:2206.01338.
    """

    slope: float = 0.25
    local: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope >= 0):
            raise ValueError(f"slope must be finite and not negative, got {self.slope}")

    @property
    def equation(self) -> str:
        return f"D_t = leak + gain {self.slope} W_ab"

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses, and one that spikes."""
        needs_synapses(type(self).__name__, population)
        needs_rates(type(self).__name__, population)

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        tape.leak_(t, into, later)
        tape.return_by_type_(into, later, self.slope)

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter the signal after a check that the filter is stable.

        Raises:
            ValueError: The filter is unstable.
        """
        if later is None:
            check_stable(tape.type_means, tape.leak, tape.gain, self.slope)
        return super().filter_(tape, signal, steps, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Return a trace by type.

        Raises:
            ValueError: The trace would diverge.
        """
        check_stable(step.type_means(), step.leak, step.constant_gain, self.slope)
        return TypeTrace(connection, step, trials, self.slope)


def check_stable(means: TypeMeans, leak: Tensor | float, gain: Tensor | float, slope: float) -> None:
    """Check that the spectral radius of the propagator is below one.

    With one leak and ``gain = 1 - leak``, ``m rho(W_ab) < 1`` is enough, and necessary where the largest eigenvalue of
    ``W_ab`` is real and positive.

    Args:
        leak: Leak per step, a number or ``(N,)``.
        gain: Constant part of the gain, a number or ``(N,)``.

    Raises:
        DivergenceError: The spectral radius is not below one.
    """
    members, weights = (each.double() for each in means)
    leaks, gains = (constant(each, members).expand(len(members)) for each in (leak, gain))
    cells = members.sum(0)
    bound = leaks + slope * gains * (members @ (weights.abs() @ cells))
    # where no row adds up to one, no eigenvalue does
    act_if((~(bound < 1)).any(), partial(_check_radius, members, weights, leaks, gains, cells, slope))


def _check_radius(members: Tensor, weights: Tensor, leaks: Tensor, gains: Tensor, cells: Tensor, slope: float) -> None:
    """Raise unless the spectral radius is below one, computed on the host."""
    members, weights, leaks, gains, cells = (each.cpu() for each in (members, weights, leaks, gains, cells))
    sizes = Counter(zip(leaks.tolist(), gains.tolist(), members.argmax(1).tolist(), strict=True))
    groups, size = (torch.tensor([*each], dtype=members.dtype, device="cpu") for each in (sizes, sizes.values()))
    kind = groups[:, 2].long()
    hop = slope * groups[:, 1].unsqueeze(1) * weights[kind][:, kind] * size
    radius = float(torch.linalg.eigvals(groups[:, 0].diag() + hop).abs().max())
    if not radius < 1:
        spectral = float(torch.linalg.eigvals(weights * cells).abs().max())
        raise DivergenceError(
            f"propagation by cell type diverges: leak + gain m W_ab has the spectral radius {radius:.4g} and must stay "
            f"below 1; with one leak for all cells m < 1 / rho(W_ab) = {1 / spectral:.4g} is enough, got m = {slope}"
        )
