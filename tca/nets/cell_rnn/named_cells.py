"""Networks and layers of single cells, as runs and the command line describe them by name or import path."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from tca.cells import CELLS
from tca.cells.cell import Cell
from tca.nets.cell_rnn.cell_population import CellLayer
from tca.nets.cell_rnn.cell_rnn import CellRNN
from tca.utils.checks import Size, checked

__all__ = ["CELL_LAYERS", "CELL_NETWORKS", "layer_of_cell", "network_of_cell"]


@functools.cache
def layer_of_cell(kind: type[Cell]) -> type[CellLayer]:
    """Return the layer of one cell, whose options are those of the cell and of the wiring.

    Args:
        kind: The class of the cell.
    """
    return type(f"{kind.__name__}Layer", (CellLayer,), {"cells": kind, "__doc__": CellLayer.__doc__})


@functools.cache
def network_of_cell(kind: type[Cell]) -> type[CellRNN]:
    """Return the network of one cell, whose options are those of the cell and of `CellRNN`.

    Args:
        kind: The class of the cell.
    """

    @checked
    class NamedCellRNN(CellRNN):
        layer = layer_of_cell(kind)

        def __init__(self, n_in: Size, n_rec: Size, n_out: Size, **options: Any) -> None:
            own = {each.name: options.pop(each.name) for each in dataclasses.fields(kind) if each.name in options}
            super().__init__(kind(**own), n_in, n_rec, n_out, **options)

    NamedCellRNN.__name__ = NamedCellRNN.__qualname__ = f"{kind.__name__}Network"
    NamedCellRNN.__doc__ = CellRNN.__doc__
    return NamedCellRNN


CELL_LAYERS: dict[str, type[CellLayer]] = {name: layer_of_cell(kind) for name, kind in CELLS.items()}
CELL_NETWORKS: dict[str, type[CellRNN]] = {name: network_of_cell(kind) for name, kind in CELLS.items()}
