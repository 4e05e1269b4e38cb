"""Local derivatives of a cell at many steps at once, in closed form or by automatic differentiation.

Shapes: L leading axes (steps, trials), N cells, S components, G drives, P learned constants, Q rates.

A cell is elementwise, so one reverse pass over the sum of each component gives all of its derivatives; no Jacobian of
the population is formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tca.cells.cell import Cell, Entry, Rows, State

__all__ = ["Blocks", "blocks_of", "emitted", "moved", "passed_on", "slope_of"]


class Blocks(NamedTuple):
    """Derivatives of the state of every neuron, entry by entry: tensors ``(L, N)`` or numbers.

    Attributes:
        leak: ``ds_t/ds_{t-1}`` at ``[a][b]``, S rows of S entries, the later component first.
        gain: ``ds_t/du_t`` and behind it ``ds_t/dtheta``, S rows of G + P entries.
        within: ``ds_a,t/ds_b,t`` for b before a, of which the others are partial derivatives; empty if they are whole.
    """

    leak: Rows
    gain: Rows
    within: Rows = ()

    def at(self, inside: slice | int) -> Blocks:
        """Return the entries of some of the leading steps."""

        def of(rows: Rows) -> Rows:
            return [[each[inside] if isinstance(each, Tensor) else each for each in row] for row in rows]

        return Blocks(of(self.leak), of(self.gain), of(self.within))

    def apart(self) -> list[Blocks]:
        """Return the entries of each leading step."""
        count = next(len(each) for row in (*self.leak, *self.gain) for each in row if isinstance(each, Tensor))

        def of(rows: Rows) -> list[list[list[Entry]]]:
            columns = [
                [each.unbind(0) if isinstance(each, Tensor) else (each,) * count for each in row] for row in rows
            ]
            return [[[each[t] for each in row] for row in columns] for t in range(count)]

        return [Blocks(*each) for each in zip(of(self.leak), of(self.gain), of(self.within), strict=True)]

    def whole(self, signal: Sequence[Tensor]) -> list[Tensor]:
        """Return a state signal, component by component, with what passes through later components of the step."""
        parts = list(signal)
        for a in range(len(self.within) - 1, 0, -1):
            for b, entry in enumerate(self.within[a]):
                if isinstance(entry, Tensor):
                    parts[b] = torch.addcmul(parts[b], entry, parts[a])
                elif entry:
                    parts[b] = parts[b] + entry * parts[a]
        return parts

    def tables(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return leak ``(L, S, S, N)`` and gain ``(L, S, G + P, N)`` as whole derivatives.

        Args:
            like: States, shape ``(L, S, N)``.
        """
        leak, gain = _table(self.leak, like), _table(self.gain, like)
        for a, row in enumerate(self.within):
            for b, entry in enumerate(row):
                by = entry.unsqueeze(-2) if isinstance(entry, Tensor) else entry
                leak[..., a, :, :] += by * leak[..., b, :, :]
                gain[..., a, :, :] += by * gain[..., b, :, :]
        return leak, gain


def moved(cell: Cell, state: State, drive: State) -> State:
    """Return the next state as a tuple.

    Args:
        state: The components of the state.
    """
    after = cell.step(state, drive)
    return after if isinstance(after, tuple) else (after,)


def emitted(cell: Cell, state: State) -> State:
    """Return the rates as a tuple.

    Args:
        state: The components of the state.
    """
    rates = cell.rate(state)
    return rates if isinstance(rates, tuple) else (rates,)


def passed_on(cell: Cell) -> tuple[int, ...] | None:
    """Return which component each rate is, or ``None`` if a rate is a function of the state."""
    probe = tuple(torch.zeros(1, dtype=torch.float64, device="cpu") for _ in cell.components)
    places = [[index for index, each in enumerate(probe) if rate is each] for rate in emitted(cell, probe)]
    return tuple(each[0] for each in places) if all(places) else None


