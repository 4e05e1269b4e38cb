"""The tape of a population of general cells, with derivatives as blocks per cell.

Shapes: T time, B batch, N cells, S components, G drives, P learned constants, Q rates, C consecutive steps. State
signals have the shape ``(C, B, N)`` if a state is one number, else ``(C, B, S, N)``; drive signals ``(C, B, (G + P)
N)``, drives before cells.

States and drives are recorded; the blocks are computed for a window of steps at a time, when a rule asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.cells.cell import Cell, Entry
from tca.cells.local_derivatives import Blocks, blocks_of, slope_of
from tca.connections.connection import Bias, Connection, ConnectionInput, Initial
from tca.tape.block_step import BlockStep, block_step
from tca.tape.block_weights import runs, with_autapses
from tca.tape.last_result import LastResult
from tca.tape.tape import Tape

__all__ = ["BlockTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockTape(Tape):
    """One forward pass of a population of general cells; see `tca.tape.Tape` for the other attributes.

    Attributes:
        cell: The cell with its constants.
        state: States, shape ``(T + 1, B, S, N)``.
        driven_by: Drives, shape ``(T + 1, B, G, N)``, the first unused; gate values if ``gated``.
        learned: Names of the learned constants.
        passed: Which component each rate is; ``None`` if a rate is a function of the state.
        reached: Drives that recurrent synapses reach; ``recurrent`` has a block of N rows for each.
        starts: Whether the initial state is learned.
        gated: Whether ``Cell.advance_`` has left gate values for drives, default ``False``.
        autapse: Weight of the autapse of each cell that is part of it and not of ``recurrent``; ``None`` (default) for
            none.
    """

    window_factor = 2  # fewer windows of many small operations outweigh the cache

    cell: Cell
    state: Tensor
    driven_by: Tensor
    learned: tuple[str, ...]
    passed: tuple[int, ...] | None
    reached: tuple[int, ...]
    starts: bool
    gated: bool = False
    autapse: float | Tensor | None = None

    @cached_property
    def _windows(self) -> dict[int, tuple[slice, Blocks, list[Blocks]]]:
        return {}

    @property
    def components(self) -> int:
        """Numbers S in the state of a cell."""
        return self.state.shape[-2]

    @property
    def cells(self) -> int:
        """Number of cells N, each of which may emit several rates."""
        return self.state.shape[-1]

    def blocks(self, steps: slice) -> Blocks:
        """Return the derivatives of some steps, from one on, with an axis of steps.

        Args:
            steps: The steps, counted from the initial state.
        """
        for window, blocks, _ in self._windows.values():
            if window == steps:
                return blocks
            if window.start <= steps.start and steps.stop <= window.stop:
                return blocks.at(slice(steps.start - window.start, steps.stop - window.start))
        before, after = self.state[steps.start - 1 : steps.stop - 1], self.state[steps] if self.gated else None
        blocks = blocks_of(self.cell, before, self.driven_by[steps], self.learned, after=after)
        if len(self._windows) > 2:
            self._windows.pop(next(iter(self._windows)))
        self._windows[steps.start] = steps, blocks, blocks.apart()
        return blocks

    def blocks_at(self, t: int) -> Blocks:
        """Return the derivatives of a step, of those of a window, since steps come one by one, last to first."""
        for window, _, apart in self._windows.values():
            if window.start <= t < window.stop:
                found: Blocks = apart[t - window.start]
                return found
        size = self.window_steps
        last = self.steps - (self.steps - t) // size * size
        self.blocks(slice(max(1, last - size + 1), last + 1))
        return self.blocks_at(t)

    def slopes(self, steps: slice) -> Tensor:
        """Return the slopes of the rates, shape ``(C, B, S, Q, N)``, broadcastable where they are constant.

        Args:
            steps: The steps, counted from the initial state.
        """
        return self._constant_slope if self.passed is not None else slope_of(self.cell, self.state[steps], None)

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal, times the slope; may overwrite the signal."""
        if self._plain:
            return signal
        if self.passed is not None and len(self.passed) == 1:
            lifted = signal.new_zeros(*signal.shape[:-1], self.components, self.cells)
            lifted[..., self.passed[0], :] = signal
            return lifted
        apart = torch.unflatten(signal, -1, (-1, 1, self.cells)).transpose(-3, -2)  # (C, B, 1, Q, N)
        lifted = (self.slopes(steps) * apart).sum(-2)
        return lifted.squeeze(-2) if self.components == 1 else lifted

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a state signal as a drive signal, shape ``(C, B, (G + P) N)``; constants come last."""
        places = range(self.driven_by.shape[-2] + len(self.learned))
        return self._driven(steps, signal, places).flatten(-2)

    def gather_(self, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t driven_t (x) pre_t`` over the drives that the connection reaches."""
        connection, pre = link.connection, link.at(steps)
        if isinstance(connection, Initial):
            connection.outer_(gradient, driven.flatten(2), pre)
            return
        if isinstance(connection, Bias):  # biases share the sum over steps and trials
            total = self._totals.of(driven)
            driven = self._totals.keep(driven.flatten(0, -2).sum(0), driven) if total is None else total
        for rows, places in self.rows_of(connection):
            connection.outer_(gradient[rows], driven[..., places], pre)

    def rows_of(self, connection: Connection) -> Iterable[tuple[slice, slice]]:
        """Return rows of a connection and the drives that they reach, neighbours together; all of the readout."""
        return super().rows_of(connection) if connection.drives is None else runs(connection.drives, self.cells)

    def backproject(self, steps: slice, weight: Tensor | None = None) -> Tensor:
        if self.afferent is None:
            raise ValueError(f"{self.population.title} has no population below it")
        driven = self.drive(self._sent_back["signal"], steps)
        rows = [driven[..., places] for _, places in self.rows_of(self.afferent.connection)]
        returned = self.afferent.connection.back(torch.cat(rows, -1), weight)
        return returned if self.afferent.back is None else self.afferent.back(returned, steps)

    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        many = later.ndim > self._axes
        self._driven(slice(t, t + len(later)) if many else t, later, (), into)

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        if self.reached:
            self._emit_back_(slice(t - 1, t), into, self._driven(t, later, self.reached).flatten(-2) @ self.synapses)

    def return_(self, t: int, into: Tensor, later: Tensor) -> None:
        driven = self._driven(t, later, self.reached, into)
        if self.reached:
            self._emit_back_(slice(t - 1, t), into, driven.flatten(-2) @ self.synapses)

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        if self.reached and len(later):
            driven = self._driven(slice(first, first + len(later)), later, self.reached)
            self._emit_back_(slice(first - 1, first - 1 + len(later)), into, driven.flatten(-2) @ self.synapses)

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add the part of ``(J_t - leak)^T later`` within each cell, that of autapses, to ``into`` in place."""
        if self.reached:
            driven = self._driven(t, later, self.reached)
            own = torch.unflatten(self.synapses, 0, (len(self.reached), self.cells)).diagonal(dim1=1, dim2=2)
            self._emit_back_(slice(t - 1, t), into, (driven * own).sum(-2))

    def derivative(self, t: int) -> Tensor:
        """Return ``dz_t/du_t`` by the recurrent drives, shape ``(B, R N)``."""
        return self.local_step(t).response()

    def local_step(self, t: int) -> BlockStep:
        slopes = tuple(self.slopes(slice(at, at + 1)) for at in (t - 1, t))
        return block_step(
            self.blocks_at(t).tables(self.state[t]),
            (slopes[0], slopes[1]),
            pres=tuple(link.at(slice(t, t + 1))[0] for link in self.links),
            recurrence=self.recurrence._replace(weights=self.synapses),
            reached=self.reached,
            starts=self.starts,
            to_go=self.to_go(t),
        )

    @cached_property
    def synapses(self) -> Tensor:
        """Recurrent weights with autapses of cells, a block of rows for each drive, shape ``(R N, N)``."""
        return with_autapses(self.recurrent, self.autapse)

    @property
    def transmission(self) -> Tensor:
        """Recurrent weights with autapses of cells; no part of the gain is constant."""
        return self.synapses

    def _parts(self, signal: Tensor) -> tuple[Tensor, ...]:
        """Return a state signal component by component, views."""
        return (signal,) if self.components == 1 else signal.unbind(-2)

    def _driven(self, steps: slice | int, signal: Tensor, places: Sequence[int], into: Tensor | None = None) -> Tensor:
        """Return ``gain^T signal`` of some drives, shape ``(..., drives, N)``, and add ``leak^T signal`` to ``into``.

        Args:
            places: The drives, none of them for the leak alone.
        """
        blocks = self.blocks_at(steps) if isinstance(steps, int) else self.blocks(steps)
        parts = blocks.whole(self._parts(signal))
        if into is not None:
            self._keep_(blocks, into, parts)
        return self._gained(blocks, parts, places)

    def _keep_(self, blocks: Blocks, into: Tensor, parts: Sequence[Tensor]) -> None:
        """Add ``leak^T signal``, of whole parts, in place."""
        own = self._parts(into)
        for row, each in zip(blocks.leak, parts, strict=True):
            for entry, part in zip(row, own, strict=True):
                _add_product_(part, entry, each)

    def _gained(self, blocks: Blocks, parts: Sequence[Tensor], places: Sequence[int]) -> Tensor:
        """Return ``gain^T signal`` of some drives, shape ``(..., drives, N)``, of whole parts of a signal."""
        driven = parts[0].new_empty(*parts[0].shape[:-1], len(places), self.cells)
        for place, into in zip(places, driven.unbind(-2), strict=True):
            begun = False
            for row, part in zip(blocks.gain, parts, strict=True):
                entry = row[place]
                if begun:
                    _add_product_(into, entry, part)
                elif isinstance(entry, Tensor) or entry:
                    torch.mul(part, entry, out=into)
                    begun = True
            if not begun:
                into.zero_()
        return driven

    def _emit_back_(self, steps: slice, into: Tensor, returned: Tensor) -> None:
        """Add signals to the rates of some steps to state signals in place."""
        if self._plain:
            into.add_(returned)
        elif self.passed is not None:
            into[..., self.passed[0], :].add_(returned)
        else:
            slope = self.slopes(steps)[..., 0, :]
            slope = slope if into.ndim == self._axes + 1 else slope[0]
            if self.components == 1:
                into.addcmul_(slope.squeeze(-2), returned)
            else:
                into.addcmul_(slope, returned.unsqueeze(-2))

    @cached_property
    def _plain(self) -> bool:
        """Whether the rate is the only component of the state."""
        return self.components == 1 and self.passed == (0,)

    @property
    def _axes(self) -> int:
        """Axes of the state signal of a step."""
        return 2 if self.components == 1 else 3

    @cached_property
    def _totals(self) -> LastResult:
        return LastResult()

    @cached_property
    def _constant_slope(self) -> Tensor:
        return slope_of(self.cell, self.state[0], self.passed)


def _add_product_(into: Tensor, entry: Entry, signal: Tensor) -> None:
    """Add an entry times a signal in place."""
    if isinstance(entry, Tensor):
        into.addcmul_(entry, signal)
    elif entry:
        into.add_(signal, alpha=entry)
