"""Noise in drives and weights of stacked, feedforward, convolutional, dual-stream and vector networks.

Shapes: T time, B batch, N cells. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import NodeNoise, WeightNoise
from tca.eligibilities.deviations import Displaced, Injected
from tca.losses import MSE
from tca.nets import (
    CNN,
    MLP,
    AvgPool,
    ConvLayer,
    DenseLayer,
    Dropout,
    DualStreamMLP,
    DualStreamRNN,
    LeakyLayer,
    LeakyRNN,
    LocalLayer,
    LocalNet,
    StackedRNN,
    VectorMLP,
    VectorRNN,
)
from tca.signals import RewardDifference
from tca.utils.noise import Signs
from tests.support.draws_listed import Listed, copies, sign_patterns
from tests.support.rows import assert_same, relative

F64 = torch.float64
Build = Callable[[], Any]
MAP = {"then": (AvgPool(2, 1),)}
# Networks of few cells, and how many steps of them have few enough noise to try all signs of.
NETWORKS: dict[str, tuple[Build, int]] = {
    "stack": (lambda: StackedRNN(2, [LeakyLayer(2, tau=20.0, form="B"), LeakyLayer(1, tau=15.0)], 2, readout_tau=10.0,
                                 dtype=F64), 3),
    "noisy stack": (lambda: StackedRNN(2, [LeakyLayer(1, tau=20.0, noise=0.2), 2, LeakyLayer(1, noise=0.1)], 2,
                                       dtype=F64), 2),
    "mlp": (lambda: MLP(2, [2, 3], 2, activation="tanh", dtype=F64), 2),
    "mlp with dropout": (lambda: MLP(2, [4, 2], 2, activation="tanh", then=(Dropout(0.4),), dtype=F64), 1),
    "cnn": (lambda: CNN((1, 4, 4), [ConvLayer(1, 2, **MAP), DenseLayer(1)], 2, activation="tanh", dtype=F64), 1),
    "local": (lambda: LocalNet((1, 3, 3), [LocalLayer(1, 2, **MAP), DenseLayer(2)], 2, activation="tanh",
                               dtype=F64), 1),
    "dual streams": (lambda: DualStreamMLP(2, [1, 2], 2, dtype=F64), 1),
    "recurrent dual streams": (lambda: DualStreamRNN(2, 2, 2, dtype=F64), 2),
}  # fmt: skip
each_network = pytest.mark.parametrize("kind", NETWORKS)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def scattered(net: Any) -> Any:
    """Make every parameter large and different."""
    with torch.no_grad():
        for number, each in enumerate(net.parameters()):
            each += 0.5 * normal(number + 10, *each.shape)
    net.project_()
    return net


def batch_of(net: Any, steps: int, trials: int) -> tca.Batch:
    weights = 1.0 + normal(3, steps, trials).square()
    return tca.Batch(normal(1, steps, trials, net.n_in), normal(2, steps, trials, net.n_out), weights, MSE())


def gradient(net: Any, batch: tca.Batch, noise: Tensor | None = None) -> dict[str, Tensor]:
    """The gradient by autograd."""
    leaves = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    loss = batch.loss.mean(net.functional(leaves, batch.inputs, noise), batch.targets, batch.weights)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def with_all_signs(net: Any, steps: int) -> tuple[tca.Batch, Tensor | None, list[Tensor]]:
    """A trial for every pattern of signs, its private noise, and the patterns of each population, last to first."""
    cells = [population.cells for population in net.populations()]
    patterns = sign_patterns(steps, sum(cells)).movedim(0, 1)
    noise = net.draw_noise(steps, 1)
    batch = copies(batch_of(net, steps, 1), patterns.shape[1])
    return batch, None if noise is None else noise.expand(-1, batch.trials, -1), list(patterns.split(cells, -1))


@each_network
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_error_of_node_perturbation_is_of_second_order(kind: str, antithetic: bool) -> None:
    """Over all patterns of signs in all populations at once the mean misses autograd's gradient by sigma squared."""
    build, steps = NETWORKS[kind]
    net = scattered(build())
    batch, noise, rows = with_all_signs(net, steps)
    wanted = gradient(net, batch, noise)
    hidden = [each.name for each in net.hidden_connections()]

    def error(sigma: float) -> float:
        rule = tca.Rule(RewardDifference(), NodeNoise(sigma, antithetic, noise=Listed(list(rows))))
        found = tca.Learner(net, rule).grads(batch, noise=noise)[0]
        assert relative(found["w_out"], wanted["w_out"]) < 1e-12
        return max(relative(found[name], wanted[name]) for name in hidden)

    large, small = error(3e-2), error(3e-3)
    assert 1e-7 < large < 0.1
    assert large / small == pytest.approx(100, rel=0.1)


