"""Global error-vector broadcasting: equal to its equations, to backpropagation where it must be, and in sign.

Shapes: T time, B batch, K components and outputs, I postsynaptic cells, J presynaptic. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import tca
from tca.eligibilities import Full, Instant, Leak, NetworkKernel
from tca.losses import CrossEntropy
from tca.nets import ConvLayer, DenseLayer, VectorCNN, VectorMLP, VectorRNN
from tca.signals import GlobalVector, Regularised
from tca.signals.regularisers.activity_regularisers import Power
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


def kernel_by_hand(net: Any, batch: tca.Batch, rule: tca.Rule, signal: Tensor | None = None) -> dict[str, Tensor]:
    """The recurrent rules from their traces: presynaptic, then through the gates and the kernel if there is one.

    The signal, (T + 1, B, K, I), is the score for every cell unless another is given.
    """
    tape = tca.Learner(net, rule).tape(batch)
    alpha, leak = net.gain, 1 - net.gain
    gates, score = tape.gates, tape.filtered_error
    rates = tape.rate.view(*tape.rate.shape[:2], net.n_out, net.n_rec)
    signal = score.unsqueeze(-1).expand_as(rates) if signal is None else signal
    kernel = rule.eligibility if isinstance(rule.eligibility, NetworkKernel) else None
    keep = 0.0 if rule.eligibility == Instant() or (kernel and not kernel.leaky) else leak
    received, seen, always = torch.zeros_like(rates[0]), torch.zeros_like(batch.inputs[0]), 0.0
    found = {name: torch.zeros_like(each) for name, each in net.named_parameters()}
    shapes = (batch.trials, net.n_rec)
    memory = [torch.zeros(*shapes, *rates.shape[2:]), torch.zeros(*shapes, net.n_in), torch.zeros(*shapes)]
    memory = [each.double() for each in memory]
    for t in range(1, batch.steps + 1):
        received = keep * received + alpha * rates[t - 1]
        seen = keep * seen + alpha * batch.inputs[t - 1]
        always = keep * always + alpha
        gate = gates[t]
        now = [
            torch.einsum("bi,bkj->bikj", gate, received),
            torch.einsum("bi,bd->bid", gate, seen),
            gate * always,
        ]
        root = net.perron_root_bound if kernel is None or kernel.perron_root is None else kernel.perron_root
        decay = leak + alpha * root if kernel else 0.0
        memory = [decay * old + new for old, new in zip(memory, now, strict=True)]
        found["w_rec"] += torch.einsum("bki,bikj->ij", signal[t], memory[0])
        found["w_in"] += torch.einsum("bki,bid->kid", signal[t], memory[1])
        found["b"] += torch.einsum("bki,bi->ki", signal[t], memory[2])
        found["w_out"] += torch.einsum("bk,bki->i", score[t], rates[t])
        found["b_out"] += score[t].sum(0)
    return found


RECURRENT = {
    "instant": tca.RULES["gevb"],
    "local": tca.RULES["gevb_local"],
    "network": tca.RULES["gevb_network"],
    "pure network": tca.Rule(GlobalVector(gated=False), NetworkKernel(0.7, leaky=False)),
}


@pytest.mark.parametrize("alpha", [0.2, 1.0])
@pytest.mark.parametrize("rule", RECURRENT.values(), ids=RECURRENT)
def test_recurrent_rules_equal_their_traces(rule: tca.Rule, alpha: float) -> None:
    """Both executions equal the traces of the equations, with errors at every step."""
    net = scattered(VectorRNN(3, 6, 4, integration_rate=alpha, dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    wanted = kernel_by_hand(net, batch, rule)
    learner = tca.Learner(net, rule)
    assert distance(learner.grads(batch)[0], wanted) < 1e-12
    assert distance(learner.grads(batch, execution="forward")[0], wanted) < 1e-12
    true = autograd(net, batch)
    assert float((wanted["w_rec"] - true["w_rec"]).norm() / true["w_rec"].norm()) > 0.1
    for name in ("w_out", "b_out"):
        assert torch.allclose(wanted[name], true[name], rtol=1e-10)


@pytest.mark.parametrize("execution", ["reverse", "forward"])
@pytest.mark.parametrize("root", [0.3, 0.9])
def test_the_kernel_takes_the_root_of_the_network(root: float, execution: Any) -> None:
    """Without a number it is the rule with the network's own, bit for bit, and with another number another rule."""
    net = scattered(VectorRNN(3, 6, 4, perron_root_bound=root, dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    own, same, other = (
        tca.Learner(net, tca.Rule(GlobalVector(gated=False), kernel)).grads(batch, execution=execution)[0]
        for kernel in (NetworkKernel(), NetworkKernel(root), NetworkKernel(0.6))
    )
    for name, each in own.items():
        assert torch.equal(each, same[name])
    assert distance(own, other) > 1e-3
    assert net.populations()[0].perron_root_bound == root


@pytest.mark.parametrize("length", [1, 2, 4, 100])
@pytest.mark.parametrize("kernel", [NetworkKernel(), NetworkKernel(0.7, leaky=False)], ids=repr)
def test_the_kernel_filters_across_windows(kernel: NetworkKernel, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a loss of activity beside the score the reverse filter is used, whose windows leave no seam: the traces."""
    net = scattered(VectorRNN(3, 6, 4, dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    rule = tca.Rule(Regularised(GlobalVector(gated=False), (Power(0.3),)), kernel)
    signal = tca.Learner(net, rule).signal(batch)
    wanted = kernel_by_hand(net, batch, rule, signal.view(10, 4, 4, 6))
    monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", length * 4 * 24 * 8)
    learner = tca.Learner(net, rule)
    assert len(list(learner.tape(batch).windows())) == -(-9 // length)
    assert distance(learner.grads(batch)[0], wanted) < 1e-12
    assert distance(learner.grads(batch, execution="forward")[0], wanted) < 1e-12
    assert distance(wanted, kernel_by_hand(net, batch, rule)) > 1e-2


def test_a_network_that_keeps_no_root_needs_a_number() -> None:
    """Recurrent weights of both signs have no Perron root: the rule is refused unless it is given one."""
    net = scattered(VectorRNN(3, 6, 4, signs="mixed", dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    assert net.populations()[0].perron_root_bound is None
    with pytest.raises(ValueError, match=r"root must be given to NetworkKernel, for example NetworkKernel\(0\.9\)"):
        tca.Learner(net, tca.RULES["gevb_network"])
    with pytest.raises(ValueError, match="root must be given to NetworkKernel, since the network keeps none"):
        NetworkKernel().decay(0.8, 0.2)
    given = tca.Rule(GlobalVector(gated=False), NetworkKernel(0.7))
    assert distance(changes(net, given, batch), kernel_by_hand(net, batch, given)) < 1e-12


def test_equations_name_the_root() -> None:
    """The number that was given, or the word."""
    assert "(leak + 0.7 gain)" in NetworkKernel(0.7).equation
    assert "(leak + root gain)" in NetworkKernel().equation


CELLS = {"all": tuple(range(9)), "the last": (8,), "two": (2, 5), "none": ()}


@pytest.mark.parametrize("learning_signal", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("rule", RECURRENT.values(), ids=RECURRENT)
def test_products_where_few_steps_have_an_error(
    rule: tca.Rule, learning_signal: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The changes are those of the traces whichever steps have an error and however many traces are held at once."""
    net = scattered(VectorRNN(3, 6, 4, dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    batch.weights[[t for t in range(9) if t not in learning_signal]] = 0
    wanted = kernel_by_hand(net, batch, rule)
    assert bool(learning_signal) == bool(wanted["w_rec"].any())
    for held in (1, 2, 100):
        monkeypatch.setattr("tca.connections.vector_products.WINDOW_BYTES", held * 4 * 24 * 8)
        for name, each in tca.Learner(net, rule).grads(batch)[0].items():
            assert torch.allclose(each, wanted[name], rtol=1e-11, atol=1e-15), name


def operations(work: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", ["gevb", "gevb_local", "gevb_network"])
def test_recurrent_products_are_taken_once_for_all_components(name: str) -> None:
    """No product over components, none for steps without an error: counted in multiplications and additions."""
    steps, trials, cells, components = 10, 3, 8, 5
    net = VectorRNN(2, cells, components, dtype=F64)
    learner = tca.Learner(net, tca.RULES[name])
    product = 2 * trials * cells * cells  # of one step and component
    for learning_signal in ("all", "last"):
        batch = sequences(net, trials, steps, last_only=learning_signal == "last")
        forwards = operations(lambda inputs=batch.inputs: net.run(inputs))
        spent = operations(lambda batch=batch: learner.grads(batch)) - forwards
        few = 1 if learning_signal == "last" and name != "gevb_network" else steps
        rest = 2 * trials * components * cells * (2 + 1 + 1 + 1)  # inputs, biases, scores on activity, readout
        assert few * product <= spent <= few * (product + rest)
        assert spent < few * components * product


def test_a_signal_that_is_no_product_is_gathered_in_full() -> None:
    """With another filter, or with something added, changes are outer products with the learning signal."""
    net = scattered(VectorRNN(3, 6, 4, dtype=F64))
    batch = sequences(net, 4, 9, last_only=False)
    rules = (
        tca.Rule(GlobalVector(), NetworkKernel(0.7)),
        tca.Rule(GlobalVector(gated=False), Leak()),
        tca.Rule(GlobalVector(), Full()),
        tca.Rule(Regularised(GlobalVector(), (Power(),)), Leak()),
    )
    for rule in rules:
        learner = tca.Learner(net, rule)
        found = learner.grads(batch)[0]
        assert distance(found, learner.grads(batch, execution="forward")[0]) < 1e-12
        assert distance(found, changes(net, "gevb_local", batch)) > 1e-4


def recurrent_violations(net: Any, rule: str, name: str) -> float:
    wrong = counted = 0
    for seed in range(20):
        batch = sequences(net, 1, 20, pulse=True, seed=seed)
        found, true = changes(net, rule, batch)[name], changes(net, "bptt", batch)[name]
        wrong += int((found * true < 0).sum())
        counted += int((found != 0).sum())
    return wrong / counted


def test_signs_of_a_pulse_long_ago() -> None:
    """One pulse, one error 20 steps later: input weights move with the sign of their gradient, recurrent ones mostly;
    with recurrent weights of both signs neither do."""
    net = VectorRNN(6, 64, 4, dtype=F64)
    for rule, most in (("gevb_local", 0.15), ("gevb_network", 0.04)):
        assert recurrent_violations(net, rule, "w_in") == 0.0
        assert 0.0 < recurrent_violations(net, rule, "w_rec") < most
    with torch.no_grad():
        net.w_rec *= normal(64, 64).sign()
    assert recurrent_violations(net, "gevb_local", "w_in") > 0.2


KERNELS = {  # cells, alpha, root: cosines of R and W_in with the local kernel, with that of the network; signs of R
    (64, 1.0, 0.9): (0.38, 0.43, 0.84, 0.82, 0.63, 0.84),
    (64, 0.2, 0.9): (0.66, 0.58, 0.81, 0.75, 0.75, 0.88),
    (64, 0.2, 0.5): (0.67, 0.63, 0.63, 0.56, 0.80, 0.86),
    (256, 1.0, 0.9): (0.44, 0.42, 0.88, 0.87, 0.64, 0.89),
    (256, 0.2, 0.9): (0.69, 0.61, 0.80, 0.76, 0.75, 0.90),
    (256, 0.2, 0.5): (0.66, 0.63, 0.63, 0.57, 0.81, 0.88),
}
NETWORKS = {64: 10, 256: 3}  # over so many the means are taken


@pytest.mark.parametrize(("setting", "wanted"), KERNELS.items(), ids=str)
def test_alignment_with_backpropagation_through_time(
    setting: tuple[int, float, float], wanted: tuple[float, ...]
) -> None:
    """At the start, white-noise inputs and an error at the end: mean cosines and shares of equal signs of both kernels.

    Means of ten networks scatter by 0.03, of three by 0.05.
    """
    cells, alpha, root = setting
    network = tca.RULES["gevb_network"]
    found = torch.zeros(NETWORKS[cells], 6)
    for seed, row in enumerate(found):
        net = VectorRNN(6, cells, 4, integration_rate=alpha, perron_root_bound=root, seed=seed, dtype=F64)
        batch = sequences(net, 32, 20, seed=seed)
        true = changes(net, "bptt", batch)
        for at, rule in enumerate((tca.RULES["gevb_local"], network)):
            learning_signal = changes(net, rule, batch)
            row[2 * at] = cosine(learning_signal["w_rec"], true["w_rec"])
            row[2 * at + 1] = cosine(learning_signal["w_in"], true["w_in"])
            product = learning_signal["w_rec"] * true["w_rec"]
            row[4 + at] = (product[product != 0] > 0).double().mean()
            assert cosine(learning_signal["w_out"], true["w_out"]) > 1 - 1e-12
    assert found.mean(0).tolist() == pytest.approx(wanted, abs=0.08)


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


def cue_accuracy(rule: tca.Rule, frozen: tuple[str, ...], updates: int) -> float:
    """Share of right answers after training on a cue of two steps, one of four, asked for at the end of 15 steps."""
    net = VectorRNN(4, 64, 4)
    for name in frozen:
        net.get_parameter(name).requires_grad_(False)
    learned = [each for each in net.parameters() if each.requires_grad]
    learner, optimizer = tca.Learner(net, rule), torch.optim.Adam(learned, 3e-3)
    generator = torch.Generator().manual_seed(2)
    weights = torch.zeros(15, 64)
    weights[-1] = 1
    right = []
    for _ in range(updates):
        cue = torch.randint(4, (64,), generator=generator)
        inputs = 0.1 * torch.randn(15, 64, 4, generator=generator)
        inputs[:2] += functional.one_hot(cue, 4)
        optimizer.zero_grad()
        info = learner.backward(tca.Batch(inputs, cue.expand(15, 64), weights, CrossEntropy()))
        optimizer.step()
        net.project_()
        right.append(float((info.outputs[-1].argmax(-1) == cue).double().mean()))
    return sum(right[-20:]) / 20


def test_delayed_cues_are_learned() -> None:
    """Both kernels learn to hold a cue; the readout alone does not."""
    for name in ("gevb_local", "gevb_network"):
        assert cue_accuracy(tca.RULES[name], (), 100) >= 0.97
    assert cue_accuracy(tca.RULES["gevb_local"], ("w_in", "w_rec", "b"), 100) <= 0.8


def test_rules_are_compositions() -> None:
    """The rows of the table, and which of them work without recurrent cells."""
    assert tca.RULES["gevb"] == tca.Rule(GlobalVector(), Instant())
    assert tca.RULES["gevb_local"] == tca.Rule(GlobalVector(), Leak())
    assert tca.RULES["gevb_network"] == tca.Rule(GlobalVector(gated=False), NetworkKernel())
    net = VectorCNN((1, 4, 4), [ConvLayer(2), DenseLayer(4)], 2)
    for name in ("gevb", "gevb_local"):
        assert tca.RULES[name].local
        assert tca.Learner(net, tca.RULES[name]).buffers == {}
