"""Networks of general cells by autograd over an explicit loop, with chosen paths detached.

Equations are written out gate by gate. Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

State = tuple[Tensor, ...]
Cut = Callable[[int, int], float]  # from step and number of steps to the share of a path that is followed


@dataclass(frozen=True)
class Cell:
    """Equations: gates that the inputs and the recurrent synapses reach, in the order of the weight rows."""

    size: int  # components of the state
    into: str  # gates of inputs and biases
    back: str  # gates of recurrent synapses
    step: Callable[[State, dict[str, Tensor], dict[str, Tensor]], State]
    rate: Callable[[State], Tensor]


def gru(state: State, u: dict[str, Tensor], theta: dict[str, Tensor]) -> State:
    (h,) = state
    r, z = 1 / (1 + torch.exp(-u["r"])), 1 / (1 + torch.exp(-u["z"]))
    return ((1 - z) * torch.tanh(u["n"] + r * u["m"]) + z * h,)


def lstm(state: State, u: dict[str, Tensor], theta: dict[str, Tensor]) -> State:
    c = torch.sigmoid(u["f"]) * state[0] + torch.sigmoid(u["i"]) * torch.tanh(u["g"])
    return c, torch.sigmoid(u["o"]) * torch.tanh(c)


def mgu(state: State, u: dict[str, Tensor], theta: dict[str, Tensor]) -> State:
    f = torch.sigmoid(u["f"])
    return ((1 - f) * state[0] + f * torch.tanh(u["n"] + f * u["m"]),)


def min_gru(state: State, u: dict[str, Tensor], theta: dict[str, Tensor]) -> State:
    z = torch.sigmoid(u["z"])
    return ((1 - z) * state[0] + z * u["n"],)


CELLS = {
    "GRU": Cell(1, "rzn", "rzm", gru, lambda state: state[0]),
    "LSTM": Cell(2, "ifgo", "ifgo", lstm, lambda state: state[1]),
    "MGU": Cell(1, "fn", "fm", mgu, lambda state: state[0]),
    "MinGRU": Cell(1, "zn", "", min_gru, lambda state: state[0]),
}


def follow(t: int, steps: int) -> float:
    return 1.0


def stop(t: int, steps: int) -> float:
    return 0.0


@dataclass(frozen=True)
class Surgery:
    """Which share of the derivative passes from one step to the next."""

    leak: Cut = follow  # through a cell's own state
    transmission: Cut = follow  # through recurrent synapses
    own: bool = False  # through synapses of a cell onto itself, whatever ``transmission`` says


def inside(window: int) -> Cut:
    return lambda t, steps: float((steps - t + 1) % window != 0)


SURGERIES = {
    "bptt": Surgery(),
    "rtrl": Surgery(),
    "eprop": Surgery(transmission=stop),
    "snap1": Surgery(transmission=stop, own=True),
    "three_factor": Surgery(leak=stop, transmission=stop),
    "homotopy": Surgery(transmission=lambda t, steps: 0.5),
    "tbptt": Surgery(leak=inside(10), transmission=inside(10)),
    "tbptt_rate_cut": Surgery(transmission=inside(10)),
}


def passed(value: Tensor, share: float) -> Tensor:
    return value.detach() + share * (value - value.detach())


def gradient(cell: Cell, weights: dict[str, Tensor], batch: Any, surgery: Surgery = Surgery()) -> dict[str, Tensor]:
    """Return the gradient of the batch's loss in every weight, along the paths that are followed."""
    use = {name: each.detach().clone().requires_grad_() for name, each in weights.items()}
    inputs, steps, n_rec = batch.inputs, len(batch.inputs), use["w_out"].shape[1]
    theta = {name: each for name, each in use.items() if name not in STRUCTURE}
    start = use["s_0"] if "s_0" in use else inputs.new_zeros(cell.size * n_rec)
    state = tuple(each.expand(inputs.shape[1], -1) for each in start.view(cell.size, n_rec))
    outputs = []
    for t, x in enumerate(inputs, 1):
        rate = cell.rate(state)
        sent = passed(rate, surgery.transmission(t, steps))
        u: dict[str, Any] = dict.fromkeys(cell.into + cell.back, 0.0)
        for index, gate in enumerate(cell.into):
            rows = slice(index * n_rec, (index + 1) * n_rec)
            u[gate] = u[gate] + x @ use["w_in"][rows].T + (use["b"][rows] if "b" in use else 0.0)
        for index, gate in enumerate(cell.back):
            rows = slice(index * n_rec, (index + 1) * n_rec)
            w = use["w_rec"][rows]
            u[gate] = u[gate] + sent @ w.T + (use["b_rec"][rows] if "b_rec" in use else 0.0)
            if surgery.own:
                u[gate] = u[gate] + (rate - rate.detach()) * w.diagonal()
        share = surgery.leak(t, steps)
        state = cell.step(tuple(passed(each, share) for each in state), u, theta)
        outputs.append(cell.rate(state) @ use["w_out"].T + use["b_out"])
    batch.loss.mean(torch.stack(outputs), batch.targets, batch.weights).backward()
    return {name: torch.zeros_like(each) if each.grad is None else each.grad for name, each in use.items()}


STRUCTURE = ("w_in", "w_rec", "b", "b_rec", "w_out", "b_out", "s_0")
