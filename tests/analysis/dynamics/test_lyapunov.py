"""Lyapunov exponents: linear networks, determinants, mean-field theory of random networks.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor, nn

import analysis
import tca
from analysis.dynamics.lyapunov import LyapunovSpectrum

F64 = torch.float64
Array = NDArray[np.float64]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def leaky(cells: int, keep: float, w_rec: Tensor, **options: Any) -> tca.nets.LeakyRNN:
    """Return a network with a leak per step and given recurrent weights."""
    tau = -10.0 / math.log(keep) if keep else 0.01
    net = tca.nets.LeakyRNN(2, cells, 1, tau=tau, dt=10.0, dtype=F64, seed=0, **options)
    net.w_rec.data.copy_(w_rec)
    return net


@pytest.mark.parametrize("form", ["A", "B"])
def test_exponents_of_a_linear_network_are_logarithms_of_its_eigenvalues(form: str) -> None:
    """Of a matrix that is not normal, with eigenvalues of distinct modulus."""
    basis = normal(4, 4)
    values = torch.tensor([1.1, -0.8, 0.5, 0.2], dtype=F64)
    jacobian = basis @ torch.diag(values) @ torch.linalg.inv(basis)
    net = leaky(4, 0.3, (jacobian - 0.3 * torch.eye(4, dtype=F64)) / 0.7, form=form, activation="linear")
    found = analysis.lyapunov(net, torch.zeros(300, 1, 2), discard=100)
    torch.testing.assert_close(found.exponents, values.abs().log(), rtol=0, atol=1e-9)
    assert found.largest == pytest.approx(math.log(torch.linalg.eigvals(jacobian).abs().max()), abs=1e-9)
    assert found.errors.max() < 1e-9
    assert (found.states, found.steps) == (4, 100)


def test_a_pair_of_complex_eigenvalues_shares_its_modulus() -> None:
    turn = 0.9 * torch.tensor([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]], dtype=F64)
    net = leaky(2, 0.0, turn, activation="linear")
    found = analysis.lyapunov(net, torch.zeros(50, 2, 2))
    torch.testing.assert_close(found.exponents, torch.full((2,), math.log(0.9), dtype=F64), rtol=0, atol=1e-12)


def autograd_jacobians(step: Callable[[Tensor, Tensor], Tensor], states: Tensor, inputs: Tensor) -> Tensor:
    """Return the Jacobian of every step, ``(T, N, N)``, one trial."""
    found = []
    for s, x in zip(states, inputs, strict=True):
        found.append(torch.autograd.functional.jacobian(lambda s, x=x: step(s, x), s))
    return torch.stack(found)


@pytest.mark.parametrize("form", ["A", "B"])
def test_all_exponents_add_up_to_the_mean_logarithm_of_the_determinant(form: str) -> None:
    net = leaky(5, 0.6, 1.5 * normal(5, 5, seed=3) / math.sqrt(5), form=form, activation="tanh")
    inputs = normal(40, 1, 2, seed=4)
    found = analysis.lyapunov(net, inputs, discard=5)

    def step(s: Tensor, x: Tensor) -> Tensor:
        rate = torch.tanh(s) if form == "A" else s
        drive = net.w_rec @ rate + net.w_in @ x + net.b
        return 0.6 * s + 0.4 * (drive if form == "A" else torch.tanh(drive))

    states = [torch.zeros(5, dtype=F64)]
    for x in inputs[:, 0]:
        states.append(step(states[-1], x).detach())
    jacobians = autograd_jacobians(step, torch.stack(states[:-1]), inputs[:, 0])[5:35]
    wanted = torch.linalg.det(jacobians).abs().log().mean()
    torch.testing.assert_close(found.exponents.sum(), wanted, rtol=1e-10, atol=0)


def test_cell_modules_have_the_exponents_of_their_step() -> None:
    torch.manual_seed(0)
    cell = nn.GRUCell(2, 4).to(F64)
    net = tca.nets.from_module(cell, nn.Linear(4, 1).to(F64))
    inputs = normal(30, 3, 2, seed=1)
    found = analysis.lyapunov(net, inputs, discard=0)
    total = torch.zeros((), dtype=F64)
    for trial in range(3):
        states = [torch.zeros(4, dtype=F64)]
        for x in inputs[:, trial]:
            states.append(cell(x, states[-1]).detach())
        total += (
            torch.linalg.det(autograd_jacobians(lambda s, x: cell(x, s), torch.stack(states[:-1]), inputs[:, trial]))
            .abs()
            .log()
            .mean()
            / 3
        )
    torch.testing.assert_close(found.exponents.sum(), total, rtol=1e-10, atol=0)
    assert found.largest < 0, "gates forget at these weights"
    first = analysis.lyapunov(net, inputs, count=2, discard=0)
    assert first.exponents.shape == (2,)


def gaussian_mean(function: Callable[[Array], Array], a: Array, b: Array, c: Array) -> Array:
    """Return ``E f(u) f(v)`` of centred normal numbers with variances a, b and covariance c."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    weights = weights / weights.sum()
    r = np.clip(c / np.sqrt(a * b), -1, 1)[:, None, None]
    u = np.sqrt(a)[:, None, None] * nodes[:, None]
    v = np.sqrt(b)[:, None, None] * (r * nodes[:, None] + np.sqrt(1 - r * r) * nodes)
    found: Array = (function(u) * function(v) * weights[:, None] * weights).sum((1, 2))
    return found


