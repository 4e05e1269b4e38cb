"""Cell modules that are not elementwise, and their gradients by autograd with cut paths.

Shapes: T time, B batch, I inputs, N cells, M numbers in a state, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import tca
from tca.nets.modules.cell_network import CellNetwork

F64 = torch.float64
INPUTS, OUTPUTS = 3, 2


class Deep(nn.Module):
    """Two layers and a softmax over cells within a step, with a learned initial state."""

    def __init__(self, cells: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(INPUTS + cells, 6), nn.Linear(6, cells, bias=False)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.initial_state = nn.Parameter(torch.randn(cells) / 2)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        mixed = self.second(torch.tanh(self.first(torch.cat([x, s], 1))))
        return self.scale * s + torch.softmax(mixed, 1) * 2 + torch.tanh(mixed)


class Emitting(nn.Module):
    """Returns an output that the next step does not read, beside its state."""

    def __init__(self, cells: int = 4) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(INPUTS + cells, cells), nn.Linear(INPUTS + cells, 3)

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([x, s], 1)
        return torch.sigmoid(self.outer(both)), torch.tanh(self.inner(both)) + s.mean(1, keepdim=True)


class FastWeights(nn.Module):
    """A state of a vector and a matrix, read by attention."""

    def __init__(self, cells: int = 3) -> None:
        super().__init__()
        self.key, self.value = nn.Linear(INPUTS, cells), nn.Linear(INPUTS + cells, cells)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, a = state
        k = torch.softmax(self.key(x), 1)
        a = 0.8 * a + self.value(torch.cat([x, h], 1)).unsqueeze(2) * k.unsqueeze(1)
        return torch.tanh((a @ k.unsqueeze(2)).squeeze(2)), a


@dataclass(frozen=True)
class Made:
    """A network, and its cell with the state at time zero for the oracle."""

    net: CellNetwork
    start: tuple[Tensor, ...]


def gru() -> Made:
    net = tca.nets.from_module(nn.GRUCell(INPUTS, 4).to(F64), nn.Linear(4, OUTPUTS).to(F64))
    return Made(net, (torch.zeros(4, dtype=F64),))


def lstm() -> Made:
    start = (nn.Parameter(torch.randn(4, dtype=F64) / 3), torch.zeros(4, dtype=F64))
    net = tca.nets.from_module(nn.LSTMCell(INPUTS, 4).to(F64), nn.Linear(4, OUTPUTS).to(F64), initial=start)
    return Made(net, start)


def deep() -> Made:
    cell = Deep().to(F64)
    net = tca.nets.from_module(cell, nn.Linear(4, OUTPUTS).to(F64), n_in=INPUTS)
    return Made(net, (cell.initial_state,))


def emitting() -> Made:
    start = torch.full((4,), 0.2, dtype=F64)
    readout = nn.Linear(3, OUTPUTS, bias=False).to(F64)
    return Made(tca.nets.from_module(Emitting().to(F64), readout, n_in=INPUTS, initial=start), (start,))


def fast_weights() -> Made:
    start = (torch.zeros(3, dtype=F64), torch.eye(3, dtype=F64))
    readout = nn.Linear(3, OUTPUTS).to(F64)
    return Made(tca.nets.from_module(FastWeights().to(F64), readout, n_in=INPUTS, initial=start), start)


CELLS: dict[str, Callable[[], Made]] = {
    "gru": gru,
    "lstm": lstm,
    "deep": deep,
    "emitting": emitting,
    "fast_weights": fast_weights,
}


def made(name: str) -> Made:
    torch.manual_seed(7)
    return CELLS[name]()


def batch(steps: int = 6, trials: int = 3, dtype: torch.dtype = F64) -> tca.Batch:
    """Return trials of different lengths, the second without a weight at its second step."""
    source = torch.Generator().manual_seed(1)
    x = torch.randn(steps, trials, INPUTS, generator=source, dtype=F64)
    target = torch.randn(steps, trials, OUTPUTS, generator=source, dtype=F64)
    weights = torch.rand(steps, trials, generator=source, dtype=F64)
    weights[steps - 2 :, 0] = 0.0
    weights[1, 1] = 0.0
    return tca.Batch(x.to(dtype), target.to(dtype), weights.to(dtype), tca.losses.MSE())


Cut = Callable[[int, Tensor], Tensor]


def called(case: Made, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return what the readout reads and the state of one step."""
    found = case.net.cell(x, state if len(state) > 1 else state[0])
    if case.net.emits:
        rate, found = found
    state = found if isinstance(found, tuple) else (found,)
    return rate if case.net.emits else state[0], state


