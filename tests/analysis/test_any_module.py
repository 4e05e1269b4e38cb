"""Activity, gaps, lines and barriers of modules of PyTorch."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import analysis
import tca
from analysis.samples import Samples
from tests.support.foreign_models import CLASSES, FOREIGN, SAMPLES, Foreign, dense_hessian

MLP, CNN, GRU, LSTM, TRANSFORMER = FOREIGN
CE = nn.CrossEntropyLoss()


class Near:
    """The fraction of trials with every output near its target."""

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        return float((outputs - batch.targets).abs().lt(1).all(-1).double().mean())


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each.name)
def test_gaps_are_those_of_the_model_in_evaluation_mode(foreign: Foreign) -> None:
    net, (inputs, classes) = foreign.net(torch.float32).train(), foreign.data(torch.float32, 700)
    train, test = (inputs[:600], classes[:600]), (inputs[600:], classes[600:])
    loader = DataLoader(TensorDataset(*train), batch_size=64)
    found = analysis.generalization_gap(net, None, loader, test, loss=CE, input_noise=0.3, clip=(-1.0, 1.0))
    assert net.training
    exact = copy.deepcopy(net).eval()
    with torch.no_grad():
        losses = [CE(exact(x), y).item() for x, y in (train, test)]
        right = [exact(x).argmax(1).eq(y).double().mean().item() for x, y in (train, test)]
    assert found.loss_gap == pytest.approx(losses[1] - losses[0], abs=1e-6)
    assert (found.train.accuracy, found.test.accuracy) == pytest.approx(tuple(right))
    assert (found.train.trials, found.test.trials) == (600, 100)
    assert found.noisy_test is not None
    assert found.noisy_test.loss != found.test.loss


def test_accuracies_by_loss_and_by_a_function() -> None:
    outputs, logits = torch.tensor([[1.0, 2.0], [3.0, 1.0]]), torch.tensor([[1.0, -2.0], [-3.0, -1.0]])

    def accuracy(loss: Any, given: Tensor, targets: Tensor, task: Any = None) -> float:
        data = given, targets
        return analysis.generalization_gap(nn.Identity(), task, data, data, loss=loss).train.accuracy

    assert accuracy(CE, outputs, torch.tensor([1, 1])) == 0.5
    assert accuracy(nn.CrossEntropyLoss(ignore_index=0), outputs, torch.tensor([0, 1])) == 0.0
    assert accuracy(CE, outputs, torch.tensor([[0.2, 0.8], [0.9, 0.1]])) == 1.0
    assert accuracy(tca.losses.CrossEntropy(), outputs, torch.tensor([1, 1])) == 0.5
    assert accuracy(nn.BCEWithLogitsLoss(), logits, torch.tensor([[1.0, 1.0], [0.0, 0.0]])) == 0.75
    assert math.isnan(accuracy(nn.MSELoss(), outputs, outputs))
    assert accuracy(nn.MSELoss(), outputs, outputs + 1, lambda y, t: (y < t).double().mean()) == 1.0


def test_gaps_of_a_module_on_trials() -> None:
    net = nn.Identity()
    batch = tca.Batch(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1), torch.full((2, 3), 0.5), tca.losses.MSE())
    far = tca.Batch(torch.zeros(2, 3, 1), torch.full((2, 3, 1), 2.0), torch.full((2, 3), 0.5), tca.losses.MSE())
    found = analysis.generalization_gap(net, Near(), batch, far)
    assert (found.loss_gap, found.accuracy_gap) == (2.0, 1.0)
    with pytest.raises(TypeError, match="task must have the accuracy of trials"):
        analysis.generalization_gap(net, None, batch, far)


def test_activity_of_parts_of_a_module() -> None:
    for foreign, layer in ((MLP, "1"), (CNN, "2"), (GRU, None), (TRANSFORMER, "encoder")):
        net, (inputs, classes) = foreign.net().train(), foreign.data()
        found = analysis.rates(net, inputs, layer)
        assert net.training
        exact = copy.deepcopy(net).eval()
        with torch.no_grad():
            if foreign is GRU:
                wanted = exact.rnn(inputs)[0].transpose(0, 1)
            elif foreign is TRANSFORMER:
                wanted = exact.encoder(exact.embedding(inputs))
            else:
                wanted = exact[: int(layer or 0) + 1](inputs)
        wanted = wanted.flatten(2) if wanted.ndim > 3 else wanted
        assert found.shape == wanted.shape
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12), foreign.name
        for data in ((inputs, classes), Samples(inputs, classes, CE), DataLoader(TensorDataset(inputs, classes), 4)):
            assert torch.allclose(analysis.rates(net, data, layer), found, rtol=0, atol=1e-12)
        assert not any(each._forward_hooks for each in net.modules())
    dimension = analysis.participation_ratio(analysis.rates(GRU.net(), GRU.data()[0]))
    assert 1 <= dimension <= 3


class Loop(nn.Module):
    """A cell in a loop over time, which comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.spare = nn.LSTMCell(2, 3), nn.Linear(1, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        state, outputs = None, []
        for each in inputs:
            state = self.cell(each, state)
            outputs.append(state[0])
        return torch.stack(outputs)


def test_activity_of_a_cell_is_that_of_all_steps_up_to_the_end_of_each_trial() -> None:
    net, inputs = Loop().double(), torch.randn(4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = net(inputs)
    assert torch.equal(analysis.rates(net, inputs), exact)
    weights = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]).double()
    batch = tca.Batch(inputs, torch.zeros(4, 2, 3).double(), weights, tca.losses.MSE())
    inside = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0)]
    assert torch.equal(analysis.rates(net, batch), torch.stack([exact[at] for at in inside]))


