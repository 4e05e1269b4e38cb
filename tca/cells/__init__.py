"""Cells: how neurons turn drives into states and rates, from the library or written by users."""

from tca.cells.cell import Bounds, Cell, Derivatives, constant
from tca.cells.gated_cells import GRU, LSTM, MGU, MinGRU
from tca.cells.learned_cells import ALIF, Leaky
from tca.cells.linear_recurrent_cell import LRU
from tca.utils.names import Table

CELLS: dict[str, type[Cell]] = Table(
    "cell",
    {"gru": GRU, "lstm": LSTM, "mgu": MGU, "min_gru": MinGRU, "lru": LRU, "leaky_cell": Leaky, "alif": ALIF},
)

__all__ = ["ALIF", "CELLS", "GRU", "LRU", "LSTM", "MGU", "Bounds", "Cell", "Derivatives", "Leaky", "MinGRU", "constant"]
