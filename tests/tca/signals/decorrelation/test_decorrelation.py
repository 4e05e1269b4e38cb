"""Decorrelation of score and activity against autograd: the rule, its limits, and its forms in time.

Shapes: T time, B batch, N cells, O outputs. Everything is float64 unless a test converts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Instant, Leak
from tca.losses import MSE, Admissibility, Bregman, Brier, CrossEntropy, Hinge, Poisson, generators, links
from tca.losses.expansions import Bartlett, HiddenGates, InputGates, PredictionGates, ScorePowers, Seen
from tca.losses.focal import Focal
from tca.nets import MLP, Network
from tca.signals import Decay, Decorrelation, Filtered, Lagged, OutputError, Random, Score
from tca.signals.decorrelation.observables import Polynomial, Square, TanhOf
from tests.support import oracle_decorrelation
from tests.tca.test_stacks import FEEDFORWARD, NETS, autograd, batch_of, distance

F64 = torch.float64
EXACT = 1e-12
ROWS = ("ebd", "sbd", "sbd_expansion", "sbd_filtered", "sbd_lagged")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def net_of_f1() -> MLP:
    """5-6-4-3, rectified, all parameters normal of variance one."""
    net = MLP(5, [6, 4], 3, dtype=F64)
    with torch.no_grad():
        for index, parameter in enumerate(net.parameters()):
            parameter.copy_(normal(index, *parameter.shape))
    return net


def batch_of_f1() -> tca.Batch:
    return tca.Batch(normal(20, 1, 7, 5), normal(21, 1, 7, 3), torch.ones(1, 7, dtype=F64), MSE())


def bound(net: Network, signal: tca.signals.Signal, eligibility: Any = None, size: float = 1.0) -> tca.Learner:
    """A learner whose correlations are normal numbers of a size."""
    learner = tca.Learner(net, tca.Rule(signal, eligibility or Instant()))
    for index, (name, buffer) in enumerate(learner.buffers.items()):
        if name.endswith("correlation"):
            buffer.copy_(size * normal(40 + index, *buffer.shape))
    return learner


@dataclass(frozen=True)
class Pass:
    """A forward pass by hand: rates of both layers with a graph each, and the score."""

    rates: list[Tensor]
    score: Tensor
    leaves: dict[str, Tensor]


def by_hand(net: MLP, batch: tca.Batch, cut: bool = True) -> Pass:
    """Run the layers, each on an input without a graph unless not cut."""
    leaves = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    pre, rates = batch.inputs[0], []
    for number in (1, 2):
        rates.append(torch.relu(pre @ leaves[f"w_{number}"].T + leaves[f"b_{number}"]))
        pre = rates[-1].detach() if cut else rates[-1]
    outputs = pre @ leaves["w_out"].T + leaves["b_out"]
    score = batch.loss.output_error(outputs.unsqueeze(0), batch.targets)[0]
    return Pass(rates, score.detach() if cut else score, leaves)


OBSERVABLES: dict[Any, Callable[[Tensor], Tensor]] = {
    Decorrelation().observable: lambda h: h,
    Square(): lambda h: h**2,
    TanhOf(): torch.tanh,
    Polynomial((1.0, 0.0, 1.0)): lambda h: h**3 + h,
}


def loss_of_correlation(found: Pass, before: dict[str, Tensor], g: Callable[[Tensor], Tensor], layer: int) -> Tensor:
    """``1/2 |R|^2`` with lam = 0.9."""
    rate = found.rates[layer - 1]
    now = 0.9 * before[f"hidden_{layer}.correlation"] + 0.1 / len(rate) * g(rate).T @ found.score
    return 0.5 * now.square().sum()


@pytest.mark.parametrize("observable", OBSERVABLES, ids=repr)
@pytest.mark.parametrize("layer", [1, 2])
def test_change_is_the_derivative_of_half_the_squared_correlation(observable: Any, layer: int) -> None:
    """``(1 - lam) dW`` equals autograd with the correlation before, the score and the layer's input held fixed."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(0.9), observable=observable))
    before, g = learner.state_dict(), OBSERVABLES[observable]
    changes = learner.grads(batch)[0]
    names = [f"w_{layer}", f"b_{layer}"]

    def wanted(cut: bool) -> list[Tensor]:
        found = by_hand(net, batch, cut)
        leaves = [found.leaves[name] for name in names]
        return list(torch.autograd.grad(loss_of_correlation(found, before, g, layer), leaves))

    for name, each in zip(names, wanted(cut=True), strict=True):
        assert torch.allclose(0.1 * changes[name], each, rtol=0, atol=EXACT * float(each.abs().max()))
    whole = wanted(cut=False)[0]
    assert float((0.1 * changes[names[0]] - whole).norm() / whole.norm()) > 0.1, "the path through the score matters"
    stale = bound(net, Decorrelation(Decay(1.0), observable=observable)).grads(batch)[0][names[0]]
    least = (
        0.05 if observable == TanhOf() else 0.1
    )  # a tanh is small beside the numbers that the correlation began with
    assert float((changes[names[0]] - stale).norm() / stale.norm()) > least, "averaged before its use"


