"""Connections: one weight tensor each, its drive and its gradient.

Shapes: M any number of leading steps and trials, B batch, I postsynaptic, J presynaptic.

A connection is independent of time, rules and losses. A rule uses three operations: the drive, backprojection through
the weights, and ``outer_``, which accumulates ``sum_m signal_mi pre_mj`` in the shape of the weight.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

__all__ = ["Bias", "Connection", "ConnectionInput", "Dense", "Initial", "Reused", "constant_input"]


@dataclass(frozen=True, eq=False)
class Connection(abc.ABC):
    """One weight tensor into one population.

    Args:
        name: Name of the parameter in its network.
        weight: The parameter.
        mask: One where a synapse exists and zero where none does, in the shape of the weight; ``None`` if all exist.
        drives: Drives of a cell that the connection reaches, in the order of its weight, which has a block of rows for
            each; ``None`` (default) if cells have one drive.
    """

    name: str
    weight: Tensor
    mask: Tensor | None = None
    drives: tuple[int, ...] | None = field(default=None, kw_only=True)

    impulse: ClassVar[float] = 0.0  # trace at time zero: one for an initial state, which acts there and never again

    @property
    def n_post(self) -> int:
        """Number of postsynaptic cells I, each counted once for every drive that is reached."""
        return self.weight.shape[0]

    @property
    def n_pre(self) -> int:
        """Number of presynaptic cells J."""
        return self.weight[0].numel()

    def effective(self) -> Tensor:
        """Return the weights with missing synapses at zero, without a graph."""
        return self.masked(self.weight.detach())

    def masked(self, weight: Tensor) -> Tensor:
        """Return a weight with missing synapses at zero.

        Args:
            weight: A weight in the shape of the connection's own.
        """
        return weight if self.mask is None else weight * self.mask

    def gradient(self) -> Tensor:
        """Return a zero gradient to accumulate into, in the shape of the weight."""
        return torch.zeros_like(self.weight, requires_grad=False)

    def finish(self, gradient: Tensor) -> Tensor:
        """Return an accumulated gradient with missing synapses at zero, contiguous.

        Args:
            gradient: The sum of ``outer_``.
        """
        return self.masked(gradient).contiguous()  # some optimizers require contiguous gradients

    @abc.abstractmethod
    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Return the drive by a weight, shape ``(..., I)``, differentiable in both arguments.

        Args:
            weight: A weight in the shape of the connection's own, missing synapses at zero.
            pre: Presynaptic activity, shape ``(..., J)``.
        """

    def drive(self, pre: Tensor) -> Tensor:
        """Return the drive of the population, ``(..., I)``, without a graph to the weight.

        Args:
            pre: Presynaptic activity, shape ``(..., J)``.
        """
        return self.apply(self.effective(), pre)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Backproject a signal to the presynaptic cells, ``W^T signal``, shape ``(..., J)``.

        Args:
            signal: Signal to the postsynaptic cells, shape ``(..., I)``.
            weight: Feedback weights in the shape of the weights; ``None`` (default) for the weights themselves.

        Raises:
            TypeError: The connection has no presynaptic population (bias or initial state).
        """
        raise TypeError(f"{type(self).__name__} has no presynaptic cells to backproject to")

    @abc.abstractmethod
    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add ``sum_m signal_mi pre_mj`` to ``gradient`` in place.

        Args:
            gradient: Accumulated gradient, in the shape of the weight.
            signal: Signal to the postsynaptic cells, shape ``(..., I)``.
            pre: Presynaptic activity, shape ``(..., J)``.
        """

    @abc.abstractmethod
    def fold(self, per_pair: Tensor) -> Tensor:
        """Return a gradient per pair of cells in the shape of the weight.

        Pairs that share a weight are summed, pairs without one left out; missing synapses have gradient zero.

        Args:
            per_pair: The gradient of every pair of cells, shape ``(I, J)``.
        """

    def gather_pairs(self, per_pair: Tensor) -> Tensor:
        """Return the same as ``fold``, computed by ``outer_`` with unit vectors.

        Args:
            per_pair: The gradient of every pair of cells.
        """
        gradient = self.gradient()
        self.outer_(gradient, per_pair.t(), torch.eye(per_pair.shape[1], dtype=per_pair.dtype, device=per_pair.device))
        return self.finish(gradient)


