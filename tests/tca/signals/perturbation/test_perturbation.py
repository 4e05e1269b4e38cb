"""Rules that try things out: noise in drives or weights, and rewards of trials."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Fluctuations, Leak, NodeNoise, WeightNoise
from tca.signals import Direct, RewardDifference, RewardPredictionError
from tca.signals.perturbation.trial_reward import Correctness, MinusLoss
from tca.utils.noise import Rare, Signs, Uniform
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.draws_listed import Listed, copies, sign_patterns
from tests.support.rows import assert_same, learner, relative, true_gradient

TRYING = ("node_perturbation", "weight_perturbation", "miconi")
each_rule = pytest.mark.parametrize("name", TRYING)
each_form = pytest.mark.parametrize("form", ["A", "B"])


def tiny(form: str = "A", **changed: Any) -> Case:
    return Case(f"tiny-{form}", form=form, sizes=(2, 3, 2), steps=3, trials=1, **changed)


def node_error(case: Case, sigma: float, **options: Any) -> float:
    """Distance of the mean over all 2^9 sign patterns from the true gradient of the recurrent weights."""
    patterns = sign_patterns(3, 3).movedim(0, 1)
    rule = tca.Rule(RewardDifference(), NodeNoise(sigma, noise=Listed([patterns]), **options))
    found = learner(case, rule).grads(copies(case.batch(), 512))[0]
    assert_same({"w_out": found["w_out"]}, {"w_out": true_gradient(case)["w_out"]})
    return max(relative(found[key], true_gradient(case)[key]) for key in ("w_rec", "w_in", "b"))


@each_form
@pytest.mark.parametrize("readout_leak", [0.0, 0.6])
@pytest.mark.parametrize("rates", ["clean", "perturbed"])
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_error_of_node_perturbation_is_of_second_order(
    form: str, readout_leak: float, rates: str, antithetic: bool
) -> None:
    """Over all 2^9 sign patterns the mean misses the true gradient by sigma squared."""
    case = tiny(form, readout_leak=readout_leak)
    errors = [node_error(case, sigma, rates=rates, antithetic=antithetic) for sigma in (1e-1, 1e-2, 1e-3)]
    assert 2e-3 < errors[0] < 5e-2
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.05)


def test_one_sided_is_antithetic_in_the_mean() -> None:
    """Over all patterns the two agree with clean rates, and perturbed rates err more."""
    assert node_error(tiny(), 0.1) == pytest.approx(node_error(tiny(), 0.1, antithetic=True), rel=1e-9)
    assert node_error(tiny(), 0.1, rates="perturbed") > 2 * node_error(tiny(), 0.1)
    single = learner(tiny(), tca.RULES["node_perturbation"]).grads(tiny().batch())[0]
    assert relative(single["w_rec"], true_gradient(tiny())["w_rec"]) > 0.5


@each_form
@pytest.mark.parametrize("rates", ["clean", "perturbed"])
@pytest.mark.parametrize("antithetic", [False, True])
def test_a_draw_of_node_noise_equals_the_equations(form: str, rates: str, antithetic: bool) -> None:
    """Every synapse sums noise times activity; every trial has its own loss; private noise is the same in all runs."""
    case = Case("nodes", form=form, sizes=(3, 4, 2), steps=6, seed=5)
    generator = torch.Generator().manual_seed(0)
    xi, private = (torch.randn(6, 3, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    eligibility = NodeNoise(0.3, antithetic, rates, Listed([xi]))
    bound, batch = learner(case, tca.Rule(RewardDifference(), eligibility)), case.batch()
    found = bound.grads(batch, noise=private)[0]

    def trial_losses(added: Tensor) -> tuple[Tensor, Tensor]:
        outputs = bound.net.functional({}, batch.inputs, added).detach()
        return (batch.weights * batch.loss.value(outputs, batch.targets)).sum(0), bound.net.run(
            batch.inputs, added
        ).rate[:-1]

    noisy, noisy_rates = trial_losses(private + 0.3 * xi)
    clean, clean_rates = trial_losses(private)
    against = trial_losses(private - 0.3 * xi)[0] if antithetic else clean
    slope = (noisy - against) / (0.6 if antithetic else 0.3) / 3
    rates_seen = noisy_rates if rates == "perturbed" else clean_rates
    assert relative(found["w_rec"], torch.einsum("b,tbi,tbj->ij", slope, xi, rates_seen)) < 1e-12
    assert relative(found["w_in"], torch.einsum("b,tbi,tbj->ij", slope, xi, batch.inputs)) < 1e-12
    assert relative(found["b"], torch.einsum("b,tbi->i", slope, xi)) < 1e-12


def smallest(kind: str) -> tuple[Any, tca.Batch]:
    """A network with few enough weights to try all signs of, and trials."""
    generator = torch.Generator().manual_seed(6)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    net = {
        "rnn": lambda: tca.nets.LeakyRNN(1, 2, 1, tau=20.0, dtype=torch.float64),
        "mlp": lambda: tca.nets.MLP(2, [2, 1], 1, activation="tanh", dtype=torch.float64),
    }[kind]()
    steps = 4 if kind == "rnn" else 1
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(normal(*parameter.shape))
    batch = tca.Batch(normal(steps, 3, net.n_in), normal(steps, 3, 1), torch.ones(steps, 3).double(), tca.losses.MSE())
    return net, batch


@pytest.mark.parametrize("kind", ["rnn", pytest.param("mlp", marks=pytest.mark.slow)])
def test_the_error_of_weight_perturbation_is_of_second_order(kind: str) -> None:
    """Over all sign patterns of all weights, in recurrent and feedforward networks of several populations."""
    net, batch = smallest(kind)
    hidden = [each.name for each in net.hidden_connections()]
    sizes = [net.get_parameter(name).numel() for name in hidden]
    wanted = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    patterns = sign_patterns(sum(sizes))
    populations = net.populations()
    order = [
        each.name
        for population in populations
        for each in net.hidden_connections()
        if len(populations) == 1 or population.name.endswith(each.name.split("_")[-1])
    ]
    assert sorted(order) == sorted(hidden)

    def error(sigma: float) -> float:
        total = {name: torch.zeros_like(each) for name, each in wanted.items()}
        for pattern in patterns:
            pieces = dict(zip(hidden, pattern.split(sizes), strict=True))
            rows = [pieces[name].view(net.get_parameter(name).shape) for name in order]
            rule = tca.Rule(RewardDifference(), WeightNoise(sigma, noise=Listed(rows)))
            for name, each in tca.Learner(net, rule).grads(batch)[0].items():
                total[name] += each / len(patterns)
        return max(relative(total[name], wanted[name]) for name in hidden)

    large, small = error(1e-1), error(1e-2)
    assert 1e-4 < large < 0.2
    assert large / small == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("antithetic", [False, True])
def test_a_draw_of_weight_noise_equals_the_equation(antithetic: bool) -> None:
    """``(E(xi) - E(0)) / sigma xi`` for every weight that exists, with one draw for the batch."""
    case = CASES[3]
    bound, batch = learner(case, tca.Rule(RewardDifference(), WeightNoise(0.1, antithetic, Signs()))), case.batch()
    found = bound.grads(batch)[0]
    xi = {name: found[name].sign() for name in ("w_in", "w_rec", "b")}
    masks = {"w_in": bound.net.mask_in, "w_rec": bound.net.mask_rec, "b": torch.ones(6)}
    assert all(torch.equal(xi[name] != 0, masks[name] != 0) for name in xi)

    def loss(size: float) -> Tensor:
        moved = {name: weights_of(bound.net)[name] + size * each for name, each in xi.items()}
        return case.problem().value(oracle.outputs(case.model(), weights_of(bound.net) | moved, batch.inputs))

    for name, each in xi.items():
        wrong = min(relative(found[name], way * each) for way in _slopes(loss, antithetic))
        assert wrong < 1e-10


def _slopes(loss: Any, antithetic: bool) -> list[Tensor]:
    """Slopes along the signs of the gradient, if the noise had these signs or the opposite ones."""
    if antithetic:
        return [(loss(0.1) - loss(-0.1)) / 0.2]
    return [(loss(0.1) - loss(0.0)) / 0.1, -(loss(-0.1) - loss(0.0)) / 0.1]


def test_correctness_is_the_share_of_right_decisions() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]])
    targets, weights = torch.tensor([[0, 0], [0, 1], [1, 1]]), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    batch = tca.Batch(torch.zeros(3, 2, 1), targets, weights, tca.losses.CrossEntropy())
    assert Correctness().of(outputs, batch).tolist() == [0.5, 1.0]
    losses = MinusLoss().of(outputs, batch)
    assert float(-losses.mean()) == pytest.approx(float(batch.loss.mean(outputs, targets, weights)))
    with pytest.raises(ValueError, match="only answers that are classes are right or wrong"):
        Correctness().of(outputs, replace(batch, targets=torch.zeros(3, 2, 2), loss=tca.losses.MSE()))


@each_form
@pytest.mark.parametrize("power", [1, 3])
def test_miconi_equals_the_equations(form: str, power: int) -> None:
    """Every synapse of every trial by itself: jumps from a running mean, powers, and a mean error for each kind."""
    case = Case("miconi", form=form, sizes=(3, 4, 2), steps=6, trials=5, loss="cross_entropy", seed=5, plain=True,
                options={"learn_initial": True})  # fmt: skip
    drawn = [Rare(0.3, Uniform(4.0)).draw((6, 5, 4), torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    eligibility = Fluctuations(Listed(list(drawn)), power=power, keep=0.2, limit=None)
    whole = learner(case, tca.Rule(RewardPredictionError(keep=0.6), replace(
        eligibility, noise=Listed(list(drawn)), recurrent_only=False)))  # fmt: skip
    bound, batch = learner(case, tca.Rule(RewardPredictionError(keep=0.6), eligibility)), case.batch()
    kinds, model, weights = batch.targets[-1], case.model(), weights_of(bound.net)

    def trial(b: int, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The error of a trial and the trace of its synapses: recurrent ones, those of the inputs, the bias."""
        state, rates, trace = weights["s_0"], [], torch.zeros(4, 8, dtype=torch.float64)
        mean = None if form == "B" else state
        for t in range(6):
            rate = model.rate(state)
            drive = weights["w_rec"] @ rate + weights["w_in"] @ batch.inputs[t, b] + weights["b"] + noise[t, b]
            state = model.leak * state + (1 - model.leak) * (drive if form == "A" else torch.tanh(drive))
            x = state if form == "A" else drive
            mean = x if mean is None else mean
            for i in range(4):
                for j, pre in enumerate([*rate, *batch.inputs[t, b], 1.0]):
                    trace[i, j] += (pre * (x[i] - mean[i])) ** power
            mean = 0.2 * mean + 0.8 * x
            rates.append(model.rate(state))
        outputs = torch.stack(rates) @ weights["w_out"].t() + weights["b_out"]
        return (
            batch.weights[:, b] * batch.loss.value(outputs[:, None], batch.targets[:, b : b + 1])[:, 0]
        ).sum(), trace

    first = [trial(b, drawn[0]) for b in range(5)]
    bound.backward(batch)
    assert not bound.net.w_rec.grad.any(), "nothing was expected, so nothing surprises"
    expected = torch.zeros(2, dtype=torch.float64)
    for kind in set(kinds.tolist()):
        met = [error for b, (error, _) in enumerate(first) if kinds[b] == kind]
        expected[kind] = 0.4 * sum(met) / len(met)
    second = [trial(b, drawn[1]) for b in range(5)]
    wanted = (
        sum(expected[kinds[b]] * (error - expected[kinds[b]]) * trace for b, (error, trace) in enumerate(second)) / 5
    )
    bound.net.zero_grad()
    bound.backward(batch)
    assert relative(bound.buffers["expected"], expected) < 1e-12
    assert relative(bound.net.w_rec.grad, wanted[:, :4]) < 1e-11
    for name in ("w_in", "b", "w_out", "b_out", "s_0"):
        assert not bound.net.get_parameter(name).grad.any(), "only recurrent synapses learn"
    for _ in range(2):
        whole.net.zero_grad()
        whole.backward(batch)
    for name, part in (("w_rec", wanted[:, :4]), ("w_in", wanted[:, 4:7]), ("b", wanted[:, 7])):
        assert relative(whole.net.get_parameter(name).grad, part) < 1e-11
    for name in ("w_out", "b_out", "s_0"):
        assert not whole.net.get_parameter(name).grad.any(), "these receive no error"


