"""A loss, an optimizer and networks as a user would write them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import tca
from tca.losses import Loss


@dataclass(frozen=True)
class Huber(Loss):
    """Quadratic within ``delta``, linear beyond."""

    delta: float = 1.0

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        distance = (outputs - targets).abs()
        return torch.where(distance <= self.delta, distance.square() / 2, self.delta * (distance - self.delta / 2)).sum(
            -1
        )

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).clamp(-self.delta, self.delta)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        if tuple(targets.shape) != tuple(outputs_shape) or not targets.is_floating_point():
            raise ValueError("Huber takes a real target for each output")


@dataclass(frozen=True)
class Uphill(Huber):
    """A loss whose output error has the wrong sign."""

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -super().output_error(outputs, targets)


narrow = Huber(0.5)


class Smoothed(torch.optim.Optimizer):
    """Gradient descent along a mean in float64, with an integer count, both in its state."""

    def __init__(self, params: Any, lr: float = 1e-3, kept: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "kept": kept})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for each in group["params"]:
                state = self.state[each]
                if not state:
                    zeros = torch.zeros_like(each, dtype=torch.float64)
                    state.update(mean=zeros, count=torch.tensor(0, device="cpu"))
                state["count"] += 1
                state["mean"].mul_(group["kept"]).add_(each.grad.double(), alpha=1 - group["kept"])
                unbiased = state["mean"] / (1 - group["kept"] ** int(state["count"]))
                each.sub_((group["lr"] * unbiased).to(each.dtype))


class WithClosure(Smoothed):
    """An optimizer that evaluates the loss itself."""

    def step(self, closure: Any) -> None:
        raise NotImplementedError


class Perceptron(nn.Module):
    """A model of whole trials."""

    def __init__(self, n_in: int, n_out: int, width: int = 6, activation: Any = torch.tanh) -> None:
        super().__init__()
        self.hidden, self.readout, self.activation = nn.Linear(n_in, width), nn.Linear(width, n_out), activation

    def forward(self, inputs: Tensor) -> Tensor:
        readout: Tensor = self.readout(self.activation(self.hidden(inputs)))
        return readout


def gru(n_in: int, n_out: int, *, cells: int) -> tca.nets.Network:
    """Return a recurrent network of torch's cells."""
    return tca.nets.from_module(nn.GRUCell(n_in, cells), nn.Linear(cells, n_out))


def drawn(n_in: int, n_out: int, seed: int, dt: float, **options: float) -> tca.nets.Network:
    """Return a network of the library, drawn with the seed of the run."""
    return tca.nets.LeakyRNN(n_in, 5, n_out, dt=dt, seed=seed, tau=options.get("tau", 100.0))


def too_wide(n_in: int, n_out: int) -> nn.Module:
    """Return a network with an output too many."""
    return nn.Linear(n_in, n_out + 1)


def no_network() -> int:
    """Return a number."""
    return 3
