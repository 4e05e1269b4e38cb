"""Models, losses and loaders that have no Hessian, or not that of the data, are refused in one line."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import analysis
import tca
from tests.analysis.curvature.test_any_model import GRU, MLP, near
from tests.support.foreign_models import SAMPLES, dense_hessian


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        return values.exp()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient * context.saved_tensors[0].exp()


class Calls(nn.Module):
    """A linear map and a function of it, with a parameter to spare."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(2, 3), function

    def forward(self, inputs: Tensor) -> Any:
        return self.function(self.linear(inputs), self)


def overwritten(values: Tensor, model: Calls) -> Tensor:
    model.linear.weight.add_(1)
    return values


BAD_MODELS: dict[str, tuple[Callable[..., Any], str]] = {
    "once differentiable": (lambda y, _: Once.apply(y), "products differ from differences of the gradient"),
    "in place": (lambda y, _: y.exp().mul_(y).add_(y.exp_()), "must be differentiable twice by autograd"),
    "parameters overwritten": (overwritten, "(differentiable twice|must be the same each time)"),
    "random": (lambda y, _: nn.functional.dropout(y), "outputs of the network must be the same each time"),
    "coupled": (lambda y, _: y - y.mean(0), "samples must be independent along axis 0"),
    "failing": (
        lambda y, _: y @ torch.ones(4, 4),
        "net and its loss must run on the data in torch.float64, got RuntimeError: mat1",
    ),
    "float32 inside": (lambda y, _: y @ torch.ones(3, 3), "dtype=None computes in the type of the parameters"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_models_without_a_hessian_are_refused_in_one_line(name: str) -> None:
    function, message = BAD_MODELS[name]
    net, state = Calls(function), torch.get_rng_state()
    with pytest.raises(ValueError, match=message) as caught:
        analysis.curvature(net, MLP.data(), loss=nn.CrossEntropyLoss(), chunk=4)
    assert "\n" not in str(caught.value)
    assert torch.equal(state, torch.get_rng_state())


def test_weight_norm_of_pytorch_has_a_wrong_second_derivative_and_is_refused() -> None:
    """Pins a limit: the second derivative of PyTorch differs from that of the formula."""

    def loss(theta: Tensor, norm: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        v, g = theta[:6].view(3, 2), theta[6:].view(3, 1)
        return nn.functional.cross_entropy(MLP.data()[0] @ norm(v, g).mT, MLP.data()[1])

    theta = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wrong, exact = (
        torch.autograd.functional.hessian(lambda at, norm=norm: loss(at, norm), theta)
        for norm in (lambda v, g: torch._weight_norm(v, g, 0), lambda v, g: g * v / v.norm(dim=1, keepdim=True))
    )
    assert not near(wrong, exact, 1e-3)
    net = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3)).double()
    with pytest.raises(ValueError, match="has a wrong second derivative, as that of weight_norm"):
        analysis.operator(net, MLP.data(), "all", loss=nn.CrossEntropyLoss())
    other = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)).double()
    exact = dense_hessian(other, MLP.data(), nn.CrossEntropyLoss())
    assert near(analysis.operator(other, MLP.data(), "all", loss=nn.CrossEntropyLoss()).matrix(), exact)


def test_a_detached_backward_pass_is_noticed_in_double_precision_alone() -> None:
    """Pins a limit."""
    right, wrong = Calls(lambda y, _: y.exp()), Calls(lambda y, _: Once.apply(y))
    wrong.load_state_dict(right.state_dict())
    exact, found = (
        analysis.operator(each, MLP.data(torch.float32), loss=nn.CrossEntropyLoss(), dtype=None).matrix()
        for each in (right, wrong)
    )
    assert not near(found, exact, 0.1)


