"""Cells: how neurons turn drives into states and rates, from the library or written by users."""

from tca.cells.cell import Bounds, Cell, Derivatives, constant
from tca.cells.gated_cells import GRU, LSTM, MGU, MinGRU
from tca.cells.linear_recurrent_cell import LRU

__all__ = ["GRU", "LRU", "LSTM", "MGU", "Bounds", "Cell", "Derivatives", "MinGRU", "constant"]
