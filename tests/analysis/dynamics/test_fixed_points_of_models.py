"""Fixed points of every recurrent model against its equations in NumPy: where it rests, and the eigenvalues there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import root
from torch import Tensor, nn

import analysis
from analysis.dynamics.state_map import state_map
from tca import cells, nets
from tests.support import user_cells

F64 = torch.float64
HELD = np.array([0.7, -0.4])
Array = Any
Step = Callable[[Array], Array]


def array(values: Tensor) -> Array:
    return values.detach().double().numpy()


def sig(u: Array) -> Array:
    return 1 / (1 + np.exp(-u))


def seeded(build: Callable[[], Any], dtype: torch.dtype = F64) -> Any:
    """Return a model with weights large enough to bend, and biases."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = build().to(dtype)
        with torch.no_grad():
            for name, each in net.named_parameters():
                if "b" in name.rsplit(".")[-1][:4] or "bias" in name:
                    each.copy_(0.3 * torch.randn(each.shape))
    return net


def gru_step(w: Array, u: Array, b: Array, c: Array, x: Array) -> Step:
    """Return a step of `torch.nn.GRU`, rows r, z, n."""

    def step(h: Array) -> Array:
        (r, z, n), (r2, z2, m) = np.split(w @ x + b, 3), np.split(u @ h + c, 3)
        r, z = sig(r + r2), sig(z + z2)
        return (1 - z) * np.tanh(n + r * m) + z * h

    return step


def lstm_step(w: Array, u: Array, b: Array, c: Array, x: Array, *, memory_first: bool) -> Step:
    """Return a step of `torch.nn.LSTM`, rows i, f, g, o, on (c, h) or (h, c)."""

    def step(state: Array) -> Array:
        memory, h = np.split(state, 2) if memory_first else np.split(state, 2)[::-1]
        i, f, g, o = np.split(w @ x + b + u @ h + c, 4)
        memory = sig(f) * memory + sig(i) * np.tanh(g)
        h = sig(o) * np.tanh(memory)
        return np.concatenate([memory, h] if memory_first else [h, memory])

    return step


def layer_weights(layer: Any, suffix: str = "_l0") -> list[Array]:
    return [array(layer.get_parameter(f"{name}{suffix}")) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def own_weights(net: Any) -> list[Array]:
    return [array(each) for each in (net.w_in, net.w_rec, net.b, net.b_rec)]


class Whole(nn.Module):
    """A recurrent layer that gets the inputs, and a readout of every step."""

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.rnn, self.head = kind(2, 4), nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.rnn(inputs)[0])  # type: ignore[no-any-return]


def mgu(net: Any) -> Step:
    (w_f, w_n), (u_f, u_m) = np.split(array(net.w_in), 2), np.split(array(net.w_rec), 2)
    b_f, b_n = np.split(array(net.b), 2)

    def step(h: Array) -> Array:
        f = sig(w_f @ HELD + b_f + u_f @ h)
        return (1 - f) * h + f * np.tanh(w_n @ HELD + b_n + f * (u_m @ h))

    return step


def min_gru(net: Any) -> Step:
    (w_z, w_n), (b_z, b_n) = np.split(array(net.w_in), 2), np.split(array(net.b), 2)
    z, n = sig(w_z @ HELD + b_z), w_n @ HELD + b_n
    return lambda h: (1 - z) * h + z * n


def lru(net: Any) -> Step:
    """Complex numbers ``z' = lambda z + gamma B x``."""
    eigenvalues = np.exp(-np.exp(array(net.nu)) + 1j * np.exp(array(net.theta)))
    real, imaginary = np.split(array(net.w_in) @ HELD + array(net.b), 2)
    drive = np.sqrt(1 - np.abs(eigenvalues) ** 2) * (real + 1j * imaginary)

    def step(state: Array) -> Array:
        z = eigenvalues * (state[:4] + 1j * state[4:]) + drive
        return np.concatenate([z.real, z.imag])

    return step


def resonator(net: Any) -> Step:
    """The user's cell of `tests.support.user_cells`, from its equations."""
    (w_g, w_p), u_p = np.split(array(net.w_in), 2), array(net.w_rec)
    b_p, b_g = np.split(array(net.b), 2)[::-1]
    damping, turn = array(net.damping), array(net.turn)

    def step(state: Array) -> Array:
        x, y = np.split(state, 2)
        push, gate = w_p @ HELD + b_p + u_p @ np.tanh(x + 0.5 * y**2), sig(w_g @ HELD + b_g)
        return np.concatenate([damping * x + turn * np.sin(y) + gate * push, damping * y - turn * x * gate])

    return step


