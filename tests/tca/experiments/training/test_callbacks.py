"""Measurements in training: curvature from few products with vectors kept, and alignment, against the full measures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import analysis
import tca
from analysis.curvature.operators import Hessian
from analysis.run_measurements import AlignmentWatcher, CurvatureWatcher, ritz_ends
from tca.experiments.config.callbacks import WATCHERS
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Callback, Run
from tca.experiments.training.train import train
from tca.learner import Learner
from tests.support.cases import Case
from tests.support.dense import jacobian

CASE = Case("watched", sizes=(3, 8, 2), trials=6)


def dense(seed: int = 0, size: int = 30) -> torch.Tensor:
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return matrix + matrix.mT


def bowl(matrix: torch.Tensor) -> Hessian:
    return Hessian([lambda theta: theta @ matrix @ theta / 2], torch.zeros(len(matrix), dtype=torch.float64))


def test_with_all_products_the_ends_are_exact() -> None:
    values = torch.linalg.eigvalsh(dense())
    found, residuals, vectors = ritz_ends(bowl(dense()), torch.ones(30), 30)
    assert found.tolist() == pytest.approx([values[-1].item(), values[0].item()], rel=1e-10)
    assert residuals.max() < 1e-9
    assert (dense() @ vectors - vectors * found).abs().max() < 1e-9
    assert torch.allclose(vectors.norm(dim=0), torch.ones(2).double())


@pytest.mark.parametrize("products", [2, 5, 10])
def test_estimates_lie_inside_the_spectrum_and_residuals_bound_their_errors(products: int) -> None:
    values = torch.linalg.eigvalsh(dense())
    (top, bottom), residuals, vectors = ritz_ends(bowl(dense()), torch.ones(30), products)
    assert values[0] - 1e-12 < bottom < top < values[-1] + 1e-12
    for value, residual, vector in zip((top, bottom), residuals, vectors.mT, strict=True):
        assert (dense() @ vector - value * vector).norm().item() == pytest.approx(residual.item(), rel=1e-9)
        assert (values - value).abs().min() <= residual + 1e-12


def test_an_exhausted_space_ends_the_search() -> None:
    matrix = torch.diag(torch.tensor([2.0, 2.0, -1.0])).double()
    found, residuals, _ = ritz_ends(bowl(matrix), torch.ones(3), 3)
    assert found.tolist() == pytest.approx([2.0, -1.0], rel=1e-12)
    assert residuals.max() < 1e-12


def test_the_first_measurement_is_that_of_the_oracle() -> None:
    """The Hessian of the loss by the oracle's own derivative, over the trials asked for only."""
    from torch.autograd.functional import hessian

    from tests.support import oracle
    from tests.support.cases import weights_of

    net, few = CASE.net(), CASE.batch().select(slice(0, 4))
    weights = weights_of(net)

    def loss(w_rec: torch.Tensor) -> torch.Tensor:
        y = oracle.outputs(CASE.model(), weights | {"w_rec": w_rec.view(8, 8)}, few.inputs)
        return few.loss.mean(y, few.targets, few.weights)

    values = torch.linalg.eigvalsh(hessian(loss, weights["w_rec"].flatten()))
    found = CurvatureWatcher(trials=4, first=64)(Learner(net, tca.RULES["eprop"]), CASE.batch())
    assert found["curvature_largest"] == pytest.approx(values[-1].item(), rel=1e-9)
    assert found["curvature_smallest"] == pytest.approx(values[0].item(), rel=1e-9)
    assert max(found["curvature_largest_residual"], found["curvature_smallest_residual"]) < 1e-8
    assert jacobian(CASE, weights).shape[1] == len(values)


