"""Configuration of a recurrent population: size, cell constants and wiring.

Shapes: J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.nets.deep_r import Rewiring
from tca.nets.options import check_dale, count_types
from tca.utils.checks import Mask, NotNegative, Size, check, checked
from tca.utils.names import unknown

__all__ = ["RecurrentLayer", "RecurrentWiring"]


@checked
@dataclass(frozen=True, eq=False)
class RecurrentWiring:
    """The synapses of a recurrent population and its initial state.

    Args:
        mask_in: Which input synapses exist, (N, J); ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N); ``None`` (default) for all.
        cell_types: Type of every cell, for the rules that depend on it: N integers, or fractions that add up to one
            such as ``(0.8, 0.2)``, the first cells being of type 0; ``None`` (default) for one type.
        dale: Sign of the outgoing recurrent synapses of each cell type, such as ``(1, -1)``, 0 for both; ``None``
            (default) for both everywhere. ``project_`` sets weights of the wrong sign to zero. They are drawn such that
            excitation and inhibition of a cell cancel in the mean.
        autapses: Whether cells may have synapses onto themselves, default ``True``.
        gain_rec: Factor of the recurrent weights, default 1.
        learn_initial: Whether the initial state is a parameter, default ``False``.
        rewiring: Rewiring of the masked weights after every update, `tca.nets.DeepR`; ``None`` (default) for none.
    """

    mask_in: Mask | None = None
    mask_rec: Mask | None = None
    cell_types: Sequence[float] | Tensor | None = None
    dale: Sequence[int] | None = None
    autapses: bool = True
    gain_rec: NotNegative = 1.0
    learn_initial: bool = False
    rewiring: Rewiring | None = None


@checked
class RecurrentLayer(abc.ABC):
    """Configuration of a recurrent population.

    Args:
        size: Number of cells N.
        cell: Their constants, default those of the class.
        wiring: Their synapses, default all-to-all.
        options: Fields of the cell and of the wiring, by name.

    Raises:
        TypeError: An option is unknown or of another type; the message offers the nearest name.
    """

    cells: ClassVar[type]
    wirings: ClassVar[type]

    def __init__(self, size: Size, cell: Any = None, wiring: Any = None, **options: Any) -> None:
        self.size = size
        allowed = self.options()
        for name in options:
            if name not in allowed:
                raise TypeError(str(unknown(name, allowed, f"option of {type(self).__name__}")))
        self.cell = self._with(check("cell", cell, self.cells | None), self.cells, options)
        self.wiring = self._with(check("wiring", wiring, self.wirings | None), self.wirings, options)
        if self.wiring.cell_types is not None or self.wiring.dale is not None:
            check_dale(self.wiring.dale, count_types(self.wiring.cell_types, size))

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Return the fields of the cell and of the wiring with their defaults."""
        return {each.name: each.default for kind in (cls.cells, cls.wirings) for each in dataclasses.fields(kind)}

    @abc.abstractmethod
    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> nn.Module:
        """Return the population.

        Args:
            n_pre: Number of inputs, or of cells of the population below.
            dt: Duration of a step in ms.
        """

    @staticmethod
    def _with(given: Any, kind: Any, options: dict[str, Any]) -> Any:
        own = {each.name: options[each.name] for each in dataclasses.fields(kind) if each.name in options}
        return kind(**own) if given is None else dataclasses.replace(given, **own)