def test_vectors_whose_gates_stay_are_linear() -> None:
    """With gates that noise does not move the loss is quadratic in the noise, and the mean the gradient itself."""
    net = scattered(VectorMLP(3, [2, 2], 2, dtype=F64))
    batch, _, rows = with_all_signs(net, 1)
    rule = tca.Rule(RewardDifference(), NodeNoise(1e-3, noise=Listed(list(rows))))
    assert_same(tca.Learner(net, rule).grads(batch)[0], gradient(net, batch), 1e-10)


def test_the_error_of_weight_perturbation_in_a_stack_is_of_second_order() -> None:
    """Over all patterns of signs of all weights of two populations; the names say where each weight stands."""
    net = scattered(StackedRNN(1, [LeakyLayer(1, tau=20.0), LeakyLayer(1, tau=15.0)], 1, dtype=F64))
    batch = batch_of(net, 3, 2)
    wanted = gradient(net, batch)
    shapes = {each.name: each.weight.shape for each in net.hidden_connections()}
    order = [name for population in net.populations() for name in shapes if name.startswith(population.name)]
    patterns = sign_patterns(sum(shapes[name].numel() for name in order))

    def error(sigma: float) -> float:
        total = {name: torch.zeros_like(each) for name, each in wanted.items()}
        for pattern in patterns:
            pieces = pattern.split([shapes[name].numel() for name in order])
            rows = [piece.view(shapes[name]) for name, piece in zip(order, pieces, strict=True)]
            rule = tca.Rule(RewardDifference(), WeightNoise(sigma, noise=Listed(rows)))
            for name, each in tca.Learner(net, rule).grads(batch)[0].items():
                total[name] += each / len(patterns)
        return max(relative(total[name], wanted[name]) for name in order)

    large, small = error(3e-2), error(3e-3)
    assert 1e-6 < large < 0.1
    assert large / small == pytest.approx(100, rel=0.1)


