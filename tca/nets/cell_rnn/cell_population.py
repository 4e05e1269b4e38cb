"""A recurrent population of general cells: its parameters and its forward pass.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells, S components, G drives, Q rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.cells.cell import Cell
from tca.cells.cell_check import check_cell
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.recurrent_layer import RecurrentLayer, RecurrentWiring
from tca.utils.checks import NotNegative, Size, checked

__all__ = ["CellLayer", "CellPopulation", "CellWiring"]


class CellPopulation(BlockPopulation):
    """A recurrent population of general cells; see `tca.nets.CellRNN` for equations and options.

    Args:
        n_pre: Number of inputs or presynaptic cells J.
        layer: Number of cells, the cell and its wiring.
        generator: Source of the weights.

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed.
    """

    leak_form = "cell"

    def __init__(self, n_pre: int, layer: CellLayer, *, generator: torch.Generator) -> None:
        """Draw the weights; see the class."""
        cell, wiring = layer.cell, layer.wiring
        if not type(cell).__module__.startswith("tca."):
            check_cell(cell).require()
        places = cell.places(cell.input_drives), cell.places(cell.recurrent_drives)
        super().__init__(
            n_pre,
            layer.size,
            wiring,
            generator=generator,
            scale_in=wiring.gain_in / math.sqrt(n_pre),
            bias=wiring.bias,
            drives=(len(places[0]), len(places[1])),
        )
        if not places[1]:
            del self.w_rec
            self.register_buffer("w_rec", torch.zeros(0, layer.size, dtype=torch.float64, device="cpu"))
        self.declare_(cell, wiring.learn, generator)
        self.noise, rows = wiring.noise, layer.size * len(self.reached)
        if wiring.bias and cell.recurrent_bias and rows:
            self.b_rec = nn.Parameter(torch.zeros(rows, dtype=torch.float64, device="cpu"))

    def cell_noise(self, drawn: Tensor) -> Tensor:
        """Return private noise of the drives, shape ``(T, B, G N)``, zero if the cells have none.

        Args:
            drawn: Independent normal numbers of that shape.
        """
        noise: Tensor = drawn.to(self.w_in) * self.noise
        return noise


@checked
@dataclass(frozen=True, eq=False)
class CellWiring(RecurrentWiring):
    """The synapses of a population of general cells, its noise and the constants that it learns.

    Args:
        mask_in: Which input synapses exist, (N, J), for all drives alike; ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N), for all drives alike; ``None`` (default) for all.
        cell_types: Type of every cell, or fractions; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses of each type; ``None`` (default) for both.
        autapses: Whether cells may have synapses onto themselves, default ``True``.
        gain_rec: Factor of the recurrent weights, default 1.
        learn_initial: Whether the initial state is a parameter, default ``False``.
        bias: Whether drives have biases, default ``True``.
        gain_in: Factor of the input weights, default 1.
        noise: Standard deviation of private noise in every drive, default 0.
        learn: Names of the constants of the cell that are parameters; ``None`` (default) for those that the cell
            declares.
    """

    bias: bool = True
    gain_in: NotNegative = 1.0
    noise: NotNegative = 0.0
    learn: Sequence[str] | None = None


@checked
class CellLayer(RecurrentLayer):
    """Configuration of a population of general cells, for a `tca.nets.StackedRNN`.

    Args:
        size: Number of cells.
        cell: The cell, one of `tca.cells` or the user's own.
        wiring: Its synapses, default all-to-all.
        options: Fields of the wiring, by name.

    >>> from tca.cells import GRU
    >>> CellLayer(5, GRU(), autapses=False).wiring.autapses
    False
    """

    cells: ClassVar[type] = Cell
    wirings = CellWiring

    def __init__(self, size: Size, cell: Cell | None = None, wiring: CellWiring | None = None, **options: Any) -> None:
        """Check the options; see the class."""
        if cell is None and self.cells is Cell:
            raise TypeError("cell must be a tca.cells.Cell, for example tca.cells.GRU(), got None")
        super().__init__(size, cell, wiring, **options)

    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> CellPopulation:
        """Return the population.

        Args:
            n_pre: Number of inputs, or of cells of the population below.
            dt: Duration of a step in ms, of no effect: constants of cells are per step.
            generator: Source of the weights.
        """
        return CellPopulation(n_pre, self, generator=generator)
