"""Sharpness against closed forms and against the oracle's loss."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import scipy.stats
import torch

import tca
from analysis import random_sharpness, sharpness
from tca.losses import MSE
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.dense import jacobian, output_hessian, outputs


def bowl(scales: list[float], targets: list[float]) -> tuple[tca.nets.LeakyRNN, tca.Batch]:
    """A network whose loss in ``w_out`` is a quadratic with these curvatures: one linear cell lit in every trial."""
    n = len(scales)
    net = tca.nets.LeakyRNN(n, n, 1, activation="linear", tau=1e-3, dtype=torch.float64)
    with torch.no_grad():
        net.w_in.copy_(torch.eye(n))
        net.w_out.copy_(torch.arange(1.0, n + 1))
    inputs = torch.diag(torch.tensor(scales, dtype=torch.float64).sqrt())[None]
    aims = inputs.diagonal(0, 1, 2) * torch.tensor(targets, dtype=torch.float64)
    return net, tca.Batch(inputs, aims.view(1, n, 1), torch.full((1, n), float(n)).double(), MSE())


def test_a_diagonal_bowl_in_closed_form() -> None:
    scales, targets, radius = [4.0, 1.0, 0.25], [0.5, 3.0, 1.0], 0.3
    net, batch = bowl(scales, targets)
    curvature, theta = torch.tensor(scales).double(), net.w_out.detach()[0]
    gap = theta - torch.tensor(targets).double()
    gradient = curvature * gap

    def loss(at: torch.Tensor) -> float:
        return (0.5 * curvature * at.square()).sum().item()

    found = sharpness(net, batch, "w_out", radius=radius)
    assert found.loss == pytest.approx(loss(gap))
    assert found.gradient_norm == pytest.approx(gradient.norm().item())
    assert found.ascent == pytest.approx(loss(gap + radius * gradient / gradient.norm()) - loss(gap))
    scaled = theta * gradient
    assert found.adaptive == pytest.approx(loss(gap + radius * theta * scaled / scaled.norm()) - loss(gap))
    assert found.fisher_rao == pytest.approx(math.sqrt((curvature * theta.square()).sum()))
    assert "fisher rao      " in str(found)


def test_a_box_and_a_floor_under_small_parameters_in_closed_form() -> None:
    """Keskar's box: the corner along the gradient, in percent of one more than the loss; ASAM with eta."""
    scales, targets = [4.0, 1.0, 0.25], [0.5, 3.0, 1.0]
    net, batch = bowl(scales, targets)
    curvature, theta = torch.tensor(scales).double(), net.w_out.detach()[0]
    gap = theta - torch.tensor(targets).double()
    gradient = curvature * gap

    def loss(at: torch.Tensor) -> float:
        return (0.5 * curvature * at.square()).sum().item()

    found = sharpness(net, batch, "w_out", radius=0.3, epsilon=0.2, eta=0.7)
    corner = 0.2 * (theta.abs() + 1) * gradient.sign()
    assert found.box == pytest.approx(100 * (loss(gap + corner) - loss(gap)) / (1 + loss(gap)), rel=1e-10)
    scaled = (theta.abs() + 0.7) * gradient
    move = 0.3 * (theta.abs() + 0.7) * scaled / scaled.norm()
    assert found.adaptive == pytest.approx(loss(gap + move) - loss(gap), rel=1e-10)
    far = sharpness(net, batch, "w_out", epsilon=1.0, steps=50)  # the best corner of all, by trying each
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * 3) * (theta.abs() + 1)
    best = max(loss(gap + each) for each in corners)
    assert far.box == pytest.approx(100 * (best - loss(gap)) / (1 + loss(gap)), rel=1e-10)


def test_groups_of_trials_climb_alone() -> None:
    """Every trial of the bowl has one parameter of its own: each rises by ``n (g r + h r^2 / 2)`` alone."""
    scales, targets, radius = [4.0, 1.0, 0.25], [0.5, 3.0, 1.0], 0.3
    net, batch = bowl(scales, targets)
    curvature, theta = torch.tensor(scales).double(), net.w_out.detach()[0]
    slope = (curvature * (theta - torch.tensor(targets).double())).abs()
    found = sharpness(net, batch, "w_out", radius=radius, group=1)
    each = 3 * (slope * radius + 0.5 * curvature * radius**2)  # its loss is three times its part of the whole
    assert found.grouped == pytest.approx(each.mean().item(), rel=1e-10)
    whole = sharpness(net, batch, "w_out", radius=radius)
    assert whole.grouped == whole.ascent == sharpness(net, batch, "w_out", radius=radius, group=3).grouped
    pair = sharpness(net, batch.select(slice(0, 2)), "w_out", radius=radius).ascent
    alone = sharpness(net, batch.select(slice(2, 3)), "w_out", radius=radius).ascent
    both = sharpness(net, batch, "w_out", radius=radius, group=2, chunk=1).grouped
    assert both == pytest.approx((2 * pair + alone) / 3, rel=1e-10)


