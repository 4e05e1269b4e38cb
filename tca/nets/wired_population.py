"""The weights and masks of a recurrent population: drawn, and held to their constraints.

Shapes: J presynaptic cells or inputs, N cells, R drives that a connection reaches.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tca.connections.connection import Dense
from tca.nets.deep_r import RewiredPopulation
from tca.nets.options import check_mask, check_signs, check_types, with_signs
from tca.nets.recurrent_layer import RecurrentWiring
from tca.utils.checks import whole
from tca.utils.numerics import lasting

__all__ = ["WiredPopulation"]


class WiredPopulation(RewiredPopulation, abc.ABC):
    """Input and recurrent synapses of a population, optional biases and initial state.

    Args:
        n_pre: Number of inputs or presynaptic cells J.
        n_rec: Number of cells N.
        wiring: Which synapses exist, their signs and their scale.
        generator: Source of the weights.
        scale_in: Standard deviation of the input weights.
        bias: Whether cells have biases.
        synapses: Constructor of the recurrent connection from a name, a weight and a mask, default all-to-all.
        synapses_in: Constructor of the connection from the inputs, default all-to-all.
        drives: Numbers of drives of a cell that inputs and recurrent synapses reach, default one each; a weight has a
            block of N rows for each, and a mask of one block holds for all.

    Raises:
        ValueError: A size, mask, type or sign is not allowed.
    """

    mask_in: Tensor | None
    mask_rec: Tensor | None
    types: Tensor
    signs: Tensor | None
    b_rec: nn.Parameter | None

    def __init__(
        self,
        n_pre: int,
        n_rec: int,
        wiring: RecurrentWiring,
        *,
        generator: torch.Generator,
        scale_in: Tensor | float,
        bias: bool = True,
        synapses: Callable[..., Any] = Dense,
        synapses_in: Callable[..., Any] = Dense,
        drives: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        rows_in, rows_rec = (n_rec * each for each in drives)
        self.synapses, self.synapses_in = synapses, synapses_in
        self.n_pre, self.n_rec = n_pre, whole("n_rec", n_rec, 1)
        self.n_rates, self.b_rec = self.n_rec, None  # general cells may have several rates, and further biases
        self.register_buffer("types", check_types(wiring.cell_types, n_rec))
        self.register_buffer("signs", check_signs(wiring.dale, self.types))
        input_mask = check_mask("mask_in", wiring.mask_in, (n_rec, n_pre))
        recurrent_mask = check_mask("mask_rec", wiring.mask_rec, (n_rec, n_rec))
        if not rows_rec:
            recurrent_mask = None
        elif not wiring.autapses:
            others = 1 - torch.eye(n_rec, dtype=torch.float64, device="cpu")
            recurrent_mask = others if recurrent_mask is None else recurrent_mask * others
        in_degree = (
            torch.tensor([n_rec], dtype=torch.float64, device="cpu")
            if recurrent_mask is None
            else recurrent_mask.sum(1, keepdim=True).clamp(min=1)
        )
        self.w_in = self._draw("in", (rows_in, n_pre), scale_in, input_mask, generator)
        scale = (wiring.gain_rec / in_degree.sqrt()).repeat(rows_rec // n_rec if len(in_degree) > 1 else 1, 1)
        self.w_rec = self._draw("rec", (rows_rec, n_rec), scale, recurrent_mask, generator)
        if self.signs is not None:
            self.w_rec.data = with_signs(self.w_rec.data, self.signs)
        self.b = nn.Parameter(torch.zeros(rows_in, dtype=torch.float64, device="cpu")) if bias else None
        self.s_0 = nn.Parameter(torch.zeros(n_rec, dtype=torch.float64, device="cpu")) if wiring.learn_initial else None
        if wiring.rewiring is not None and drives != (1, 1):
            raise ValueError("rewiring needs cells of one drive: a mask of several drives holds for all of them alike")
        masks = {"in": (wiring.mask_in, input_mask), "rec": (wiring.mask_rec, recurrent_mask)}
        given = {
            name: torch.ones_like(mask) for name, (own, mask) in masks.items() if own is not None and mask is not None
        }
        if "rec" in given and not wiring.autapses:
            given["rec"].fill_diagonal_(0.0)
        self.declare_rewiring(wiring.rewiring, given)

    @abc.abstractmethod
    def into_cells(self, prefix: str = "") -> tuple[Any, ...]:
        """Return the connections into the population, input and recurrent ones first.

        Args:
            prefix: Prefix of the parameters' names in the network, default empty.
        """

    def typed_weights(self) -> tuple[tuple[Tensor, Tensor | None, Tensor], ...]:
        """Return recurrent weights, mask and cell types of each block."""
        if not self.w_rec.numel():
            return ()
        weights = self.into_cells()[1].effective().detach().double()
        masks = [None] * len(weights) if self.mask_rec is None else torch.split(self.mask_rec, self.n_rec)
        return tuple(
            (block, mask, self.types) for block, mask in zip(torch.split(weights, self.n_rec), masks, strict=False)
        )

    @lasting
    def project_cells_(self) -> None:
        """Rewire, and set missing synapses and weights of the wrong sign to zero."""
        self.rewire_()
        if self.signs is not None:
            self.w_rec.copy_(torch.where(self.w_rec * self.signs < 0, 0.0, self.w_rec))
        if self.mask_in is not None:
            self.w_in.mul_(self.mask_in)
        if self.mask_rec is not None:
            self.w_rec.mul_(self.mask_rec)

    def _constant(self, name: str, value: Tensor | float) -> Tensor | float:
        """Register a constant that differs between cells as a buffer, so that it follows device and dtype."""
        if isinstance(value, Tensor):
            self.register_buffer(name, value)
        return value

    def _draw(
        self, name: str, shape: tuple[int, int], scale: Tensor | float, mask: Tensor | None, generator: torch.Generator
    ) -> nn.Parameter:
        """Draw normal weights in float64, the same for every dtype, and register their mask."""
        weight = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu") * scale
        if mask is not None and len(mask) < len(weight):
            mask = mask.repeat(len(weight) // len(mask), 1)
        self.register_buffer(f"mask_{name}", mask)
        return nn.Parameter(weight if mask is None else weight * mask)
