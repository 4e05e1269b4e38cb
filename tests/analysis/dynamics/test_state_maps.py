"""Maps of recurrent layers of PyTorch, of general cells and of functions: their steps, Jacobians and fixed points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
from analysis.dynamics.state_map import state_map
from tca.cells import GRU, LSTM
from tca.nets import CellRNN, from_module


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded(build: Callable[[], nn.Module], scale: float = 1.0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = build()
    with torch.no_grad():
        for each in net.parameters():
            each.mul_(scale)
    return net


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: nn.RNN(2, 4),
    "gru, two layers": lambda: nn.GRU(2, 4, num_layers=2, dropout=0.5, batch_first=True),
    "lstm": lambda: nn.LSTM(2, 3),
    "lstm, two layers, projected": lambda: nn.LSTM(2, 4, num_layers=2, proj_size=2),
}


def trajectory(net: nn.RNNBase, inputs: Tensor) -> Tensor:
    """Return the states of a layer of PyTorch after every number of steps, by itself."""
    with torch.no_grad():
        ends = []
        for steps in range(1, len(inputs) + 1):
            given = inputs[:steps].transpose(0, 1) if net.batch_first else inputs[:steps]
            state = net(given)[1]
            parts = state if isinstance(state, tuple) else (state,)
            ends.append(torch.cat([each.transpose(0, 1).flatten(1) for each in parts], 1))
    return torch.stack(ends)


@pytest.mark.parametrize("name", LAYERS)
def test_steps_of_layers_are_those_of_pytorch(name: str) -> None:
    net = seeded(LAYERS[name]).train()
    one, inputs = state_map(net), normal(0, 5, 3, 2)
    exact = trajectory(net.double().eval(), inputs)  # type: ignore[arg-type]
    assert torch.allclose(one.trajectory(inputs)[1:], exact, rtol=0, atol=1e-12)
    point = normal(1, one.cells)
    slopes = torch.autograd.functional.jacobian(lambda state: one.step(state, inputs[0, 0]), point)
    assert torch.allclose(one.jacobian(point.expand(2, -1), inputs[0, 0])[1], slopes, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_steps_of_cells_are_those_of_pytorch(kind: type[nn.RNNCellBase]) -> None:
    net = seeded(lambda: kind(2, 3)).double()
    one, inputs, state = state_map(net), normal(0, 4, 3, 2), None
    states = one.trajectory(inputs)
    assert not states[0].any()
    for given, after in zip(inputs, states[1:], strict=True):
        state = net(given, state)
        exact = torch.cat(state, 1) if isinstance(state, tuple) else state
        assert torch.allclose(after, exact, rtol=0, atol=1e-12)


@pytest.mark.thirds
@pytest.mark.parametrize("name", LAYERS)
def test_fixed_points_of_layers_stay_and_their_eigenvalues_are_those_of_autograd(name: str) -> None:
    net = seeded(LAYERS[name], 2.0)
    one, held = state_map(net), normal(2, 2)
    found = analysis.fixed_points(net, held, analysis.sampled_states(net, normal(3, 12, 4, 2), 6, noise=1.0))
    assert len(found) >= 1
    assert found.fixed.all()
    net.double().eval()
    for point, eigenvalues in zip(found.states, found.eigenvalues, strict=True):
        assert (one.step(point, held) - point).norm() < 1e-10
        slopes = torch.autograd.functional.jacobian(lambda state: one.step(state, held), point)
        exact = torch.linalg.eigvals(slopes)
        gaps = (eigenvalues[:, None] - exact).abs()
        assert max(gaps.min(0).values.max(), gaps.min(1).values.max()) < 1e-6  # conjugate pairs have no order
        assert eigenvalues.sum().real.item() == pytest.approx(slopes.trace().item(), abs=1e-10)
    if found.stable[0]:
        ends = one.trajectory(held.expand(3000, 1, -1))[-1, 0]
        assert (found.states - ends).norm(dim=1).min() < 1e-8


@pytest.mark.parametrize("cell", [GRU, LSTM])
def test_general_cells_have_the_map_of_the_layer_that_they_come_from(cell: type[Any]) -> None:
    layer = seeded(lambda: (nn.GRU if cell is GRU else nn.LSTM)(2, 4)).double()
    net = CellRNN.from_torch(layer, readout=nn.Linear(4, 1).double())
    assert isinstance(net.cell, cell)
    one, other, inputs = state_map(net), state_map(layer), normal(0, 5, 3, 2)
    order = torch.arange(one.cells).roll(4 if cell is LSTM else 0)  # the library's state is [c, h]
    assert torch.allclose(one.trajectory(inputs)[..., order], other.trajectory(inputs), rtol=0, atol=1e-12)
    state = normal(1, 3, one.cells)
    slopes, exact = one.jacobian(state, inputs[0]), other.jacobian(state[:, order], inputs[0])
    assert torch.allclose(slopes[:, order][:, :, order], exact, rtol=0, atol=1e-12)
    module = from_module(seeded(lambda: nn.GRUCell(2, 4)).double(), nn.Linear(4, 1).double(), 2)
    alone = state_map(module.cell)
    assert torch.allclose(state_map(module).trajectory(inputs), alone.trajectory(inputs), rtol=0, atol=1e-12)


def test_any_function_has_fixed_points() -> None:
    weights = normal(0, 3, 3) / 3

    def cell(inputs: Tensor, state: Tensor) -> Tensor:
        return state @ weights.mT + inputs

    held = normal(1, 3)
    found = analysis.fixed_points(cell, held, normal(2, 4, 3))
    exact = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - weights, held)
    assert found.found.tolist() == [4]
    assert torch.allclose(found.states[0], exact, rtol=0, atol=1e-10)
    assert torch.allclose(found.jacobians[0], weights, rtol=0, atol=1e-12)
    visited = analysis.sampled_states(
        state_map(cell, torch.zeros(3)), held.expand(2, 1, 3), 5, steps=slice(0, 1), noise=0.0
    )
    assert torch.equal(visited, held.expand(5, -1))


def test_another_state_at_time_zero() -> None:
    net, first = nn.GRU(2, 3).double(), normal(0, 3)
    one = state_map(net, first)
    assert torch.equal(one.trajectory(normal(1, 2, 4, 2))[0], first.expand(4, -1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: state_map(lambda x, h: h), ValueError, "start must be given for a cell whose size is not known"),
        (lambda: state_map(nn.GRU(2, 3, bidirectional=True)), ValueError, "got a bidirectional layer"),
        (lambda: state_map(nn.Linear(2, 3)), TypeError, "got Linear with none: there is no state"),
        (lambda: state_map(3), TypeError, "net must be a recurrent network or population, got int"),
        (
            lambda: analysis.fixed_points(lambda x, h: (h, h), [0.0], normal(0, 2, 3)),
            TypeError,
            r"a cell must return the next state, of shape \(2, 3\), got tuple",
        ),
        (
            lambda: analysis.fixed_points(nn.GRU(2, 3), [0.0], normal(0, 2, 3)),
            ValueError,
            r"inputs must have shape \(2,\)",
        ),
        (lambda: analysis.fixed_points(nn.GRU(2, 3), [0.0, 0.0], normal(0, 2, 4)), ValueError, r"shape \(starts, 3\)"),
        (lambda: analysis.fixed_points(nn.GRU(2, 3), [0.0, 0.0], normal(0, 3)), ValueError, r"shape \(starts, cells\)"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_no_point_is_found_where_no_start_arrives() -> None:
    net = CellRNN(GRU(), 2, 4, 1, gain_rec=3.0)
    found = analysis.fixed_points(net, [0.3, 0.1], 5 * normal(0, 2, 4), iterations=1)
    assert (len(found), found.unfinished, found.jacobians.shape) == (0, 2, (0, 4, 4))
