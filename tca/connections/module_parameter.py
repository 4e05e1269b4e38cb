"""Parameters of a user's module: a gradient of their own shape, computed by autograd.

Shapes: B batch, M numbers in the state of a trial.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.connections.connection import Connection, Initial

__all__ = ["InitialPart", "ModuleParameter"]


@dataclass(frozen=True, eq=False)
class ModuleParameter(Connection):
    """A parameter of a module; its drive is part of the module and its gradient a product with the module's Jacobian.

    >>> import torch
    >>> ModuleParameter("cell.weight", torch.zeros(())).n_pre
    1
    """

    @property
    def n_post(self) -> int:
        """One: the parameter counts as one row."""
        return 1

    @property
    def n_pre(self) -> int:
        return self.weight.numel()

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Raise: the module computes its own drive.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self.name} is a parameter of a module and has no drive of its own")

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Raise: the gradient is no outer product.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{self.name} is a parameter of a module: its gradient is no outer product")

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.finish(per_pair.reshape(self.weight.shape))


@dataclass(frozen=True, eq=False)
class InitialPart(Initial):
    """One tensor of a learned initial state, at ``offset`` among the M numbers of the state of a trial."""

    offset: int = 0

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.finish(per_pair.reshape(self.weight.shape))

    def part(self, states: Tensor) -> Tensor:
        """Return this part of states, shape ``(..., n)``.

        Args:
            states: States or state signals, shape ``(..., M)``.
        """
        return states[..., self.offset : self.offset + self.weight.numel()]