@dataclass(frozen=True, eq=False)
class Dense(Connection):
    """All-to-all weights, ``drive_i = sum_j W_ij pre_j``; the weight has shape ``(I, J)``.

    >>> dense = Dense("w", torch.tensor([[1.0, 2.0]]))
    >>> dense.drive(torch.tensor([3.0, 4.0])).tolist()
    [11.0]
    """

    def gradient(self) -> Tensor:
        """Return a zero gradient, contiguous along its long side, which makes narrow products faster."""
        n_post, n_pre = self.weight.shape
        if 4 * n_pre < n_post:
            return self.weight.detach().new_zeros(n_pre, n_post).t()
        return super().gradient()

    def matrix(self) -> Tensor:
        """Return the weights between the cells, shape ``(I, J)``, without a graph."""
        return self.effective()

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Return ``pre W^T``."""
        return pre @ weight.t()

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        return signal @ (self.effective() if weight is None else weight)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add ``signal^T pre`` to ``gradient``, one matrix product over all leading axes."""
        gradient.addmm_(signal.reshape(-1, signal.shape[-1]).t(), pre.reshape(-1, pre.shape[-1]))

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.finish(per_pair)


@dataclass(frozen=True, eq=False)
class Bias(Connection):
    """One weight per cell with presynaptic activity one, ``drive_i = b_i``."""

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return weight

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the sum of the signal over all leading axes; ``pre`` is one everywhere and not read."""
        gradient.add_(signal.reshape(-1, signal.shape[-1]).sum(0))

    def fold(self, per_pair: Tensor) -> Tensor:
        """Return the only column."""
        return self.finish(per_pair[:, 0])


@dataclass(frozen=True, eq=False)
class Initial(Bias):
    """The state at time zero, ``s_0 = weight``: a bias that acts once, before the first step, with gain one."""

    impulse: ClassVar[float] = 1.0


class Reused:
    """Makes connections, each again only where its parameter or its mask is another tensor.

    >>> weight, made = torch.zeros(2, 2), Reused()
    >>> first = made(Dense, "w", weight)
    >>> first is made(Dense, "w", weight), first is made(Dense, "w", weight.clone())
    (True, False)
    """

    def __init__(self) -> None:
        self._made: dict[str, Connection] = {}

    def __call__(
        self,
        make: Callable[..., Connection],
        name: str,
        weight: Tensor,
        mask: Tensor | None = None,
        drives: tuple[int, ...] | None = None,
    ) -> Any:
        """Return the connection of a name.

        Args:
            make: Constructor of the connection from name, parameter, mask and, if cells have several, the drives that
                it reaches; constructor and drives are always the same for a name.
        """
        found = self._made.get(name)
        if found is None or found.weight is not weight or found.mask is not mask:
            options = {} if drives is None else {"drives": drives}
            found = self._made[name] = make(name, weight, mask, **options)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Reused:
        return Reused()

    def __reduce__(self) -> tuple[Any, ...]:
        return Reused, ()


def constant_input(value: float, like: Tensor) -> Tensor:
    """Return presynaptic activity that is the same at all steps, shape ``(1, 1, 1)``; not to be changed.

    Args:
        value: One for a bias, zero for an initial state.
        like: A tensor of the type and on the device of the network.
    """
    return _constant(value, like.dtype, like.device)


@functools.cache
def _constant(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.full((1, 1, 1), value, dtype=dtype, device=device)


class ConnectionInput(NamedTuple):
    """A connection and its presynaptic activity: ``pre[t - 1]`` drives step t.

    Attributes:
        connection: The connection.
        pre: Presynaptic activity of all steps, shape ``(T, B, J)``; constants, the one of a bias and the zero of an
            initial state after time zero, have the shape ``(1, 1, 1)``.
    """

    connection: Connection
    pre: Tensor

    def at(self, steps: slice) -> Tensor:
        """Return the presynaptic activity of some steps, counted from one."""
        if len(self.pre) == 1:
            return self.pre
        return self.pre[steps.start - 1 : steps.stop - 1]
