"""The oracle against itself: its routes agree with each other, so a fault in one of them cannot hide."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.support import oracle, oracle_traces
from tests.support.oracle import LEAK_AND_OWN, LEAK_ONLY, NOTHING, Model, Problem, Weights

N, N_IN, N_OUT, STEPS, TRIALS = 4, 2, 3, 5, 2
SURGERY_OF = {"instant": NOTHING, "leak": LEAK_ONLY, "diagonal": LEAK_AND_OWN, "full": oracle.WHOLE}


def distance(found: Weights, wanted: Weights) -> float:
    """Largest relative difference over the parameters."""
    assert found.keys() == wanted.keys()
    return max(float((found[k] - wanted[k]).norm() / wanted[k].norm().clamp_min(1e-300)) for k in wanted)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(loss: str) -> Problem:
    targets = {
        "mse": normal(1, STEPS, TRIALS, N_OUT),
        "cross_entropy": normal(1, STEPS, TRIALS, N_OUT).argmax(-1),
        "logistic": normal(1, STEPS, TRIALS, N_OUT).sigmoid(),
    }
    return Problem(normal(2, STEPS, TRIALS, N_IN), targets[loss], normal(3, STEPS, TRIALS).abs(), loss)


WEIGHTS: Weights = {
    "w_in": normal(4, N, N_IN),
    "w_rec": normal(5, N, N) * 0.7,
    "b": normal(6, N) * 0.2 + 0.3,
    "w_out": normal(7, N_OUT, N),
    "b_out": normal(8, N_OUT) * 0.1,
    "s_0": normal(9, N) * 0.5,
}
LEAK = torch.tensor([0.2, 0.5, 0.7, 0.9], dtype=torch.float64)
MODELS = [
    Model(form, activation, LEAK, readout_leak, {"w_rec": 1 - torch.eye(N, dtype=torch.float64)} if masked else {})
    for form, activation, readout_leak, masked in [
        ("A", "tanh", 0.0, False),
        ("A", "softplus", 0.6, True),
        ("A", "relu", 0.3, False),
        ("B", "tanh", 0.0, True),
        ("B", "rectified_tanh", 0.6, False),
        ("B", "linear", 0.0, False),
    ]
]
each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.form}-{model.activation}")


@each_model
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "logistic"])
def test_autograd_equals_finite_differences(model: Model, loss: str) -> None:
    task = problem(loss)
    assert distance(oracle.gradient(model, WEIGHTS, task), oracle.finite_differences(model, WEIGHTS, task)) < 1e-7


@each_model
@pytest.mark.parametrize("kind", SURGERY_OF)
def test_dense_traces_equal_surgery(model: Model, kind: str) -> None:
    task = problem("mse")
    jacobian, _ = oracle_traces.jacobians(model, WEIGHTS, task.inputs)
    propagator = oracle_traces.PROPAGATORS[kind](model, jacobian)
    signal = oracle_traces.direct_signal(model, WEIGHTS, task)
    found = oracle_traces.dense_gradient(model, WEIGHTS, task, signal, propagator)
    assert distance(found, oracle.gradient(model, WEIGHTS, task, SURGERY_OF[kind])) < 1e-13
    if kind != "full":
        assert distance(oracle_traces.synapse_gradient(model, WEIGHTS, task, signal, propagator), found) < 1e-13


@each_model
def test_any_propagator_with_its_own_signal_is_exact(model: Model) -> None:
    task = problem("logistic")
    propagator = 0.5 * normal(10, STEPS, TRIALS, N, N)
    signal = oracle_traces.exact_signal(model, WEIGHTS, task, propagator)
    found = oracle_traces.dense_gradient(model, WEIGHTS, task, signal, propagator)
    assert distance(found, oracle.gradient(model, WEIGHTS, task)) < 1e-12


@each_model
def test_windows_and_horizons_end_where_they_should(model: Model) -> None:
    task = problem("mse")
    whole = oracle.gradient(model, WEIGHTS, task)
    one_step = oracle.gradient(model, WEIGHTS, task, NOTHING)
    assert distance(oracle.gradient(model, WEIGHTS, task, oracle.windows(STEPS + 1)), whole) == 0
    assert distance(oracle.gradient(model, WEIGHTS, task, oracle.windows(1)), one_step) == 0
    assert (
        distance(
            oracle.gradient(model, WEIGHTS, task, oracle.rate_windows(1)),
            oracle.gradient(model, WEIGHTS, task, LEAK_ONLY),
        )
        == 0
    )
    assert distance(oracle.future_gradient(model, WEIGHTS, task, STEPS), whole) < 1e-13
    assert distance(oracle.future_gradient(model, WEIGHTS, task, 0), one_step) < 1e-13
    last = replace(task, weights=task.weights * (torch.arange(STEPS) == STEPS - 1).double()[:, None])
    unfiltered = replace(model, readout_leak=0.0)
    windowed = oracle.gradient(unfiltered, WEIGHTS, last, oracle.windows(3))
    assert distance(oracle.future_gradient(unfiltered, WEIGHTS, last, 2), windowed) < 1e-13


@each_model
def test_feedback_changes_what_reaches_the_cells_and_nothing_else(model: Model) -> None:
    task = problem("cross_entropy")
    own = oracle.gradient(model, WEIGHTS, task, LEAK_ONLY)
    assert distance(oracle.gradient(model, WEIGHTS, task, LEAK_ONLY, WEIGHTS["w_out"].T), own) < 1e-14
    other = oracle.gradient(model, WEIGHTS, task, LEAK_ONLY, normal(11, N, N_OUT))
    for name in WEIGHTS:
        same = torch.allclose(other[name], own[name], rtol=1e-14, atol=0)
        assert same == (name in ("w_out", "b_out")), name


def test_every_surgery_is_a_different_gradient() -> None:
    task = problem("mse")
    surgeries = [oracle.WHOLE, LEAK_ONLY, LEAK_AND_OWN, NOTHING, oracle.windows(2), oracle.rate_windows(2)]
    for model in (MODELS[0], MODELS[4]):
        found = [oracle.gradient(model, WEIGHTS, task, surgery)["w_rec"] for surgery in surgeries]
        for k, one in enumerate(found):
            assert all(float((one - other).norm() / other.norm()) > 0.01 for other in found[:k])