def stack(net: Any) -> Step:
    """A GRU below leaky cells with the leak on the potential, ``[h, v]``."""
    first, second = net.layers
    lower, k = gru_step(*own_weights(first), HELD), np.exp(-10 / 20)
    w_in, w_rec, b = (array(each) for each in (second.w_in, second.w_rec, second.b))

    def step(state: Array) -> Array:
        h, v = lower(state[:4]), state[4:]
        return np.concatenate([h, k * v + (1 - k) * (w_rec @ np.tanh(v) + w_in @ h + b)])

    return step


def vectors(net: Any) -> Step:
    """Vectors of two components, each gated as a whole, component before cell."""
    w_in, w_rec, b, t = (array(each) for each in (net.w_in, net.w_rec, net.b, net.gates.vectors[..., 0]))

    def step(state: Array) -> Array:
        a = state.reshape(2, 4)
        z = a * ((t * a).sum(0) >= 0)
        return (0.8 * a + 0.2 * (w_in @ HELD + b + z @ w_rec.T)).ravel()

    return step


def own(cell: Any, **options: Any) -> Callable[[], Any]:
    return lambda: nets.CellRNN(cell, 2, 4, 2, seed=1, dtype=F64, **options)


MODELS: dict[str, tuple[Callable[[], Any], Callable[[Any], Step]]] = {
    "GRU": (own(cells.GRU(), gain_rec=2.0), lambda net: gru_step(*own_weights(net), HELD)),
    "LSTM": (own(cells.LSTM(), gain_rec=2.0), lambda net: lstm_step(*own_weights(net), HELD, memory_first=True)),
    "MGU": (own(cells.MGU(), gain_rec=2.0), mgu),
    "MinGRU": (own(cells.MinGRU()), min_gru),
    "LRU": (own(cells.LRU(r_min=0.5)), lru),
    "resonator": (own(user_cells.Resonator()), resonator),
    "torch.nn.GRU": (lambda: nn.GRU(2, 4), lambda net: gru_step(*layer_weights(net), HELD)),
    "torch.nn.LSTM": (lambda: nn.LSTM(2, 4), lambda net: lstm_step(*layer_weights(net), HELD, memory_first=False)),
    "from_module(GRUCell)": (
        lambda: nets.from_module(nn.GRUCell(2, 4).to(F64), nn.Linear(4, 2).to(F64)),
        lambda net: gru_step(*layer_weights(net.cell, ""), HELD),
    ),
    "from_module(LSTMCell)": (
        lambda: nets.from_module(nn.LSTMCell(2, 4).to(F64), nn.Linear(4, 2).to(F64)),
        lambda net: lstm_step(*layer_weights(net.cell, ""), HELD, memory_first=False),
    ),
    "wrap(GRU)": (lambda: nets.wrap(Whole(nn.GRU).to(F64)), lambda net: gru_step(*layer_weights(net.model.rnn), HELD)),
    "wrap(LSTM)": (
        lambda: nets.wrap(Whole(nn.LSTM).to(F64)),
        lambda net: lstm_step(*layer_weights(net.model.rnn), HELD, memory_first=False),
    ),
    "a whole model": (lambda: Whole(nn.GRU), lambda net: gru_step(*layer_weights(net.rnn), HELD)),
    "stack": (
        lambda: nets.StackedRNN(2, [nets.CellLayer(4, cells.GRU()), nets.LeakyLayer(3, tau=20.0)], 2, dtype=F64),
        stack,
    ),
    "vectors": (lambda: nets.VectorRNN(2, 4, 2, integration_rate=0.2, seed=2, dtype=F64), vectors),
}


def slopes(step: Step, at: Array) -> Array:
    """Return the Jacobian from differences of the equations."""
    units = 1e-6 * np.eye(len(at))
    return np.stack([(step(at + each) - step(at - each)) / 2e-6 for each in units], 1)


def assert_same_values(found: Array, exact: Array, tolerance: float) -> None:
    gaps = np.abs(np.asarray(found)[:, None] - np.asarray(exact)[None])  # conjugate pairs have no order
    assert max(gaps.min(0).max(), gaps.min(1).max()) < tolerance


