"""Networks of two streams written out with relays: the same outputs and changes, and every cell of one sign.

Shapes: T time, B batch, I postsynaptic cells, J presynaptic of both streams. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.connections.signed import Signed
from tca.losses import Logistic
from tca.nets import MLP, AvgPool, ConvLayer, DenseLayer, DualStreamCNN, DualStreamMLP, DualStreamRNN, RMSNorm, relayed
from tca.rule import Rule
from tca.signals import ErrorDiffusion
from tca.utils.numerics import Workspace
from tests.tca.signals.test_error_diffusion import rattled

F64 = torch.float64
NETS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: rattled(DualStreamMLP(6, [5, 4], 3, dtype=F64)),
    "block": lambda: rattled(DualStreamMLP(6, [7], 3, block=True, width_out=1.5, dtype=F64)),
    "cnn": lambda: rattled(
        DualStreamCNN((2, 6, 6), [ConvLayer(3, padding=1, then=(AvgPool(),)), DenseLayer(4)], 3, dtype=F64)
    ),
    "rnn": lambda: rattled(DualStreamRNN(6, 5, 3, dtype=F64)),
    "rnn of form B": lambda: rattled(DualStreamRNN(6, 5, 3, form="B", tau=20.0, dtype=F64)),
}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS)


def inputs_of(net: Any, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 5, net.n_in, dtype=F64, generator=generator)


def learned(net: Any, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Take steps of error diffusion on fixed targets."""
    inputs = inputs_of(net)
    targets = torch.zeros(4, 5, net.n_out, dtype=F64)
    targets[:, :3, 0], targets[:, 3:, 1] = 1.0, 1.0
    batch = tca.Batch(inputs, targets, torch.ones(4, 5, dtype=F64) / 4, Logistic())
    learner = tca.Learner(net, Rule(ErrorDiffusion(), tca.RULES["error_diffusion"].eligibility))
    for _ in range(steps):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()


def mixed_cells(weights: Tensor) -> int:
    """Number of presynaptic cells that excite some and inhibit others."""
    columns = weights.detach().transpose(0, 1).flatten(1)
    return int(((columns > 0).any(1) & (columns < 0).any(1)).sum())


def signed_weights(net: Any) -> dict[str, Tensor]:
    """The weights without relays, from the definition: the product of the streams of both cells, of outputs of one."""
    found = {}
    for each in (*net.hidden_connections(), *net.readout_connections()):
        if isinstance(each, Signed):
            weight = each.weight.detach().clone()
            weight[:, weight.shape[1] // 2 :] *= -1
            if each.name != "w_out":
                weight[len(weight) // 2 :] *= -1
            found[each.name] = weight
    return found


@each_net
def test_outputs_and_gradients_are_the_same(build: Callable[[], Any]) -> None:
    """Outputs equal those of the network, and the derivatives of a loss by the shared magnitudes do."""
    net = build()
    inputs = inputs_of(net)
    strict = relayed(net)
    wanted, found = net(inputs), strict.forward(inputs)
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-14)
    assert float(wanted.detach().std()) > 1e-3
    kernel = torch.randn(wanted.shape, dtype=F64, generator=torch.Generator().manual_seed(1))
    parameters = list(net.parameters())
    for one, other in zip(
        torch.autograd.grad((wanted * kernel).sum(), parameters),
        torch.autograd.grad((found * kernel).sum(), parameters),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-13)


@each_net
def test_every_cell_has_one_sign_while_it_learns(build: Callable[[], Any]) -> None:
    """After each of several steps cells excite, relays inhibit, and the outputs are still those of the network."""
    net = build()
    strict, inputs = relayed(net), inputs_of(net)
    optimizer = torch.optim.SGD(net.parameters(), 5.0)
    before = net(inputs).detach()
    for _ in range(4):
        learned(net, optimizer, 1)
        signs = strict.signs()
        for name, weights in strict.weights().items():
            half = weights.shape[1] // 2
            assert mixed_cells(weights) == 0
            assert bool((weights[:, :half] >= 0).all())
            assert bool((weights[:, half:] <= 0).all())
            assert signs[name].tolist() == [1.0] * half + [-1.0] * half
            assert bool((weights > 0).any())
            assert bool((weights < 0).any())
        assert torch.allclose(strict.forward(inputs), net(inputs), rtol=1e-12, atol=1e-14)
    assert float((net(inputs) - before).detach().abs().max()) > 1e-3


@each_net
def test_cells_without_relays_have_both_signs(build: Callable[[], Any]) -> None:
    """Every cell that reaches cells of both streams excites and inhibits; cells and relays add up to those weights."""
    net = build()
    written = relayed(net).weights()
    for name, wanted in signed_weights(net).items():
        cells, relays = written[name].detach().chunk(2, 1)
        ratio = (cells + relays)[wanted != 0] / wanted[wanted != 0]
        assert torch.allclose(ratio, ratio[0].expand_as(ratio), rtol=1e-12)
        assert float(ratio[0]) > 0
        assert mixed_cells(wanted) == (0 if name == "w_out" else wanted.shape[1])
        assert bool((cells * relays == 0).all())


def test_rates_of_both_streams_are_normalised_together() -> None:
    """Outputs without biases, divided by the root mean square of the rates that a network without operations has."""
    bare, normalised = (
        DualStreamMLP(6, [5], 3, activation="relu", then=then, seed=1, dtype=F64) for then in (None, (RMSNorm(),))
    )
    inputs = inputs_of(bare)
    with torch.no_grad():
        rates = bare.record(inputs, None, Workspace()).rate[1:]
    assert rates.shape[-1] == 10
    expected = bare(inputs) / (rates.square().mean(-1, keepdim=True) + 1e-8).sqrt()
    torch.testing.assert_close(normalised(inputs), expected)


def test_a_negative_magnitude_is_seen() -> None:
    """The signs are those of the weights: a magnitude below zero shows as a cell of both signs."""
    net = DualStreamMLP(3, [4], 2, dtype=F64)
    with torch.no_grad():
        net.w_1[0, 0] = -1.0
    assert mixed_cells(relayed(net).weights()["w_1"]) == 1
    net.project_()
    assert mixed_cells(relayed(net).weights()["w_1"]) == 0


def test_relays_follow_the_network_to_other_types() -> None:
    """Weights and signs have the type of the network, also after it was converted."""
    net = DualStreamRNN(3, 4, 2)
    strict = relayed(net)
    net.to(dtype=F64)
    assert {each.dtype for each in (*strict.weights().values(), *strict.signs().values())} == {F64}
    assert strict.forward(torch.ones(2, 1, 3, dtype=F64)).shape == (2, 1, 2)


def test_careless_use_is_refused() -> None:
    """Networks of one stream, of cells that need no relays, and inputs of another size."""
    with pytest.raises(TypeError, match="net must be a DualStream or a DualStreamRNN, got MLP"):
        relayed(MLP(3, [4], 2))  # type: ignore[arg-type]
    for net in (DualStreamMLP(3, [4], 2, wiring="presynaptic"), DualStreamRNN(3, 4, 2, wiring="presynaptic")):
        with pytest.raises(ValueError, match="net must have wiring='streams', got wiring='presynaptic'"):
            relayed(net)
    with pytest.raises(ValueError, match="inputs"):
        relayed(DualStreamMLP(3, [4], 2)).forward(torch.zeros(1, 1, 4))