def two_layers(net: Any, x_TBI: Tensor, added: Tensor) -> tuple[dict[str, list[Tensor]], dict[str, list[Tensor]]]:
    """Drives and rates of a stack of two populations of form A with noise in the drives, step by step."""
    drives: dict[str, list[Tensor]] = {"layers.0": [], "layers.1": []}
    rates = {name: [x_TBI.new_zeros(x_TBI.shape[1], net.get_parameter(f"{name}.b").numel())] for name in drives}
    states = {name: each[0] for name, each in rates.items()}
    first = rates["layers.0"][0].shape[-1]
    noises = {"layers.0": added[..., :first], "layers.1": added[..., first:]}
    for t in range(len(x_TBI)):
        lower = x_TBI[t]
        for index, name in enumerate(drives):
            w_in, w_rec, b = (net.get_parameter(f"{name}.{each}").detach() for each in ("w_in", "w_rec", "b"))
            drive = lower @ w_in.t() + rates[name][-1] @ w_rec.t() + b + noises[name][t]
            leak = net.layers[index].leak
            states[name] = leak * states[name] + (1 - leak) * drive
            drives[name].append(drive)
            rates[name].append(torch.tanh(states[name]))
            lower = rates[name][-1]
    return drives, rates


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("by", [Injected(), Displaced(), Displaced(by_step=True)], ids=repr)
def test_a_draw_in_a_stack_equals_the_equations(by: Any, antithetic: bool) -> None:
    """The noise of each population, or how far its drives went over the norm of all; private noise in all runs."""
    net = scattered(StackedRNN(2, [LeakyLayer(3, tau=20.0), LeakyLayer(2, tau=15.0)], 2, dtype=F64))
    batch, private, xi = batch_of(net, 4, 3), 0.3 * normal(5, 4, 3, 5), normal(6, 4, 3, 5)
    rows = [xi[..., 3:], xi[..., :3]]
    rule = tca.Rule(RewardDifference(), NodeNoise(0.2, antithetic, noise=Listed(rows), by=by))
    found = tca.Learner(net, rule).grads(batch, noise=private)[0]

    def run(size: float) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        added = private + size * xi
        outputs = net.functional({}, batch.inputs, added).detach()
        drives, rates = two_layers(net, batch.inputs, added)
        losses = (batch.weights * batch.loss.value(outputs, batch.targets)).sum(0)
        return losses, *({name: torch.stack(each) for name, each in of.items()} for of in (drives, rates))

    noisy, against, clean = run(0.2), run(-0.2 if antithetic else 0.0), run(0.0)
    change = (noisy[0] - against[0]) / 3
    if isinstance(by, Injected):
        post = {"layers.0": xi[..., :3], "layers.1": xi[..., 3:]}
        change = change / (0.4 if antithetic else 0.2)
    else:
        went = {name: noisy[1][name] - against[1][name] for name in noisy[1]}
        together = torch.cat(list(went.values()), -1)
        square = together.square().sum(-1) / 5 if by.by_step else together.square().sum((0, 2)).expand(4, 3) / 20
        post = {name: each / square[..., None] for name, each in went.items()}
    for index, name in enumerate(post):
        pre = batch.inputs if index == 0 else clean[2]["layers.0"][1:]
        learning_signal = change[:, None] * post[name]
        assert (
            relative(found[f"{name}.w_rec"], torch.einsum("tbi,tbj->ij", learning_signal, clean[2][name][:-1])) < 1e-11
        )
        assert relative(found[f"{name}.w_in"], torch.einsum("tbi,tbj->ij", learning_signal, pre)) < 1e-11
        assert relative(found[f"{name}.b"], learning_signal.sum((0, 1))) < 1e-11


@pytest.mark.parametrize("by_step", [False, True])
@pytest.mark.parametrize("antithetic", [False, True])
def test_noise_that_stays_put_makes_activity_based_the_same(by_step: bool, antithetic: bool) -> None:
    """In one layer drives go where the noise sends them; signs are equally long, so both agree draw by draw."""
    net = scattered(MLP(3, [5], 2, activation="tanh", dtype=F64))
    batch = batch_of(net, 4, 3)

    def found(by: Any) -> dict[str, Tensor]:
        rule = tca.Rule(RewardDifference(), NodeNoise(0.1, antithetic, noise=Signs(), by=by))
        return tca.Learner(net, rule, seed=1).grads(batch)[0]

    assert_same(found(Displaced(by_step)), found(Injected()), 1e-10)


def test_the_mean_of_activity_based_perturbation_is_along_displaced_adjoints() -> None:
    """In a recurrent network it is the mean of ``n (lambda xi) M xi / |M xi|^2``, which is not the gradient."""
    net = scattered(LeakyRNN(2, 2, 2, tau=20.0, dtype=F64))
    steps, cells = 3, 2
    batch, _, rows = with_all_signs(net, steps)
    one, none = copies(batch, 1), torch.zeros(steps * cells, dtype=F64)

    def drives(added: Tensor) -> Tensor:
        rate, state, found = torch.zeros(cells, dtype=F64), torch.zeros(cells, dtype=F64), []
        for x, noise in zip(one.inputs[:, 0], added.view(steps, cells), strict=True):
            found.append(net.w_rec @ rate + net.w_in @ x + net.b + noise)
            state = net.leak * state + net.gain * found[-1]
            rate = torch.tanh(state)
        return torch.stack(found).flatten()

    def loss(added: Tensor) -> Tensor:
        outputs = net.functional({}, one.inputs, added.view(steps, 1, cells))
        return one.loss.mean(outputs, one.targets, one.weights)

    passed = torch.autograd.functional.jacobian(drives, none)
    adjoint = torch.autograd.functional.jacobian(loss, none)
    signs = rows[0].movedim(1, 0).flatten(1)
    went = signs @ passed.t()
    mean = (steps * cells * (signs @ adjoint)[:, None] * went / went.square().sum(1, keepdim=True)).mean(0)
    pre = net.run(one.inputs).rate[:-1, 0]
    wanted = torch.einsum("ti,tj->ij", mean.view(steps, cells), pre)

    def found(sigma: float) -> Tensor:
        rule = tca.Rule(RewardDifference(), NodeNoise(sigma, noise=Listed(list(rows)), by=Displaced()))
        return tca.Learner(net, rule).grads(batch)[0]["w_rec"]

    assert relative(found(1e-5), wanted) < 1e-4
    assert relative(found(1e-4), wanted) < 1e-3, "how much noise there is does not matter where it is little"
    assert relative(wanted, gradient(net, batch)["w_rec"]) > 0.01


