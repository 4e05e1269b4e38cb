"""What recurrent populations share: their synapses, and what a network asks of them.

Shapes: T time, B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.connections.connection import Bias, Connection, Dense, Initial
from tca.nets.options import check_mask, check_signs, check_types, with_signs
from tca.tape.population import Place
from tca.tape.tape import Tape
from tca.utils.checks import not_negative, whole
from tca.utils.numerics import Constant, Workspace

__all__ = ["RecurrentPopulation"]


class RecurrentPopulation(nn.Module, abc.ABC):
    """A recurrent population: synapses from its inputs and among its cells, biases and an initial state if it has them.

    Args:
        n_pre: Number of inputs or presynaptic cells J.
        n_rec: Number of cells N.
        generator: Source of the weights.
        scale_in: Standard deviation of the input weights.
        gain_rec: That of the recurrent weights times the square root of the in-degree.
        autapses: Whether cells may have synapses onto themselves.
        mask_in: Which input synapses exist, ``(N, J)``; ``None`` for all.
        mask_rec: Which recurrent synapses exist, ``(N, N)``; ``None`` for all.
        types: Type of every cell, or fractions that add up to one; ``None`` for one type.
        dale: Sign of the recurrent synapses of each type; ``None`` for both.
        bias: Whether cells have biases.
        learn_initial: Whether the initial state is a parameter.
        synapses: What makes the recurrent connection of a name, a weight and a mask, default all-to-all.
        synapses_in: What makes the connection from the inputs, default all-to-all.

    Raises:
        ValueError: A size, mask, type or sign is not allowed.
    """

    spiking: ClassVar[bool] = False  # whether the cells spike
    leak_form: str = "A"  # where the leak acts: on the potential, or on the rate ("B")
    constants: tuple[Constant, ...] = ()  # what the type of the network's numbers must hold

    mask_in: Tensor | None
    mask_rec: Tensor | None
    types: Tensor
    signs: Tensor | None

    def __init__(
        self,
        n_pre: int,
        n_rec: int,
        *,
        generator: torch.Generator,
        scale_in: Tensor | float,
        gain_rec: float,
        autapses: bool,
        mask_in: Tensor | None,
        mask_rec: Tensor | None,
        types: Sequence[float] | Tensor | None,
        dale: Sequence[int] | None,
        bias: bool = True,
        learn_initial: bool = False,
        synapses: Callable[..., Any] = Dense,
        synapses_in: Callable[..., Any] = Dense,
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__()
        self.synapses, self.synapses_in = synapses, synapses_in
        self.n_pre, self.n_rec = n_pre, whole("n_rec", n_rec, 1)
        self.register_buffer("types", check_types(types, n_rec))
        self.register_buffer("signs", check_signs(dale, self.types))
        input_mask = check_mask("mask_in", mask_in, (n_rec, n_pre))
        recurrent_mask = check_mask("mask_rec", mask_rec, (n_rec, n_rec))
        if not autapses:
            others = 1 - torch.eye(n_rec, dtype=torch.float64, device="cpu")
            recurrent_mask = others if recurrent_mask is None else recurrent_mask * others
        in_degree = (
            torch.tensor([n_rec], dtype=torch.float64, device="cpu")
            if recurrent_mask is None
            else recurrent_mask.sum(1, keepdim=True).clamp(min=1)
        )
        self.w_in = self._draw("in", (n_rec, n_pre), scale_in, input_mask, generator)
        scale = not_negative("gain_rec", gain_rec) / in_degree.sqrt()
        self.w_rec = self._draw("rec", (n_rec, n_rec), scale, recurrent_mask, generator)
        if self.signs is not None:
            self.w_rec.data = with_signs(self.w_rec.data, self.signs)
        self.b = nn.Parameter(torch.zeros(n_rec, dtype=torch.float64, device="cpu")) if bias else None
        self.s_0 = nn.Parameter(torch.zeros(n_rec, dtype=torch.float64, device="cpu")) if learn_initial else None

    def into_cells(self, prefix: str = "") -> tuple[Any, ...]:
        """Return the connections into the population: input, recurrent, and a bias and an initial state if it has them.

        Args:
            prefix: What the names of the parameters begin with in the network, default nothing.
        """
        into: list[Connection] = [
            self.synapses_in(f"{prefix}w_in", self.w_in, self.mask_in),
            self.synapses(f"{prefix}w_rec", self.w_rec, self.mask_rec),
        ]
        if self.b is not None:
            into.append(Bias(f"{prefix}b", self.b))
        if self.s_0 is not None:
            into.append(Initial(f"{prefix}s_0", self.s_0))
        return tuple(into)

    @abc.abstractmethod
    def cell_rates(
        self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None, prefix: str = ""
    ) -> Tensor:
        """Return the rates, shape ``(T, B, N)``, differentiable any number of times.

        Args:
            use: The parameters by name.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.
            prefix: What the names of the parameters begin with, default nothing.
        """

    @abc.abstractmethod
    def run_cells(self, place: Place, inputs: Tensor, noise: Tensor | None, space: Workspace, **rest: Any) -> Tape:
        """Run the population without a graph and return its tape.

        Args:
            place: Where it stands.
            inputs: Inputs, shape ``(T, B, J)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` for none.
            space: Memory to use.
            rest: What else the tape shows.
        """

    @abc.abstractmethod
    def cell_noise(self, drawn: Tensor) -> Tensor:
        """Return private noise of the drive, shape ``(T, B, N)``, zero if the cells have none.

        Args:
            drawn: Independent normal numbers of that shape.
        """

    @torch.no_grad()
    def project_cells_(self) -> None:
        """Put the parameters back where they are allowed to be: missing synapses and wrong signs at zero."""
        if self.signs is not None:
            self.w_rec.copy_(torch.where(self.w_rec * self.signs < 0, 0.0, self.w_rec))
        for connection in self.into_cells():
            if connection.mask is not None:
                connection.weight.mul_(connection.mask)

    def _constant(self, name: str, value: Tensor | float) -> Tensor | float:
        """Register a constant that differs between cells as a buffer, so that it follows device and dtype."""
        if isinstance(value, Tensor):
            self.register_buffer(name, value)
        return value

    def _draw(
        self, name: str, shape: tuple[int, int], scale: Tensor | float, mask: Tensor | None, generator: torch.Generator
    ) -> nn.Parameter:
        """Draw normal weights in float64, so that every dtype gets the same ones, and register their mask."""
        weight = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu") * scale
        self.register_buffer(f"mask_{name}", mask)
        return nn.Parameter(weight if mask is None else weight * mask)
