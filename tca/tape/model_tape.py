"""The tape of a whole model, a function from inputs to outputs, whose only learning signal is the output error.

Shapes: T time, B batch, O outputs, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

from tca.tape.local_step import LocalStep
from tca.tape.module_tape import ModuleTape
from tca.tape.step_derivatives import Propagate

__all__ = ["ModelTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ModelTape(ModuleTape):
    """One forward pass of a whole model, whose rates are its outputs.

    Attributes:
        backward: Function from the output error, shape ``(T, B, O)``, to the gradients of all parameters; ``None`` for
            a pass without a graph.
    """

    backward: Callable[[Tensor], dict[str, Tensor]] | None

    def windows(self) -> Iterator[slice]:
        """Yield all steps at once, since the graph of the pass is one."""
        yield slice(1, self.steps + 1)

    def errors(self, steps: slice, weight: Tensor | None = None) -> Tensor:
        """Return the output error itself, a new tensor ``(C, B, O)``."""
        return self.filtered_error[steps].clone()

    def pull(self, signal: Tensor, steps: slice) -> dict[str, Tensor]:
        """Return the derivatives of ``sum_t signal_t . y_t`` by all parameters."""
        if self.backward is None:
            raise ValueError("this pass of a whole model has no graph: use Learner.tape")
        return self.backward(signal)

    def carry_(self, propagate_back_: Propagate, signal: Tensor, gradients: dict[str, Tensor]) -> bool:
        """Add the same gradients as the reverse execution: outputs have no memory."""
        for name, each in self.pull(signal[1:], slice(1, self.steps + 1)).items():
            gradients[name].add_(each)
        return True

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a signal as it is: rates, states and outputs are the same."""
        return signal

    def local_step(self, t: int) -> LocalStep:
        """Raise: a model shows no step."""
        self._refuse("steps")

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Leave ``into`` as it is: the memory of a model is inside of it."""

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        """Leave ``into`` as it is."""

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Leave ``into`` as it is."""