def test_a_layer_tells_the_one_below_nothing() -> None:
    """Without a correlation of its own the first layer does not learn, for any signal of the second."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(1.0)))
    learner.buffers["hidden_1.correlation"].zero_()
    changes = learner.grads(batch)[0]
    assert not changes["w_1"].any()
    assert not changes["b_1"].any()
    assert float(changes["w_2"].norm()) > 0.01
    found = by_hand(net, batch, cut=False)
    cost = loss_of_correlation(found, learner.state_dict(), OBSERVABLES[Decorrelation().observable], 2)
    assert float(torch.autograd.grad(cost, found.leaves["w_1"])[0].norm()) > 0.01, "uncut there would be a path"


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_held_still_it_is_direct_feedback_alignment(build: Callable[[], Network]) -> None:
    """With lam = 1 the correlation never changes, and every bit is that of fixed random feedback."""
    net = build()
    batch = batch_of(net)
    still, dfa = bound(net, Decorrelation(Decay(1.0))), tca.Learner(net, tca.Rule(Random(), Instant()))
    dfa.load_state_dict({name.replace("correlation", "feedback"): each for name, each in still.state_dict().items()})
    before = still.state_dict()
    still.backward(batch)
    assert all(torch.equal(before[name], still.buffers[name]) for name in before)
    one, two = still.grads(batch)[0], dfa.grads(batch)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)
    moving = bound(net, Decorrelation(Decay(0.9))).grads(batch)[0]
    first = next(iter(one))
    assert not torch.equal(moving[first], one[first])


def test_constant_activity_and_score() -> None:
    """After 50 equal batches ``R = lam^50 R_0 + (1 - lam^50) / B H^T S``."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(0.9)))
    before = learner.state_dict()
    for _ in range(50):
        learner.backward(batch)
    found = by_hand(net, batch)
    for layer, rate in enumerate(found.rates, 1):
        name = f"hidden_{layer}.correlation"
        wanted = 0.9**50 * before[name] + (1 - 0.9**50) / 7 * rate.detach().T @ found.score
        assert torch.allclose(learner.buffers[name], wanted, rtol=0, atol=EXACT * float(wanted.abs().max()))


@dataclass(frozen=True)
class Mirrored(MSE):
    """Minus the squared error, which nobody should minimise; its score is that of the squared error turned round."""

    admissibility: ClassVar[Admissibility] = Admissibility(True, "only for this test")

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return -super().value(outputs, targets)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return targets - outputs


