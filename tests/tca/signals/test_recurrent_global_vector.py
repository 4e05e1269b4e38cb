"""Global error vectors in recurrent networks: traces, kernels through the network, products, signs."""

from __future__ import annotations

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
from tca.nets import VectorRNN
from tca.signals import GlobalVector, Regularised
from tca.signals.regularisers.activity_regularisers import Power
from tests.tca.nets.vector.test_vector_networks import (
    autograd,
    distance,
    normal,
    scattered,
)
from tests.tca.signals.test_global_vector import F64, changes, cosine, sequences


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


@pytest.mark.thirds
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


@pytest.mark.slow
def test_delayed_cues_are_learned() -> None:
    """Both kernels learn to hold a cue; the readout alone does not."""
    for name in ("gevb_local", "gevb_network"):
        assert cue_accuracy(tca.RULES[name], (), 100) >= 0.97
    assert cue_accuracy(tca.RULES["gevb_local"], ("w_in", "w_rec", "b"), 100) <= 0.8