def test_miconi_limits_every_change() -> None:
    """No gradient exceeds the limit, and one that does not reach it is left alone."""
    free = learner(F1, tca.Rule(RewardPredictionError(), Fluctuations(limit=None)))
    tied = learner(F1, tca.Rule(RewardPredictionError(readout_learns=True), Fluctuations(limit=100.0)))
    for bound in (free, tied):
        bound.backward(F1.batch())
        bound.net.zero_grad()
        bound.backward(F1.batch())
    found, limited = free.net.w_rec.grad, tied.net.w_rec.grad
    assert (found.abs() > 100).any()
    assert (found.abs() < 100).any()
    assert torch.equal(limited, found.clamp(-100, 100))
    assert relative(tied.net.w_out.grad, true_gradient(F1)["w_out"]) < 1e-12


@each_rule
def test_draws_belong_to_the_learner(name: str) -> None:
    """The same seed draws the same; nothing changes by looking; each batch draws anew; a saved state goes on alike."""
    first, second = learner(F1, tca.RULES[name]), learner(F1, tca.RULES[name])
    first.backward(F1.batch())
    before = first.state_dict()
    one, two = first.grads(F1.batch())[0], first.grads(F1.batch())[0]
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert all(torch.equal(before[key], each) for key, each in first.state_dict().items()), "looking changes nothing"
    second.load_state_dict(first.state_dict())
    for bound in (first, second):
        bound.net.zero_grad()
        bound.backward(F1.batch())
    assert torch.equal(first.net.w_rec.grad, second.net.w_rec.grad)
    assert relative(first.net.w_rec.grad, one["w_rec"]) > 1e-3 or name == "miconi"
    assert first.buffers["draws"] == before["draws"] + 1