@pytest.mark.thirds
@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_rests_where_its_equations_do(name: str, dtype: torch.dtype) -> None:
    """The point is that of SciPy's root finder, its eigenvalues those of differences; nothing of the model changes."""
    build, equations = MODELS[name]
    net = seeded(build, dtype).train()
    before = {each: value.clone() for each, value in net.state_dict().items()}
    step, size = equations(net), state_map(net).cells
    starts = 0.5 * torch.randn(6, size, dtype=F64, generator=torch.Generator().manual_seed(2))
    found = analysis.fixed_points(net, HELD.tolist(), starts)
    assert found.fixed.any()  # others are slow
    parts = (found.states, found.jacobians, found.eigenvalues)
    for at, jacobian, values in zip(*(each[found.fixed] for each in parts), strict=True):
        exact = root(lambda state: step(state) - state, array(at) + 1e-3, tol=1e-14)
        assert np.abs(step(exact.x) - exact.x).max() < 1e-12
        assert np.abs(array(at) - exact.x).max() < 1e-8
        assert np.abs(array(jacobian) - slopes(step, exact.x)).max() < 1e-7
        assert_same_values(values.numpy(), np.linalg.eigvals(slopes(step, exact.x)), 1e-5)
    if name == "LRU":  # z = gamma B x / (1 - lambda), with eigenvalues lambda
        eigenvalues = np.exp(-np.exp(array(net.nu)) + 1j * np.exp(array(net.theta)))
        assert_same_values(found.eigenvalues[0].numpy(), np.concatenate([eigenvalues, eigenvalues.conj()]), 1e-9)
    assert net.training
    assert all(torch.equal(value, before[each]) for each, value in net.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_trajectories_are_those_of_the_equations(name: str) -> None:
    """From the state at time zero, and visited states lie on them."""
    build, equations = MODELS[name]
    net = seeded(build)
    step, one = equations(net), state_map(net)
    states = one.trajectory(torch.from_numpy(HELD).expand(5, 1, 2))[:, 0]
    at = array(states[0])
    for each in states[1:]:
        at = step(at)
        assert np.abs(array(each) - at).max() < 1e-12
    visited = analysis.sampled_states(net, torch.from_numpy(HELD).expand(5, 1, 2), 4, noise=0.0)
    assert torch.cdist(visited, states[1:]).min(1).values.max() < 1e-12


SPIKING: dict[str, Callable[[], Any]] = {
    "SpikingRNN": lambda: nets.SpikingRNN(2, 4, 2),
    "with learned constants": lambda: nets.SpikingRNN(2, 4, 2, learn=("tau",)),
    "ALIF": own(cells.ALIF()),
    "refractory": own(cells.ALIF(threshold=20.0, refractory=2)),
    "a user's": own(user_cells.ALIF()),
    "in a stack": lambda: nets.StackedRNN(2, [4, nets.SpikingLayer(3)], 2),
}


@pytest.mark.parametrize("name", SPIKING)
def test_spikes_have_no_fixed_points_and_no_exponents(name: str) -> None:
    """A surrogate gradient is no derivative of the map: of a general cell it is found by differences."""
    net = SPIKING[name]()
    with pytest.raises(ValueError, match="net must not spike: the derivative of a spike is zero or infinite"):
        state_map(net)
    if name != "in a stack":  # refused for its populations
        with pytest.raises(ValueError, match="net must not spike"):
            analysis.lyapunov(net, torch.zeros(20, 1, 2))


class Between(nn.Module):
    """A model whose recurrent layer gets a function of the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.rnn = nn.Linear(2, 2), nn.GRU(2, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.rnn(self.encoder(inputs))[0]  # type: ignore[no-any-return]


def test_models_whose_state_is_not_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="recurrent layer 'rnn' receives something else than the inputs: give this"):
        state_map(Between())
    with pytest.raises(ValueError, match="recurrent layer 'rnn' receives something else"):
        state_map(nets.wrap(Between()))
    with pytest.raises(TypeError, match="got Sequential with none: there is no state"):
        state_map(nn.Sequential(nn.Linear(2, 3)))
    with pytest.raises(TypeError, match="got Sequential with '0', '1': there is no state, or not one alone"):
        state_map(nn.Sequential(nn.GRU(2, 4), nn.GRU(4, 2)))
