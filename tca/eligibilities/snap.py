"""Sparse n-step approximations of the influence matrix: the traces of SnAp-n.

Shapes: B batch, I postsynaptic cells, J presynaptic, K cells that a postsynaptic cell reaches (at most, counting
itself), C consecutive steps, N cells, S components of a cell's state (axis omitted if S = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import Trace, add_outer_, initial_influence
from tca.tape.local_step import LocalStep
from tca.tape.population import Population, needs_synapses
from tca.tape.tape import Tape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, checked
from tca.utils.host_values import host_value

__all__ = ["SnAp"]


class Neighbours(NamedTuple):
    """The cells that each cell reaches, and the synapses among them.

    Attributes:
        cells: Indices of the cells, the cell itself first, shape ``(I, K)``; padded with the cell itself.
        real: One at a reached cell and zero at padding, shape ``(I, K)``.
    """

    cells: Tensor
    real: Tensor

    @classmethod
    def of(cls, synapses: Recurrence, hops: int) -> Neighbours:
        """Return the cells within some hops of existing synapses.

        Args:
            synapses: The recurrent synapses.
            hops: Largest number of synapses on the path.
        """
        if synapses.mask is not None:
            return host_value(synapses.mask, _within(hops))
        weights = synapses.weights
        own = torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)
        reached = torch.ones_like(own) if hops else own
        return cls.nearest(reached, len(own) if hops else 1)

    @classmethod
    def nearest(cls, reached: Tensor, most: int) -> Neighbours:
        """Return reached cells, each cell's own first.

        Args:
            reached: One at ``[i, l]`` where cell l is reached from cell i, itself included, shape ``(N, N)``.
            most: Largest number of cells that a cell reaches.
        """
        own = torch.eye(len(reached), dtype=reached.dtype, device=reached.device)
        order = (reached + own).argsort(dim=1, descending=True, stable=True)[:, :most]
        real = reached.gather(1, order)
        return cls(torch.where(real > 0, order, order[:, :1]), real)

    def gather(self, values: Tensor) -> Tensor:
        """Gather values of the reached cells, shape ``(..., I, K)``.

        Args:
            values: One value per cell, shape ``(..., N)``, or one for all, ``(..., 1)``.
        """
        return (
            values[..., self.cells]
            if values.shape[-1] > 1
            else values.unsqueeze(-1).expand(*values.shape[:-1], *self.cells.shape)
        )

    def over(self, rows: int) -> Neighbours:
        """Return the same repeated to a number of rows, several for each cell.

        Args:
            rows: Number of rows.
        """
        copies = rows // len(self.cells)
        return Neighbours(self.cells.repeat(copies, 1), self.real.repeat(copies, 1))

    def local(self, step: LocalStep) -> LocalStep:
        """Return a local step restricted to the reached cells."""
        return step.at(self.gather)

    def among(self, recurrent: Tensor) -> Tensor:
        """Return the weights among the reached cells, shape ``(G, I, K, K)``, G drives of a cell.

        Args:
            recurrent: Recurrent weights, shape ``(G N, N)``.
        """
        apart = torch.unflatten(recurrent, 0, (-1, recurrent.shape[1]))
        pairs = apart[:, self.cells.unsqueeze(2), self.cells.unsqueeze(1)]
        return pairs * self.real.unsqueeze(2) * self.real.unsqueeze(1)


class ReachTrace(Trace):
    """``P_kij,t = sum_m J_km,t P_mij,t-1 + 1[k=i] gain_i,t pre_j,t``, k and m within reach of i."""

    def __init__(self, connection: Connection, step: LocalStep, trials: int, hops: int) -> None:
        """Start at zero, an initial state at one.

        Args:
            hops: Synapses within which a cell is reached.
        """
        self.connection, self.cells = connection, step.cells
        self.near = Neighbours.of(step.recurrence, hops).over(connection.n_post)
        components = () if step.components == 1 else (step.components,)
        shape = (trials, *components, *self.near.cells.shape, connection.n_pre)
        self.value = connection.weight.detach().new_zeros(shape)
        self.value[..., 0, :] = initial_influence(connection, step, trials)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Propagate the influence within reach and add the step's outer product."""
        near = self.near
        here = step.at(lambda each: near.gather(each).unsqueeze(-1))
        arriving = torch.einsum("gikm,bimj->bgikj", near.among(step.recurrent), here.emitted(self.value))
        self.value = here.kept(self.value).add_(here.driven(arriving if step.apart else arriving.squeeze(1)))
        add_outer_(self.value[..., 0, :], step.gain_of(self.connection), pre)

    def dense(self) -> Tensor:
        """Return the dense trace, ``(B, S, L, I, J)``, zero beyond reach."""
        *leading, rows, _, pre = self.value.shape
        index = self.near.cells.unsqueeze(-1).expand_as(self.value)
        dense = self.value.new_zeros(*leading, rows, self.cells, pre)
        return dense.scatter_add_(-2, index, self.value).transpose(-3, -2)

    def gradient(self, signal: Tensor) -> Tensor:
        return torch.einsum("bik,bikj->ij", self.near.gather(signal).flatten(0, -3), self.value.flatten(0, -4))


