"""Facts about fields and their signals: every multiplier, what a lag may carry, and how many cells are reached.

Shapes: T time, B batch, N cells, O outputs, S sites.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Leak
from tca.signals import Diffusion, Direct, Hops, StationaryDiffusion
from tca.signals.diffusion.fields import Box, Explicit, Exponential, Field, Grid, Implicit, Quasistatic
from tca.signals.diffusion.release import PerError
from tca.signals.feedback_weights import Drawn, Tracked
from tests.support.cases import F1, Case, weights_of
from tests.support.oracle_fields import boxes, errors_of
from tests.support.rows import learner, put, relative

D, KAPPA, DT = 0.7, 0.2, 0.3
TORUS = (10, 12)
MULTIPLIERS: dict[Any, Callable[[float, float], float]] = {
    Box(0.75): lambda one, two: 0.75 * (1 + 2 * math.cos(one)) * (1 + 2 * math.cos(two)) / 9,
    Explicit(D, KAPPA, DT): lambda one, two: 1 - KAPPA * DT - 2 * D * DT * (2 - math.cos(one) - math.cos(two)),
    Implicit(D, KAPPA, DT): lambda one, two: 1 / (1 + KAPPA * DT + 2 * D * DT * (2 - math.cos(one) - math.cos(two))),
    Exponential(D, KAPPA, DT): lambda one, two: math.exp(-DT * (KAPPA + 2 * D * (2 - math.cos(one) - math.cos(two)))),
}
each_propagator = pytest.mark.parametrize("propagator", MULTIPLIERS, ids=lambda each: type(each).__name__)


def modes(multiplier: Callable[[float, float], float]) -> Tensor:
    """Multipliers of all modes of the torus, in order."""
    angles = [[2 * math.pi * n / size for n in range(size)] for size in TORUS]
    return torch.tensor([multiplier(*each) for each in itertools.product(*angles)], dtype=torch.float64).sort().values


@each_propagator
def test_a_step_multiplies_every_mode_by_its_number(propagator: Any) -> None:
    """The spectrum of a step on a torus is the table of multipliers, that of the settled field one over the rest."""
    field = Field(Grid(TORUS), propagator, "raw")
    numbers = modes(MULTIPLIERS[propagator])
    assert float((torch.linalg.eigvalsh(field.kernel()) - numbers).abs().max()) < 1e-12
    settled = (1 / (1 - numbers)).sort().values
    kernel = field.stationary()
    assert relative(torch.linalg.eigvalsh(kernel), settled) < 1e-12
    assert relative(kernel, kernel.T) < 1e-14
    assert float((kernel.sum(1) * (1 - numbers.max()) - 1).abs().max()) < 1e-12
    assert float(kernel.min()) > 0
    assert float(numbers.abs().max()) < 1


def test_the_settled_equation_divides_every_mode_by_its_loss() -> None:
    """Without steps of time a mode is divided by ``kappa + 2 D sum (1 - cos)``."""
    field = Field(Grid(TORUS), Quasistatic(D, KAPPA), "raw")
    numbers = modes(lambda one, two: 1 / (KAPPA + 2 * D * (2 - math.cos(one) - math.cos(two))))
    assert relative(torch.linalg.eigvalsh(field.stationary()), numbers) < 1e-12


@pytest.mark.parametrize("kind", [Implicit, Exponential])
@pytest.mark.parametrize("dt", [0.1, 1.0, 10.0, 1000.0])
@pytest.mark.parametrize("boundary", ["periodic", "no-flux", "absorbing"])
def test_implicit_and_exact_steps_are_stable_and_positive_at_any_length(kind: Any, dt: float, boundary: str) -> None:
    """No concentration is negative, none grows; an explicit step of the same length would."""
    step = Field(Grid(TORUS, boundary), kind(D, KAPPA, dt), "raw").kernel()
    assert float(step.min()) > -1e-15
    values = torch.linalg.eigvalsh(step)
    kept = {Implicit: 1 / (1 + KAPPA * dt), Exponential: math.exp(-KAPPA * dt)}[kind]
    assert float(values.min()) > -1e-15
    assert float(values.max()) <= kept * (1 + 1e-12) + 1e-15
    if dt >= 1:
        explicit = Field(Grid(TORUS, boundary), Explicit(D, KAPPA, dt, allow_negative=True), "raw").kernel()
        assert float(explicit.min()) < 0
        assert float(torch.linalg.eigvalsh(explicit).abs().max()) > 1


@pytest.mark.parametrize(("k", "length"), [(0.25, 0.3333), (0.5, 0.5774), (0.75, 1.0), (0.9, 1.7321), (0.99, 5.7446)])
def test_length_and_lifetime_of_the_published_box(k: float, length: float) -> None:
    """``sqrt(k / (3 (1 - k)))`` sites and ``1 / (1 - k)`` steps; it is the Laplacian with ``D dt = 1/3``."""
    line = Field(Grid((401,)), Box(k), "raw").stationary()[200]
    away = torch.arange(401, dtype=torch.float64) - 200
    assert math.sqrt(float((line * away**2).sum() / line.sum()) / 2) == pytest.approx(length, abs=1e-4)
    assert float(line.sum()) == pytest.approx(1 / (1 - k), rel=1e-12)
    euler = torch.eye(401, dtype=torch.float64) + Grid((401,)).laplacian() / 3
    assert float((Field(Grid((401,)), Box(k), "raw").kernel() - k * euler).abs().max()) < 1e-15


WIDE = Case("wide", sizes=(3, 120, 2), steps=12, seed=41, leak=0.8)


def learning_signal(signal: Diffusion, errors: Tensor) -> tuple[Tensor, Tensor]:
    """Learning signals step by step, and the feedback ``(N, O)``."""
    bound = learner(WIDE, tca.Rule(signal, Leak()))
    send = bound.rule.signal.online_signal(bound.net.populations()[0], bound.buffers)
    return torch.stack([send(each) for each in errors]), bound.buffers["feedback"]


@each_propagator
def test_what_a_lag_carries_shrinks_by_what_a_field_keeps(propagator: Any) -> None:
    """``|A_q| <= k^q |F|`` for the lags in ``L_t = sum_q A_q err_{t-q}``; the sum over a full grid is exact."""
    errors = torch.zeros(12, 1, 2, dtype=torch.float64)
    errors[0, 0] = torch.tensor([1.0, -0.7])
    found, feedback = learning_signal(Diffusion(propagator, Grid(TORUS), gain="raw"), errors)
    released = feedback @ errors[0, 0]
    kept = float(modes(MULTIPLIERS[propagator]).max())
    sizes = found[:, 0].norm(dim=1)
    assert sizes[0] == pytest.approx(float(released.norm()), rel=1e-13)
    for q in range(1, 12):
        assert float(sizes[q]) < kept**q * float(released.norm())
        assert float(found[q, 0].sum()) == pytest.approx(kept**q * float(released.sum()), rel=1e-10)
    shuffled, _ = learning_signal(Diffusion(propagator, Grid(TORUS), gain="raw", shuffle="once"), errors)
    assert float(shuffled[5, 0].sum()) == pytest.approx(float(found[5, 0].sum()), rel=1e-10)
    assert relative(shuffled[5], found[5]) > 0.1


@pytest.mark.parametrize(("cells", "outputs", "least", "most"), [(400, 1, 0.33, 0.41), (100, 2, 0.5, 0.68)])
def test_coverage_and_what_cells_without_feedback_hear(cells: int, outputs: int, least: float, most: float) -> None:
    """A tenth of the weights, k = 3/4: 37 percent of 20 x 20 cells receive an error, of 10 x 10 over half."""
    net = Case("covered", sizes=(3, cells, outputs), steps=2, seed=42, leak=0.8).net()
    error = torch.randn(200, outputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covered, direct, ratio = [], [], []
    for seed in range(10):
        buffers = tca.Learner(net, tca.Rule(StationaryDiffusion(), Leak()), seed=seed).buffers
        received, before = ((error @ buffers[name].T).abs() for name in ("feedback", "released"))
        covered.append(float((received > 0.05 * received.amax(1, keepdim=True)).double().mean()))
        direct.append(float((before > 0.05 * before.amax(1, keepdim=True)).double().mean()))
        has = (buffers["released"] != 0).any(1)
        ratio.append(float((received[:, ~has].median(1).values / received[:, has].median(1).values).median()))
    assert least < sum(covered) / 10 < most
    assert 0.08 < sum(direct) / 10 < 0.19
    if outputs == 2:
        assert 0.15 < sum(ratio) / 10 < 0.25


def test_one_hop_over_neighbours_is_the_first_lag_of_the_box() -> None:
    """Linear cells on the sites, weights k / 9 to all that touch: the hop of MDGL is a step of the published field."""
    case = Case("sites", activation="linear", sizes=(3, 120, 2), steps=6, seed=4, leak=0.7)
    step = 0.75 * torch.as_tensor(boxes(TORUS, "periodic"))
    told_by = {}
    for name, signal in (("hop", Hops(1, receiver_leak=False)), ("direct", Direct())):
        bound = learner(case, tca.Rule(signal, Leak()))
        put(bound.net, {"w_rec": step})
        told_by[name] = bound.signal(case.batch())[1:]
    hop = (told_by["hop"] - told_by["direct"]) / 0.3
    field = Field(Grid(TORUS), Box(0.75), "raw")
    assert relative(hop[:-1], told_by["direct"][1:] @ field.kernel()) < 1e-12
    still = Diffusion(Box(0.75), Grid(TORUS), gain="raw", weights=Tracked(1.0), scattered=False)
    bound = learner(case, tca.Rule(still, Leak()))
    put(bound.net, {"w_rec": step})
    errors = errors_of(case.model(), weights_of(bound.net), case.problem())
    alone = torch.zeros_like(errors)
    alone[0] = errors[-1]
    send = bound.rule.signal.online_signal(bound.net.populations()[0], bound.buffers)
    with torch.no_grad():
        told_later = [send(each) for each in alone]
    assert relative(told_later[1], hop[-2]) < 1e-12


@pytest.mark.parametrize("diffusion", [1e6, 1e7])
def test_fields_per_error_that_spread_at_once_are_a_random_broadcast(diffusion: float) -> None:
    """``L_j = qbar R_j err``: a release anywhere is received everywhere, within ``kappa / (D lam_1)``."""
    signal = StationaryDiffusion(Quasistatic(diffusion, 0.3), Grid(TORUS), weights=Drawn(1.0), release=PerError(0.3))
    buffers = learner(WIDE, tca.Rule(signal, Leak())).buffers
    off = relative(buffers["feedback"], float(buffers["sites"].mean()) * buffers["released"])
    assert 0 < off < 1e-5
    bound = 0.3 / (0.3 + diffusion * (2 - 2 * math.cos(2 * math.pi / 12)))
    sites, mean = buffers["sites"], buffers["sites"].mean()
    assert off <= bound * float((sites - mean).norm() / mean)


def test_a_field_is_empty_at_the_start_of_every_trial_and_for_every_trial_alone() -> None:
    """Errors of one trial reach no other, and what came before the window of the loss leaves nothing behind."""
    case = replace(F1, options={}, trials=3)
    bound = learner(case, tca.Rule(Diffusion(Box(0.75)), Leak()))
    batch = case.batch()
    quiet = batch.weights.clone()
    quiet[:, 1] = 0
    silenced = bound.signal(replace(batch, weights=quiet))
    assert not silenced[:, 1].any()
    assert torch.equal(silenced[:, [0, 2]], bound.signal(batch)[:, [0, 2]])
    late = batch.weights.clone()
    late[:8] = 0
    assert not bound.signal(replace(batch, weights=late))[:9].any()
    assert bound.signal(replace(batch, weights=late))[9:].any()
