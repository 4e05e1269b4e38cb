"""Mistakes that published implementations have made, each written out: the library equals the right one and no other.

The network is that of random-feedback online learning, Murray (2019), eLife 8:e43299, whose example code had the first
three; traces that were not reset, a whole trial's derivative in the place of every rule, doubled and shrunken gradients
have been seen in others.

Shapes: T time, B batch, N recurrent units, J presynaptic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

import tca
from tests.support import oracle
from tests.support.cases import F2, Case, weights_of
from tests.support.oracle import Weights
from tests.support.rows import cosine, learner, relative, true_gradient

LONG = replace(F2, name="F2 of 12 steps", steps=12)
LEAK = 0.6


@dataclass(frozen=True)
class Mistake:
    """What may go wrong in a loop over steps."""

    late_error: bool = False
    slope_of_sender: bool = False
    earlier_input: bool = False
    old_trace: bool = False
    fade: float = 1.0


RIGHT = Mistake()


@dataclass(frozen=True)
class Trial:
    """What a pass left behind: rates ``(T + 1, B, N)``, slopes, inputs and errors ``(T, B, ...)``, and the weights."""

    rates: Tensor
    slopes: Tensor
    inputs: Tensor
    errors: Tensor
    weights: Weights


def run(case: Case) -> Trial:
    """A network with the leak on the rate, step by step."""
    w, problem = weights_of(case.net()), case.problem()
    rates, slopes = [torch.zeros(case.trials, case.sizes[1], dtype=torch.float64)], []
    for x in problem.inputs:
        active = torch.tanh(rates[-1] @ w["w_rec"].T + x @ w["w_in"].T + w["b"])
        rates.append(LEAK * rates[-1] + (1 - LEAK) * active)
        slopes.append(1 - active**2)
    stacked = torch.stack(rates)
    errors = problem.errors(stacked[1:] @ w["w_out"].T + w["b_out"])
    return Trial(stacked, torch.stack(slopes), problem.inputs, errors, w)


def traced(case: Case, feedback: Tensor, mistake: Mistake) -> Weights:
    """Random feedback: ``p_ij <- (1 - a) p_ij + a slope_i pre_j`` and ``dW_ij = sum_t (F err_t)_i p_ij``."""
    trial = run(case)
    cells, n_in = case.sizes[1], case.sizes[0]
    found = {"w_rec": torch.zeros(cells, cells).double(), "w_in": torch.zeros(cells, n_in).double()}
    p = torch.zeros(case.trials, cells, cells).double()
    q = torch.zeros(case.trials, cells, n_in).double()
    for _ in range(1 + mistake.old_trace):
        found = {name: torch.zeros_like(each) for name, each in found.items()}
        for t in range(case.steps):
            slope, pre = trial.slopes[t], trial.rates[t]
            gain = slope[:, None, :] if mistake.slope_of_sender else slope[:, :, None]
            x = trial.inputs[max(t - mistake.earlier_input, 0)]
            learning_signal = trial.errors[t] @ feedback.T
            if mistake.late_error:  # the error of this step meets what was remembered at the step before
                found["w_rec"] += torch.einsum("bi,bij->ij", learning_signal, p)
            p = mistake.fade * LEAK * p + (1 - LEAK) * gain * pre[:, None, :]
            q = mistake.fade * LEAK * q + (1 - LEAK) * slope[:, :, None] * x[:, None, :]
            if not mistake.late_error:
                found["w_rec"] += torch.einsum("bi,bij->ij", learning_signal, p)
            found["w_in"] += torch.einsum("bi,bij->ij", learning_signal, q)
    return found


def backpropagated(case: Case, mistake: Mistake) -> Weights:
    """Backpropagation through time, ``c_t = W_o^T err_t + J_{t+1}^T c_{t+1}``."""
    trial = run(case)
    found = {name: torch.zeros_like(trial.weights[name]) for name in ("w_rec", "w_in")}
    adjoint = torch.zeros_like(trial.rates[0])
    for t in reversed(range(case.steps)):
        learning_signal = trial.errors[t] @ trial.weights["w_out"]
        if not mistake.late_error:
            adjoint = adjoint + learning_signal
        driven = (1 - LEAK) * trial.slopes[t] * adjoint
        found["w_rec"] += driven.T @ trial.rates[t]
        found["w_in"] += driven.T @ trial.inputs[t]
        adjoint = mistake.fade * LEAK * adjoint + driven @ trial.weights["w_rec"]
        if mistake.late_error:
            adjoint = adjoint + learning_signal
    return found


TRACES: dict[str, tuple[Mistake, str]] = {
    "error of the step after": (Mistake(late_error=True), "w_rec"),
    "slope of the sender": (Mistake(slope_of_sender=True), "w_rec"),
    "input of the step before": (Mistake(earlier_input=True), "w_in"),
    "trace of the last trial": (Mistake(old_trace=True), "w_rec"),
    "trace that fades by 0.9": (Mistake(fade=0.9), "w_rec"),
}


@pytest.mark.parametrize(("mistake", "name"), TRACES.values(), ids=TRACES)
def test_traces_are_those_of_the_equations(mistake: Mistake, name: str) -> None:
    """A loop over steps gives what the rule gives, trial after trial; with any one mistake it does not."""
    bound = learner(LONG, tca.RULES["rflo"])
    feedback = bound.buffers["feedback"]
    wanted = traced(LONG, feedback, RIGHT)
    for execution in ("reverse", "forward", "forward"):
        found = bound.grads(LONG.batch(), execution=execution)[0]
        assert all(relative(found[each], wanted[each]) < 1e-12 for each in wanted)
        assert relative(found[name], traced(LONG, feedback, mistake)[name]) > 0.02


@pytest.mark.parametrize("name", ["bptt", "rtrl"])
@pytest.mark.parametrize("mistake", [Mistake(late_error=True), Mistake(fade=0.9)], ids=["late error", "faded adjoint"])
def test_the_gradient_is_that_of_the_equations(name: str, mistake: Mistake) -> None:
    """An adjoint with errors a step late, or fades by 0.9 a step, is off by far more than round-off."""
    found = learner(LONG, tca.RULES[name]).grads(LONG.batch())[0]
    right, wrong = backpropagated(LONG, RIGHT), backpropagated(LONG, mistake)
    for each in right:
        assert relative(found[each], right[each]) < 1e-12
        assert relative(found[each], wrong[each]) > 0.02


SCALED: dict[str, Callable[[Tensor], Tensor]] = {
    "doubled": lambda gradient: 2 * gradient,
    "of one trial less": lambda gradient: gradient * 2 / 3,
    "of one more": lambda gradient: gradient * 1.01,
}


@pytest.mark.parametrize("change", SCALED.values(), ids=SCALED)
def test_directions_alone_would_hide_a_wrong_length(change: Callable[[Tensor], Tensor]) -> None:
    """A cosine of one passes what is off by any factor; finite differences and the mean over trials do not."""
    found = learner(LONG, tca.RULES["bptt"]).grads(LONG.batch())[0]["w_rec"]
    truth = true_gradient(LONG)["w_rec"]
    slope = oracle.finite_differences(LONG.model(), weights_of(LONG.net()), LONG.problem())["w_rec"]
    assert cosine(change(truth), found) > 1 - 1e-12
    assert relative(found, slope) < 1e-7 < relative(change(slope), found)


def test_no_rule_is_backpropagation_by_accident() -> None:
    """A derivative of the whole trial in the place of a rule would give all of these the bits of one another."""
    names = ("bptt", "eprop", "eprop_random", "snap1", "three_factor", "mdgl_exact", "modprop", "tbptt_future")
    case = replace(LONG, steps=20)
    found = {name: learner(case, tca.RULES[name]).grads(case.batch())[0]["w_rec"] for name in names}
    for name in names:
        for other in names:
            assert name == other or relative(found[name], found[other]) > 1e-3, (name, other)
