"""Cells: how neurons turn drives into states and rates, from the library or written by users."""

from tca.cells.cell import Bounds, Cell, Derivatives, constant
from tca.cells.gated_cells import GRU, LSTM, MGU, MinGRU

__all__ = ["GRU", "LSTM", "MGU", "Bounds", "Cell", "Derivatives", "MinGRU", "constant"]
