"""Fixed points: networks whose fixed points are known, and iteration of the map."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from analysis.dynamics.fixed_points import fixed_points, rest
from analysis.dynamics.state_map import state_map
from analysis.dynamics.visited_states import sampled_states
from tca.nets import MLP, DualStreamRNN, LeakyLayer, LeakyRNN, SpikingRNN, StackedRNN, VectorMLP

FORMS = ("A", "B")
ACTIVATIONS = ("tanh", "relu", "softplus", "rectified_tanh", "linear")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(cells: int, recurrent: Tensor | None = None, **options: object) -> LeakyRNN:
    net = LeakyRNN(2, cells, 1, dtype=torch.float64, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        net.b.copy_(0.1 * normal(5, cells))
        if recurrent is not None:
            net.w_rec.copy_(recurrent)
    return net


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("tau", [30.0, (20.0, 30.0, 50.0, 80.0, 130.0)])
def test_the_map_is_that_of_the_network_and_its_jacobian_that_of_autograd(
    form: str, activation: str, tau: float | tuple[float, ...]
) -> None:
    net = network(5, form=form, activation=activation, tau=tau, learn_initial=True, autapses=False)
    with torch.no_grad():
        net.s_0.copy_(normal(6, 5))  # type: ignore[union-attr]
    one, inputs = state_map(net), normal(7, 6, 3, 2)
    states = one.trajectory(inputs)
    assert torch.allclose(one.rates(states), net.run(inputs).rate, rtol=0, atol=1e-12)
    point = normal(8, 5)
    exact = torch.func.jacrev(lambda state: one.step(state, inputs[0, 0]))(point)
    assert torch.allclose(one.jacobian(point, inputs[0, 0]), exact, rtol=0, atol=1e-12)
    assert one.jacobian(states, inputs[0, 0]).shape == (7, 3, 5, 5)


@pytest.mark.parametrize("form", FORMS)
def test_a_network_of_two_streams_has_a_map_of_its_signed_weights(form: str) -> None:
    """Its steps are those of the network, its Jacobian that of autograd, and its rest a state that stays."""
    net = DualStreamRNN(2, 3, 1, form=form, dtype=torch.float64)
    one, inputs = state_map(net), normal(7, 6, 3, 2)
    assert torch.allclose(one.rates(one.trajectory(inputs)), net.run(inputs).rate, rtol=0, atol=1e-12)
    point, held = normal(8, 6), inputs[0, 0]
    exact = torch.func.jacrev(lambda state: one.step(state, held))(point)
    assert torch.allclose(one.jacobian(point, held), exact, rtol=0, atol=1e-12)
    found = fixed_points(net, held, normal(9, 5, 6))
    assert found.kinds() == ["stable"]
    stays = net.run(held.expand(400, 1, 2)).rate[-1, 0]
    assert torch.allclose(one.rates(found.states[0]), stays, rtol=0, atol=1e-9)


@pytest.mark.parametrize("index", [0, 1])
def test_a_population_of_a_stack_has_a_map_with_the_rates_below_held(index: int) -> None:
    """Its steps are those that it takes in the stack, and its rest is where it ends with the same input."""
    stack = StackedRNN(2, [4, LeakyLayer(5, form="B", learn_initial=True)], 1, dtype=torch.float64)
    tape = stack.run(normal(3, 6, 3, 2))
    first, second = tape.lower[0].rate, tape.rate
    received, rates = ((normal(3, 6, 3, 2), first), (first[1:], second))[index]
    one = state_map(stack.layers[index])  # type: ignore[arg-type]
    assert torch.allclose(one.rates(one.trajectory(received)), rates, rtol=0, atol=1e-12)
    held = received[2, 1]
    found = fixed_points(stack.layers[index], held, normal(4, 6, one.cells))  # type: ignore[arg-type]
    assert len(found) >= 1
    ends = one.trajectory(held.expand(3000, 1, -1))[-1, 0]
    assert (found.states[found.stable] - ends).norm(dim=1).min() < 1e-8
    assert sampled_states(stack.layers[index], received, 4).shape == (4, one.cells)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_a_linear_network_rests_where_its_equation_says(form: str) -> None:
    weights = 0.5 * normal(1, 6, 6) / math.sqrt(6)
    net, held = network(6, weights, form=form, activation="linear", tau=40.0), torch.tensor([0.7, -0.4]).double()
    found = fixed_points(net, held, 5 * normal(2, 10, 6))
    exact = torch.linalg.solve(torch.eye(6).double() - weights, net.w_in @ held + net.b)
    assert len(found) == 1
    assert found.found.tolist() == [10]
    assert torch.allclose(found.states[0], exact, rtol=0, atol=1e-10)
    leak = math.exp(-10 / 40)
    values = leak + (1 - leak) * torch.linalg.eigvals(weights)
    assert found.radius.item() == pytest.approx(values.abs().max().item(), abs=1e-10)
    assert found.kinds() == ["stable"]
    assert found.time_constants(10.0)[0, 0].item() == pytest.approx(-10 / math.log(values.abs().max().item()))


@pytest.mark.parametrize("form", FORMS)
def test_two_cells_that_inhibit_each_other_are_bistable(form: str) -> None:
    """``v = -w tanh v`` for each other: at ``v_1 = -v_2 = a`` with ``a = w tanh a``, and at zero, a saddle."""
    strength = 2.0
    net = network(2, torch.tensor([[0.0, -strength], [-strength, 0.0]]), form=form)
    with torch.no_grad():
        net.b.zero_()
    found = fixed_points(net, [0.0, 0.0], normal(0, 60, 2))
    height = brentq(lambda a: a - strength * math.tanh(a), 0.1, 5.0)
    size = height if form == "A" else math.tanh(height)
    order = found.states[:, 0].argsort()
    expected = torch.tensor([[-size, size], [0.0, 0.0], [size, -size]], dtype=torch.float64)
    assert torch.allclose(found.states[order], expected, rtol=0, atol=1e-9)
    assert [found.kinds()[place] for place in order] == ["stable", "unstable", "stable"]
    assert found.unstable_directions()[order].tolist() == [0, 1, 0]
    assert found.found.sum() == 60
    assert found.unfinished == 0


def ring(cells: int, strength: float) -> Tensor:
    angles = 2 * math.pi * torch.arange(cells).double() / cells
    return 2 * strength / cells * torch.cos(angles[:, None] - angles)


def test_a_ring_attractor_is_a_circle_of_fixed_points_with_one_free_direction() -> None:
    """``v_i = a cos(angle_i - phi)`` for every phi: a solves ``a = strength 2/N sum tanh(a cos) cos``."""
    cells, strength = 48, 2.0
    net = network(cells, ring(cells, strength))
    with torch.no_grad():
        net.b.zero_()
    angles = 2 * math.pi * torch.arange(cells).double() / cells

    def excess(a: float) -> float:
        wave = torch.cos(angles)
        return a - (2 * strength / cells * torch.tanh(a * wave) @ wave).item()

    height = brentq(excess, 0.1, 5.0)
    visited = sampled_states(net, normal(0, 60, 40, 2), 60, steps=slice(40, 60))
    starts = torch.cat([visited, 1e-3 * normal(1, 5, cells)])
    found = fixed_points(net, [0.0, 0.0], starts, tolerance=1e-10, apart=1e-3)
    silent = found.states.norm(dim=1) < 1e-6
    assert silent.sum() == 1
    assert found.unstable_directions()[silent].tolist() == [2]
    circle = found.states[~silent]
    assert len(circle) > 20
    assert found.fixed.all()
    components = torch.stack([circle @ torch.cos(angles), circle @ torch.sin(angles)], 1) * 2 / cells
    assert torch.allclose(
        components.norm(dim=1), torch.full((len(circle),), height, dtype=torch.float64), rtol=0, atol=1e-8
    )
    values = found.eigenvalues[~silent].abs()
    assert torch.allclose(values[:, 0], torch.ones(len(circle)).double(), rtol=0, atol=1e-7)
    assert (values[:, 1] < 0.99).all()
    assert {found.kinds()[place] for place in (~silent).nonzero().flatten().tolist()} == {"marginal"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu"])
def test_iteration_stays_at_stable_points_and_leaves_unstable_ones(form: str, activation: str) -> None:
    net = network(8, form=form, activation=activation, gain_rec=2.0 if activation == "tanh" else 0.8, tau=30.0, seed=3)
    held = torch.tensor([0.3, -0.2]).double()
    found, one = fixed_points(net, held, 2 * normal(0, 60, 8)), state_map(net)
    assert found.fixed.any()
    for state, kind, values in zip(found.states, found.kinds(), found.eigenvalues, strict=True):
        if kind == "slow":
            continue
        assert (one.step(state, held) - state).norm() < 1e-8
        moved = state + 1e-5 * normal(1, 8)
        for _ in range(400):
            moved = one.step(moved, held)
        stays = (moved - state).norm() < 1e-5
        assert bool(stays) is (kind == "stable") or 0.97 < values[0].abs() < 1.03


def test_stable_points_are_those_to_which_trajectories_go() -> None:
    net = network(10, gain_rec=2.0, tau=30.0, seed=1)
    one, held, starts = state_map(net), torch.zeros(2).double(), normal(2, 40, 10)
    found = fixed_points(net, held, torch.cat([starts, 3 * normal(3, 100, 10)]))
    ends = starts
    for _ in range(3000):
        ends = one.step(ends, held)
    resting = ends[(one.step(ends, held) - ends).norm(dim=1) < 1e-10]
    assert len(resting)
    gaps = torch.cdist(resting, found.states[found.stable]).min(1).values
    assert gaps.max() < 1e-6


def test_slow_points_are_not_fixed_points() -> None:
    """``F(h) = h + h^2 + c`` misses a fixed point by c; its speed is least at zero."""
    for gap, kind in ((1e-3, "slow"), (0.0, "marginal")):

        def step(h: Tensor, gap: float = gap) -> Tensor:
            return h + h**2 + gap

        found = rest(step, lambda h: torch.diag_embed(1 + 2 * h), torch.tensor([[0.4], [-0.3]]), tolerance=1e-9)
        assert len(found) == 1
        assert found.kinds() == [kind]
        assert str(found).startswith("1 point from 2 starts, 0 of which")
        assert found.states.item() == pytest.approx(0.0, abs=1e-4)
        assert found.residuals.item() == pytest.approx(gap, abs=1e-8)
        assert not found.stable.any()


def test_a_start_that_does_not_arrive_is_counted_and_left_out() -> None:
    """``F(h) = h + exp(h)`` has no fixed point: the speed falls for ever."""
    found = rest(lambda h: h + torch.exp(h), lambda h: torch.diag_embed(1 + torch.exp(h)),
                 torch.tensor([[0.0], [1.0]]), iterations=5)  # fmt: skip
    assert len(found) == 0
    assert found.unfinished == 2
    assert "0 points from 2 starts, 2 of which" in str(found)


def test_starts_are_states_of_the_steps_asked_for() -> None:
    net, inputs = network(4, tau=30.0), normal(0, 9, 5, 2)
    states = state_map(net).trajectory(inputs)[1:]
    chosen = sampled_states(net, inputs, 50, steps=slice(6, 9), noise=0.0)
    gaps = (chosen[:, None] - states[6:9].flatten(0, 1)).norm(dim=-1).min(1).values
    assert gaps.max() == 0
    counted = torch.zeros(9, 5, dtype=torch.bool)
    counted[2, 3] = True
    assert torch.equal(sampled_states(net, inputs, 4, steps=counted, noise=0.0), states[2, 3].expand(4, -1))
    noisy = sampled_states(net, inputs, 4000, noise=0.5) - sampled_states(net, inputs, 4000, noise=0.0)
    assert noisy.std().item() == pytest.approx(0.5 * states.flatten().std(correction=0).item(), rel=0.03)
    assert torch.equal(sampled_states(net, inputs, 9, seed=1), sampled_states(net, inputs, 9, seed=1))
    assert not torch.equal(sampled_states(net, inputs, 9, seed=1), sampled_states(net, inputs, 9, seed=2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: state_map(MLP(2, [3], 1)), TypeError, "net must be a recurrent network"),
        (lambda: state_map(VectorMLP(2, [4], 1)), TypeError, "got VectorMLP: there is no state"),
        (lambda: state_map(SpikingRNN(2, 4, 1)), ValueError, "net must not spike"),
        (lambda: fixed_points(network(3), [0.0], normal(0, 2, 3)), ValueError, r"inputs must have shape \(2,\)"),
        (lambda: fixed_points(network(3), [0.0, 0.0], normal(0, 2, 4)), ValueError, "starts must have shape"),
        (lambda: fixed_points(network(3), [0.0, 0.0], normal(0, 2, 3) / 0), ValueError, "starts must be finite"),
        (lambda: fixed_points(network(3), [0, 0], normal(0, 2, 3), tolerance=0.0), ValueError, "tolerance must be"),
        (lambda: fixed_points(network(3), [0, 0], normal(0, 2, 3), iterations=0), ValueError, "iterations must be"),
        (lambda: sampled_states(network(3), normal(0, 4, 2, 3), 5), ValueError, "inputs must have shape"),
        (lambda: sampled_states(network(3), normal(0, 4, 2, 2), 5, steps=slice(9, 12)), ValueError, "steps must hold"),
        (lambda: sampled_states(network(3), normal(0, 4, 2, 2), 5, noise=-1.0), ValueError, "noise must be 0"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
