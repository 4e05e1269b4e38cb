"""Global error-vector broadcasting: equal to its equations, to backpropagation where it must be, and in sign.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic. Everything is float64.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tca
from tca.eligibilities import Instant, Leak, NetworkKernel
from tca.losses import CrossEntropy
from tca.nets import ConvLayer, DenseLayer, VectorCNN, VectorMLP
from tca.signals import GlobalVector
from tests.tca.nets.vector.test_vector_networks import (
    MAPS,
    NETS,
    autograd,
    batch_of,
    by_hand,
    distance,
    normal,
    scattered,
)

F64 = torch.float64


def examples(n_in: int, classes: int, count: int, seed: int = 1) -> tca.Batch:
    labels = torch.randint(classes, (1, count), generator=torch.Generator().manual_seed(seed))
    return tca.Batch(normal(1, count, n_in, seed=seed), labels, torch.ones(1, count, dtype=F64), CrossEntropy())


def changes(net: Any, rule: str | tca.Rule, batch: tca.Batch) -> dict[str, Tensor]:
    return tca.Learner(net, tca.RULES[rule] if isinstance(rule, str) else rule).grads(batch)[0]


def cosine(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum() / (one.norm() * other.norm()))


def scalar_backpropagation(net: Any, batch: tca.Batch, broadcast: bool) -> dict[str, Tensor]:
    """Backpropagation of one number for each cell by its recursion, or with that number set to one everywhere."""
    outputs, gates = by_hand(net, batch.inputs)
    score = (outputs.softmax(-1) - functional.one_hot(batch.targets, net.n_out)) * batch.weights[..., None]
    score = score / batch.trials
    received = [batch.inputs]
    for number in range(1, len(net.hidden_layers) + 1):
        weight, bias = net.get_parameter(f"w_{number}"), net.get_parameter(f"b_{number}")
        equation = "kij,tbj->tbki" if number == 1 else "ij,tbkj->tbki"
        received.append((torch.einsum(equation, weight, received[-1]) + bias) * gates[number - 1].unsqueeze(2))
    found = {"w_out": torch.einsum("tbk,tbkj->j", score, received[-1])[None], "b_out": score.sum((0, 1))}
    reached = net.w_out[0].expand_as(gates[-1])
    for number in range(len(net.hidden_layers), 0, -1):
        learning_signal = gates[number - 1] * (torch.ones_like(reached) if broadcast else reached)
        equation = "tbk,tbi,tbj->kij" if number == 1 else "tbk,tbi,tbkj->ij"
        found[f"w_{number}"] = torch.einsum(equation, score, learning_signal, received[number - 1])
        found[f"b_{number}"] = torch.einsum("tbk,tbi->ki", score, learning_signal)
        if number > 1:
            reached = (gates[number - 1] * reached) @ net.get_parameter(f"w_{number}")
    return {name: each.detach() for name, each in found.items()}


@pytest.mark.parametrize("signs", ["nonnegative", "mixed"])
def test_one_number_for_each_cell_is_the_gradient(signs: str) -> None:
    """The recursion of one number equals autograd and the library; with ones it is the broadcast, exact at the outputs
    only."""
    net = scattered(VectorMLP(6, [8, 6], 4, signs=signs, dtype=F64))
    batch = batch_of(net, steps=2, trials=5)
    true = autograd(net, batch)
    assert distance(scalar_backpropagation(net, batch, broadcast=False), true) < 1e-12
    assert distance(changes(net, "backprop", batch), true) < 1e-12
    found = changes(net, "gevb", batch)
    assert distance(found, scalar_backpropagation(net, batch, broadcast=True)) < 1e-12
    for name, each in true.items():
        error = float((found[name] - each).norm() / each.norm())
        assert error < 1e-12 if name.endswith("out") else error > 0.1, name


def test_broadcast_through_maps_equals_outer_products() -> None:
    """Convolutions: gate times score, position by position and example by example, whatever pooling lies above."""
    net = scattered(VectorCNN((2, 6, 6), MAPS, 3, dtype=F64))
    batch = batch_of(net, steps=1, trials=4)
    found = changes(net, "gevb", batch)
    tape = tca.Learner(net, tca.RULES["gevb"]).tape(batch)
    second = tape.levels[1]
    score, gates = tape.filtered_error[1], second.gates[1].view(4, 2, 2, 2)
    received = second.links[0].pre[0].view(4, 3, 4, 3, 3)
    kernel = torch.zeros(2, 4, 2, 2, dtype=F64)
    for b in range(4):
        for k in range(3):
            for y in range(2):
                for x in range(2):
                    patch = received[b, k, :, y : y + 2, x : x + 2]
                    kernel += gates[b, :, y, x, None, None, None] * score[b, k] * patch
    assert torch.allclose(found["w_2"], kernel, rtol=1e-12)
    assert torch.allclose(found["b_2"], torch.einsum("bk,bcyx->kc", score, gates), rtol=1e-12)
    first = tape.levels[2].gates[1].view(4, 4, 36)
    assert torch.allclose(found["b_1"], torch.einsum("bk,bcp->kc", score, first), rtol=1e-12)


@pytest.mark.parametrize("name", ["mlp", "cnn", "local"])
def test_factored_products_equal_the_full_signal(name: str) -> None:
    """The learning signal is gate times score, and the changes are those of outer products with it."""
    net = scattered(NETS[name](dtype=F64))
    batch = batch_of(net)
    learner = tca.Learner(net, tca.RULES["gevb"])
    tape, learning_signal, found = learner.tape(batch), learner.signals(batch), learner.grads(batch)[0]
    for level in tape.levels:
        wanted = torch.einsum("tbk,tbi->tbki", tape.filtered_error, level.gates).flatten(2)
        assert torch.equal(learning_signal[level.population.name], wanted)
        for link in level.links:
            gradient = link.connection.gradient()
            link.connection.outer_(gradient, wanted[1:], link.pre)
            assert torch.allclose(found[link.connection.name], gradient, rtol=1e-11, atol=1e-14)


def violations(net: Any, rounds: int) -> dict[str, float]:
    """Share of the changes of single examples that have another sign than the gradient, by parameter."""
    wrong: dict[str, int] = {}
    counted: dict[str, int] = {}
    for example in range(rounds):
        batch = examples(net.n_in, net.n_out, 1, seed=example)
        found, true = changes(net, "gevb", batch), changes(net, "backprop", batch)
        for name, each in found.items():
            product = each * true[name]
            wrong[name] = wrong.get(name, 0) + int((product < 0).sum())
            counted[name] = counted.get(name, 0) + int((each != 0).sum())
    return {name: wrong[name] / counted[name] for name in wrong}


def with_biases(net: Any, size: float) -> Any:
    with torch.no_grad():
        for number in range(1, len(net.hidden_layers) + 1):
            bias = net.get_parameter(f"b_{number}")
            bias += size * normal(*bias.shape, seed=number)
    return net


@pytest.mark.parametrize("size", [0.0, 0.5])
def test_signs_of_single_examples(size: float) -> None:
    """Nonnegative weights: every change has the sign of its gradient. Mixed weights: as good as a coin."""
    sizes = [256, 128, 128]
    net = with_biases(VectorMLP(100, sizes, 10, dtype=F64), size)
    assert set(violations(net, 20).values()) == {0.0}
    mixed = violations(with_biases(VectorMLP(100, sizes, 10, signs="mixed", dtype=F64), size), 20)
    for number in (1, 2, 3):
        assert 0.4 < mixed[f"w_{number}"] < 0.6
    assert mixed["w_out"] == mixed["b_out"] == 0.0


def test_half_of_the_last_layer_has_no_gradient_at_the_start() -> None:
    """Output weights begin as ON cells: half are zero, and the broadcast moves what the gradient does not."""
    net = VectorMLP(100, [256, 128, 128], 10, dtype=F64)
    batch = examples(100, 10, 1)
    open_cells = tca.Learner(net, tca.RULES["gevb"]).tape(batch).gates[1, 0] > 0
    learning_signal = changes(net, "backprop", batch)["b_3"][:, open_cells]
    assert float((learning_signal == 0).double().mean()) == 0.5
    assert bool((changes(net, "gevb", batch)["b_3"][:, open_cells] != 0).all())


def test_batches_agree_in_most_signs_only() -> None:
    """A sum over examples has no warrant of sign: agreement and cosine of a batch of 64 at the start."""
    net = VectorMLP(100, [256, 128, 128], 10, dtype=F64)
    batch = examples(100, 10, 64)
    found, true = changes(net, "gevb", batch), changes(net, "backprop", batch)
    wanted = {"w_1": (0.94, 0.98), "w_2": (0.92, 0.95), "w_3": (1.0, 0.59), "w_out": (1.0, 1.0)}
    for name, (agreement, angle) in wanted.items():
        here = (found[name] * true[name] != 0) & (true[name].abs() > 1e-14)
        share = float(((found[name] * true[name])[here] > 0).double().mean())
        assert share == pytest.approx(agreement, abs=0.04), (name, share)
        assert cosine(found[name], true[name]) == pytest.approx(angle, abs=0.04), name
    assert cosine(found["w_1"], true["w_1"]) < 1 - 1e-3


def angles(net: Any, batch: tca.Batch) -> list[float]:
    """Mean angle in degrees between the number of every cell and ones, layer by layer from the inputs."""
    gates = [level.gates[1:] for level in net.run(batch.inputs).levels]
    reached = net.w_out.detach()[0].expand_as(gates[0])
    found = []
    for number, gate in zip(range(len(gates), 0, -1), gates, strict=True):
        along = reached.sum(-1) / (reached.norm(dim=-1) * math.sqrt(reached.shape[-1]))
        found.append(math.degrees(float(along.clamp(max=1).acos().mean())))
        if number > 1:
            reached = (gate * reached) @ net.get_parameter(f"w_{number}").detach()
    return found[::-1]


@pytest.mark.parametrize("cells", [256, 512, *(pytest.param(cells, marks=pytest.mark.slow) for cells in (1024, 2048))])
def test_angle_law_of_wide_networks(cells: int) -> None:
    """At the start the numbers of lower layers become alike with the width; those of the last layer never do."""
    batch = examples(100, 10, 32)
    nets = [VectorMLP(100, [cells] * 4, 10, seed=seed, dtype=F64) for seed in range(3)]
    means = torch.tensor([angles(net, batch) for net in nets]).mean(0).tolist()
    deep = math.degrees(math.atan(math.sqrt(math.pi / 2 - 1) / math.sqrt(cells / 4)))
    second = math.degrees(math.atan(math.sqrt((math.pi - 1) * math.pi / 2) / math.sqrt(cells / 4)))
    last = math.degrees(math.acos(1 / math.sqrt(math.pi)))
    for found, law, within in zip(means, (deep, deep, second, last), (0.06, 0.08, 0.08, 0.05), strict=True):
        assert found == pytest.approx(law, rel=within), means
    found, true = changes(nets[0], "gevb", batch), changes(nets[0], "backprop", batch)
    assert cosine(found["w_1"], true["w_1"]) > 0.975
    assert cosine(found["w_4"], true["w_4"]) < 0.65
    assert cosine(found["w_out"], true["w_out"]) == pytest.approx(1, abs=1e-12)
    mixed = VectorMLP(100, [cells] * 4, 10, signs="mixed", dtype=F64)
    assert min(angles(mixed, batch)) > 80


def test_constant_output_weights_remove_the_last_angle() -> None:
    """One positive number for ON cells: the last layer receives its exact signal up to that number."""
    net = VectorMLP(20, [16, 12], 5, readout="constant", dtype=F64)
    batch = examples(20, 5, 8)
    found, true = changes(net, "gevb", batch), changes(net, "backprop", batch)
    assert torch.allclose(found["w_2"] * float(net.w_out.detach()[0, 0]), true["w_2"], rtol=1e-11)


def sequences(
    net: Any, trials: int, steps: int, pulse: bool = False, last_only: bool = True, seed: int = 3
) -> tca.Batch:
    inputs = normal(steps, trials, net.n_in, seed=seed)
    weights = torch.ones(steps, trials, dtype=F64)
    if pulse:
        inputs[1:] = 0
    if last_only:
        weights[:-1] = 0
    labels = torch.randint(net.n_out, (steps, trials), generator=torch.Generator().manual_seed(seed))
    return tca.Batch(inputs, labels, weights, CrossEntropy())


def errors_on_digits(signs: str, sizes: list[int], epochs: int, seed: int) -> list[float]:
    """Share of 360 held-out digits misclassified after each epoch."""
    datasets = pytest.importorskip("sklearn.datasets")
    pixels, labels = (torch.as_tensor(each) for each in datasets.load_digits(return_X_y=True))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    inputs, labels = (pixels[order] / 8 - 1).float(), labels[order].long()
    net = VectorMLP(64, sizes, 10, signs=signs, seed=seed)
    learner, optimizer = tca.Learner(net, tca.RULES["gevb"]), torch.optim.Adam(net.parameters(), 3e-4)
    found = []
    for _ in range(epochs):
        for some in torch.randperm(1437, generator=torch.Generator().manual_seed(seed + len(found))).split(64):
            batch = tca.Batch(inputs[some][None], labels[some][None], torch.ones(1, len(some)), CrossEntropy())
            optimizer.zero_grad()
            learner.backward(batch)
            optimizer.step()
            net.project_()
        with torch.no_grad():
            found.append(float((net(inputs[1437:][None])[0].argmax(-1) != labels[1437:]).double().mean()))
    return found


def test_digits_are_learned() -> None:
    """Handwritten digits in three epochs: nonnegative networks learn at once, mixed ones hardly."""
    assert errors_on_digits("nonnegative", [128, 64], 3, seed=0)[-1] < 0.15
    assert errors_on_digits("mixed", [128, 64], 3, seed=0)[-1] > 0.5


@pytest.mark.slow
def test_digits_are_learned_well() -> None:
    """Mean error of three splits: nonnegative networks below 6 % after 5 epochs and 4 % after 20, mixed ones not."""
    learned = torch.tensor([errors_on_digits("nonnegative", [256, 128], 20, seed) for seed in range(3)]).mean(0)
    assert learned[4] <= 0.06, learned
    assert learned[19] <= 0.04, learned
    mixed = torch.tensor([errors_on_digits("mixed", [256, 128], 5, seed) for seed in range(3)]).mean(0)
    assert mixed[4] >= 0.15, mixed


def test_rules_are_compositions() -> None:
    """The rows of the table, and which of them work without recurrent cells."""
    assert tca.RULES["gevb"] == tca.Rule(GlobalVector(), Instant())
    assert tca.RULES["gevb_local"] == tca.Rule(GlobalVector(), Leak())
    assert tca.RULES["gevb_network"] == tca.Rule(GlobalVector(gated=False), NetworkKernel())
    net = VectorCNN((1, 4, 4), [ConvLayer(2), DenseLayer(4)], 2)
    for name in ("gevb", "gevb_local"):
        assert tca.RULES[name].local
        assert tca.Learner(net, tca.RULES[name]).buffers == {}
