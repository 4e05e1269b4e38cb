"""Facts about where rules come to rest: what of a rule counts, what cross-entropy does to curvature, truncated models.

The theorem is that of Liu et al. (2022), arXiv:2206.00823; at one number to learn, backpropagation rests where
``lambda_1 < 2 / eta`` and a rule where ``0 < rho lambda_1 < 2 / eta``.

Shapes: N cells, K numbers to learn, P parameters.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import tca
from analysis import curvature, iterate, operator, stability, update_jacobian
from analysis.curvature.problem import problem_of
from analysis.stability.jacobians import rule_jacobian
from tca.eligibilities import Leak
from tca.signals import Random
from tests.analysis.stability.test_stability import fixture, rows
from tests.support import oracle
from tests.support.cases import F1, Case, weights_of
from tests.support.dense import jacobian, output_hessian, outputs
from tests.support.rows import relative

RULE = tca.Rule(Random(), Leak())


def fed_back(net: tca.nets.LeakyRNN, feedback: Tensor) -> tca.Learner:
    """A rule with the traces of e-prop and given feedback ``(N, 1)``."""
    learner = tca.Learner(net, RULE)
    learner.buffers["feedback"].copy_(feedback)
    return learner


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_orthogonal_to_the_gradient_does_not_count(seed: int) -> None:
    """One number: feedback that adds to a rule's gradient at right angles, however long, leaves rho and the rate."""
    net, batch = fixture(seed)
    problem = problem_of(net, batch)
    (g,) = rows(net, batch)
    each = torch.stack([rule_jacobian(problem, fed_back(net, row.unsqueeze(1)))[0] for row in torch.eye(8).double()])
    along = each @ g
    free = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    free -= (free @ along) / (along @ along) * along
    feedback = net.w_out.detach()[0]
    plain, longer = (
        stability(net, batch, fed_back(net, f.unsqueeze(1))).rules[0] for f in (feedback, feedback + 2 * free)
    )
    assert relative((feedback + 2 * free) @ each, feedback @ each) > 0.5, "the gradient itself is another one"
    assert longer.rho == pytest.approx(plain.rho, rel=1e-10)
    assert longer.critical_rate == pytest.approx(plain.critical_rate, rel=1e-10)
    turned = stability(net, batch, fed_back(net, (feedback + 0.5 * along / along.norm()).unsqueeze(1))).rules[0]
    assert abs(turned.rho / plain.rho - 1) > 0.01


@pytest.mark.parametrize("seed", [0, 1])
def test_a_step_divided_by_rho_is_as_sharp_as_backpropagation(seed: int) -> None:
    """e-prop with ``eta / rho`` leaves a minimum where backpropagation with eta does, and rests where it does."""
    net, batch = fixture(seed)
    found = stability(net, batch, ["bptt", "eprop"])
    rho, bound = found["eprop"].rho, 2 / found.largest
    for factor, rests in ((0.95, True), (1.05, False)):
        eta = factor * bound
        runs = [iterate(net, batch, "bptt", eta), iterate(net, batch, "eprop", eta / rho)]
        assert all((run.ratio < 0.1) == rests for run in runs)
        assert runs[0].ratio == pytest.approx(runs[1].ratio, rel=5e-3)


