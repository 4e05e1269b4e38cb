"""A certified low-rank influence matrix: the blocks of SnAp-1 and a sketch of all that they leave out.

Shapes: B batch, N cells, S components of a cell's state, M = S N, P parameters into a cell, C and K columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.factors import Factors, FactorTrace, ForwardEligibility, check_alone
from tca.eligibilities.traces import Trace, add_outer_, initial_influence
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.utils.checks import Count, Whole, checked

__all__ = ["Sketch", "SketchFactors"]


@checked
@dataclass(frozen=True)
class Sketch(ForwardEligibility):
    """``P_t ~ S_t + L_t R_t^T``: the influence of SnAp-1 and a sketch of the rest, with a bound of the error.

    ``S_t = D_t S_{t-1} + gain_t (x) pre_t`` with ``D_t`` the blocks of the Jacobian within a cell is the trace of
    `Diagonal`. The rest obeys ``X_t = J_t X_{t-1} + (J_t - D_t) S_{t-1}`` and is kept as a product of rank
    ``rank``: of the new part the best ``appended`` columns, of the sum the best ``rank``, both by singular values, so
    that ``L_t R_t^T`` is unique up to ties. ``rank=0`` is SnAp-1, a rank of M real-time recurrent learning.

    The *certificate* bounds the error of the influence in the Frobenius norm: ``e_t = rho_t e_{t-1} + eta_t`` with
    ``eta_t`` the norm of the truncated part and ``rho_t = min(|J_t|_F, sqrt(|J_t|_1 |J_t|_inf))``. The
    gradient of a step is wrong by at most ``e_t`` times the norm of its learning signal. It is `SketchFactors.bound`,
    one number a trial, ``stream.traces[0].factors.bound`` of a `tca.online.Stream`.

    A step costs of the order of ``M^3`` for singular values and ``N P K^2`` for the K columns of the sketch, where RTRL
    has ``M^2 N P``.

    Args:
        rank: Rank of the sketch, default 16, not negative.
        appended: Columns of the new part that a step keeps; ``None`` (default) for a quarter of the rank, at least 4,
            and for all of them where the rank is 0 or M.

    Paper: Yi and Wang (2026), Certified low-rank real-time recurrent learning for dense recurrent neural networks.
    """

    rank: Whole = 16
    appended: Count | None = None
    local: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        return f"e_t = S_t + L_t R_t^T, S_t = diag J_t S_t-1 + gain_t (x) pre_t, the rest of rank {self.rank}"

    def check(self, population: Population) -> None:
        """Refuse populations whose influence passes through other populations."""
        check_alone(type(self).__name__, population)

    def traces(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, buffers: dict[str, Tensor]
    ) -> list[Trace]:
        """Return the traces of all connections, which share the factors."""
        factors = SketchFactors(self, connections, step, trials)
        return [FactorTrace(factors, index) for index in range(len(connections))]


class SketchFactors(Factors):
    """The factors of `Sketch` in a population.

    Attributes:
        own: The influence on the cell itself, shape ``(B, S, N, P)``.
        left: L, shape ``(B, M, K)``.
        right: R with orthonormal columns, shape ``(B, N P, K)``.
        bound: Certificate, a bound of the Frobenius norm of the error of the influence, shape ``(B,)``.
    """

    def __init__(self, sketch: Sketch, connections: Sequence[Connection], step: LocalStep, trials: int) -> None:
        """Start at zero, initial states at one.

        Args:
            sketch: Rank and number of appended columns.
        """
        states = step.cells * step.components
        self.rank = min(sketch.rank, states)
        whole = self.rank in (0, states)
        few = None if whole else max(4, math.ceil(self.rank / 4))
        self.appended = few if sketch.appended is None else sketch.appended
        self.first = step
        super().__init__(connections, step, trials)

    def start(self) -> None:
        """Set the factors of time zero."""
        begun = [initial_influence(each, self.first, self.trials) for each in self.connections]
        wide = [each.expand(*each.shape[:-1], width) for each, width in zip(begun, self.widths, strict=True)]
        self.own = torch.cat([self._by_cell(each) for each in wide], -1)
        self.left = self.like.new_zeros(self.trials, self.cells * self.components, 0)
        self.right = self.like.new_zeros(self.trials, self.cells * self.own.shape[-1], 0)
        self.bound = self.like.new_zeros(self.trials)

    def advance(self, step: LocalStep, pres: list[Tensor]) -> None:
        """Propagate bound, sketch and blocks by one step."""
        jacobian, within = self.jacobian(step).expand(self.trials, -1, -1), self._within(step)
        norms = [torch.linalg.matrix_norm(jacobian, order) for order in (1, torch.inf)]
        size = torch.minimum(torch.linalg.matrix_norm(jacobian), (norms[0] * norms[1]).sqrt())
        new, of_parameters, lost = self._left_out(jacobian, within)
        left, right = torch.cat([jacobian @ self.left, new], 2), torch.cat([self.right, of_parameters], 2)
        basis, above = torch.linalg.qr(right)
        columns, values, rows = _singular(left @ above.mT)
        self.left = columns[..., : self.rank] * values[:, None, : self.rank]
        self.right = basis @ rows[:, : self.rank].mT
        self.bound = size * self.bound + lost + values[:, self.rank :].norm(dim=1)
        direct = [self._direct(step, each, pre) for each, pre in zip(self.connections, pres, strict=True)]
        self.own = torch.einsum("bsrn,brnp->bsnp", within, self.own) + torch.cat(direct, -1)

    def influence(self, index: int) -> Tensor:
        part = self._part(index)
        dense = torch.einsum("bmk,bnpk->bmnp", self.left, torch.unflatten(self.right, 1, (self.cells, -1))[:, :, part])
        own = torch.unflatten(dense, 1, (self.components, self.cells)).diagonal(dim1=2, dim2=3)  # (B, S, P, N)
        own += self.own[..., part].mT
        return self._by_row(dense, index)

    def gradient(self, index: int, signal: Tensor) -> Tensor:
        part = self._part(index)
        along = torch.einsum("bm,bmk->bk", signal, self.left)
        found = torch.einsum("bk,bnpk->np", along, torch.unflatten(self.right, 1, (self.cells, -1))[:, :, part])
        apart = torch.unflatten(signal, 1, (self.components, self.cells))
        return self._by_row(found + torch.einsum("bsn,bsnp->np", apart, self.own[..., part]), index)

    def _left_out(self, jacobian: Tensor, within: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(J_t - D_t) S_{t-1}`` as factors (B, M, C) and (B, N P, C), and the norm of the rest."""
        states = (self.components, self.cells)
        away = torch.unflatten(
            torch.unflatten(jacobian, 2, states), 1, states
        ).clone()  # from [.., r, m] to [.., s, n, ..]
        away.diagonal(dim1=2, dim2=4).sub_(within)
        directions, lengths = torch.linalg.qr(self.own.permute(0, 2, 3, 1))  # (B, N, P, C') and (B, N, C', S)
        new = torch.einsum("bsnrm,bmkr->bsnmk", away, lengths).flatten(3).flatten(1, 2)
        columns, values, rows = _singular(new)
        few = values.shape[1] if self.appended is None else self.appended
        mixed = torch.unflatten(rows[:, :few].mT, 1, (self.cells, -1))
        of_parameters = torch.einsum("bmpk,bmkc->bmpc", directions, mixed).flatten(1, 2)
        return columns[..., :few] * values[:, None, :few], of_parameters, values[:, few:].norm(dim=1)

    def _within(self, step: LocalStep) -> Tensor:
        """Return the blocks of the Jacobian within each cell, shape ``(B, S, S, N)``."""
        blocks = step.diagonal()
        if self.components == 1:
            return blocks.expand(self.trials, self.cells)[:, None, None]
        return blocks.expand(self.trials, -1, -1, -1)

    def _direct(self, step: LocalStep, connection: Connection, pre: Tensor) -> Tensor:
        """Return ``gain_t (x) pre_t`` of a connection, shape ``(B, S, N, P')``."""
        several = (self.components,) if self.components > 1 else ()
        outer = self.like.new_zeros(self.trials, *several, connection.n_post, connection.n_pre)
        add_outer_(outer, step.gain_of(connection), pre)
        return self._by_cell(outer)

    def _part(self, index: int) -> slice:
        """Return the place of a connection among the parameters into a cell."""
        sizes = [each.n_post // self.cells * each.n_pre for each in self.connections]
        return slice(sum(sizes[:index]), sum(sizes[: index + 1]))

    def _by_cell(self, rows: Tensor) -> Tensor:
        """Return a tensor of a connection ``(B, S, G N, J)`` with the parameters of a cell together, (B, S, N, G J)."""
        apart = rows if rows.ndim == 4 else rows.unsqueeze(1)
        return torch.unflatten(apart, 2, (-1, self.cells)).transpose(2, 3).flatten(3)

    def _by_row(self, cells: Tensor, index: int) -> Tensor:
        """Return a tensor ``(..., N, G J)`` over the rows of a connection, ``(..., G N, J)``."""
        return torch.unflatten(cells, -1, (-1, self.widths[index])).transpose(-3, -2).flatten(-3, -2)


def _singular(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the reduced singular value decomposition of each matrix; of one that is not finite, values of NaN."""
    finite = matrix.isfinite().flatten(1).all(1)
    columns, values, rows = torch.linalg.svd(matrix.where(finite.view(-1, 1, 1), 0.0), full_matrices=False)
    return columns, values.masked_fill(~finite.unsqueeze(1), torch.nan), rows