def test_the_sign_of_the_error_does_not_matter() -> None:
    """Score and first correlation turned round leave hidden changes as they are; the readout's change turns."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(0.9)))
    one = learner.grads(batch)[0]
    learner.load_state_dict({name: -each for name, each in learner.state_dict().items()})
    two = learner.grads(replace(batch, loss=Mirrored()))[0]
    for name in one:
        sign = -1 if name.endswith("out") else 1
        assert torch.allclose(sign * two[name], one[name], rtol=EXACT, atol=EXACT)


def test_last_correlation_is_the_gradient_of_the_readout() -> None:
    """With ``g(z) = z`` and nothing kept, R of the last population is the transposed gradient of its readout."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(0.0)))
    learner.backward(batch)
    assert torch.allclose(learner.buffers["hidden_2.correlation"].T, net.w_out.grad, rtol=EXACT, atol=EXACT)  # type: ignore[arg-type]
    assert not torch.allclose(learner.buffers["hidden_1.correlation"][:4].T, net.w_out.grad, rtol=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [MSE(), CrossEntropy(), Poisson(), Brier()], ids=repr)
def test_forward_broadcast_is_the_derivative_by_the_readout(loss: tca.losses.Loss) -> None:
    """Besides its gradient the readout gets that of ``1/2 |R|^2`` of all populations through the score."""
    net, weight = net_of_f1(), 0.3
    targets = (
        torch.tensor([[0, 2, 1, 0, 0, 1, 2]]) if isinstance(loss, (CrossEntropy, Brier)) else normal(21, 1, 7, 3).abs()
    )
    batch = replace(batch_of_f1(), loss=loss, targets=targets)
    learner = bound(net, Decorrelation(Decay(0.9), forward_broadcast=weight))
    before = learner.state_dict()
    changes, plain = learner.grads(batch)[0], bound(net, Decorrelation(Decay(0.9))).grads(batch)[0]
    found = by_hand(net, batch)
    leaves = [found.leaves["w_out"], found.leaves["b_out"]]
    outputs = (found.rates[1].detach() @ leaves[0].T + leaves[1]).unsqueeze(0)
    (score,) = torch.autograd.grad(loss.value(outputs, targets).sum(), outputs, create_graph=True)
    cost = sum(
        0.5 * (0.9 * before[f"hidden_{k}.correlation"] + 0.1 / 7 * rate.detach().T @ score[0]).square().sum()
        for k, rate in enumerate(found.rates, 1)
    )
    for name, each in zip(("w_out", "b_out"), torch.autograd.grad(cost, leaves), strict=True):  # type: ignore[arg-type]
        added = changes[name] - plain[name]
        assert torch.allclose(0.1 * added, weight * each, rtol=1e-10, atol=EXACT * float(each.abs().max()))
    assert torch.equal(changes["w_1"], plain["w_1"])


def of_layers(net: Any, batch: tca.Batch, learner: tca.Learner) -> dict[str, Tensor]:
    """What the rule gives in a feedforward network: layers cut from one another, memories carried forwards."""
    signal, found = learner.rule.signal, autograd(net, batch)
    assert isinstance(signal, Decorrelation)
    outputs = net(batch.inputs).detach()
    score = batch.loss.output_error(outputs, batch.targets)
    pre = batch.inputs
    for population, stages in zip(net.hidden_layers, net._stages(None), strict=True):
        made = net._made(population.wires)
        leaves = [each.weight.detach().clone().requires_grad_() for each in made]
        rate = population.activation(sum(each.apply(leaf, pre) for each, leaf in zip(made, leaves, strict=True)))
        learning_signal = score
        if isinstance(signal.source, Score):
            own = {name.split(".")[-1]: each for name, each in learner.buffers.items() if population.name in name}
            learning_signal = signal.source.expansion.expand(
                score, Seen(outputs, batch.loss, rate.detach(), batch.inputs), own
            )
        memory = oracle_decorrelation.memories(signal, 0.0, list(rate.unbind(0)))
        frozen = [[each.detach() for each in seen] for seen in memory]
        before = learner.buffers[f"{population.name}.correlation"]
        correlation = oracle_decorrelation.average(signal, frozen, learning_signal, batch.weights, before)
        cost = oracle_decorrelation.received(memory, learning_signal, batch.weights, correlation)
        found |= dict(zip([each.name for each in made], torch.autograd.grad(cost, leaves), strict=True))
        pre = rate.detach()
        for operation, shape, numbers in stages:
            pre = operation.through(pre, shape, numbers)
    return found


