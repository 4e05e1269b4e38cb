"""Feedback alignment and sign symmetry: against autograd with a backward pass of its own for every layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tca
from tca.eligibilities import Instant, Leak
from tca.nets import CNN, MLP, AvgPool, ConvLayer, DenseLayer
from tca.signals import FeedbackAlignment, SignSymmetric
from tests.support.small_networks import scattered
from tests.tca.test_stacks import EXACT, FEEDFORWARD, autograd, batch_of, distance, gradients, plain_stack

F64 = torch.float64


class OtherWay(torch.autograd.Function):
    """A linear layer or a convolution whose errors return through other weights than those it uses."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, weight: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(pre, weight, back)
        return functional.conv2d(pre, weight, padding=1) if weight.ndim == 4 else pre @ weight.t()

    @staticmethod
    def backward(ctx: Any, learning_signal: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        pre, weight, back = ctx.saved_tensors
        if weight.ndim == 2:
            return learning_signal @ back, learning_signal.t() @ pre, None
        returned = torch.nn.grad.conv2d_input(pre.shape, back, learning_signal, padding=1)
        return returned, torch.nn.grad.conv2d_weight(pre, weight.shape, learning_signal, padding=1), None


def surgery(net: Any, batch: tca.Batch, backs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of a network of dense layers on convolutions or on none, with other weights on the way back."""
    use = dict(net.named_parameters())
    pre = batch.inputs[0]
    for number, population in enumerate(net.hidden_layers, 1):
        weight, bias = use[f"w_{number}"], use[f"b_{number}"]
        maps = pre.reshape(-1, weight.shape[1], 6, 6) if weight.ndim == 4 else pre.flatten(1)
        driven = OtherWay.apply(maps, weight, backs.get(f"w_{number}", weight))
        pre = torch.relu(driven + (bias.view(-1, 1, 1) if weight.ndim == 4 else bias))
        if population.operations:
            pre = functional.avg_pool2d(pre, 2)
    outputs = OtherWay.apply(pre.flatten(1), use["w_out"], backs["w_out"]) + use["b_out"]
    loss = batch.loss.mean(outputs.unsqueeze(0), batch.targets, batch.weights)
    return dict(zip(use, torch.autograd.grad(loss, list(use.values())), strict=True))


NETS = {
    "mlp": lambda: scattered(MLP(6, [5, 4], 3, dtype=F64)),
    "cnn": lambda: scattered(CNN((2, 6, 6), [ConvLayer(4, padding=1, then=(AvgPool(),)), DenseLayer(5)], 3, dtype=F64)),
    "two convolutions": lambda: scattered(
        CNN((2, 6, 6), [ConvLayer(4, padding=1), ConvLayer(3, padding=1, then=(AvgPool(),))], 3, dtype=F64)
    ),
}


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
@pytest.mark.parametrize("signal", [FeedbackAlignment(), SignSymmetric(), SignSymmetric(0.5, uniform=True)], ids=repr)
def test_errors_return_through_other_weights(build: Any, signal: Any) -> None:
    """Equal to autograd with those weights on the way back, and not to the gradient."""
    net = build()
    batch = batch_of(net, steps=1, trials=8)
    learner = tca.Learner(net, tca.Rule(signal, Instant()))
    upper = {"hidden_1": "w_2", "hidden_2": "w_out"}
    backs = {}
    for name, drawn in learner.buffers.items():
        target = upper[name.removesuffix(".backward")]
        weight = net.get_parameter(target).detach()
        size = drawn.square().mean().sqrt() if getattr(signal, "uniform", False) else drawn.abs()
        backs[target] = drawn if isinstance(signal, FeedbackAlignment) else size * weight.sign()
        assert drawn.shape == weight.shape
    found = learner.grads(batch)[0]
    assert distance(found, surgery(net, batch, backs)) < EXACT
    assert distance(found, autograd(net, batch)) > 1e-2
    assert torch.allclose(found["w_out"], autograd(net, batch)["w_out"], rtol=1e-12)


def test_own_weights_on_the_way_back_give_the_gradient() -> None:
    """With the network's weights in the buffers, feedback alignment is backpropagation in every kind of layer."""
    for build in FEEDFORWARD.values():
        net = build()
        batch = batch_of(net)
        learner = tca.Learner(net, tca.RULES["feedback_alignment"])
        for population in net.populations():
            assert population.onwards is not None
            learner.buffers[f"{population.name}.backward"].copy_(population.onwards.effective())
        assert distance(learner.grads(batch)[0], autograd(net, batch)) < EXACT
        assert distance(learner.grads(batch)[0], gradients(net, tca.RULES["backprop"], batch)) < EXACT


def test_sizes_and_missing_synapses_of_the_way_back() -> None:
    """Drawn with the root mean square of the weights, at their synapses only; scale multiplies it."""
    net = MLP(400, [300, 200], 100, dtype=F64)
    learner = tca.Learner(net, tca.Rule(FeedbackAlignment(0.5), Instant()))
    drawn = learner.buffers["hidden_1.backward"]
    assert float(drawn.std() / net.w_2.detach().std()) == pytest.approx(0.5, rel=0.02)
    mask = (torch.arange(12).view(2, 6) % 2).double()
    masked = tca.nets.LeakyRNN(3, 6, 2, mask_out=mask, dtype=F64)
    assert torch.equal(tca.Learner(masked, tca.RULES["feedback_alignment"]).buffers["backward"] != 0, mask != 0)


def test_a_stack_learns_online_memory_with_other_weights() -> None:
    """With leak traces on recurrent populations forward equals reverse, and both differ from e-prop."""
    net = plain_stack()
    batch = batch_of(net)
    learner = tca.Learner(net, tca.Rule(FeedbackAlignment(), Leak()))
    found = learner.grads(batch)[0]
    assert distance(learner.grads(batch, execution="forward")[0], found) < EXACT
    assert distance(found, gradients(net, tca.RULES["eprop"], batch)) > 1e-2


def test_sign_symmetry_is_closer_to_the_gradient_than_chance() -> None:
    """At the start random feedback is nearly orthogonal to the gradient of the first layer, shared signs are not."""
    net = MLP(50, [200, 200], 10, seed=1, dtype=F64)
    batch = batch_of(net, steps=1, trials=64)
    true = autograd(net, batch)["w_1"].flatten()
    cosines = {
        name: float(torch.cosine_similarity(gradients(net, tca.RULES[name], batch)["w_1"].flatten(), true, 0))
        for name in ("feedback_alignment", "sign_symmetric", "dfa")
    }
    assert cosines["sign_symmetric"] > 0.3
    assert abs(cosines["feedback_alignment"]) < 0.2
    assert abs(cosines["dfa"]) < 0.2