@pytest.mark.slow
def test_random_perturbations_of_a_bowl_in_closed_form() -> None:
    """``sigma^2 / 2 sum h z^2`` of the very z drawn, and ``sigma^2 / 2 tr H`` in the mean; slopes cancel."""
    scales, targets, sigma, pairs = [4.0, 1.0, 0.25], [0.5, 3.0, 1.0], 0.3, 64
    net, batch = bowl(scales, targets)
    curvature, theta = torch.tensor(scales).double(), net.w_out.detach()[0]
    width = 2 * scipy.stats.t.ppf(0.975, pairs - 1) / math.sqrt(pairs)
    found = random_sharpness(net, batch, "w_out", sigma=sigma, allowed=0.2, pairs=pairs, seed=3)
    drawn = torch.randn(pairs, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    for rise, precision, size in (
        (found.rise, found.pac_bayes, torch.ones(3).double()),
        (found.relative_rise, found.relative_pac_bayes, theta.abs()),
    ):
        each = (curvature * (size * drawn).square()).sum(1) / 2
        assert rise.value == pytest.approx(sigma**2 * each.mean().item(), rel=1e-9)
        exact = sigma**2 / 2 * (curvature * size.square()).sum().item()
        assert rise.low < exact < rise.high
        assert (rise.count, rise.high - rise.low) == (pairs, pytest.approx(width * rise.spread, rel=1e-9))
        assert precision == pytest.approx(each.mean().item() / 0.2, rel=1e-8)
    assert found.trace.value == pytest.approx(sum(scales), rel=1e-12)
    assert found.loss == sharpness(net, batch, "w_out").loss
    assert "PAC-Bayes" in str(found)


def test_the_relative_measures_do_not_see_a_rescaling_that_changes_nothing() -> None:
    case = Case("scaled", activation="relu", leak=0.0, sizes=(3, 8, 2), steps=1, trials=6)
    net, batch = case.net(), case.batch()
    before = random_sharpness(net, batch, ["w_in", "w_out"], pairs=4)
    with torch.no_grad():
        net.w_in.mul_(5), net.b.mul_(5), net.w_out.div_(5)
    after = random_sharpness(net, batch, ["w_in", "w_out"], pairs=4)
    assert after.relative_rise.value == pytest.approx(before.relative_rise.value, rel=1e-8)
    assert after.relative_pac_bayes == pytest.approx(before.relative_pac_bayes, rel=1e-8)
    assert abs(after.pac_bayes / before.pac_bayes - 1) > 0.1


def test_perturbations_that_never_raise_the_loss_so_far_have_no_precision() -> None:
    net, batch = bowl([1e-30, 1e-30, 1e-30], [1.0, 2.0, 3.0])
    assert random_sharpness(net, batch, "w_out", pairs=2, probes=2).pac_bayes == 0.0
    steep, aims = bowl([1e30, 1e30, 1e30], [1.0, 2.0, 3.0])
    assert random_sharpness(steep, aims, "w_out", pairs=2, probes=2).pac_bayes == math.inf
    with pytest.raises(ValueError, match="sigma must be small enough for the loss to stay finite"):
        random_sharpness(steep, aims, "w_out", sigma=1e160, pairs=2, probes=2)


@pytest.mark.slow
def test_many_steps_find_the_maximum_in_a_ball() -> None:
    scales, radius = [4.0, 1.0, 0.25], 0.5
    net, batch = bowl(scales, [1.05, 1.0, 2.0])
    found = [sharpness(net, batch, "w_out", radius=radius, steps=steps).ascent for steps in (1, 3, 300)]
    curvature = torch.tensor(scales).double()
    gap = net.w_out.detach()[0] - torch.tensor([1.05, 1.0, 2.0]).double()
    on_sphere = torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    on_sphere *= radius / on_sphere.norm(dim=1, keepdim=True)
    best = (0.5 * curvature * ((gap + on_sphere).square() - gap.square())).sum(1).max().item()
    assert found[0] < found[1] <= found[2]
    assert found[2] == pytest.approx(best, rel=1e-3)


def test_adaptive_sharpness_does_not_see_a_rescaling_that_changes_nothing() -> None:
    case = Case("scaled", activation="relu", leak=0.0, sizes=(3, 8, 2), steps=1, trials=6)
    net, batch = case.net(), case.batch()
    before = sharpness(net, batch, ["w_in", "w_out"])
    with torch.no_grad():
        net.w_in.mul_(5)
        net.b.mul_(5)
        net.w_out.div_(5)
    after = sharpness(net, batch, ["w_in", "w_out"])
    assert after.loss == pytest.approx(before.loss, rel=1e-12)
    assert after.adaptive == pytest.approx(before.adaptive, rel=1e-10)
    assert after.fisher_rao == pytest.approx(before.fisher_rao, rel=1e-10)
    assert abs(after.ascent / before.ascent - 1) > 0.1


@pytest.mark.parametrize("case", [case for case in CASES if "tiny" not in case.name], ids=str)
def test_any_network(case: Case) -> None:
    net, weights, radius = case.net(), weights_of(case.net()), 0.1
    found = sharpness(net, case.batch(), radius=radius)

    def loss(w_rec: torch.Tensor) -> float:
        problem = case.problem()
        return problem.value(oracle.outputs(case.model(), weights | {"w_rec": w_rec}, problem.inputs)).item()

    w = weights["w_rec"]
    gradient = oracle.gradient(case.model(), weights, case.problem())["w_rec"] * case.model().masks.get("w_rec", 1.0)
    assert found.gradient_norm == pytest.approx(gradient.norm().item(), rel=1e-10)
    assert found.loss + found.ascent == pytest.approx(loss(w + radius * gradient / gradient.norm()), rel=1e-10)
    scaled = w.abs() * gradient
    assert found.loss + found.adaptive == pytest.approx(loss(w + radius * w.abs() * scaled / scaled.norm()), rel=1e-10)
    rows = jacobian(case, weights)
    exists = case.model().masks.get("w_rec", torch.ones_like(w)).bool().flatten()
    moved = rows @ w.flatten()[exists]
    assert found.fisher_rao == pytest.approx((moved @ output_hessian(case, outputs(case)) @ moved).sqrt().item())


def test_the_highest_loss_met_counts() -> None:
    net, batch = F1.net(), F1.batch()
    found = [sharpness(net, batch, radius=30.0, steps=steps) for steps in range(1, 7)]
    for name in ("ascent", "adaptive"):
        rises = [getattr(each, name) for each in found]
        assert rises == sorted(rises)
        assert rises[0] >= 0


def test_chunks_add_up_and_a_flat_point_does_not_rise() -> None:
    case = replace(F1, trials=5)
    whole, parts = (sharpness(case.net(), case.batch(), steps=3, chunk=chunk) for chunk in (None, 2))
    assert vars(whole) | {"parameters": 0} == pytest.approx(vars(parts) | {"parameters": 0}, rel=1e-9)
    batch = case.batch()
    silent = sharpness(case.net(), replace(batch, weights=torch.zeros_like(batch.weights)))
    assert (silent.ascent, silent.adaptive, silent.fisher_rao, silent.gradient_norm) == (0.0, 0.0, 0.0, 0.0)


def test_mistakes_are_named() -> None:
    for radius in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="radius must be"):
            sharpness(F1.net(), F1.batch(), radius=radius)
    for name, wrong, message in (
        ("eta", -1.0, "eta must be 0 or greater"),
        ("epsilon", 0.0, "epsilon must be greater than 0"),
        ("group", 0, "group must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            sharpness(F1.net(), F1.batch(), **{name: wrong})
    for name, wrong, message in (
        ("sigma", 0.0, "sigma must be greater"),
        ("allowed", -1.0, "allowed must be greater"),
        ("pairs", 1, "pairs must be"),
        ("probes", 1, "probes must be"),
    ):
        with pytest.raises(ValueError, match=message):
            random_sharpness(F1.net(), F1.batch(), **{name: wrong})
    with pytest.raises(ValueError, match="steps must be at least 1"):
        sharpness(F1.net(), F1.batch(), steps=0)