VARIANTS: dict[str, tca.signals.Signal] = {
    **{name: tca.RULES[name].signal for name in ROWS},
    "centred": Decorrelation(Decay(0.6), centred=True),
    "prediction gates": Decorrelation(Decay(0.6), source=Score(PredictionGates(top=2))),
    "hidden gates": Decorrelation(Decay(0.6), source=Score(HiddenGates(2))),
    "input gates": Decorrelation(Decay(0.6), source=Score(InputGates(2)), reach=Lagged(1)),
    "Bartlett": Decorrelation(Decay(0.6), source=Score(Bartlett()), observable=Square()),
    "powers": Decorrelation(Decay(0.6), source=Score(ScorePowers(3)), reach=Filtered((0.3, 0.9))),
}


@pytest.mark.parametrize("build", FEEDFORWARD.values(), ids=FEEDFORWARD)
@pytest.mark.parametrize("signal", VARIANTS.values(), ids=VARIANTS)
def test_every_layer_of_a_feedforward_network(build: Callable[[], Network], signal: tca.signals.Signal) -> None:
    """In perceptrons, convolutions before their pooling and local layers the change is that of each layer alone."""
    net = build()
    batch = batch_of(net, steps=3, trials=4)
    batch.weights[1] = 0
    learner = bound(net, signal)
    assert distance(learner.grads(batch)[0], of_layers(net, batch, learner)) < EXACT


def test_a_trial_without_weight_is_not_seen() -> None:
    """Padded trials change neither the correlation nor the signal."""
    net = FEEDFORWARD["mlp"]()
    batch = batch_of(net, steps=1, trials=5)
    batch.weights[0, 3] = 0
    kept = torch.tensor([0, 1, 2, 4])
    fewer = replace(batch.select(kept), weights=batch.weights[:, kept] * 4 / 5)
    for source in (Score(), Score(Bartlett())):
        one, two = (bound(net, Decorrelation(Decay(0.5), source=source)) for _ in range(2))
        one.backward(batch)
        two.backward(fewer)
        for name, each in one.buffers.items():
            assert torch.allclose(each, two.buffers[name], rtol=EXACT, atol=EXACT)


def test_score_and_error_of_outputs_are_two_things() -> None:
    """They agree where the link matches the loss; for the Brier score they do not; others have no such error."""
    net = FEEDFORWARD["mlp"]()
    batch = batch_of(net, steps=2)
    classes = torch.arange(8).view(2, 4) % 3
    same: list[tuple[Any, Tensor]] = [
        (MSE(), batch.targets),
        (CrossEntropy(), classes),
        (Bregman(generators.NegativeEntropy(), links.SoftmaxLink()), batch.targets.softmax(-1)),
        (Poisson(), batch.targets.exp()),
    ]
    for loss, targets in [*same, (Brier(), classes)]:
        shown = replace(batch, loss=loss, targets=targets)
        one = bound(net, Decorrelation(Decay(0.5))).grads(shown)[0]
        two = bound(net, Decorrelation(Decay(0.5), source=OutputError())).grads(shown)[0]
        off = float((one["w_1"] - two["w_1"]).norm() / one["w_1"].norm())
        assert off > 0.1 if isinstance(loss, Brier) else off < EXACT
    with pytest.raises(ValueError, match="OutputError needs a loss whose predictions are means"):
        bound(net, Decorrelation(source=OutputError())).grads(replace(batch, loss=Focal(), targets=classes))


def test_norm_is_kept_on_demand() -> None:
    """The direction is that of the average, the norm that of before."""
    net, batch = net_of_f1(), batch_of_f1()
    free, kept = bound(net, Decorrelation(Decay(0.5))), bound(net, Decorrelation(Decay(0.5), keep_norm=True))
    before = kept.state_dict()
    for learner in (free, kept):
        learner.backward(batch)
    for name, each in kept.buffers.items():
        assert float(each.norm()) == pytest.approx(float(before[name].norm()), rel=1e-12)
        assert torch.allclose(each / each.norm(), free.buffers[name] / free.buffers[name].norm(), rtol=1e-12)
        assert abs(float(free.buffers[name].norm() / before[name].norm()) - 1) > 0.01


