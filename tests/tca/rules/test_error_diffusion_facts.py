"""Facts about error diffusion in networks of two streams: signs, routing, floors, relays and traces.

Shapes: T time, B batch, H cells of a stream, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Instant, Leak
from tca.losses import MSE, Logistic
from tca.nets import DualStreamMLP, DualStreamRNN, Network
from tca.nets.dual_stream.dual_stream_networks import streams_of
from tca.rule import Rule
from tca.signals import ErrorDiffusion, Random
from tca.signals.error_diffusion import ModuloRouting, NoCentre, SingleClassWarning
from tests.support.rows import relative
from tests.tca.signals.test_error_diffusion import NETS, classes, rattled

F64 = torch.float64
PLAIN = Rule(ErrorDiffusion(centring=NoCentre()), Instant())
CENTRED = Rule(ErrorDiffusion(), Instant())
WIRING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "streams": torch.outer,
    "presynaptic": lambda post, pre: torch.ones_like(post).unsqueeze(1) * pre,
}


def uniform(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def drawn(net: Any, seed: int) -> Any:
    """A network with random magnitudes of all sizes and biases of both signs."""
    with torch.no_grad():
        for index, parameter in enumerate(net.parameters()):
            parameter.copy_(uniform(100 * seed + index, *parameter.shape) - 0.5 * (parameter.ndim == 1))
            if parameter.ndim > 1:
                parameter.mul_(2 / math.sqrt(parameter.shape[1]))
    net.project_()
    return net


def by_hand(net: Any, inputs: Tensor, wiring: str, width: float = 6.0) -> tuple[list[Tensor], Tensor]:
    """Rates of both streams and outputs of a perceptron, ``(B, 2 H)`` a layer, with a graph from layer to layer."""
    values = {name: each.detach() for name, each in net.named_parameters()}
    rates, pre = [], torch.cat([inputs, inputs], -1)
    for number in range(1, len(net.hidden_layers) + 1):
        magnitude = values[f"w_{number}"]
        signs = WIRING[wiring](streams_of(len(magnitude)), streams_of(magnitude.shape[1]))
        drive = pre @ (signs * magnitude).T + values[f"b_{number}"]
        rates.append(torch.sigmoid(2 / width * drive).requires_grad_())
        pre = rates[-1]
    out = values["w_out"]
    return rates, 2 / 6 * (pre @ (streams_of(out.shape[1]) * out).T + values["b_out"])


@pytest.mark.parametrize(("sizes", "outputs", "checks"), [([12, 10, 10], 1, 320), ([40, 40], 10, 8000)])
def test_every_cell_moves_every_output_by_its_own_sign(sizes: list[int], outputs: int, checks: int) -> None:
    """``sign(dy_c / dh_k) = t_k`` for random magnitudes, five inputs, all layers and all outputs, by autograd."""
    net = drawn(DualStreamMLP(8, sizes, outputs, dtype=F64), 1)
    inputs = uniform(9, 5, 8)
    rates, y = by_hand(net, inputs, "streams")
    assert relative(net.run(inputs.unsqueeze(0)).outputs[0], y.detach()) < 1e-13
    right = 0
    for output in range(outputs):
        slopes = torch.autograd.grad(y[:, output].sum(), rates, retain_graph=True)
        right += sum(int((each * streams_of(each.shape[1]) > 0).sum()) for each in slopes)
    assert right == checks


def test_presynaptic_signs_alone_leave_cells_that_do_the_opposite() -> None:
    """Three layers of 2 x 20 cells, 20 networks: fewer than 95 percent move the output by their own sign."""
    shares = []
    for seed in range(20):
        net = drawn(DualStreamMLP(8, [20, 20, 20], 1, wiring="presynaptic", dtype=F64), seed)
        rates, y = by_hand(net, uniform(seed, 5, 8), "presynaptic")
        signs = [each * streams_of(40) > 0 for each in torch.autograd.grad(y.sum(), rates)]
        shares.append(float(torch.stack(signs).double().mean()))
    assert 0.5 < sum(shares) / 20 < 0.95
    assert min(shares) < 0.9


@pytest.mark.parametrize(
    "build", [NETS["mlp"], NETS["rnn"], NETS["rnn of form B"]], ids=["mlp", "rnn", "rnn of form B"]
)
@pytest.mark.parametrize("loss", [MSE(), Logistic()], ids=repr)
def test_it_is_direct_feedback_alignment_bit_for_bit(build: Callable[[], Network], loss: Any) -> None:
    """Errors that are not centred, through the fixed feedback ``[+M; -M]`` of direct feedback alignment."""
    net = build()
    batch = replace(classes(net, steps=3, loss=Logistic()), loss=loss)
    plain = Rule(ErrorDiffusion(centring=NoCentre(), gate_outputs=False), Leak())
    one, other = tca.Learner(net, plain), tca.Learner(net, Rule(Random(), Leak()))
    for population in net.populations():
        prefix = f"{population.name}." if population.name else ""
        routing = ModuloRouting().matrix(population.cells // 2, net.n_out, torch.Generator())
        other.buffers[f"{prefix}feedback"].copy_(torch.cat([routing, -routing]))
    found, wanted = one.grads(batch)[0], other.grads(batch)[0]
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    other.buffers[f"{prefix}feedback"].neg_()
    assert not torch.equal(
        other.grads(batch)[0]["b" if "b" in wanted else "b_1"], found["b" if "b" in wanted else "b_1"]
    )


def test_centred_errors_are_those_of_targets_that_are_moved() -> None:
    """``D = d - mean d`` is what targets less that mean would give without centring; its columns add up to zero."""
    net = NETS["mlp"]()
    batch = replace(classes(net, loss=Logistic()), loss=MSE())
    mean = (batch.targets - net.run(batch.inputs).outputs).mean(1, keepdim=True)
    moved = replace(batch, targets=batch.targets - mean)
    found, wanted = (tca.Learner(net, rule).grads(each)[0] for rule, each in ((CENTRED, batch), (PLAIN, moved)))
    assert all(float((found[name] - wanted[name]).abs().max()) < 1e-13 for name in wanted)
    learner = tca.Learner(net, CENTRED)
    for level in learner.tape(batch).levels:
        learning_signal = learner.signals(batch)[level.population.name][1] / level.activation.slope(level.rate[1])
        assert float(learning_signal.sum(0).abs().max()) < 1e-12
        assert float(learning_signal.abs().max()) > 1e-3


def test_a_batch_of_one_class_tells_the_spread_around_its_mean() -> None:
    """Targets that are all alike drop out: what is left is how far each output is from the mean output."""
    net = NETS["mlp"]()
    labels = torch.zeros(1, 12, 3, dtype=F64)
    labels[..., 1] = 1.0
    batch = replace(classes(net), targets=labels, loss=Logistic())
    share = torch.sigmoid(net.run(batch.inputs).outputs)
    wanted = -(share - share.mean(1, keepdim=True)) / 12
    learner = tca.Learner(net, CENTRED)
    diffused = learner.rule.signal.diffused(learner.tape(batch), {})  # type: ignore[attr-defined]
    with pytest.warns(SingleClassWarning):
        learner.grads(batch)
    assert float((diffused[1:] - wanted).abs().max()) < 1e-15


@pytest.mark.parametrize("wiring", WIRING)
def test_magnitudes_change_by_the_sign_of_their_synapse(wiring: str) -> None:
    """``dm = eta sigma (t_post R_post) slope_post a_pre`` in both wirings, to round-off, in every layer."""
    net = drawn(DualStreamMLP(5, [6, 4], 3, wiring=wiring, dtype=F64), 2)
    batch = classes(net, loss=Logistic())
    found = tca.Learner(net, CENTRED).grads(batch)[0]
    rates, y = by_hand(net, batch.inputs[0], wiring)
    d = batch.targets[0] - torch.sigmoid(y.detach())
    centred = (d - d.mean(0)) / batch.trials
    pre = torch.cat([batch.inputs[0]] * 2, -1)
    for number, rate in enumerate(rates, 1):
        h = rate.detach()
        post = streams_of(h.shape[1])
        routed = torch.cat([centred[:, torch.arange(h.shape[1] // 2) % 3]] * 2, -1)
        drive = post * routed * 2 / 6 * h * (1 - h)
        signs = WIRING[wiring](post, streams_of(pre.shape[1]))
        assert relative(-found[f"w_{number}"], signs * (drive.T @ pre)) < 1e-12
        pre = h


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_no_magnitude_falls_below_the_floor_in_any_network(build: Callable[[], Network]) -> None:
    """After every large step, also where the gain of loops is bounded; at the floor a positive drive lifts it again."""
    net = build()
    learner, optimizer = tca.Learner(net, CENTRED), torch.optim.SGD(net.parameters(), 50.0)
    magnitudes = {name: each for name, each in net.named_parameters() if each.ndim > 1}
    exists = {each.name: each.mask for each in net.connections()}
    at_floor = False
    for _ in range(6):
        optimizer.zero_grad()
        learner.backward(classes(net, steps=2))
        optimizer.step()
        net.project_()
        for name, each in magnitudes.items():
            there = torch.ones_like(each) if exists[name] is None else exists[name]
            kept = each.detach()[there.expand_as(each) > 0]
            assert float(kept.min()) >= 1e-4
            at_floor |= bool((kept == 1e-4).any())
    assert at_floor


def test_the_bound_of_loops_leaves_synapses_at_the_floor() -> None:
    """What a cell receives is cut back to ``kappa 2 width`` by taking from what lies above the floor."""
    net = DualStreamRNN(2, 20, 2, seed=1, dtype=F64)
    with torch.no_grad():
        net.w_rec.mul_(50)
        net.w_rec[:, ::3] = 0
    net.project_()
    off_diagonal = net.w_rec.detach()[~torch.eye(40, dtype=torch.bool)]
    assert float(off_diagonal.min()) == 1e-4
    assert float(net.w_rec.detach().sum(1).max()) <= 0.9 * 2 * 3 * (1 + 1e-14)
    assert float(torch.linalg.eigvals(net.w_rec.detach()).abs().max()) / (2 * 3) <= 0.9 + 1e-12


@pytest.mark.parametrize(("kappa", "width"), [(0.9, 3.0), (0.5, 6.0)])
def test_the_bound_of_loops_is_where_it_should_be(kappa: float, width: float) -> None:
    """What is above it ends on ``kappa 2 width``, what is below it stays, and a floor may fill it but for round-off."""
    net = DualStreamRNN(2, 20, 2, seed=1, loop_gain_bound=kappa, width=width, dtype=F64)
    bound = kappa * 2 * width
    for share in (0.6, 0.99):
        with torch.no_grad():
            net.w_rec.copy_(share * bound / 39 * (1 - torch.eye(40, dtype=F64)))
        before = net.w_rec.detach().clone()
        net.project_()
        assert torch.equal(net.w_rec.detach(), before)
    with torch.no_grad():
        net.w_rec.copy_(0.3 + torch.rand(40, 40, dtype=F64, generator=torch.Generator().manual_seed(2)))
    loud = net.w_rec.detach().clone().fill_diagonal_(0)
    net.project_()
    least = 1e-4 * (1 - torch.eye(40, dtype=F64))
    upper = loud - least
    wanted = least + upper * ((bound - least.sum(1)) / upper.sum(1)).unsqueeze(1)
    assert torch.allclose(net.w_rec.detach(), wanted, rtol=1e-12, atol=1e-15)
    assert torch.allclose(net.w_rec.detach().sum(1), torch.full((40,), bound, dtype=F64), rtol=1e-12)

    def refused(floor: float) -> str:
        try:
            DualStreamRNN(2, 20, 2, loop_gain_bound=kappa, width=width, floor=floor, dtype=F64)
        except ValueError as error:
            return str(error)
        return ""

    assert refused(bound / 39 * (1 - 1e-12)) == ""
    assert "loop_gain_bound must be at least" in refused(bound / 39 * (1 + 1e-9))


@pytest.mark.slow
def test_the_original_rule_never_shrinks_a_magnitude() -> None:
    """A thousand updates one after another; with shrinking allowed some fall."""
    fell = {}
    for name, rule in (("grow", tca.RULES["kaneko"]), ("shrink", PLAIN)):
        net = DualStreamMLP(4, [8], 1, width=0.4, width_out=0.4, floor=0.0, dtype=F64)
        learner, fell[name] = tca.Learner(net, rule), 0
        for update in range(1000 if name == "grow" else 100):
            inputs, target = uniform(update, 1, 1, 4), (uniform(update + 5000, 1, 1, 1) > 0.5).double()
            batch = tca.Batch(inputs, target, torch.ones(1, 1, dtype=F64), Logistic())
            found = learner.grads(batch)[0]
            with torch.no_grad():
                for key in ("w_1", "w_out"):
                    before = net.get_parameter(key).clone()
                    net.get_parameter(key).sub_(0.8 * found[key])
                    fell[name] += int((net.get_parameter(key) < before).sum())
                net.project_()
    assert fell["grow"] == 0
    assert fell["shrink"] > 100


def test_strict_signs_climb_along_some_weights() -> None:
    """One output, one example: the two streams descend along every weight, presynaptic signs climb along a few."""
    climbed: dict[str, list[float]] = {"streams": [], "presynaptic": []}
    for seed in range(20):
        batch = tca.Batch(
            uniform(seed, 1, 1, 8), torch.full((1, 1, 1), 3.0, dtype=F64), torch.ones(1, 1).double(), MSE()
        )
        for wiring, shares in climbed.items():
            net = drawn(DualStreamMLP(8, [20, 20, 20], 1, wiring=wiring, dtype=F64), seed)
            found, true = (tca.Learner(net, rule).grads(batch)[0] for rule in (PLAIN, tca.RULES["bptt"]))
            against = [found[name] * true[name] < 0 for name in ("w_1", "w_2", "w_3")]
            shares.append(float(torch.cat([each.double().flatten() for each in against]).mean()))
    assert max(climbed["streams"]) == 0
    assert 0.1 < sum(climbed["presynaptic"]) / 20 < 0.4


@pytest.mark.parametrize("form", ["A", "B"])
def test_recurrent_traces_of_every_parameter(form: str) -> None:
    """Six cells, a = .2, five steps: sums over steps of routed error, slope and trace, synapse by synapse."""
    a, width = 0.2, 3.0
    net = rattled(DualStreamRNN(2, 3, 2, tau=-10 / math.log(1 - a), form=form, dtype=F64))
    batch = classes(net, steps=5, trials=4, loss=Logistic())
    found = tca.Learner(net, tca.RULES["error_diffusion"]).grads(batch)[0]
    w = {name: each.detach() for name, each in net.named_parameters()}
    t, t_in = streams_of(6), torch.cat([torch.ones(2), -torch.ones(2)]).double()
    signed = {"w_rec": torch.outer(t, t), "w_in": torch.outer(t, t_in), "b": torch.ones(6, 1).double(), "w_out": t}
    route = torch.arange(3).repeat(2) % 2
    state, h = torch.zeros(4, 6, dtype=F64), torch.full((4, 6), 0.5 if form == "A" else 0.0, dtype=F64)
    traces = {name: torch.zeros(4, 6, size, dtype=F64) for name, size in (("w_rec", 6), ("w_in", 4), ("b", 1))}
    wanted = {name: torch.zeros(6, each.shape[2], dtype=F64) for name, each in traces.items()}
    wanted["w_out"], wanted["b_out"] = torch.zeros(2, 6, dtype=F64), torch.zeros(2, dtype=F64)
    for step in range(5):
        copied = torch.cat([batch.inputs[step]] * 2, -1)
        pres = {"w_rec": h, "w_in": copied, "b": torch.ones(4, 1, dtype=F64)}
        drive = h @ (signed["w_rec"] * w["w_rec"]).T + copied @ (signed["w_in"] * w["w_in"]).T + w["b"]
        if form == "A":
            state = (1 - a) * state + a * drive
            h = torch.sigmoid(2 / width * state)
        else:
            active = torch.sigmoid(2 / width * drive)
            h = (1 - a) * h + a * active
        slope = 2 / width * (h * (1 - h) if form == "A" else active * (1 - active))
        share = torch.sigmoid(h @ (signed["w_out"] * w["w_out"]).T + w["b_out"])
        d = (batch.targets[step] - share) / 4
        centred = d - d.mean(0)
        learning_signal = t * centred[:, route]
        for name, pre in pres.items():
            gain = a if form == "A" else a * slope.unsqueeze(-1)
            traces[name] = (1 - a) * traces[name] + gain * pre.unsqueeze(1)
            at_cell = learning_signal * slope if form == "A" else learning_signal
            wanted[name] += signed[name] * torch.einsum("bi,bij->ij", at_cell, traces[name])
        gated = centred * share * (1 - share)
        wanted["w_out"] += signed["w_out"] * (gated.T @ h)
        wanted["b_out"] += gated.sum(0)
    wanted["w_rec"] *= 1 - torch.eye(6)
    for name, each in wanted.items():
        assert relative(-found[name], each.view_as(found[name])) < 1e-12, name


def test_signs_by_both_cells_leave_the_eigenvalues() -> None:
    """Each eigenvalue of the signed weights is one of the magnitudes and the other way round, complex ones too."""
    magnitude = uniform(4, 40, 40)
    t = streams_of(40)
    signed, plain = (torch.linalg.eigvals(each) for each in (torch.outer(t, t) * magnitude, magnitude))
    apart = (signed[:, None] - plain[None]).abs()
    assert float(apart.amin(0).max()) < 1e-10
    assert float(apart.amin(1).max()) < 1e-10
    assert bool((plain.imag.abs() > 0.1).any())
    strict = torch.linalg.eigvals(magnitude * t)
    assert float((strict[:, None] - plain[None]).abs().amin(1).max()) > 0.1


def test_a_network_with_relays_learns_the_same() -> None:
    """Each cell excites its stream and its inhibitory relay the other: same changes, every cell of one sign."""
    net = drawn(DualStreamMLP(6, [5, 4], 3, dtype=F64), 3)
    batch = classes(net, loss=Logistic())
    learner = tca.Learner(net, CENTRED)
    found, learning_signal, tape = learner.grads(batch)[0], learner.signals(batch), learner.tape(batch)
    pre = torch.cat([batch.inputs[0]] * 2, -1)
    for number, level in enumerate(reversed(tape.levels), 1):
        magnitude = net.get_parameter(f"w_{number}").detach()
        same = streams_of(len(magnitude)).unsqueeze(1) == streams_of(magnitude.shape[1])
        cells, relays = (magnitude * same).requires_grad_(), (magnitude * ~same).requires_grad_()
        outgoing = torch.cat([cells, -relays], 1)
        signs = [column[column != 0].sign().unique() for column in outgoing.detach().T]
        assert all(len(each) <= 1 for each in signs)
        drive = torch.cat([pre, pre], -1) @ outgoing.T + net.get_parameter(f"b_{number}").detach()
        rate = torch.sigmoid(2 / 6 * drive)
        assert relative(rate.detach(), level.rate[1]) < 1e-12
        by_cells, by_relays = torch.autograd.grad(
            (drive * learning_signal[level.population.name][1]).sum(), (cells, relays)
        )
        assert relative(by_cells * same + by_relays * ~same, found[f"w_{number}"]) < 1e-12
        pre = rate.detach()