@pytest.mark.thirds
@pytest.mark.parametrize("name", ["eprop", "three_factor", "bptt"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "logistic"])
def test_the_derivative_of_an_update_away_from_a_minimum(name: str, loss: str) -> None:
    """``D(Jh^T r) = Jh^T S J + sum_k r_k grad jh_k``: with errors left there is a second term, for every loss."""
    case = Case(f"update-{loss}", sizes=(2, 4, 3), steps=5, trials=2, loss=loss, seed=6, plain=True)
    net, batch = case.net(), case.batch()
    surgery = {"eprop": oracle.LEAK_ONLY, "three_factor": oracle.NOTHING, "bptt": oracle.WHOLE}[name]
    weights, problem = weights_of(net), case.problem()

    def change(w_rec: Tensor) -> Tensor:
        return oracle.gradient(case.model(), weights | {"w_rec": w_rec}, problem, surgery)["w_rec"].flatten()

    step = 1e-5
    columns = []
    for index in range(16):
        move = torch.zeros(16, dtype=torch.float64)
        move[index] = step
        columns.append(
            (change(weights["w_rec"] + move.view(4, 4)) - change(weights["w_rec"] - move.view(4, 4))) / 2 / step
        )
    wanted = torch.stack(columns, 1)
    found = update_jacobian(net, batch, name).matrix()
    assert relative(found, wanted) < 1e-6
    back = rule_jacobian(problem_of(net, batch), tca.Learner(net, tca.RULES[name]))
    first = back.T @ output_hessian(case, outputs(case)) @ jacobian(case, weights)
    assert relative(first, wanted) > 0.05, "errors are not zero"


def test_curvature_falls_with_a_cross_entropy_that_is_learned() -> None:
    """Outputs that are right and grow take the curvature with them: rules are compared at one and the same loss."""
    case = Case("sure", sizes=(3, 8, 3), trials=6, loss="cross_entropy", seed=3, plain=True)
    net = case.net()
    batch = replace(case.batch(), targets=net(case.batch().inputs).detach().argmax(-1))
    losses, largest = [], []
    for factor in (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0):
        surer = case.net()
        with torch.no_grad():
            surer.w_out.mul_(factor)
            surer.b_out.mul_(factor)
        found = curvature(surer, batch, engine="dense", probes=0)
        losses.append(found.loss)
        largest.append(float(torch.linalg.eigvalsh(operator(surer, batch, kind="gauss_newton").matrix())[-1]))
    assert all(later < before for before, later in pairwise(losses))
    highest = largest.index(max(largest))
    assert all(later < before for before, later in pairwise(largest[highest:]))
    assert largest[-1] < 0.05 * largest[highest]


def test_the_published_leak_is_none() -> None:
    """A time constant of .01 ms in steps of 1 ms leaves nothing: rules are windows of 1, 2 and 28 rows of an image."""
    net = tca.nets.LeakyRNN(28, 12, 10, tau=0.01, dt=1.0, activation="relu", autapses=False, dtype=torch.float64)
    source = torch.Generator().manual_seed(0)
    inputs = torch.rand(28, 5, 28, dtype=torch.float64, generator=source)
    weights = torch.zeros(28, 5, dtype=torch.float64)
    weights[-1] = 1.0
    targets = torch.randint(10, (28, 5), generator=source)
    batch = tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy())
    found = {name: tca.Learner(net, tca.RULES[name]).grads(batch)[0]["w_rec"]
             for name in ("three_factor", "eprop", "mdgl_exact", "one_hop", "bptt")}  # fmt: skip
    windows = {
        steps: tca.Learner(net, tca.Rule(tca.signals.Direct(), tca.eligibilities.Windowed(steps))).grads(batch)[0][
            "w_rec"
        ]
        for steps in (1, 2, 28)
    }
    for name, steps in (("three_factor", 1), ("eprop", 1), ("mdgl_exact", 2), ("one_hop", 2), ("bptt", 28)):
        assert relative(found[name], windows[steps]) < 1e-12
    assert relative(windows[1], windows[2]) > 0.01
    assert relative(windows[2], windows[28]) > 0.01


@pytest.mark.parametrize("coefficient", [1e-4, 1e-2, 1.0])
def test_a_penalty_shifts_every_eigenvalue_by_its_coefficient(coefficient: float) -> None:
    """All eigenvalues of the Hessian with L2 are those without it plus the coefficient, to 1e-10."""
    net, batch = F1.net(), F1.batch()
    plain, ridge = (torch.linalg.eigvalsh(operator(net, batch, l2=l2).matrix()) for l2 in (0.0, coefficient))
    assert float((ridge - plain - coefficient).abs().max()) < 1e-10