def steps_of(case: Made, inputs: Tensor, cut: Cut) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """Return what the readout reads and the states of every step, ``cut`` applied to each state before step t."""
    trials = inputs.shape[1]
    state = tuple(each.expand(trials, *each.shape) for each in case.start)
    rates, states = [], []
    for t, x in enumerate(inputs, 1):
        state = tuple(cut(t, each) for each in state)
        rate, state = called(case, x, state)
        rates.append(rate)
        states.append(state)
    return rates, states


def derivatives_of_step(case: Made, x: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, dict[str, Tensor]]:
    """Return ``J_t`` (B, M, M) and ``G_t`` (B, M, P) by name, a trial and a row at a time."""
    net, trials = case.net, len(x)
    cell = [(name, each) for name, each in net.named_parameters() if not name.startswith("readout")]
    jac = torch.zeros(trials, net.n_states, net.n_states, dtype=F64)
    direct = {name: torch.zeros(trials, net.n_states, each.numel(), dtype=F64) for name, each in cell}
    for b in range(trials):
        one = tuple(each[b : b + 1].detach().clone().requires_grad_() for each in before)
        rate, state = called(case, x[b : b + 1], one)
        flat = torch.cat([each.flatten() for each in ((rate, *state) if net.emits else state)])
        for row, entry in enumerate(flat):
            got = torch.autograd.grad(entry, [*one, *(each for _, each in cell)], retain_graph=True, allow_unused=True)
            parts_of_state = [torch.zeros_like(each) if g is None else g for g, each in zip(got, one, strict=False)]
            own = torch.cat([each.flatten() for each in parts_of_state])
            jac[b, row, net.n_states - len(own) :] = own
            for (name, _), g in zip(cell, got[len(one) :], strict=True):
                if g is not None:
                    direct[name][b, row] = g.flatten()
    return jac, direct


def oracle(case: Made, given: tca.Batch, cut: Cut, feedback: Tensor | None = None) -> dict[str, Tensor]:
    """Return the gradients by autograd: of the loss, or of ``sum_t (F err_t) . z_t`` with feedback weights F."""
    rates, _ = steps_of(case, given.inputs, cut)
    outputs = torch.stack([case.net.readout(rate) for rate in rates])
    loss = (given.weights * (outputs - given.targets).square().sum(-1) / 2).sum() / given.trials
    named = dict(case.net.named_parameters())
    readout = {name: each for name, each in named.items() if name.startswith("readout")}
    rest = {name: each for name, each in named.items() if name not in readout}
    exact = dict(zip(readout, torch.autograd.grad(loss, list(readout.values()), retain_graph=True), strict=True))
    if feedback is not None:
        error = given.weights.unsqueeze(-1) * (outputs - given.targets).detach() / given.trials
        loss = ((error @ feedback.t()) * torch.stack(rates)).sum()
    found = torch.autograd.grad(loss, list(rest.values()), allow_unused=True, materialize_grads=True)
    return exact | dict(zip(rest, found, strict=True))


def relative(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Return the largest error of a parameter, relative to its largest entry or to 1e-3."""
    assert found.keys() == wanted.keys()
    return max(
        float((found[name] - each).abs().max() / each.abs().max().clamp(min=1e-3)) for name, each in wanted.items()
    )