@checked
@dataclass(frozen=True)
class SnAp(Eligibility):
    """``D_t = Pi_i J_t Pi_i``, ``Pi_i`` the cells within ``steps - 1`` synapses of the postsynaptic cell i: SnAp-n.

    A trace covers the cells that its postsynaptic cell reaches, itself included: with one step that cell alone, which
    is ``Diagonal``; with more steps than the diameter of the network all cells, which is ``Full``. Without missing
    synapses two steps are ``Full`` already, at its cost: the traces pay off on sparse masks only.

    Each postsynaptic cell has its own propagator. Run backwards, each has its own adjoint over the K cells that it
    reaches, at a cost of ``N K^2`` a step and trial; run forwards the traces cost ``N K^2 J``.

    Args:
        steps: The n of SnAp-n, default 2, at least 1.

    Paper: Menick et al. (2021), Practical real time recurrent learning with a sparse approximation, ICLR.
    """

    steps: Count = 2
    shared: ClassVar[bool] = False

    @property
    def local(self) -> bool:
        return self.steps == 1

    @property
    def equation(self) -> str:
        return f"D_t = Pi_i J_t Pi_i, Pi_i: cell i and those within n - 1 synapses, n = {self.steps}"

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses."""
        needs_synapses(type(self).__name__, population)

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Refuse: there is no single propagator."""
        raise TypeError("SnAp has a propagator for each postsynaptic cell; filter_ and trace apply them")

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter the signal by one adjoint per postsynaptic cell, in place.

        ``nu^i_t = Pi_i (L_t + J_{t+1}^T nu^i_{t+1})``, of which each cell keeps its own entry ``nu^i_t,i``. Returns the
        adjoints of the first step, shape ``(B, S, I, K)``.

        Args:
            signal: State signal of these steps, shape ``(C, B, S, N)``.
            steps: The steps, counted from the initial state.
            later: Value returned for the window after; ``None`` at the end of the trial.
        """
        near = Neighbours.of(tape.recurrence, self.steps - 1)
        among = near.among(tape.synapses)
        for index in range(len(signal) - 1, -1, -1):
            returned = _returned(tape, near, among, steps.start + index + 1, later)
            later = near.gather(signal[index]) + returned
            signal[index] = later[..., 0]
        assert later is not None
        return later

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        return ReachTrace(connection, step, trials, self.steps - 1)


def _returned(tape: Tape, near: Neighbours, among: Tensor, t: int, later: Tensor | None) -> Tensor:
    """Return ``Pi_i J_t^T nu^i_t``, ``(B, S, I, K)``, zero after the trial."""
    if later is None:
        return tape.rate.new_zeros(1)
    here = near.local(tape.local_step(t))
    drives = here.driven_back(later) if here.apart else here.driven_back(later).unsqueeze(1)
    return here.kept_back(later) + here.emitted_back(torch.einsum("bgik,gikm->bim", drives, among))


@cache
def _within(hops: int) -> Callable[[Tensor], Neighbours]:
    return partial(_neighbours, hops=hops)


def _neighbours(mask: Tensor, hops: int) -> Neighbours:
    """Return the cells within some hops of the synapses of a mask, shape ``(R N, N)`` for R drives."""
    cells = mask.shape[1]
    exists = torch.unflatten(mask, 0, (-1, cells)).amax(0)  # a synapse onto any of the drives
    reached = torch.eye(cells, dtype=mask.dtype, device=mask.device)  # [i, l]: cell l from cell i
    for _ in range(min(hops, cells - 1)):
        reached = ((reached @ exists.mT + reached) > 0).to(exists)
    return Neighbours.nearest(reached, int(reached.sum(1).max()))
