"""Careless use is refused by name: moved networks, wrong kinds of arguments, combinations that could never run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tca
from tca.losses import MSE
from tca.nets import (
    CNN,
    MLP,
    AvgPool,
    ConvLayer,
    DenseLayer,
    Dropout,
    DualStreamRNN,
    LeakyLayer,
    LeakyRNN,
    MaxPool,
    Network,
    SpikingRNN,
    StackedRNN,
    VectorRNN,
)
from tca.signals.diffusion.fields import Graph
from tca.tape.tape import Tape

F64 = torch.float64


def trials(n_in: int = 3, n_out: int = 2, steps: int = 4) -> tca.Batch:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, 5, n_in, generator=source)
    return tca.Batch(inputs, torch.randn(steps, 5, n_out, generator=source), torch.full((steps, 5), 0.25), MSE())


@pytest.mark.parametrize("name", ["eprop_random", "eprop_adaptive", "diffusion", "sbd", "kernl"])
def test_a_network_converted_after_its_learner_was_made_is_refused(name: str) -> None:
    """The state of the rule stays behind, and the message says which; a rule without state goes on."""
    net = LeakyRNN(3, 9, 2)
    learner, free = tca.Learner(net, tca.RULES[name]), tca.Learner(net, tca.RULES["eprop"])
    learner.backward(trials())
    net.double()
    batch = trials().to(dtype=F64)
    with pytest.raises(ValueError, match=r"float64 on cpu, and '\w+' of its rule torch.float32 .*: move the network"):
        learner.backward(batch)
    net.zero_grad()
    free.backward(batch)
    tca.Learner(net, tca.RULES[name]).backward(batch)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inputs": np.zeros((4, 5, 3))}, "inputs must be a tensor, got ndarray"),
        ({"targets": [1, 2]}, "targets must be a tensor, got list"),
        ({"weights": 1.0}, "weights must be a tensor, got float"),
        ({"loss": MSE}, "loss must be a loss, for example"),
    ],
)
def test_a_batch_is_made_of_tensors_and_a_loss(wrong: dict[str, Any], message: str) -> None:
    good = trials()
    with pytest.raises(TypeError, match=message):
        tca.Batch(**{"inputs": good.inputs, "targets": good.targets, "weights": good.weights, "loss": MSE(), **wrong})


def test_a_learner_needs_a_network_and_a_whole_seed() -> None:
    with pytest.raises(TypeError, match=r"net must be a Network such as .*, got Linear"):
        tca.Learner(nn.Linear(2, 2), tca.RULES["bptt"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"seed must be an integer of at least 0, got 1\.5"):
        tca.Learner(LeakyRNN(3, 4, 2), tca.RULES["bptt"], seed=1.5)  # type: ignore[arg-type]


def test_what_has_no_readout_of_its_own_is_refused_when_the_rule_is_bound() -> None:
    with pytest.raises(ValueError, match="no readout weights of its own"):
        tca.Learner(VectorRNN(3, 4, 2), tca.RULES["mdgl_online"])


def test_points_may_come_as_a_tensor_and_must_be_coordinates() -> None:
    """No warning, the same graph; other shapes and values are refused."""
    points = [(0.0, 0.0), (1.0, 0.0), (5.0, 5.0)]
    assert Graph.of_points(torch.tensor(points), 2.0) == Graph.of_points(points, 2.0)
    with pytest.raises(ValueError, match=r"points must be finite coordinates of shape \(sites, dimensions\)"):
        Graph.of_points(torch.tensor([0.0, 1.0]), 2.0)
    with pytest.raises(TypeError, match=r"points\[0\] must be .*, got 0\.0"):
        Graph.of_points([0.0, 1.0], 2.0)  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"points\[1\]\[0\] must be finite"):
        Graph.of_points([(0.0,), (float("nan"),)], 2.0)
    with pytest.raises(ValueError, match="reach must be greater than 0"):
        Graph.of_points(points, -1.0)


def test_masks_may_come_as_lists() -> None:
    net = MLP(2, [2], 1, masks={"w_1": [[1, 0], [0, 1]]})  # type: ignore[dict-item]
    assert net.w_1.detach()[0, 1] == 0 != net.w_1.detach()[0, 0]
    with pytest.raises(ValueError, match=r"masks\['w_1'\] must hold zeros and ones in the shape \(2, 2\)"):
        MLP(2, [2], 1, masks={"w_1": [[1, 0]]})  # type: ignore[dict-item]


def test_learning_inside_inference_mode() -> None:
    """The gradient is that of ordinary use, with pooling as well."""
    net = CNN(
        (1, 4, 4),
        [ConvLayer(2, padding=1, then=(MaxPool(),)), ConvLayer(2, padding=1, then=(AvgPool(),)), DenseLayer(3)],
        2,
    )
    batch = trials(n_in=16, steps=1)
    expected = tca.Learner(net, tca.RULES["backprop"]).grads(batch)[0]
    with torch.inference_mode():
        found = tca.Learner(net, tca.RULES["backprop"]).grads(batch)[0]
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def noisy_networks() -> dict[str, tuple[Network, int]]:
    """Networks, and how many numbers of noise they take at a step of a trial."""
    return {
        "leaky": (LeakyRNN(3, 8, 2), 8),
        "spiking": (SpikingRNN(3, 8, 2), 8),
        "stack": (StackedRNN(3, [LeakyLayer(4), LeakyLayer(3)], 2), 7),
        "streams": (DualStreamRNN(3, 4, 2), 8),
        "dropout": (MLP(3, [6], 2, then=(Dropout(),)), 6),
        "mlp": (MLP(3, [6], 2), 0),
        "vectors": (VectorRNN(3, 4, 2), 0),
    }


@pytest.mark.parametrize("kind", noisy_networks())
def test_noise_has_the_shape_of_the_cells_or_is_refused(kind: str) -> None:
    """Nothing is broadcast, ignored or half used; noise that fits goes through."""
    net, cells = noisy_networks()[kind]
    batch = trials()
    learner = tca.Learner(net, tca.RULES["bptt"])
    if not cells:
        with pytest.raises(ValueError, match=r"noise must be None, .* got shape \(4, 5, 8\)"):
            learner.grads(batch, noise=torch.rand(4, 5, 8))
        return
    noise = torch.rand(4, 5, cells)
    learner.grads(batch, noise=noise)
    net(batch.inputs, noise)
    for wrong in (noise[:1], noise[:, :1], noise[..., :1], noise[0]):
        with pytest.raises(ValueError, match=rf"noise must have the shape \(4, 5, {cells}\)"):
            learner.grads(batch, noise=wrong)
        with pytest.raises(ValueError, match="noise must have the shape"):
            net(batch.inputs, wrong)
    with pytest.raises(ValueError, match=r"noise must be torch.float32 on cpu as the inputs are, got torch.float64"):
        learner.grads(batch, noise=noise.double())
    with pytest.raises(ValueError, match="noise must be finite"):
        learner.grads(batch, noise=noise / 0)


@dataclass(frozen=True)
class Counted(tca.signals.Direct):
    """The direct signal, which records how often it is shown a batch; it has no buffers."""

    shown: list[int] = field(default_factory=list)

    def update_statistics_(self, tape: Tape, buffers: dict[str, torch.Tensor]) -> None:
        self.shown.append(len(buffers))


def test_a_signal_without_buffers_is_shown_every_batch() -> None:
    signal = Counted()
    net = tca.nets.LeakyRNN(2, 4, 1)
    learner = tca.Learner(net, tca.Rule(signal, tca.eligibilities.Leak()))
    batch = tca.Batch(torch.ones(3, 1, 2), torch.zeros(3, 1, 1), torch.full((3, 1), 1 / 3), tca.losses.MSE())
    learner.backward(batch)
    learner.grads(batch, execution="forward")
    assert signal.shown == [0, 0]
