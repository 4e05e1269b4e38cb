"""Cells as a user would write them: F and E alone, in torch, without derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tca.cells import Cell, constant
from tca.cells.surrogate_gradients import Triangular, spike


@dataclass(frozen=True)
class LeakyA(Cell):
    """Leak on the potential."""

    components = ("v",)
    drives = ("u",)
    leak: Any = constant(0.6, low=0.0, high=0.95)  # noqa: RUF009

    def step(self, state: Any, drive: Any) -> Any:
        return (self.leak * state[0] + (1 - self.leak) * drive[0],)

    def rate(self, state: Any) -> Tensor:
        return torch.tanh(state[0])


@dataclass(frozen=True)
class LeakyB(LeakyA):
    """Leak on the rate."""

    def step(self, state: Any, drive: Any) -> Any:
        return (self.leak * state[0] + (1 - self.leak) * torch.tanh(drive[0]),)

    def rate(self, state: Any) -> Tensor:
        return state[0]


@dataclass(frozen=True)
class ALIF(Cell):
    """Adaptive spiking cell with the reset in its own step."""

    components = ("v", "a")
    drives = ("u",)
    leak: Any = constant(0.8, low=0.0, high=0.99)  # noqa: RUF009
    slow: Any = constant(0.9, low=0.0, high=0.99)  # noqa: RUF009
    beta: Any = constant(0.3, low=0.0)  # noqa: RUF009
    threshold: float = 0.5

    def step(self, state: Any, drive: Any) -> Any:
        z = self.rate(state)
        v = self.leak * state[0] + (1 - self.leak) * drive[0] - self.threshold * z
        return v, self.slow * state[1] + (1 - self.slow) * z

    def rate(self, state: Any) -> Tensor:
        distance: Tensor = (state[0] - self.beta * state[1] - self.threshold) / self.threshold
        return spike(distance, Triangular())


@dataclass(frozen=True)
class RisingALIF(ALIF):
    """The same with beta in the step, so that it can be learned: the second component is the rise of the threshold."""

    def step(self, state: Any, drive: Any) -> Any:
        z = self.rate(state)
        v = self.leak * state[0] + (1 - self.leak) * drive[0] - self.threshold * z
        return v, self.slow * state[1] + (1 - self.slow) * self.beta * z

    def rate(self, state: Any) -> Tensor:
        distance: Tensor = (state[0] - state[1] - self.threshold) / self.threshold
        return spike(distance, Triangular())


@dataclass(frozen=True)
class Resonator(Cell):
    """Two components that drive one another, two drives, a rate of both: no special case of any kind."""

    components = ("x", "y")
    drives = ("push", "gate")
    input_drives = ("gate", "push")
    recurrent_drives = ("push",)
    damping: Any = constant(0.7, low=0.0, high=0.9, learned=True)  # noqa: RUF009
    turn: Any = constant(0.4, learned=True)  # noqa: RUF009

    def step(self, state: Any, drive: Any) -> Any:
        (x, y), (push, gate) = state, drive
        open_ = torch.sigmoid(gate)
        return self.damping * x + self.turn * torch.sin(y) + open_ * push, self.damping * y - self.turn * x * open_

    def rate(self, state: Any) -> Tensor:
        return torch.tanh(state[0] + 0.5 * state[1] ** 2)
