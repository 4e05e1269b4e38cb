"""Facts about rules that draw: right in the mean to round-off, wrong in a single draw, each as its equations say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import KFRTRL, UORO, ReverseKFRTRL
from tca.signals import Direct
from tca.utils.noise import Signs
from tests.support import oracle_stochastic, oracle_traces
from tests.support.cases import F1, F2, Case, weights_of
from tests.support.draws_listed import Listed, copies, sign_patterns
from tests.support.oracle import Weights
from tests.support.rows import STOCHASTIC, assert_same, learner, relative, true_gradient

SHORT = replace(F2, name="F2 of three steps", steps=3, trials=1)
LONGER = replace(F2, name="F2", trials=1)
WIDE = [Case(f"wide-{form}", form=form, sizes=(3, 10, 2), steps=30, leak=0.9) for form in "AB"]


@pytest.mark.parametrize(
    ("kind", "case", "drawn"),
    [(UORO, SHORT, 4), (ReverseKFRTRL, SHORT, 4), (KFRTRL, LONGER, 2)],
    ids=["uoro", "r_kf_rtrl", "kf_rtrl"],
)
def test_means_over_all_signs_are_the_gradient_to_round_off(
    kind: type[UORO | KFRTRL | ReverseKFRTRL], case: Case, drawn: int
) -> None:
    """Form B, four cells: all 16^3 directions of three steps, all 4^4 pairs of signs of four; one draw is far off."""
    patterns = sign_patterns(case.steps, drawn)
    assert len(patterns) == 2 ** (case.steps * drawn)
    rule = tca.Rule(Direct(), kind(Listed(list(patterns.unbind(1)))))
    found = learner(case, rule).grads(copies(case.batch(), len(patterns)))[0]
    assert_same(found, true_gradient(case), 1e-12)
    errors = []
    for seed in range(30):
        single = tca.Learner(case.net(), tca.Rule(Direct(), kind()), seed=seed).grads(case.batch())[0]
        errors.append(relative(single["w_rec"], true_gradient(case)["w_rec"]))
    assert sum(errors) / len(errors) > 0.5


@pytest.mark.thirds
@pytest.mark.parametrize("case", WIDE, ids=str)
@pytest.mark.parametrize("name", sorted(STOCHASTIC))
def test_a_single_draw_is_not_the_gradient(case: Case, name: str) -> None:
    """Every rule that draws or tries differs from the gradient by more than a hundredth, and so do two of its draws."""
    found = []
    for seed in (0, 1):
        bound = tca.Learner(case.net(), tca.RULES[name], seed=seed)
        for _ in range(2):  # what is expected of a trial begins at nothing
            bound.backward(case.batch())
        found.append(bound.grads(case.batch())[0]["w_rec"])
    assert relative(found[0], true_gradient(case)["w_rec"]) > 0.01
    assert relative(found[0], found[1]) > (1e-9 if name == "kernl" else 0.01)  # its perturbations are small


def reverse_kronecker(case: Case, weights: Weights, xi: Tensor) -> Weights:
    """``A_i <- p0 A_i + p1 xi_i``, ``C_kj <- (J C)_kj / p0 + sum_i xi_i M_kij / p1``, trial by trial."""
    model, problem = case.model(), case.problem()
    n_rec, total = case.sizes[1], 0
    for b in range(case.trials):
        alone = oracle_stochastic.one_trial(problem, b, case.trials)
        jacobians, gains, pres = oracle_stochastic.local(model, weights, alone)
        learning_signal = oracle_traces.direct_signal(model, weights, alone, None)[1:, 0]
        cell, moved = torch.zeros(n_rec).double(), torch.zeros(n_rec, len(pres[0])).double()
        for t in range(case.steps):
            passed, direct = jacobians[t] @ moved, torch.outer(xi[t, b] * gains[t], pres[t])
            p0 = ((passed.norm() + 1e-12) / (cell.norm() + 1e-12)).sqrt()
            p1 = ((direct.norm() + 1e-12) / (xi[t, b].norm() + 1e-12)).sqrt()
            cell, moved = p0 * cell + p1 * xi[t, b], passed / p0 + direct / p1
            total = total + torch.outer(cell, learning_signal[t] @ moved)
    return oracle_stochastic.split(total, n_rec)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["A", "B"])
def test_a_draw_of_reverse_kronecker_products_equals_the_equations(form: str) -> None:
    """With the same signs, trial by trial and synapse by synapse."""
    case = Case("drawn", form=form, sizes=(3, 5, 2), steps=8, seed=3)
    drawn = Signs().draw((8, 3, 5), torch.Generator().manual_seed(1))
    rule = tca.Rule(Direct(), ReverseKFRTRL(Listed(list(drawn.unbind(0)))))
    bound = learner(case, rule)
    found = bound.grads(case.batch())[0]
    wanted = reverse_kronecker(case, weights_of(bound.net), drawn)
    assert_same({name: found[name] for name in wanted}, wanted, 1e-12)


@pytest.mark.parametrize("name", ["kf_rtrl", "uoro"])
def test_in_one_step_signs_cancel_for_kronecker_products_alone(name: str) -> None:
    """A sign times itself is one, so that a trial of one step has no scatter; two directions leave their products."""
    case = replace(F1, steps=1, options={}, trials=1)
    errors = []
    for seed in range(5):
        found = tca.Learner(case.net(), tca.RULES[name], seed=seed).grads(case.batch())[0]
        errors.append(relative(found["w_in"], true_gradient(case)["w_in"]))
    assert max(errors) < 1e-12 if name == "kf_rtrl" else max(errors) > 0.01