def blocks_of(
    cell: Cell,
    state: Tensor,
    drive: Tensor,
    learned: Sequence[str],
    *,
    closed: bool = True,
    after: Tensor | None = None,
) -> Blocks:
    """Return the derivatives of the state; closed forms where the cell has them.

    Args:
        cell: The cell with its constants.
        state: State before each step, shape ``(L, S, N)``.
        drive: Drives of each step, shape ``(L, G, N)``.
        learned: Names of the learned constants.
        closed: Whether to use closed forms that the cell has, default ``True``.
        after: State after each step, if ``Cell.advance_`` made it and left gate values for drives; ``None`` (default)
            for drives.
    """
    states, drives = state.unbind(-2), drive.unbind(-2)
    if after is not None:
        gated = cell.gate_derivatives(drives, states, after.unbind(-2))
        if learned and not gated.constants:
            raise ValueError(
                f"gate_derivatives: {type(cell).__name__} learns {learned[0]}: return those by constants too"
            )
    found = gated if after is not None else cell.derivatives(states, drives) if closed else None
    if found is None or (learned and not found.constants):
        return _automatic(cell, states, drives, learned)
    gain = [list(row) for row in found.gain]
    if learned:
        order = list(cell.bounds())
        for row, more in zip(gain, found.constants, strict=True):
            row.extend(more[order.index(name)] for name in learned)
    shape = states[0].shape
    return Blocks(*(_expanded(rows, shape) for rows in (found.leak, gain, found.within)))


def slope_of(cell: Cell, state: Tensor, passed: tuple[int, ...] | None) -> Tensor:
    """Return the derivatives of the rates by the state, shape ``(L, S, Q, N)`` or ``(S, Q, 1)`` if constant.

    Args:
        cell: The cell with its constants.
        state: States, shape ``(L, S, N)``.
        passed: Result of `passed_on`.
    """
    if passed is not None:
        slope = state.new_zeros(len(cell.components), len(passed), 1)
        for place, component in enumerate(passed):  # a list of places would be copied from the host
            slope[component, place] = 1.0
        return slope
    with torch.enable_grad():
        states = tuple(each.detach().clone().requires_grad_() for each in state.unbind(-2))
        rates = emitted(cell, states)
        rows = [_derivatives(each, states) for each in rates]
    return torch.stack([torch.stack(row, -2) for row in rows], -2).detach()


def _automatic(cell: Cell, states: State, drives: State, learned: Sequence[str]) -> Blocks:
    """Return the derivatives by one reverse pass over each component."""
    with torch.enable_grad():
        state = tuple(each.detach().clone().requires_grad_() for each in states)
        drive = tuple(each.detach().clone().requires_grad_() for each in drives)
        theta = {name: getattr(cell, name).detach().expand_as(states[0]).clone().requires_grad_() for name in learned}
        after = moved(cell.bound(theta), state, drive)
        rows = [_derivatives(each, (*state, *drive, *theta.values())) for each in after]
    size = len(states)
    return Blocks([row[:size] for row in rows], [row[size:] for row in rows])


def _expanded(rows: Rows, shape: torch.Size) -> Rows:
    """Return entries with all leading axes."""
    return [[each.expand(shape) if isinstance(each, Tensor) else each for each in row] for row in rows]


def _derivatives(value: Tensor, by: State) -> list[Tensor]:
    """Return the derivatives of an elementwise function, zeros where it does not depend."""
    if not value.requires_grad:
        return [torch.zeros_like(each).detach() for each in by]
    found = torch.autograd.grad(value.sum(), by, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(one).detach() if each is None else each for one, each in zip(by, found, strict=True)]


def _table(rows: Rows, like: Tensor) -> Tensor:
    """Return entries as one tensor ``(L, rows, columns, N)``."""
    shape = (*like.shape[:-2], len(rows), len(rows[0]), like.shape[-1])
    table = like.new_empty(shape)
    for a, row in enumerate(rows):
        for b, entry in enumerate(row):
            _put(table[..., a, b, :], entry)
    return table


def _put(into: Tensor, entry: Entry) -> None:
    if isinstance(entry, Tensor):
        into.copy_(entry)
    else:
        into.fill_(entry)