@pytest.mark.parametrize("build", [lambda: MLP(3, [4, 4], 2), lambda: StackedRNN(3, [4, 4], 2)])
def test_populations_draw_apart_and_repeat(build: Build) -> None:
    """Equal populations have different noise; the same seed gives the same bits, another seed others."""
    net = scattered(build().double())
    batch, rule = batch_of(net, 3, 2), tca.RULES["node_perturbation"]
    bound = tca.Learner(net, rule, seed=4)
    drawn = [each for name, each in bound.buffers.items() if name.endswith("draws")]
    assert len(drawn) == 2
    assert drawn[0] != drawn[1]
    assert_same(tca.Learner(net, rule, seed=4).grads(batch)[0], bound.grads(batch)[0], 0.0)
    name = net.hidden_connections()[0].name
    assert relative(tca.Learner(net, rule, seed=5).grads(batch)[0][name], bound.grads(batch)[0][name]) > 0.1
    before = bound.grads(batch)[0][name]
    bound.follow_weights_()
    assert relative(bound.grads(batch)[0][name], before) > 0.1, "every batch draws anew in every population"


@pytest.mark.parametrize("by", [Injected(), Displaced()], ids=repr)
def test_a_perceptron_learns_from_what_was_tried(by: Any) -> None:
    """Hidden layers alone learn a regression from noise in their drives."""
    net = scattered(MLP(4, [12, 8], 2, activation="tanh", dtype=F64))
    batch = batch_of(net, 1, 32)
    bound = tca.Learner(net, tca.Rule(RewardDifference(), NodeNoise(by=by)))
    optimizer = torch.optim.SGD([each.weight for each in net.hidden_connections()], lr=0.01)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        losses.append(float(bound.backward(batch).loss))
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.cuda
@pytest.mark.parametrize("by", [Injected(), Displaced()], ids=repr)
def test_gpu_equals_cpu(by: Any) -> None:
    """A GPU draws the same in every population and gives what the CPU gives."""
    rule = tca.Rule(RewardDifference(), NodeNoise(by=by))
    net = scattered(NETWORKS["mlp"][0]())
    batch = batch_of(net, 2, 3)
    exact = tca.Learner(net, rule).grads(batch)[0]
    found = tca.Learner(net.to("cuda"), rule).grads(batch.to(device="cuda"))[0]
    assert_same({name: each.cpu() for name, each in found.items()}, exact, 1e-8)


@pytest.mark.parametrize(
    ("rule", "net", "words"),
    [
        ("node_perturbation", lambda: VectorRNN(3, 4, 2), "of recurrent vectors does not take"),
        ("miconi", lambda: StackedRNN(3, [4, 4], 2), "the potentials of one recurrent population, which .*layers.1"),
        ("miconi", lambda: MLP(3, [4], 2), "the potentials of one recurrent population"),
        *(
            (name, lambda: StackedRNN(3, [4, 4], 2), "of one recurrent population.* paths that lead through another")
            for name in ("uoro", "kf_rtrl", "r_kf_rtrl", "kernl")
        ),
        *(
            (name, lambda: MLP(3, [4], 2), "recurrent")
            for name in ("uoro", "kf_rtrl", "r_kf_rtrl", "kernl")
        ),
    ],
)  # fmt: skip
def test_what_does_not_compose_is_refused(rule: str, net: Build, words: str) -> None:
    """When the learner is made, with the reason."""
    with pytest.raises(ValueError, match=words):
        tca.Learner(net(), tca.RULES[rule])
