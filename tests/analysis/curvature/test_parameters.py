"""Which parameters a name, a prefix or no name stands for: networks of the library and modules of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca
from analysis.curvature.parameters import choose
from analysis.run_measurements import AlignmentWatcher, CurvatureWatcher
from tca.losses import MSE
from tca.nets import MLP, LeakyRNN, StackedRNN


class Tied(nn.Module):
    """Input and output share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3))
        self.decoder = nn.Linear(3, 5)
        self.decoder.weight = self.encoder[0].weight
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, words: Tensor) -> Tensor:
        raise NotImplementedError


def recurrent() -> nn.Module:
    return nn.ModuleDict({"lstm": nn.LSTM(2, 3, num_layers=2), "head": nn.Linear(3, 1)})


ENCODER = ("encoder.0.weight", "encoder.1.weight", "encoder.1.bias")


@pytest.mark.parametrize(
    ("net", "names", "chosen"),
    [
        (Tied, "all", ("scale", *ENCODER, "decoder.bias")),
        (Tied, "encoder", ENCODER),
        (Tied, ["encoder.1", "decoder.bias"], (*ENCODER[1:], "decoder.bias")),
        (Tied, "decoder.weight", ENCODER[:1]),  # another name of it
        (Tied, ["decoder", "encoder"], ("encoder.0.weight", "decoder.bias", *ENCODER[1:])),
        (Tied, "bias", ("encoder.1.bias", "decoder.bias")),
        (Tied, None, ("scale", *ENCODER, "decoder.bias")),
        (recurrent, None, ("lstm.weight_hh_l0", "lstm.weight_hh_l1")),
        (lambda: nn.GRUCell(2, 3), None, ("weight_hh",)),
        (lambda: LeakyRNN(1, 2, 1), None, ("w_rec",)),
        (lambda: StackedRNN(1, [2, 3], 1), None, ("layers.0.w_rec", "layers.1.w_rec")),
        (lambda: StackedRNN(1, [2, 3], 1), "layers.0", ("layers.0.w_in", "layers.0.w_rec", "layers.0.b")),
        (lambda: MLP(1, [2], 1), None, tuple(each.name for each in MLP(1, [2], 1).connections())),
    ],
)
def test_names_prefixes_and_defaults(net: Callable[[], nn.Module], names: Any, chosen: tuple[str, ...]) -> None:
    assert choose(net(), names).names == chosen


def test_frozen_parameters_are_measured_if_they_are_named_or_if_all_are() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    net[0].requires_grad_(False)
    assert choose(net).names == ("1.weight", "1.bias")
    assert choose(net, "0.weight").names == ("0.weight",)
    assert len(choose(net, "all").names) == len(choose(net.requires_grad_(False)).names) == 4


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("decodr", r"unknown parameter 'decodr', did you mean 'decoder'\?"),
        ("encoder.1.wieght", r"unknown parameter 'encoder.1.wieght', did you mean 'encoder.1.weight'\?"),
        (["encoder", "encoder.1.bias"], "parameters must be different names"),
        (["all", "scale"], "parameters must be different names"),
        ([], "parameters must hold at least one name"),
    ],
)
def test_mistakes_are_named(names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose(Tied(), names)


def test_modules_without_real_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="net must have parameters, got none in ReLU"):
        choose(nn.ReLU())
    module = nn.Module()
    module.register_parameter("phase", nn.Parameter(torch.ones(2, dtype=torch.complex64)))
    with pytest.raises(TypeError, match=r"parameters must be real numbers, got torch.complex64 of 'phase'"):
        choose(module)


def test_no_measure_of_a_feedforward_network_asks_for_recurrent_weights() -> None:
    net = MLP(2, [3], 1, dtype=torch.float64, seed=0)
    draw = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(1, 4, size, generator=draw, dtype=torch.float64) for size in (2, 1))
    batch = tca.Batch(inputs, targets, torch.ones(1, 4, dtype=torch.float64), MSE())
    everything = analysis.operator(net, batch, "all").size
    assert analysis.curvature(net, batch).count == everything
    assert analysis.operator(net, batch).size == analysis.update_jacobian(net, batch, "bptt").size == everything
    assert analysis.sharpness(net, batch).parameters == analysis.random_sharpness(net, batch, pairs=2).parameters
    assert analysis.landscape(net, batch, points=3).directions.shape == (1, everything)
    assert analysis.stability(net, batch, "bptt").parameters == tuple(each.name for each in net.connections())
    learner = tca.Learner(net, tca.RULES["bptt"])
    exact = torch.linalg.eigvalsh(analysis.operator(net, batch).matrix())
    assert CurvatureWatcher()(learner, batch)["curvature_largest"] == pytest.approx(exact[-1].item())
    assert AlignmentWatcher()(learner, batch)["cosine"] == pytest.approx(1.0)