def test_activity_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="layer must be given for a module without a recurrent one, of 0, 1, 2"):
        analysis.rates(MLP.net(), MLP.data()[0])
    with pytest.raises(ValueError, match=r"unknown layer 'rn', did you mean 'rnn'\?"):
        analysis.rates(GRU.net(), GRU.data()[0], "rn")
    with pytest.raises(ValueError, match="layer must be called by the module, got 'spare'"):
        analysis.rates(Loop(), torch.zeros(1, 1, 2), "spare")
    with pytest.raises(TypeError, match="layer must be None for a network of the library"):
        analysis.rates(tca.nets.LeakyRNN(1, 2, 1), torch.zeros(1, 1, 1), "w_rec")


@pytest.mark.thirds
@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each.name)
def test_the_line_along_the_sharpest_direction_bends_by_the_eigenvalue(foreign: Foreign) -> None:
    net, data = foreign.net(), foreign.data()
    exact = torch.linalg.eigvalsh(dense_hessian(net, data, CE))[-1].item()
    found = analysis.landscape(net, data, "all", loss=CE, points=3, reach=1e-3)
    assert found.curvatures.item() == pytest.approx(exact, rel=1e-6)
    second = (found.losses[0] + found.losses[2] - 2 * found.losses[1]) / 1e-6
    assert second.item() == pytest.approx(exact, rel=1e-3)
    assert found.losses[1].item() == pytest.approx(CE(net(data[0]), data[1]).item(), rel=1e-12)
    plane = analysis.landscape(net, data, "all", loss=CE, points=3, directions="random", dimensions=2, normalise=True)
    assert plane.losses.shape == (3, 3)


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda each: each.name)
def test_the_barrier_is_that_of_interpolated_parameters_and_statistics(foreign: Foreign) -> None:
    net, data = foreign.net(), foreign.data()
    other = foreign.net()
    with torch.no_grad():
        for each in (*other.parameters(), *other.buffers()):
            each.add_(torch.rand(each.shape) if each.is_floating_point() else 1)
    found = analysis.barrier(net, other, data, loss=CE, points=3)
    middle, ends = copy.deepcopy(net), (net.state_dict(), other.state_dict())
    middle.load_state_dict({name: torch.lerp(each, ends[1][name], 0.5) if each.is_floating_point() else each
                            for name, each in ends[0].items()})  # fmt: skip
    for one, loss in zip((net, middle, other), found.losses, strict=True):
        assert loss.item() == pytest.approx(CE(one.eval()(data[0]), data[1]).item(), rel=1e-10)
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    exact = math.sqrt(sum((a - b).square().sum().item() for a, b in pairs))
    assert found.distance == pytest.approx(exact, rel=1e-10)


def test_barriers_of_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="networks must be of the same kind and size"):
        analysis.barrier(GRU.net(), LSTM.net(), GRU.data(), loss=CE)
    with pytest.raises(TypeError, match="cells are matched in networks of the library on trials"):
        analysis.barrier(MLP.net(), MLP.net(), MLP.data(), loss=CE, match="weights")
    linear = nn.Linear(2, CLASSES).double()
    other = copy.deepcopy(linear)
    linear.register_buffer("size", torch.tensor(1)), other.register_buffer("size", torch.tensor(2))
    with pytest.raises(ValueError, match="networks must have the same size"):
        analysis.barrier(linear, other, MLP.data(), loss=CE)


def test_sharpness_of_modules() -> None:
    net, data = MLP.net(), MLP.data()
    found = analysis.sharpness(net, data, "all", loss=CE, radius=1e-4, group=4)
    assert found.ascent == pytest.approx(1e-4 * found.gradient_norm, rel=1e-2)
    theta = nn.utils.parameters_to_vector(net.parameters()).detach()
    fisher = analysis.operator(net, data, "all", "fisher", loss=CE).matrix()
    assert found.fisher_rao == pytest.approx(math.sqrt(theta @ fisher @ theta), rel=1e-10)
    groups = [slice(0, 4), slice(4, 8), slice(8, 10)]
    ascents = [analysis.sharpness(net, (data[0][each], data[1][each]), "all", loss=CE, radius=1e-4) for each in groups]
    sizes = [len(data[1][each]) for each in groups]
    mean = sum(each.ascent * size for each, size in zip(ascents, sizes, strict=True)) / SAMPLES
    assert found.grouped == pytest.approx(mean, rel=1e-9)
    random = analysis.random_sharpness(net, data, "2.bias", loss=CE, sigma=1e-3, pairs=20)
    own = dense_hessian(net, data, CE)[-CLASSES:, -CLASSES:].trace().item()
    assert random.trace.value == pytest.approx(own, rel=1e-10)
    assert random.rise.value == pytest.approx(1e-6 / 2 * own, rel=0.5)