def mean_field(g: float, k: float, steps: int) -> float:
    """Return the largest exponent of ``v' = k v + (1 - k) W tanh(v)``, W random of gain g, infinitely many cells.

    The autocovariance of v, started from independent cells, gives that of the slopes, q; a perturbation grows by mu a
    step where the largest eigenvalue of ``k mu (psi_{s+1} + psi_{s-1}) + ((1-k)^2 q_s - k^2) psi_s`` is ``mu^2``: the
    discrete form of the Schroedinger equation of Sompolinsky, Crisanti and Sommers (1988).
    """
    c = np.zeros((steps + 1, steps + 1))
    c[0] = c[:, 0] = float(k) ** np.arange(steps + 1)
    for t in range(steps):
        own = np.diag(c)[: t + 1]
        drive = (1 - k) ** 2 * g * g * gaussian_mean(np.tanh, np.full(t + 1, c[t, t]), own, c[t, : t + 1])
        for s in range(t + 1):
            c[t + 1, s + 1] = c[s + 1, t + 1] = k * (c[t + 1, s] + c[t, s + 1]) - k * k * c[t, s] + drive[s]
    slope: Callable[[Array], Array] = lambda v: 1 - np.tanh(v) ** 2  # noqa: E731
    q = g * g * gaussian_mean(slope, np.full(steps + 1, c[-1, -1]), np.diag(c)[::-1], c[-1, ::-1])
    lags = np.abs(np.arange(-(steps // 2), steps // 2 + 1))

    def excess(mu: float) -> float:
        beside = np.full(len(lags) - 1, k * mu)
        matrix = np.diag((1 - k) ** 2 * q[lags] - k * k) + np.diag(beside, 1) + np.diag(beside, -1)
        return float(np.linalg.eigvalsh(matrix)[-1]) - mu * mu

    return math.log(brentq(excess, 1.0, 5.0))


def random_networks(cells: int, g: float, k: float, seeds: int) -> tuple[float, float]:
    """Return the mean largest exponent of random networks and its standard error."""
    found = []
    for seed in range(seeds):
        net = leaky(
            cells, k, g * normal(cells, cells, seed=seed) / math.sqrt(cells), activation="tanh", learn_initial=True
        )
        net.s_0.data.copy_(normal(cells, seed=100 + seed))
        found.append(analysis.lyapunov(net, torch.zeros(500, 1, 2), count=1).largest)
    return float(np.mean(found)), float(np.std(found, ddof=1)) / math.sqrt(seeds)


def test_without_a_leak_the_theory_has_a_closed_form() -> None:
    """``lambda = log(g^2 E f'^2) / 2`` with variance ``g^2 E f^2``."""
    ones = np.ones(1)
    variance = brentq(lambda v: 4 * gaussian_mean(np.tanh, v * ones, v * ones, v * ones)[0] - v, 0.1, 10)
    slopes = gaussian_mean(lambda v: 1 - np.tanh(v) ** 2, variance * ones, variance * ones, variance * ones)[0]
    assert mean_field(2.0, 0.0, 20) == pytest.approx(math.log(4 * slopes) / 2, abs=1e-8)


def test_random_networks_have_the_exponent_of_mean_field_theory() -> None:
    """The finite-size error falls as one over the root of N, and is extrapolated from two sizes."""
    theory = mean_field(3.0, 0.5, 80)
    (small, small_error), (large, large_error) = (random_networks(cells, 3.0, 0.5, 6) for cells in (100, 400))
    error = math.hypot(2 * large_error, small_error)
    assert error < 0.008
    assert abs(2 * large - small - theory) < 3 * error
    assert 0 < small < large < theory


def test_below_the_transition_activity_and_perturbations_die_out() -> None:
    assert random_networks(100, 0.5, 0.5, 2)[0] < -0.1


def test_dimension_and_entropy_of_a_known_spectrum() -> None:
    exponents = torch.tensor([0.5, 0.1, -0.2, -1.0], dtype=F64)
    found = LyapunovSpectrum(exponents, torch.zeros(4), 4, 10)
    assert found.entropy_rate == pytest.approx(0.6)
    assert found.dimension == pytest.approx(3 + 0.4 / 1.0)
    assert LyapunovSpectrum(exponents[2:], torch.zeros(2), 4, 10).dimension == 0
    assert LyapunovSpectrum(exponents[:2], torch.zeros(2), 2, 10).dimension == 2
    with pytest.raises(ValueError, match="needs more than 2 of the 4 exponents"):
        _ = LyapunovSpectrum(exponents[:2], torch.zeros(2), 4, 10).dimension


def test_the_network_is_left_as_it_was() -> None:
    net = tca.nets.LeakyRNN(2, 3, 1, seed=0)
    before = {name: each.clone() for name, each in net.state_dict().items()}
    found = analysis.lyapunov(net, torch.zeros(20, 1, 2))
    assert found.exponents.dtype == F64
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert torch.equal(analysis.lyapunov(net, torch.zeros(20, 1, 2)).exponents, found.exponents)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (lambda: tca.nets.SpikingRNN(2, 3, 1), "net must not spike"),
        (lambda: tca.nets.StackedRNN(2, [3, 3], 1), "net must have one population, got 2"),
        (lambda: tca.nets.MLP(2, [3], 1), "net must have a state that a step leads to the next one, got MLP"),
        (lambda: tca.nets.wrap(nn.Linear(2, 1)), "net must have a state that a step leads to the next one"),
    ],
)
def test_networks_without_a_differentiable_state_are_refused(net: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        analysis.lyapunov(net(), torch.zeros(20, 1, 2))


def test_numbers_that_do_not_fit_are_refused() -> None:
    net = tca.nets.LeakyRNN(2, 3, 1)
    with pytest.raises(ValueError, match="at least 10 steps beside 2 left out, got 11"):
        analysis.lyapunov(net, torch.zeros(11, 1, 2))
    with pytest.raises(ValueError, match="count must be at most the 3 numbers of the state, got 4"):
        analysis.lyapunov(net, torch.zeros(20, 1, 2), count=4)
    with pytest.raises(ValueError, match=r"inputs must have shape \(T, B, 2\)"):
        analysis.lyapunov(net, torch.zeros(20, 2))


def test_linear_recurrent_units_have_the_moduli_of_their_eigenvalues() -> None:
    """Each twice, of its real and imaginary part, although no synapse is recurrent."""
    net = tca.nets.CellRNN(tca.cells.LRU(r_min=0.5), 2, 3, 1, dtype=torch.float64)
    found = analysis.lyapunov(net, torch.zeros(1000, 1, 2), discard=300)
    exact = (-torch.exp(net.nu.detach())).repeat(2).sort(descending=True).values
    assert torch.allclose(found.exponents, exact, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="net must have a state that a step leads to the next one, got MLP"):
        analysis.lyapunov(tca.nets.MLP(2, [3], 1), torch.zeros(20, 1, 2))
