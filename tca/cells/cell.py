"""Cells as users write them: a step of the state, a rate, and constants.

Shapes: B batch, N cells, S components of the state, G drives, P learned constants; any number of leading axes.

A cell is elementwise: each neuron has a state of S numbers, is driven by G numbers and emits a rate,

    s_t = F(s_{t-1}, u_t; theta),     z_t = E(s_t).

Everything a learning rule reads of it is local to the neuron: ``leak = ds_t/ds_{t-1}``, ``gain = ds_t/du_t``, the
derivative by the constants ``theta``, and ``slope = dz_t/ds_t``.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from tca.utils.checks import checked

__all__ = ["Bounds", "Cell", "Derivatives", "Entry", "State", "constant"]

State = tuple[Tensor, ...]
Entry = Tensor | float
Rows = Sequence[Sequence[Entry]]


class Derivatives(NamedTuple):
    """Local derivatives of a cell in closed form, one entry per pair; numbers where an entry is constant.

    Attributes:
        leak: ``ds_a,t / ds_b,t-1`` at ``[a][b]``, S rows of S entries.
        gain: ``ds_a,t / du_g,t`` at ``[a][g]``, S rows of G entries.
        constants: ``ds_a,t / dtheta_p`` at ``[a][p]``, S rows, one entry per constant of the cell in the order of its
            fields; empty (default) if the cell has none.
        within: ``ds_a,t / ds_b,t`` at ``[a][b]``, S rows, row a with an entry for each component before it, if a
            component is a function of those before it within the step; the others are then partial derivatives. Empty
            (default) if they are whole.
    """

    leak: Rows
    gain: Rows
    constants: Rows = ()
    within: Rows = ()


@checked
@dataclass(frozen=True)
class Bounds:
    """The range of a constant, and whether it is learned.

    Args:
        low: Smallest value; ``None`` (default) for none.
        high: Largest value; ``None`` (default) for none.
        learned: Whether the constant is a parameter by default, default ``False``.
    """

    low: float | None = None
    high: float | None = None
    learned: bool = False

    def hold(self, value: Tensor) -> bool:
        """Return whether all values are finite and within the bounds."""
        return bool(value.isfinite().all()) and bool((self.clamped(value) == value).all())

    def clamped(self, value: Tensor) -> Tensor:
        """Return values moved to the nearest one within the bounds."""
        return value.clamp(-math.inf if self.low is None else self.low, math.inf if self.high is None else self.high)


@checked
def constant(default: Any, *, low: float | None = None, high: float | None = None, learned: bool = False) -> Any:
    """Return a dataclass field that declares a constant of a cell.

    The value is a number, one number per neuron, or ``None`` if the cell draws it (`Cell.draw`). Learned constants stay
    within the bounds after every step of an optimizer (``Network.project_``).

    Args:
        default: Its default value.
        low: Smallest value; ``None`` (default) for none.
        high: Largest value; ``None`` (default) for none.
        learned: Whether it is a parameter by default, default ``False``.
    """
    return dataclasses.field(default=default, metadata={"bounds": Bounds(low, high, learned)})


@dataclass(frozen=True)
class Cell(abc.ABC):
    """An elementwise recurrent cell: a frozen dataclass with a step and a rate.

    A subclass names the components of its state and its drives and defines ``step`` and ``rate`` in torch. Derivatives
    are automatic unless ``derivatives`` returns them. Fields made with `constant` are constants
    of the neurons, the others are options of the cell. `tca.check_cell` reports what is wrong with a cell.

    Attributes:
        components: Names of the S components of the state, which is zero at the start.
        drives: Names of the G drives, each a sum over the synapses that reach it.
        input_drives: Drives that inputs and biases reach, in the order of their weight rows; default all.
        recurrent_drives: Drives that recurrent synapses reach; default all, empty for a cell without recurrence.
        recurrent_bias: Whether the recurrent drives have biases of their own, default ``False``.
        rates: Names of the numbers that a neuron emits, default one.

    >>> @dataclass(frozen=True)
    ... class Leaky(Cell):
    ...     components = ("v",)
    ...     drives = ("u",)
    ...     leak: float = constant(0.9, low=0.0, high=1.0)
    ...
    ...     def step(self, state, drive):
    ...         return (self.leak * state[0] + (1 - self.leak) * drive[0],)
    ...
    ...     def rate(self, state):
    ...         return torch.tanh(state[0])
    >>> Leaky(0.5).step((torch.ones(1),), (torch.zeros(1),))[0].item()
    0.5
    """

    components: ClassVar[tuple[str, ...]]
    drives: ClassVar[tuple[str, ...]]
    input_drives: ClassVar[tuple[str, ...] | None] = None
    recurrent_drives: ClassVar[tuple[str, ...] | None] = None
    recurrent_bias: ClassVar[bool] = False
    rates: ClassVar[tuple[str, ...]] = ("z",)

    @abc.abstractmethod
    def step(self, state: State, drive: State) -> State:
        """Return the next state, a tuple of S tensors.

        Args:
            state: The components of the state, each of shape ``(..., N)``; not to be changed in place.
            drive: The drives of the step, same shape.
        """

    @abc.abstractmethod
    def rate(self, state: State) -> Tensor | State:
        """Return the rate, shape ``(..., N)``; a tuple if the cell emits several.

        Learned constants act in ``step`` only.

        Args:
            state: The components of the state.
        """

    def derivatives(self, state: State, drive: State) -> Derivatives | None:
        """Return local derivatives in closed form; ``None`` (default) for automatic differentiation.

        Args:
            state: The state before the step.
            drive: The drives of the step.
        """
        return None

    def advance_(self, drive: Tensor, before: Tensor, after: Tensor) -> bool:
        """Write the next state in place, faster than ``step``, and return ``True``; by default ``False``.

        Drives may be overwritten by gate values, from which ``gate_derivatives`` takes the derivatives.

        Args:
            drive: Drives, shape ``(B, G, N)``.
            before: State, shape ``(B, S, N)``; not changed.
            after: Memory of the next state, same shape.
        """
        return False

    def gate_derivatives(self, gates: State, before: State, after: State) -> Derivatives:
        """Return local derivatives of steps made by ``advance_``.

        Args:
            gates: The drives as ``advance_`` has left them.
            before: The state before the step.
            after: The state after it.
        """
        raise NotImplementedError(f"{type(self).__name__} defines advance_, which needs gate_derivatives")

    def draw(self, cells: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Return constants that are drawn, each of shape ``(N,)`` in float64; default none.

        Args:
            cells: Number of neurons N.
            generator: Source of random numbers.
        """
        return {}

    def apart(self) -> tuple[Cell, float | Tensor | None]:
        """Return the cell without the part that rules treat as an autapse, and the weight of that autapse.

        A reset is transmitted to the cell by its own spike. It may be a part of the step, as for a cell of one's own,
        or be cut with recurrent transmission, as in e-prop; outputs and true gradients are the same. Default: the cell
        and ``None``.
        """
        return self, None

    @classmethod
    def bounds(cls) -> dict[str, Bounds]:
        """Return the constants by name, in the order of the fields, with their bounds."""
        return {each.name: each.metadata["bounds"] for each in dataclasses.fields(cls) if "bounds" in each.metadata}

    def bound(self, constants: Mapping[str, Any]) -> Self:
        """Return the cell with other values of constants, unchecked.

        Args:
            constants: Values by name.
        """
        if not constants:
            return self
        changed = copy.copy(self)
        for name, value in constants.items():
            object.__setattr__(changed, name, value)
        return changed

    def places(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Return the indices of drives.

        Args:
            names: Names of drives; ``None`` for all.
        """
        return tuple(range(len(self.drives))) if names is None else tuple(self.drives.index(each) for each in names)
