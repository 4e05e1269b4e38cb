"""Leaky and spiking cells whose time constants and adaptation are learned.

Shapes: any leading axes, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS
from tca.cells.cell import Cell, Derivatives, State, constant
from tca.cells.leaky_cell import FORMS
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, spike
from tca.utils.checks import Named, Positive, checked

__all__ = ["ALIF", "Leaky"]

HIGHEST = 0.9999  # leak per step: time constants of ten thousand steps


@checked
@dataclass(frozen=True)
class Leaky(Cell):
    """Leaky rate cell with a learned leak, the cell of `tca.nets.LeakyRNN`.

    Form A: ``v' = k v + (1 - k) u``, ``z = f(v)``. Form B: ``z' = k z + (1 - k) f(u)``.

    Args:
        leak: Leak k per step, a number or one per neuron, default 0.9, in [0, 0.9999]; learned.
        form: ``"A"`` (default), leak on the potential, or ``"B"``, leak on the rate.
        activation: Name of the activation function f, default ``"tanh"``.

    >>> Leaky(0.5).step((torch.ones(1),), (torch.zeros(1),))[0].item()
    0.5
    """

    components: ClassVar[tuple[str, ...]] = ("s",)
    drives: ClassVar[tuple[str, ...]] = ("u",)

    leak: float | Sequence[float] | Tensor = constant(0.9, low=0.0, high=HIGHEST, learned=True)  # noqa: RUF009
    form: Annotated[str, Named(FORMS)] = "A"
    activation: Annotated[str, Named(ACTIVATIONS)] = "tanh"

    def step(self, state: State, drive: State) -> State:
        return (self.leak * state[0] + (1 - self.leak) * self._entering(drive[0]),)  # type: ignore[operator]

    def rate(self, state: State) -> Tensor:
        return state[0] if self.form == "B" else ACTIVATIONS[self.activation](state[0])

    def derivatives(self, state: State, drive: State) -> Derivatives:
        leak = torch.as_tensor(self.leak, dtype=drive[0].dtype, device=drive[0].device)
        entering = self._entering(drive[0])
        slope: Tensor | float = 1.0 if self.form == "A" else ACTIVATIONS[self.activation].slope(entering)
        return Derivatives(((leak,),), (((1 - leak) * slope,),), ((state[0] - entering,),))

    def _entering(self, drive: Tensor) -> Tensor:
        return drive if self.form == "A" else ACTIVATIONS[self.activation](drive)


@checked
@dataclass(frozen=True)
class ALIF(Cell):
    """Adaptive leaky integrate-and-fire cell with learned leaks and adaptation.

    ``v' = k v + (1 - k) u - thr z``, ``b' = rho b + (1 - rho) beta z``, ``z = 1`` where ``v > thr + b``, with a
    surrogate gradient. b is the rise of the threshold, so that beta acts in the step; the outputs and true gradients
    are those of `tca.nets.SpikingRNN` without refractoriness. The reset belongs to the cell (``reset_in_trace``).

    Args:
        leak: Leak k of the potential per step, default 0.95, in [0, 0.9999]; learned.
        adaptation_leak: Leak rho of the adaptation per step, default 0.99, in [0, 0.9999]; learned.
        beta: Adaptation strength, default 1.8, not negative; learned.
        threshold: The threshold at rest, thr, default 0.03, positive.
        surrogate_gradient: Name of the surrogate gradient, default ``"triangular"``.

    Paper: Bellec et al. (2020), Nature Communications 11:3625.

    >>> ALIF(threshold=1.0).rate((torch.tensor([0.5, 1.5]), torch.zeros(2))).tolist()
    [0.0, 1.0]
    """

    components: ClassVar[tuple[str, ...]] = ("v", "b")
    drives: ClassVar[tuple[str, ...]] = ("u",)

    leak: float | Sequence[float] | Tensor = constant(0.95, low=0.0, high=HIGHEST, learned=True)  # noqa: RUF009
    adaptation_leak: float | Sequence[float] | Tensor = constant(  # noqa: RUF009
        0.99, low=0.0, high=HIGHEST, learned=True
    )
    beta: float | Sequence[float] | Tensor = constant(1.8, low=0.0, learned=True)  # noqa: RUF009
    threshold: Positive = 0.03
    surrogate_gradient: Annotated[str, Named(SURROGATE_GRADIENTS)] = "triangular"

    def step(self, state: State, drive: State) -> State:
        z = self.rate(state)
        k, rho = self.leak, self.adaptation_leak
        return (
            k * state[0] + (1 - k) * drive[0] - self.threshold * z,  # type: ignore[operator]
            rho * state[1] + (1 - rho) * self.beta * z,  # type: ignore[operator]
        )

    def rate(self, state: State) -> Tensor:
        distance = (state[0] - state[1] - self.threshold) / self.threshold
        return spike(distance, SURROGATE_GRADIENTS[self.surrogate_gradient]())