@each_rule
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_has_finite_gradients_where_synapses_exist(case: Case, name: str) -> None:
    """All forms, activations, leaks, filters and masks; an initial state is not tried by noise in the drive."""
    bound = learner(case, tca.RULES[name])
    for _ in range(2):
        bound.net.zero_grad()
        bound.backward(case.batch())
    found = {key: parameter.grad for key, parameter in bound.net.named_parameters()}
    assert all(torch.isfinite(each).all() for each in found.values())
    if name == "weight_perturbation":
        assert all(each.any() for each in found.values())
    elif "s_0" in found:
        assert not found["s_0"].any()
    for mask, key in (("mask_in", "w_in"), ("mask_rec", "w_rec")):
        if getattr(bound.net, mask) is not None:
            assert not found[key][getattr(bound.net, mask) == 0].any()


@pytest.mark.parametrize("length", [1, 3, 5])
@each_rule
def test_windows_of_the_cache_leave_no_seam(name: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is gathered in pieces, whose length must not matter."""
    bound = learner(F1, tca.RULES[name])
    bound.backward(F1.batch())
    bound.follow_weights_()
    whole = bound.grads(F1.batch())[0]
    monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", length * 2 * 6 * 8)
    assert len(list(bound.tape(F1.batch()).windows())) == -(-F1.steps // length) + 1
    assert_same(bound.grads(F1.batch())[0], whole)


@each_rule
def test_single_precision_is_close(name: str) -> None:
    """Float32 draws the same; a small sigma costs digits of the difference of two losses."""
    parts = {"node_perturbation": NodeNoise(0.3), "weight_perturbation": WeightNoise(0.3), "miconi": Fluctuations()}
    rule = tca.Rule(tca.RULES[name].signal, parts[name])
    exact = learner(F1, rule).grads(F1.batch())[0]
    found = learner(F1, rule, dtype=torch.float32).grads(F1.batch().to(dtype=torch.float32))[0]
    assert all(value.dtype == torch.float32 for value in found.values())
    assert_same({key: value.double() for key, value in found.items()}, exact, 1e-4)


@pytest.mark.cuda
@each_rule
def test_gpu_equals_cpu(name: str) -> None:
    """A GPU draws the same and gives what the CPU gives."""
    exact = learner(F1, tca.RULES[name]).grads(F1.batch())[0]
    found = learner(F1, tca.RULES[name], device="cuda").grads(F1.batch().to(device="cuda"))[0]
    assert_same({key: value.cpu() for key, value in found.items()}, exact, 1e-8)


@pytest.mark.parametrize(("eligibility", "rate"), [(NodeNoise(0.01), 0.05), (WeightNoise(0.01, True), 0.04)])
def test_what_was_tried_teaches(eligibility: Any, rate: float) -> None:
    """The recurrent cells alone learn a regression from nothing but what their noise did to its loss."""
    case = Case("taught", sizes=(3, 6, 2), steps=5, trials=4, seed=12, plain=True)
    bound, batch = learner(case, tca.Rule(RewardDifference(), eligibility)), case.batch()
    batch = replace(batch, weights=batch.weights / 20)
    optimizer = torch.optim.SGD([bound.net.w_in, bound.net.w_rec, bound.net.b], lr=rate)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        losses.append(float(bound.backward(batch).loss))
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_what_cannot_be_is_refused() -> None:
    """Parts that do not fit each other or the network, and executions that do not exist."""
    with pytest.raises(ValueError, match=r"NodeNoise is a perturbation eligibility and needs .*, got Direct"):
        tca.Rule(Direct(), NodeNoise())
    with pytest.raises(ValueError, match=r"RewardDifference is a scalar reward signal and needs .*, got Leak"):
        tca.Rule(RewardDifference(), Leak())
    with pytest.raises(ValueError, match="must be 'reverse', got 'forward': the reward of a trial"):
        learner(F1, tca.RULES["node_perturbation"]).grads(F1.batch(), execution="forward")
    with pytest.raises(ValueError, match="goes by potentials without resets"):
        tca.Learner(tca.nets.SpikingRNN(3, 4, 2), tca.RULES["miconi"])
    with pytest.raises(ValueError, match="sigma must be greater than 0"):
        NodeNoise(0.0)
    with pytest.raises(ValueError, match="unknown rates 'cleen', did you mean 'clean'"):
        NodeNoise(rates="cleen")
    with pytest.raises(ValueError, match="must be odd"):
        Fluctuations(power=2)
    with pytest.raises(ValueError, match="is made from whole trials only and cannot run online"):
        learner(F1, tca.RULES["weight_perturbation"]).stream(1)
