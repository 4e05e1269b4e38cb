"""Spectrum, trace and density of models on their data, against dense Hessians by autograd."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import analysis
from analysis.curvature.operators import Hessian
from analysis.samples import Samples
from tasks.trials import TrialSet
from tests.analysis.curvature.test_curvature import reference
from tests.analysis.curvature.test_spectrum import Written
from tests.support.cases import Case, weights_of
from tests.support.foreign_models import FOREIGN, Foreign, dense_hessian

CE = nn.CrossEntropyLoss()
EACH = pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each.name)
SMALL = Case("small", sizes=(3, 7, 3), loss="cross_entropy", steps=6, trials=5, leak=0.3)
NAMES = ("w_in", "w_rec", "b", "w_out", "b_out")


def alike(found: Tensor, exact: Tensor, relative: float = 1e-10) -> None:
    torch.testing.assert_close(found, exact, rtol=0, atol=relative * exact.abs().max().item())


def compare(exact: Tensor, net: nn.Module, trials: Any, parameters: Any = "all", **options: Any) -> None:
    """Hold all three against a matrix, by its eigenvalues and as the same measure of the matrix written out."""
    values, matrix = torch.linalg.eigvalsh(exact), Written(exact)
    matrix.width = analysis.operator(net, trials, parameters, **options).width  # which draws are grouped by
    found = analysis.spectrum(net, trials, parameters, k=2, engine="lanczos", tolerance=1e-9, **options)
    ends = [each.value for each in (*found.largest, *found.smallest)]
    alike(torch.tensor(ends, dtype=torch.float64), torch.stack([values[-1], values[-2], values[0], values[1]]))
    v = found.largest_vectors
    alike(exact @ v, v * torch.tensor(ends[:2], dtype=torch.float64), 1e-7)
    assert (found.size, found.converged) == (len(exact), True)
    for estimator in ("hutchinson", "xtrace"):
        estimate, known = (
            analysis.trace(*each, estimator=estimator, probes=8, seed=3, **more)
            for each, more in (((net, trials, parameters), options), ((matrix,), {}))
        )
        assert (estimate.value, estimate.standard_error) == pytest.approx((known.value, known.standard_error), rel=1e-8)
    drawn = analysis.density(net, trials, parameters, probes=2, steps=4, **options)
    known = analysis.density(matrix, probes=2, steps=4)
    alike(drawn.nodes, known.nodes, 1e-9), alike(drawn.weights, known.weights, 1e-9)


@pytest.mark.thirds
@EACH
def test_foreign_models_on_pairs(foreign: Foreign) -> None:
    net, data = foreign.net().train(), foreign.data()
    exact = dense_hessian(foreign.net(), data, CE)
    compare(exact, net, data, loss=CE)
    dense = analysis.spectrum(net, data, "all", k=2, engine="dense", loss=CE)
    assert dense.trace == pytest.approx(exact.trace().item(), rel=1e-10)
    density = analysis.density(net, data, "all", probes=2, steps=len(exact), loss=CE)
    assert density.exact
    alike(density.nodes[0], torch.linalg.eigvalsh(exact))
    assert all(each.training for each in net.modules())


@pytest.mark.thirds
@EACH
def test_loaders_with_an_uneven_last_batch_chunks_and_a_penalty(foreign: Foreign) -> None:
    net, data = foreign.net(torch.float32), foreign.data()
    net = net.double()
    exact = dense_hessian(net, data, CE)
    loader = DataLoader(TensorDataset(*data), batch_size=4)
    compare(exact + 0.3 * torch.eye(len(exact), dtype=torch.float64), net, loader, loss=CE, chunk=3, l2=0.3)
    shuffling = DataLoader(TensorDataset(*data), batch_size=4, shuffle=True)
    for measure in MEASURES:
        with pytest.raises(ValueError, match="in the same order each time, got a loader that shuffles"):
            measure(net, shuffling, loss=CE)


MEASURES: list[Callable[..., Any]] = [analysis.spectrum, analysis.trace, analysis.density]


@pytest.mark.thirds
@pytest.mark.parametrize("form", ["batch", "trial set", "pair"])
def test_a_network_of_the_library(form: str) -> None:
    net, batch, problem = SMALL.net(), SMALL.batch(), SMALL.problem()
    forms: dict[str, Any] = {"batch": batch, "trial set": TrialSet(batch), "pair": (batch.inputs, batch.targets)}
    options: dict[str, Any] = {}
    if form == "pair":  # a mean over steps
        problem = replace(problem, weights=torch.full_like(batch.weights, 1 / batch.steps))
        options = {"loss": batch.loss}
    exact = reference(SMALL, weights_of(net), NAMES, problem=problem)
    compare(exact, net, forms[form], NAMES, chunk=3, **options)
    assert analysis.spectrum(net, forms[form], k=1, **options).size == net.w_rec.numel()


@pytest.mark.thirds
@pytest.mark.parametrize("kind", ["gauss_newton", "fisher", "empirical_fisher", "trial_fisher"])
def test_other_matrices_of_a_model(kind: str) -> None:
    foreign = FOREIGN[2]
    net, data = foreign.net(), foreign.data()
    compare(analysis.operator(net, data, "all", kind, loss=CE).matrix(), net, data, "all", kind=kind, loss=CE)


def test_parameters_by_prefix_and_by_default() -> None:
    net, data = FOREIGN[2].net(), FOREIGN[2].data()
    exact = dense_hessian(net, data, CE)
    at, places = 0, {}
    for name, each in net.named_parameters():
        places[name] = slice(at, at := at + each.numel())
    head = slice(places["head.weight"].start, places["head.bias"].stop)
    compare(exact[head, head], net, data, "head", loss=CE)
    recurrent = places["rnn.weight_hh_l0"]
    compare(exact[recurrent, recurrent], net, Samples(*data, CE), None)


def test_the_type_of_the_network_is_kept_if_asked_for() -> None:
    net, data = FOREIGN[0].net(torch.float32), FOREIGN[0].data(torch.float32)
    exact = torch.linalg.eigvalsh(dense_hessian(FOREIGN[0].net(torch.float32).double(), FOREIGN[0].data(), CE))
    top = [
        analysis.spectrum(net, data, "all", k=1, loss=CE, dtype=each).largest[0].value for each in (None, torch.float64)
    ]
    double = dense_hessian(net.double(), (data[0].double(), data[1]), CE)
    assert top[1] == pytest.approx(torch.linalg.eigvalsh(double)[-1].item(), rel=1e-10)
    assert top[0] == pytest.approx(exact[-1].item(), rel=1e-5)
    assert top[0] != top[1]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda each: each.__name__)
def test_arguments_are_those_of_the_operator_or_none(measure: Callable[..., Any]) -> None:
    wanted = inspect.signature(analysis.operator).parameters
    own = inspect.signature(measure).parameters
    assert {name: own[name].default for name in wanted if name not in ("net", "trials")} == {
        name: each.default for name, each in wanted.items() if name not in ("net", "trials")
    }
    toy = Hessian([lambda theta: theta.square().sum()], torch.zeros(7))
    given: dict[str, Any] = {
        "trials": FOREIGN[0].data(), "parameters": "all", "kind": "fisher", "loss": CE, "l2": 0.1, "chunk": 2,
        "memory": 1.0, "dtype": None,
    }  # fmt: skip
    assert given.keys() == wanted.keys() - {"net"}
    for name, value in given.items():
        with pytest.raises(TypeError, match=f"^{name} must not be given with an operator, which is that of its own"):
            measure(toy, **{name: value})
    with pytest.raises(TypeError, match=r"^trials must be given with a model, got none for a Sequential"):
        measure(FOREIGN[0].net(), loss=CE)