BAD_LOSSES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "none": ({}, TypeError, r"loss must be given with trials that have none"),
    "unreduced": (
        {"loss": nn.CrossEntropyLoss(reduction="none")},
        ValueError,
        "got reduction='none': use 'mean' or 'sum'",
    ),
    "a vector": (
        {"loss": lambda y, t: nn.functional.cross_entropy(y, t, reduction="none")},
        ValueError,
        r"loss must return one real number, got shape \(10,\) of torch.float64: use reduction='mean' or 'sum'",
    ),
    "neither mean nor sum": (
        {"loss": lambda y, t: y.square().sum().sqrt(), "chunk": 4},
        ValueError,
        "loss must be a mean or a sum over samples to be taken in chunks",
    ),
    "a Fisher matrix of no likelihood": (
        {"loss": nn.CrossEntropyLoss(weight=torch.ones(3)), "kind": "fisher"},
        ValueError,
        "the Fisher matrix needs a loss that predicts targets: BCEWithLogitsLoss",
    ),
    "observations of class weights": (
        {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0])), "kind": "empirical_fisher"},
        ValueError,
        "samples must have the same weight",
    ),
    "a class": ({"loss": nn.CrossEntropyLoss}, TypeError, "loss must be a loss or a function of outputs and targets"),
    "arguments exchanged": (
        {"loss": lambda t, y: nn.functional.cross_entropy(y, t)},
        ValueError,
        "net and its loss must run on the data in torch.float64, got NotImplementedError",
    ),
    "no function": ({"loss": "mse"}, TypeError, "loss must be"),
}


@pytest.mark.parametrize("name", BAD_LOSSES)
def test_losses_that_are_no_number_are_refused(name: str) -> None:
    options, error, message = BAD_LOSSES[name]
    with pytest.raises(error, match=message):
        analysis.operator(MLP.net(), MLP.data(), **options)


def test_a_loss_beside_that_of_the_trials_is_refused() -> None:
    batch = tca.Batch(torch.zeros(1, 2, 2), torch.zeros(1, 2, 3), torch.ones(1, 2), tca.losses.MSE())
    with pytest.raises(TypeError, match="loss must be None for trials that have one, got MSELoss"):
        analysis.operator(MLP.net(), batch, loss=nn.MSELoss())
    with pytest.raises(ValueError, match=r"outputs must have shape \(T, B, O\) as a Batch is time-major, got \(1, 3\)"):
        analysis.operator(
            nn.Sequential(
                MLP.net(), nn.Flatten(0, 1), nn.Unflatten(0, (1, 2)), nn.Flatten(1, 2), nn.Linear(6, 3).double()
            ),
            batch,
        )
    with pytest.raises(TypeError, match="net must be a Network"):
        analysis.update_jacobian(MLP.net(), batch, "bptt")


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    """The same samples with noise, drawn anew by torch, NumPy or Python."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw, self.data = draw, MLP.data()

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.data[0][index] + self.draw(), self.data[1][index]


@pytest.mark.parametrize("draw", [lambda: torch.rand(()).item(), np.random.rand, random.random])
def test_a_loader_that_augments_is_refused(draw: Callable[[], float]) -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    with pytest.raises(ValueError, match="trials must be fixed, but two passes over the loader gave other data"):
        analysis.curvature(MLP.net(), DataLoader(Augmented(draw), batch_size=4), loss=nn.CrossEntropyLoss())
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002


def test_a_loader_that_shuffles_or_has_no_pairs_is_refused() -> None:
    net, data, loss = MLP.net(), TensorDataset(*MLP.data()), nn.CrossEntropyLoss()
    for options in ({"shuffle": True}, {"sampler": WeightedRandomSampler([1.0] * SAMPLES, SAMPLES)}):
        with pytest.raises(ValueError, match="got a loader that shuffles: use shuffle=False"):
            analysis.curvature(net, DataLoader(data, **options), loss=loss)
    with pytest.raises(TypeError, match=r"trials must hold pairs \(inputs, targets\), got a list of 1"):
        analysis.curvature(net, DataLoader(TensorDataset(MLP.data()[0])), loss=loss)
    ragged = [(torch.zeros(1, length, 2), torch.zeros(1, dtype=torch.int64)) for length in (3, 4)]
    with pytest.raises(ValueError, match="batches of trials must be equal in shape but for their size"):
        analysis.curvature(GRU.net(), DataLoader(ragged, batch_size=None), loss=loss)
    with pytest.raises(ValueError, match="got an empty loader"):
        analysis.curvature(net, DataLoader([]), loss=loss)


def test_modules_that_cannot_be_copied_or_have_no_shape_are_refused() -> None:
    net = MLP.net()
    net.cache = net(MLP.data()[0])
    with pytest.raises(ValueError, match=r"net must be a module that copy.deepcopy copies, got: RuntimeError"):
        analysis.curvature(net, MLP.data(), loss=nn.CrossEntropyLoss())
    lazy = nn.LazyLinear(3)
    with pytest.raises(ValueError, match="net must have been run once, got the parameter 'weight' without a shape"):
        analysis.curvature(lazy, MLP.data(), loss=nn.CrossEntropyLoss())
