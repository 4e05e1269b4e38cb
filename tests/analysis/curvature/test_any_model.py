"""Curvature of modules of PyTorch: equal to dense matrices, for any loss, chunk, loader and type; nothing changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import analysis
import tca
from analysis.curvature.analytic.derivative_plan import plan
from analysis.curvature.problem import problem_of
from analysis.samples import Samples
from tests.support.foreign_models import CLASSES, FOREIGN, SAMPLES, Foreign, dense_hessian, dense_jacobian

EACH = pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each.name)
MLP, CNN, GRU, _, TRANSFORMER = FOREIGN


def near(found: Tensor, exact: Tensor, relative: float = 1e-10) -> bool:
    return bool((found - exact).abs().max() <= relative * exact.abs().max())


def one_hot(classes: Tensor) -> Tensor:
    return nn.functional.one_hot(classes, CLASSES).double()


@pytest.mark.thirds
@EACH
def test_products_and_eigenvalues_are_those_of_the_dense_hessian(foreign: Foreign) -> None:
    net, data, loss = foreign.net(), foreign.data(), nn.CrossEntropyLoss()
    exact = dense_hessian(net, data, loss)
    found = analysis.operator(net, data, "all", loss=loss)
    some = torch.randn(found.size, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert near(found @ some, exact @ some)
    ends = torch.linalg.eigvalsh(exact)
    curved = analysis.curvature(net, data, "all", loss=loss, engine="lanczos", probes=0)
    assert (curved.smallest.value, curved.largest.value) == pytest.approx((ends[0].item(), ends[-1].item()), rel=1e-10)
    assert (curved.trials, curved.loss) == (SAMPLES, pytest.approx(loss(net(data[0]), data[1]).item(), rel=1e-12))
    assert analysis.trace(found, probes=found.size).value == pytest.approx(exact.trace().item(), rel=1e-10)


@pytest.mark.thirds
@EACH
def test_chunks_with_an_uneven_last_one_add_up(foreign: Foreign) -> None:
    net, data = foreign.net(), foreign.data()
    some = torch.ones(sum(each.numel() for each in net.parameters()), dtype=torch.float64)
    for reduction in ("mean", "sum"):
        loss = nn.CrossEntropyLoss(reduction=reduction)
        exact = dense_hessian(net, data, loss) @ some
        assert len(problem_of(net, data, loss=loss, chunk=4).parts) == 3
        assert near(analysis.operator(net, data, "all", loss=loss, chunk=4) @ some, exact)
        loader = DataLoader(TensorDataset(*data), batch_size=3)
        assert near(analysis.operator(net, loader, "all", loss=loss, chunk=4) @ some, exact)


LOSSES: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
    "class weights and an ignored class": (
        nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]), ignore_index=1, label_smoothing=0.1), lambda y: y
    ),
    "probabilities": (nn.CrossEntropyLoss(), lambda y: (one_hot(y) + 0.1) / 1.3),
    "squares": (nn.MSELoss(), one_hot),
    "logits": (nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0])), one_hot),
    "one number": (nn.SmoothL1Loss(reduction="sum"), one_hot),
    "a function that is a mean": (lambda outputs, y: (outputs - y).square().mean(), one_hot),
    "a function that is a sum": (lambda outputs, y: (outputs - y).pow(4).sum(), one_hot),
    "the library's": (tca.losses.CrossEntropy(), lambda y: y),
}  # fmt: skip


@pytest.mark.thirds
@pytest.mark.parametrize("name", LOSSES)
def test_losses_in_chunks(name: str) -> None:
    (loss, targets), net = LOSSES[name], MLP.net()
    inputs, classes = MLP.data()
    data = inputs, targets(classes)
    exact_loss = copy.deepcopy(loss).double() if isinstance(loss, nn.Module) else loss
    if isinstance(loss, tca.losses.CrossEntropy):
        exact_loss = nn.CrossEntropyLoss()
    exact = dense_hessian(net, data, exact_loss)
    for chunk in (None, 4, 1):
        assert near(analysis.operator(net, data, "all", loss=loss, chunk=chunk).matrix(), exact)


FISHERS = {
    "classes": (nn.CrossEntropyLoss(), lambda y: y),
    "smoothed classes": (nn.CrossEntropyLoss(label_smoothing=0.2), lambda y: y),
    "squares": (nn.MSELoss(), one_hot),
    "logits": (nn.BCEWithLogitsLoss(), one_hot),
}


@pytest.mark.thirds
@pytest.mark.parametrize("name", FISHERS)
@pytest.mark.parametrize("foreign", [MLP, CNN], ids=lambda each: each.name)
def test_gauss_newton_and_fisher_matrices(foreign: Foreign, name: str) -> None:
    (loss, targets), net = FISHERS[name], foreign.net()
    inputs, classes = foreign.data()
    data = inputs, targets(classes)
    outputs, jacobian = dense_jacobian(net, inputs)
    J = jacobian.flatten(0, 1)
    S = torch.func.hessian(lambda y: loss(y, data[1]))(outputs).reshape(outputs.numel(), outputs.numel())
    exact = J.mT @ S @ J
    for kind in ("gauss_newton", "fisher"):
        assert near(analysis.operator(net, data, "all", kind, loss=loss, chunk=4).matrix(), exact)
    if name == "classes":  # the mean over classes drawn from the prediction, written out
        p = outputs.softmax(1)
        drawn = torch.stack([p - one_hot(torch.full((SAMPLES,), each)) for each in range(CLASSES)])
        g = torch.einsum("cnk,nkp->cnp", drawn, jacobian)
        assert near(torch.einsum("nc,cnp,cnq->pq", p, g, g) / SAMPLES, exact)
    per_sample = torch.stack([
        torch.func.grad(lambda y, n=n: loss(y, data[1][n : n + 1]))(outputs[n : n + 1]).flatten() @ jacobian[n]
        for n in range(SAMPLES)
    ])  # fmt: skip
    for kind in ("empirical_fisher", "trial_fisher"):
        found = analysis.operator(net, data, "all", kind, loss=loss, chunk=4).matrix()
        assert near(found, per_sample.mT @ per_sample / SAMPLES)


def test_a_sum_has_a_fisher_matrix_that_is_a_sum() -> None:
    net, data = MLP.net(), MLP.data()
    for kind in ("fisher", "empirical_fisher"):
        mean, total = (
            analysis.operator(net, data, "all", kind, loss=nn.CrossEntropyLoss(reduction=each), chunk=3).matrix()
            for each in ("mean", "sum")
        )
        assert near(SAMPLES * mean, total)


@pytest.mark.thirds
@EACH
def test_float32_models_are_measured_in_float64_or_in_their_own_type(foreign: Foreign) -> None:
    net, data, loss = foreign.net(torch.float32), foreign.data(torch.float32), nn.CrossEntropyLoss()
    exact = dense_hessian(copy.deepcopy(net).double(), (data[0].double(), data[1]), loss)
    some = torch.ones(len(exact), dtype=torch.float64)
    assert near(analysis.operator(net, data, "all", loss=loss) @ some, exact @ some)
    own = analysis.operator(net, data, "all", loss=loss, dtype=None) @ some.float()
    assert own.dtype == torch.float32
    assert near(own.double(), exact @ some, 2e-5)


@pytest.mark.thirds
@EACH
@pytest.mark.parametrize("measure", ["curvature", "sharpness", "random_sharpness", "landscape", "operator"])
def test_model_mode_gradients_and_generators_stay_as_they_are(foreign: Foreign, measure: str) -> None:
    net, data, loss = foreign.net(), foreign.data(), nn.CrossEntropyLoss()
    net.train()
    first = next(net.parameters())
    first.grad = torch.ones_like(first)
    first.requires_grad_(False)
    next(iter(net.children())).eval()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    modes, versions = [each.training for each in net.modules()], [each._version for each in net.parameters()]
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    source = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(*data), batch_size=4, generator=source)
    own = source.get_state()
    few = {"points": 3, "directions": "random"} if measure == "landscape" else {}
    few |= {"curvature": {"probes": 2, "tolerance": 0.1}, "random_sharpness": {"pairs": 2, "probes": 2}}.get(
        measure, {}
    )
    getattr(analysis, measure)(net, loader, loss=loss, **few)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    assert torch.equal(own, source.get_state())
    assert modes == [each.training for each in net.modules()]
    assert versions == [each._version for each in net.parameters()]
    assert [each.requires_grad for each in net.parameters()].count(False) == 1
    assert [each.grad is not None for each in net.parameters()].count(True) == 1
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_memory_of_a_chunk_is_that_of_its_graph() -> None:
    net, loss = TRANSFORMER.net(), nn.CrossEntropyLoss()
    data = TRANSFORMER.data(samples=64)
    assert len(problem_of(net, data, "all", loss=loss).parts) == 1
    few, more = (problem_of(net, data, "all", loss=loss, memory=memory).parts[0].trials for memory in (0.1, 0.2))
    assert 4 <= few < more < 64
    assert 2 * few == pytest.approx(more, abs=1)
    some = torch.ones(sum(each.numel() for each in net.parameters()), dtype=torch.float64)
    whole, rebuilt = (analysis.operator(net, data, "all", loss=loss, memory=memory) @ some for memory in (2048.0, 0.1))
    assert near(rebuilt, whole)
    assert plan(problem_of(net, data, loss=loss, chunk=8)).keep
    assert not plan(problem_of(net, data, loss=loss, memory=0.1)).keep


class Time(nn.Module):
    """Time comes first."""

    def __init__(self, last: bool) -> None:
        super().__init__()
        self.rnn, self.last = nn.GRU(2, 3), last

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.rnn(inputs)[0]
        return outputs[-1] if self.last else outputs


def test_samples_may_lie_along_another_axis() -> None:
    net, inputs = Time(False).double(), GRU.data()[0].transpose(0, 1).contiguous()
    data, loss = (inputs, torch.zeros(*inputs.shape[:2], 3, dtype=torch.float64)), nn.MSELoss()
    exact = dense_hessian(net, data, loss)
    found = analysis.operator(net, Samples(*data, loss, axis=1), "all", chunk=4)
    assert near(found.matrix(), exact)
    assert near(analysis.operator(net, data, "all", loss=loss).matrix(), exact)  # one chunk needs no axis
    with pytest.raises(ValueError, match="samples must be independent along axis 0"):
        analysis.operator(net, data, "all", loss=loss, chunk=2)
    last = Time(True).double()
    answers = torch.zeros(SAMPLES, 3, dtype=torch.float64)
    found = analysis.operator(last, Samples(inputs, answers, loss, axis=1, target_axis=0), "all", chunk=4)
    assert near(found.matrix(), dense_hessian(last, (inputs, answers), loss))


def test_a_module_on_trials_of_the_library_and_a_network_on_pairs() -> None:
    net, draw = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).double(), torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(5, 6, size, generator=draw, dtype=torch.float64) for size in (2, 3))
    weights = torch.rand(5, 6, generator=draw, dtype=torch.float64)
    batch = tca.Batch(inputs, targets, weights, tca.losses.MSE())

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (weights * 0.5 * (outputs - targets).square().sum(-1)).sum() / 6

    for kind in ("hessian", "gauss_newton"):
        assert analysis.operator(net, batch, "all", kind, chunk=4).size == 9
    assert near(analysis.operator(net, batch, "all", chunk=4).matrix(), dense_hessian(net, (inputs, targets), loss))
    own = tca.nets.LeakyRNN(2, 4, 3, dtype=torch.float64, seed=0)
    even = tca.Batch(inputs, targets, torch.full((5, 6), 0.2, dtype=torch.float64), tca.losses.MSE())
    pairs = analysis.operator(own, (inputs, targets), loss=nn.MSELoss(), chunk=4).matrix()  # mean over outputs, no half
    assert near(pairs * 1.5, analysis.operator(own, even).matrix())
    assert near(pairs * 1.5, analysis.operator(own, (inputs, targets), loss=tca.losses.MSE()).matrix())


def test_named_and_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, one: Tensor, other: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
            return {"y": scale * self.linear(one + other)}

    net, (inputs, _) = Two().double(), MLP.data()
    targets = torch.zeros(SAMPLES, 1, dtype=torch.float64)
    exact = dense_hessian(net.linear, (2 * inputs, targets), nn.MSELoss())

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return nn.functional.mse_loss(outputs["y"], targets)

    for given in ((inputs, inputs), {"one": inputs, "other": inputs}):
        assert near(analysis.operator(net, (given, targets), loss=loss, chunk=4).matrix(), exact)
    with pytest.raises(TypeError, match="outputs must be one tensor to have a matrix of their own, got a dict"):
        analysis.operator(net, ((inputs, inputs), targets), kind="gauss_newton", loss=loss)


def test_parameters_that_the_loss_does_not_use_are_flat_and_tied_ones_count_once() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.unused = (
                nn.Linear(2, 2, bias=False),
                nn.Linear(2, 2, bias=False),
                nn.Linear(1, 1),
            )
            self.second.weight = self.first.weight

        def forward(self, inputs: Tensor) -> Tensor:
            return self.second(torch.tanh(self.first(inputs)))

    net, (inputs, _) = Odd().double(), MLP.data()
    data = inputs, torch.ones(SAMPLES, 2, dtype=torch.float64)
    exact = dense_hessian(net, data, nn.MSELoss())
    assert exact.shape == (6, 6)
    found = analysis.operator(net, data, "all", loss=nn.MSELoss())
    assert near(found.matrix(), exact)
    assert near(analysis.operator(net, data, "second", loss=nn.MSELoss()).matrix(), exact[:4, :4])
    for kind in ("hessian", "gauss_newton"):
        assert not analysis.operator(net, data, "unused", kind, loss=nn.MSELoss()).matrix().any()


def test_arrays_wrapped_models_and_empty_data() -> None:
    (inputs, classes), loss, net = MLP.data(), nn.CrossEntropyLoss(), MLP.net()
    exact = dense_hessian(net, (inputs, classes), loss)
    assert near(analysis.operator(net, (inputs.numpy(), classes.numpy()), "all", loss=loss).matrix(), exact)
    assert near(analysis.operator(nn.DataParallel(net), (inputs, classes), "all", loss=loss).matrix(), exact)
    with pytest.raises(ValueError, match=r"inputs must hold at least one sample along axis 0, got shape \(0, 2\)"):
        analysis.operator(net, (inputs[:0], classes[:0]), loss=loss)


def test_batch_statistics_are_those_of_evaluation_mode() -> None:
    """Pins a limit: there is no curvature of a batch normalised by its own statistics."""
    net, data = CNN.net().train(), CNN.data()
    exact = dense_hessian(copy.deepcopy(net), data, nn.CrossEntropyLoss())
    assert near(analysis.operator(net, data, "all", loss=nn.CrossEntropyLoss()).matrix(), exact)


def test_activations_in_place_are_right() -> None:
    net, data, loss = nn.Sequential(nn.Linear(2, 3), nn.SELU(inplace=True)).double(), MLP.data(), nn.CrossEntropyLoss()
    assert near(analysis.operator(net, data, loss=loss).matrix(), dense_hessian(net, data, loss))


@pytest.mark.cuda
@EACH
def test_the_device_does_not_matter(foreign: Foreign) -> None:
    net, data, loss = foreign.net(), foreign.data(), nn.CrossEntropyLoss()
    exact = analysis.curvature(net, data, "all", loss=loss)
    for where in (data, tuple(each.cuda() for each in data)):
        found = analysis.curvature(net.cuda(), where, "all", loss=loss)
        assert found.largest.value == pytest.approx(exact.largest.value, rel=1e-9)
