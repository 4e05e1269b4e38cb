"""Leaky and spiking cells whose time constants and adaptation are learned.

Shapes: any leading axes, N cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS, Activation
from tca.cells.cell import Cell, Derivatives, Entry, State, constant
from tca.cells.leaky_cell import FORMS
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, SurrogateGradient, spike, surrogate_gradient_of
from tca.utils.checks import Made, Named, Positive, Whole, checked

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
        activation: The activation function f, or its name, default ``"tanh"``.

    >>> Leaky(0.5).step((torch.ones(1),), (torch.zeros(1),))[0].item()
    0.5
    """

    components: ClassVar[tuple[str, ...]] = ("s",)
    drives: ClassVar[tuple[str, ...]] = ("u",)

    leak: float | Sequence[float] | Tensor = constant(0.9, low=0.0, high=HIGHEST, learned=True)  # noqa: RUF009
    form: Annotated[str, Named(FORMS)] = "A"
    activation: Annotated[str, Named(ACTIVATIONS)] | Activation = "tanh"

    def step(self, state: State, drive: State) -> State:
        return (self.leak * state[0] + (1 - self.leak) * self._entering(drive[0]),)  # type: ignore[operator]

    def rate(self, state: State) -> Tensor:
        return state[0] if self.form == "B" else self._activation(state[0])

    def derivatives(self, state: State, drive: State) -> Derivatives:
        leak = torch.as_tensor(self.leak, dtype=drive[0].dtype, device=drive[0].device)
        entering = self._entering(drive[0])
        slope: Tensor | float = 1.0 if self.form == "A" else self._activation.slope(entering)
        return Derivatives(((leak,),), (((1 - leak) * slope,),), ((state[0] - entering,),))

    def _entering(self, drive: Tensor) -> Tensor:
        return drive if self.form == "A" else self._activation(drive)

    @property
    def _activation(self) -> Activation:
        return ACTIVATIONS[self.activation] if isinstance(self.activation, str) else self.activation


@checked
@dataclass(frozen=True)
class ALIF(Cell):
    """Adaptive leaky integrate-and-fire cell with learned leaks and adaptation.

    ``v' = k v + (1 - k) u - thr z``, ``b' = rho b + (1 - rho) beta z``, ``z = 1`` where ``v > thr + b`` and the cell is
    not refractory, with a surrogate gradient. b is the rise of the threshold, so that beta acts in the step; outputs
    and true gradients are those of `tca.nets.SpikingRNN`. A refractory cell has a third component, the number of steps
    for which it is silent, which has no derivative.

    Args:
        leak: Leak k of the potential per step, default 0.95, in [0, 0.9999]; learned.
        adaptation_leak: Leak rho of the adaptation per step, default 0.99, in [0, 0.9999]; learned.
        beta: Adaptation strength, default 1.8, not negative; learned.
        threshold: The threshold at rest, thr, default 0.03, positive.
        surrogate_gradient: Surrogate gradient, or its name, default ``"triangular"``.
        refractory: Number of silent steps after a spike, default 0.
        scaled_drive: Whether the drive enters with the factor ``1 - k``, default ``True``.
        scaled_adaptation: Whether a spike enters the adaptation with the factor ``1 - rho``, default ``True``.
        reset_in_trace: Whether rules treat the reset as a part of the cell (default) or as recurrent transmission. It
            changes no output and no true gradient.

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
    surrogate_gradient: (
        Annotated[str, Named(SURROGATE_GRADIENTS)]
        | Annotated[SurrogateGradient, Made(surrogate_gradient_of, spread=True)]
    ) = "triangular"
    refractory: Whole = 0
    scaled_drive: bool = True
    scaled_adaptation: bool = True
    reset_in_trace: bool = True
    _reset_outside: ClassVar[bool] = False  # whether the drive holds the reset

    def __post_init__(self) -> None:
        """Give a refractory cell a third component."""
        if self.refractory:
            object.__setattr__(self, "components", ("v", "b", "wait"))

    def step(self, state: State, drive: State) -> State:
        """Return the state after leak, drive, reset and adaptation."""
        z, k, rho, beta = self.rate(state), *self._constants
        v = k * state[0] + self._gain * drive[0]
        b = rho * state[1] + self._enters * beta * z
        if not self._reset_outside:
            v = v - self.threshold * z
        if not self.refractory:
            return v, b
        return v, b, torch.where(z > 0, float(self.refractory), (state[2] - 1).clamp(min=0)).detach()

    def rate(self, state: State) -> Tensor:
        """Return the spikes."""
        spikes = spike(self._distance(state), self._surrogate)
        return spikes * self._ready(state) if self.refractory else spikes

    def derivatives(self, state: State, drive: State) -> Derivatives:
        """Return the local derivatives, through the surrogate gradient."""
        z, psi, (k, rho, beta) = self.rate(state), self._surrogate(self._distance(state)), self._constants
        psi = psi * self._ready(state) / self.threshold if self.refractory else psi / self.threshold
        rise, entering, row = self._enters * beta * psi, drive[0], (k, torch.zeros_like(psi))
        if self._reset_outside:  # the drive holds the reset, whose size is no function of the leak
            entering = entering + self.threshold / self._gain * z
        else:
            row = (k - self.threshold * psi, self.threshold * psi)
        by_k = state[0] - entering if self.scaled_drive else state[0]
        by_rho = state[1] - beta * z if self.scaled_adaptation else state[1]
        leak: list[list[Entry]] = [list(row), [rise, rho - rise]]
        gain: list[list[Entry]] = [[self._gain], [0.0]]
        constants: list[list[Entry]] = [[by_k, 0.0, 0.0], [0.0, by_rho, self._enters * z]]
        if self.refractory:
            leak = [*([*each, 0.0] for each in leak), [0.0] * 3]
            gain, constants = [*gain, [0.0]], [*constants, [0.0] * 3]
        return Derivatives(leak, gain, constants)

    def apart(self) -> tuple[Cell, float | Tensor | None]:
        """Return the cell without its reset and the weight of the reset, unless it is in the trace."""
        if self.reset_in_trace:
            return self, None
        return self.bound({"_reset_outside": True}), -self.threshold / self._gain

    @property
    def _constants(self) -> tuple[Any, Any, Any]:
        return self.leak, self.adaptation_leak, self.beta

    @property
    def _gain(self) -> Any:
        """What a unit of drive adds to the potential."""
        return 1 - self._constants[0] if self.scaled_drive else 1.0

    @property
    def _enters(self) -> Any:
        """What a spike adds to the adaptation."""
        return 1 - self._constants[1] if self.scaled_adaptation else 1.0

    @property
    def _surrogate(self) -> SurrogateGradient:
        given = self.surrogate_gradient
        return SURROGATE_GRADIENTS[given]() if isinstance(given, str) else given

    def _distance(self, state: State) -> Tensor:
        return (state[0] - state[1] - self.threshold) / self.threshold

    def _ready(self, state: State) -> Tensor:
        """Return one for cells that may spike, else zero."""
        return (state[2] < 0.5).to(state[0])
