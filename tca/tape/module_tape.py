"""The tapes of user's modules, which show no slopes, leaks or synapses.

Shapes: C consecutive steps, B batch, M numbers in the state of a trial.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from torch import Tensor

from tca.connections.connection import ConnectionInput
from tca.connections.module_parameter import InitialPart, ModuleParameter
from tca.tape.tape import Tape

__all__ = ["ModuleTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ModuleTape(Tape, abc.ABC):
    """One forward pass of a user's module; see `tca.tape.Tape` for the other attributes."""

    @cached_property
    def _pulled(self) -> dict[str, Any]:
        return {}

    @abc.abstractmethod
    def pull(self, signal: Tensor, steps: slice) -> dict[str, Tensor]:
        """Return ``sum_t G_t^T signal_t`` of every parameter of the module.

        Args:
            signal: State signal of these steps, shape ``(C, B, M)``.
            steps: The steps, counted from the initial state.
        """

    def gather_(self, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t G_t^T signal_t`` of one parameter to its gradient in place."""
        if isinstance(link.connection, InitialPart):
            gradient.add_(link.connection.part(driven).sum((0, 1)).view_as(gradient))
            return
        if not isinstance(link.connection, ModuleParameter):
            return super().gather_(link, gradient, driven, steps)
        if self._pulled.get("signal") is not driven:  # all parameters at once
            self._pulled.update(signal=driven, gradients=self.pull(driven, steps))
        gradient.add_(self._pulled["gradients"][link.connection.name])

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a state signal as it is: the gain is part of the direct derivatives."""
        return signal

    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Leave ``into`` as it is: the whole Jacobian is in ``transmit_``."""

    def derivative(self, t: int) -> Tensor:
        """Raise: a module has no activation function of its own."""
        self._refuse("slopes")

    @property
    def synapses(self) -> Tensor:
        """Raise: a module has no recurrent weights of its own."""
        self._refuse("recurrent weights")

    def _refuse(self, lacking: str) -> NoReturn:
        raise ValueError(
            f"{self.population.title} is a module, which has no {lacking}: use a network of tca.nets for this"
        )