def test_scores_that_are_not_zero_in_the_mean_are_refused() -> None:
    """The reason is given, also where the correlation is held still."""
    net = MLP(5, [6, 4], 3, dtype=F64)
    batch = replace(batch_of_f1(), loss=Hinge(), targets=torch.zeros(1, 7, dtype=torch.int64))
    for lam in (0.9, 1.0):
        with pytest.raises(ValueError, match="cannot be used where activity and score are decorrelated"):
            tca.Learner(net, tca.Rule(Decorrelation(Decay(lam)), Instant())).backward(batch)


def test_state_is_saved_and_asking_changes_nothing() -> None:
    """``grads`` leaves the correlation as it is, ``backward`` moves it, and a saved state goes on to the same bits."""
    net, batch = net_of_f1(), batch_of_f1()
    learner = bound(net, Decorrelation(Decay(0.9), source=Score(InputGates(2))))
    before = learner.state_dict()
    learner.grads(batch)
    learner.signals(batch)
    assert all(torch.equal(before[name], each) for name, each in learner.buffers.items())
    learner.backward(batch)
    assert not torch.equal(before["hidden_1.correlation"], learner.buffers["hidden_1.correlation"])
    other = tca.Learner(net, learner.rule, seed=5)
    other.load_state_dict(learner.state_dict())
    one, two = learner.grads(batch)[0], other.grads(batch)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_slow_averages_are_lost_in_single_precision() -> None:
    """With silent cells and ``1 - lam = 1e-8`` the correlation fades in double precision and stands still in single."""
    for dtype, moves in ((F64, True), (torch.float32, False)):
        net = MLP(2, [3], 2, dtype=dtype)
        batch = tca.Batch(torch.zeros(1, 4, 2), torch.ones(1, 4, 2), torch.ones(1, 4), MSE()).to(dtype=dtype)
        learner = tca.Learner(net, tca.Rule(Decorrelation(Decay(1 - 1e-8)), Instant()))
        before = learner.buffers["hidden_1.correlation"].clone()
        for _ in range(5):
            learner.backward(batch)
        assert torch.equal(learner.buffers["hidden_1.correlation"], before) != moves


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("build", [NETS["stack"], NETS["mlp"], NETS["cnn"]], ids=["stack", "mlp", "cnn"])
def test_every_row_lowers_the_loss_of_every_network(name: str, build: Callable[[], Network]) -> None:
    """Fifteen updates on a few trials, in single precision; batches of other lengths follow."""
    net = build().float()
    batch = batch_of(net, dtype=torch.float32)
    learner, optimizer = tca.Learner(net, tca.RULES[name]), torch.optim.SGD(net.parameters(), 0.02)
    before = learner.grads(batch)[1].loss
    for _ in range(15):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()
    assert learner.grads(batch)[1].loss < 0.95 * before
    assert all(each.dtype == torch.float32 for each in learner.buffers.values())
    learner.backward(batch_of(net, steps=2, trials=1, dtype=torch.float32))


@pytest.mark.cuda
@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
@pytest.mark.parametrize("signal", VARIANTS.values(), ids=VARIANTS)
def test_gpu_equals_cpu(build: Callable[[], Network], signal: tca.signals.Signal) -> None:
    """The same change on a GPU."""
    net = build()
    batch = batch_of(net)
    wanted = tca.Learner(net, tca.Rule(signal, Leak())).grads(batch)[0]
    found = tca.Learner(net.to("cuda"), tca.Rule(signal, Leak())).grads(batch.to("cuda"))[0]
    assert distance({name: each.cpu() for name, each in found.items()}, wanted) < 1e-10
