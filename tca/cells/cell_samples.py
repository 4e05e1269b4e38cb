"""Random states, drives and constants on which a user's cell is checked.

Shapes: N cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.cells.cell import Cell, State

__all__ = ["CELLS", "STEPS", "TRIALS", "all_of", "at_rest", "bound_sample", "drawn_sample", "first_bad"]

STEPS, TRIALS, CELLS = 3, 2, 5  # no two alike, so that axes cannot be exchanged unnoticed


def bound_sample(cell: Cell, dtype: torch.dtype = torch.float64) -> Cell:
    """Return the cell with drawn constants, and one number per neuron for each."""
    drawn = cell.draw(CELLS, torch.Generator().manual_seed(0))
    values = {name: drawn.get(name, getattr(cell, name)) for name in cell.bounds()}
    some = torch.arange(CELLS, device="cpu")  # constants of any number of neurons, in turn
    found = {name: torch.as_tensor(each, dtype=dtype, device="cpu").flatten() for name, each in values.items()}
    return cell.bound({name: each[some % len(each)] for name, each in found.items()})


def drawn_sample(cell: Cell, *lead: int, dtype: torch.dtype = torch.float64) -> tuple[State, State]:
    """Return random states and drives."""
    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> State:
        return tuple(
            torch.randn(*lead, CELLS, generator=generator, dtype=torch.float64, device="cpu").to(dtype)
            for _ in range(count)
        )

    return draw(len(cell.components)), draw(len(cell.drives))


def at_rest(cell: Cell) -> tuple[State, State]:
    """Return states and drives of zero."""
    return tuple(  # type: ignore[return-value]
        tuple(torch.zeros(TRIALS, CELLS, dtype=torch.float64, device="cpu") for _ in names)
        for names in (cell.components, cell.drives)
    )


def all_of(results: Tensor | State) -> State:
    """Return results as a tuple, also a single one."""
    return results if isinstance(results, tuple) else (results,)


def first_bad(values: Tensor) -> str:
    """Return the first value that is not finite."""
    return str(float(values[~values.isfinite()][0]))