def test_vectors_kept_make_few_products_do() -> None:
    """At weights a little further the kept vectors give a smaller residual than a fresh start with as many products."""
    net = CASE.net()
    learner = Learner(net, tca.RULES["bptt"])
    warm = CurvatureWatcher(products=4, first=40)
    warm(learner, CASE.batch())
    warm.first = 4  # were it to start anew, it would have no more products than the other
    with torch.no_grad():
        net.w_rec.add_(0.003 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    kept, fresh = (
        each(learner, CASE.batch())["curvature_largest_residual"] for each in (warm, CurvatureWatcher(first=4))
    )
    assert kept < 0.2 * fresh
    true = analysis.curvature(net, CASE.batch(), probes=0).largest.value
    again = warm(learner, CASE.batch())
    assert again["curvature_largest"] == pytest.approx(true, rel=1e-5)
    restored = CurvatureWatcher(products=4)
    restored.restore(warm.state())
    assert restored(learner, CASE.batch()) == warm(learner, CASE.batch())


def test_alignment_is_that_of_the_parameter() -> None:
    net = CASE.net()
    learner = Learner(net, tca.RULES["eprop_random"], seed=4)
    found = AlignmentWatcher(trials=3)(learner, CASE.batch())
    few = CASE.batch().select(slice(0, 3))
    gh, g = (each.grads(few)[0]["w_rec"].flatten() for each in (learner, Learner(net, tca.RULES["bptt"])))
    assert found["rho"] == pytest.approx((gh @ g / (g @ g)).item(), rel=1e-12)
    assert found["cosine"] == pytest.approx((gh @ g / gh.norm() / g.norm()).item(), rel=1e-12)
    assert found["norm_ratio"] == pytest.approx((gh.norm() / g.norm()).item(), rel=1e-12)


RUN = Run(
    "delayed_xor",
    "eprop",
    net=NetworkConfig(size=6),
    steps=7,
    evaluate_every=1,
    n_train=12,
    n_test=4,
    batch_size=4,
    optimizer=Optimizer("SGD", lr=0.05),
    dtype="float64",
)


def test_a_run_names_what_is_measured_and_how_often() -> None:
    run = dataclasses.replace(
        RUN, callbacks=(Callback("curvature", 3, {"trials": 5, "first": 36}), Callback("alignment", 2))
    )
    metrics = train(run, progress=False).metrics
    assert [each.step for each in metrics if "curvature_largest" in each.observed] == [0, 3, 6, 7]
    assert [each.step for each in metrics if "rho" in each.observed] == [0, 2, 4, 6, 7]
    net = run.net.build(2, 2, dt=50.0, seed=0, dtype=torch.float64)
    few = run.make_task().split(12, 4, seed=0)[0].subset(5).batch().to(dtype=torch.float64)
    known = analysis.curvature(net, few, probes=0)
    assert metrics[0].observed["curvature_largest"] == pytest.approx(known.largest.value, rel=1e-6)
    assert metrics[0].observed["curvature_smallest"] == pytest.approx(known.smallest.value, rel=1e-6)


def test_watching_changes_nothing_that_is_trained() -> None:
    watched = dataclasses.replace(RUN, callbacks=(Callback("curvature"), Callback("alignment")))
    plain, seen = (train(run, progress=False) for run in (RUN, watched))
    for name, value in plain.net.state_dict().items():
        assert torch.equal(seen.net.state_dict()[name], value), name
    assert [each.train_loss for each in plain.metrics] == [each.train_loss for each in seen.metrics]
    assert np.isfinite([each.observed["curvature_largest_residual"] for each in seen.metrics]).all()


def test_every_measurement_can_be_made() -> None:
    assert all(Callback(name).build() is not None for name in WATCHERS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Callback("curvatur"), "unknown measurement 'curvatur', did you mean 'curvature'"),
        (lambda: Callback("curvature", 0), "every must be at least 1, got 0"),
        (lambda: Callback("curvature", options={"trails": 3}), "trails"),
        (lambda: Callback("curvature", options={"products": 1}), "products must be at least 2, got 1"),
        (lambda: Run("delayed_xor", callbacks=("curvature",)), r"callbacks\[0\] must be a Callback"),  # type: ignore[arg-type]
        (lambda: Run("delayed_xor", snapshot_losses=0.1), "snapshot_losses must be a list or tuple of numbers"),  # type: ignore[arg-type]
        (lambda: Run("delayed_xor", snapshot_losses=(float("nan"),)), r"snapshot_losses\[0\] must be finite"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ValueError, TypeError), match=message):
        make()
