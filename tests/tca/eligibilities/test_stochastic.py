"""Traces that are drawn: right in the mean over every draw there is, and equal to their equations for each."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import tca
from tca.eligibilities import KFRTRL, UORO, LearnedKernel, ReverseKFRTRL
from tca.eligibilities.traces import contract
from tca.execution import EXECUTIONS
from tca.signals import Direct, Exact, Horizon, TypeReturn
from tca.utils.noise import Normal, Rare, Signs, Uniform
from tests.support import oracle_stochastic
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.draws_listed import Listed, copies, sign_patterns
from tests.support.rows import assert_same, changes, learner, put, relative, true_gradient

INITIAL = {"learn_initial": True}
DRAWN = ("uoro", "kf_rtrl", "r_kf_rtrl", "kernl")
each_rule = pytest.mark.parametrize("name", DRAWN)
each_form = pytest.mark.parametrize("form", ["A", "B"])


def tiny(form: str, steps: int, cells: int = 3, **changed: Any) -> Case:
    """A network so small that every pattern of signs can be tried."""
    return Case(f"tiny-{form}", form=form, sizes=(2, cells, 2), steps=steps, trials=1, **changed)


def gradient(case: Case, eligibility: Any, batch: tca.Batch | None = None) -> dict[str, torch.Tensor]:
    return learner(case, tca.Rule(Direct(), eligibility)).grads(case.batch() if batch is None else batch)[0]


@each_form
@pytest.mark.parametrize("options", [{}, INITIAL], ids=["zero", "learned"])
@pytest.mark.parametrize("readout_leak", [0.0, 0.5])
@pytest.mark.parametrize("kind", [UORO, ReverseKFRTRL])
def test_the_mean_over_all_directions_is_the_true_gradient(
    form: str, options: dict[str, Any], readout_leak: float, kind: Any
) -> None:
    """Over every pattern of signs the mean is backpropagation through time, to round-off; a single draw is far off."""
    case = tiny(form, 3, options=options, readout_leak=readout_leak)
    patterns = sign_patterns(3 + len(options), 3)
    rows = list(patterns.unbind(1))
    found = gradient(case, kind(Listed(rows)), copies(case.batch(), len(patterns)))
    assert not rows
    assert_same(found, true_gradient(case), 1e-11)
    single = gradient(case, kind())
    assert relative(single["w_rec"], true_gradient(case)["w_rec"]) > 0.3


def test_the_mean_over_4096_directions() -> None:
    """Four cells, three steps: the mean over all 16^3 patterns."""
    case = tiny("B", 3, cells=4, leak=0.6)
    patterns = sign_patterns(3, 4)
    assert len(patterns) == 16**3
    found = gradient(case, UORO(Listed(list(patterns.unbind(1)))), copies(case.batch(), len(patterns)))
    assert_same(found, true_gradient(case), 1e-11)


@each_form
@pytest.mark.parametrize("options", [{}, INITIAL], ids=["zero", "learned"])
def test_the_mean_over_all_pairs_of_signs_is_the_true_gradient(form: str, options: dict[str, Any]) -> None:
    """Four cells, four steps: the mean of Kronecker products over all 4^4 patterns; a single one is far off."""
    case = tiny(form, 4, cells=4, options=options)
    patterns = sign_patterns(4, 2)
    found = gradient(case, KFRTRL(Listed(list(patterns.unbind(1)))), copies(case.batch(), len(patterns)))
    assert_same(found, true_gradient(case), 1e-11)
    assert relative(gradient(case, KFRTRL())["w_rec"], true_gradient(case)["w_rec"]) > 0.1


@pytest.mark.parametrize("kind", [UORO, KFRTRL, ReverseKFRTRL])
def test_spiking_cells_with_two_components(kind: Any) -> None:
    """Adaptive spiking cells have two numbers as their state; the mean is what the same surrogate gradients give."""
    net = tca.nets.SpikingRNN(
        2, 2, 1, tau=5.0, tau_adaptation=10.0, adaptive=1.0, threshold=0.3, gain_in=4.0, gain_rec=2.0, refractory=0.0,
        autapses=True, dtype=torch.float64, seed=4,
    )  # fmt: skip
    put(net, {"w_in": torch.tensor([[2.0, 1.0], [0.5, 3.0]])})
    generator = torch.Generator().manual_seed(2)
    inputs, targets = (torch.rand(3, 1, n, dtype=torch.float64, generator=generator) for n in (2, 1))
    batch = tca.Batch(inputs, targets, torch.ones(3, 1).double(), tca.losses.MSE())
    patterns = sign_patterns(3, {UORO: 4, KFRTRL: 2, ReverseKFRTRL: 2}[kind])
    rows = [each.reshape(-1, 2, 2) if kind is UORO else each for each in patterns.unbind(1)]
    found, info = tca.Learner(net, tca.Rule(Direct(), kind(Listed(rows)))).grads(copies(batch, len(patterns)))
    assert info.outputs.any(), "some cell has spiked"
    wanted = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    assert wanted["w_rec"].any()
    assert_same(found, wanted, 1e-11)


@each_form
@pytest.mark.parametrize("readout_leak", [0.0, 0.6])
@pytest.mark.parametrize("name", ["uoro", "kf_rtrl", "kernl"])
def test_a_draw_equals_the_equations(form: str, readout_leak: float, name: str) -> None:
    """With the same draws, trial by trial and synapse by synapse, nothing is shared with the library."""
    case = Case("drawn", form=form, sizes=(3, 5, 2), steps=8, readout_leak=readout_leak, seed=3)
    generator = torch.Generator().manual_seed(1)
    width = 2 if name == "kf_rtrl" else 5
    noise = Normal() if name == "kernl" else Signs()
    drawn = noise.draw((8, 3, width), generator)
    make = {"uoro": UORO, "kf_rtrl": KFRTRL, "kernl": LearnedKernel}[name]
    bound = learner(case, tca.Rule(Direct(), make(noise=Listed(list(drawn.unbind(0))))))
    given = case.model(), weights_of(bound.net), case.problem(), drawn
    if name == "kernl":
        wanted, kernel, decay = oracle_stochastic.kernl(*given, 0.8, (0.1, 0.1))
        bound.backward(case.batch())
        found = {key: parameter.grad for key, parameter in bound.net.named_parameters()}
        assert relative(bound.buffers["kernel"], kernel) < 1e-12
        assert relative(bound.buffers["decay"], decay) < 1e-12
        assert relative(kernel, torch.eye(5).double()) > 1e-3, "something has been learned"
    else:
        wanted = getattr(oracle_stochastic, name)(*given)
        found = bound.grads(case.batch())[0]
    assert_same({key: found[key] for key in wanted}, wanted, 1e-11)


def test_noise_of_a_third_of_the_variance_gives_a_third_of_the_gradient() -> None:
    """Uniform noise from -1 to 1 has variance 1/3, and the gradient is scaled by it; made wider it is not."""
    case, count = tiny("B", 4, cells=4, leak=0.6), 20000
    true = true_gradient(case)["w_rec"]

    def scale(width: float) -> float:
        found = gradient(case, UORO(Uniform(width)), copies(case.batch(), count))["w_rec"]
        return float((found * true).sum() / true.square().sum())

    assert scale(1.0) == pytest.approx(1 / 3, abs=0.04)
    assert scale(math.sqrt(3)) == pytest.approx(1.0, abs=0.12)


@each_form
def test_a_frozen_kernel_is_the_leak(form: str) -> None:
    """With a unit matrix, the leak as memory and no learning the trace is that of RFLO, whatever the signal."""
    case = Case("frozen", form=form, leak=0.7, options=INITIAL, readout_leak=0.4)
    rflo = tca.RULES["rflo"]
    frozen = LearnedKernel(decay=0.3, kernel_rate=0.0, decay_rate=0.0)
    assert_same(changes(case, tca.Rule(rflo.signal, frozen)), changes(case, rflo))
    faster = LearnedKernel(decay=0.31, kernel_rate=0.0, decay_rate=0.0)
    assert relative(changes(case, tca.Rule(rflo.signal, faster))["w_rec"], changes(case, rflo)["w_rec"]) > 1e-3


@each_form
def test_kernels_of_cells_that_hear_themselves_alone_are_found(form: str) -> None:
    """Linear cells with autapses only: gamma becomes one minus what each keeps, A stays one, the gradient is true.

    A perturbation that entered one step earlier than the memory of it would drive A away from one.
    """
    own = torch.tensor([0.5, -1.0]).double()
    case = Case("own", form=form, activation="linear", sizes=(2, 2, 2), steps=50, trials=4,
                options={"mask_rec": torch.eye(2)} | INITIAL)  # fmt: skip
    bound = learner(case, tca.Rule(Direct(), LearnedKernel(decay_rate=0.3)))
    put(bound.net, {"w_rec": torch.diag(own)})
    for _ in range(25):
        bound.backward(case.batch())
    assert relative(bound.buffers["decay"], 1 - (0.6 + 0.4 * own)) < 1e-10
    assert relative(bound.buffers["kernel"], torch.eye(2).double()) < 1e-12
    wanted = tca.Learner(bound.net, tca.RULES["bptt"]).grads(case.batch())[0]
    assert_same(bound.grads(case.batch())[0], wanted, 1e-8)


@each_rule
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_has_finite_gradients_where_synapses_exist(case: Case, name: str) -> None:
    """All forms, activations, leaks, filters and masks; silent cells divide nothing by zero."""
    bound = learner(case, tca.RULES[name])
    found, info = bound.grads(case.batch())
    assert all(torch.isfinite(each).all() for each in found.values())
    assert_same(
        {key: found[key] for key in ("w_out", "b_out")}, {k: true_gradient(case)[k] for k in ("w_out", "b_out")}
    )
    for mask, key in (("mask_in", "w_in"), ("mask_rec", "w_rec")):
        if getattr(bound.net, mask) is not None:
            assert not found[key][getattr(bound.net, mask) == 0].any()
    assert torch.isfinite(info.loss)


@each_rule
def test_dense_traces_are_what_gradients_are_made_of(name: str) -> None:
    """The short way from the factors to the gradient equals the influence written out."""
    bound = learner(F1, tca.RULES[name])
    tape = bound.tape(F1.batch())
    connections = [link.connection for link in tape.links]
    traces = bound.rule.eligibility.traces(connections, tape.local_step(1), 2, bound.state_dict())
    for t in (1, 2, 3):
        step = tape.local_step(t)
        for trace, pre in zip(traces, step.pres, strict=True):
            trace.advance(step, pre)
    for trace in traces:
        learning_signal = tape.filtered_error[3] @ tape.population.readout
        assert relative(trace.gradient(learning_signal), contract(learning_signal, trace.dense())) < 1e-12


@each_rule
def test_draws_belong_to_the_learner(name: str) -> None:
    """The same seed draws the same; nothing is drawn by looking; each batch draws anew; a saved state goes on alike."""
    first, second = learner(F1, tca.RULES[name]), learner(F1, tca.RULES[name])
    before = first.state_dict()
    one = first.grads(F1.batch())[0]
    assert all(torch.equal(one[key], second.grads(F1.batch())[0][key]) for key in one)
    assert all(torch.equal(before[key], each) for key, each in first.state_dict().items()), "looking changes nothing"
    other = tca.Learner(F1.net(), tca.RULES[name], seed=99)
    assert relative(other.grads(F1.batch())[0]["w_rec"], one["w_rec"]) > 1e-6
    first.backward(F1.batch())
    assert relative(first.net.w_rec.grad, one["w_rec"]) > 1e-6, "the next batch has draws of its own"
    second.load_state_dict(first.state_dict())
    for bound in (first, second):
        bound.net.zero_grad()
        bound.backward(F1.batch())
    assert torch.equal(first.net.w_rec.grad, second.net.w_rec.grad)


@each_rule
def test_online_is_the_same(name: str) -> None:
    """Step by step with frozen weights the same is drawn, learned and summed."""
    case = Case("online", sizes=(3, 5, 2), steps=7, readout_leak=0.5, seed=4)
    bound, ahead, batch = learner(case, tca.RULES[name]), learner(case, tca.RULES[name]), case.batch()
    stream = bound.stream(trials=3)
    ahead.follow_weights_()
    for t in range(7):
        stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
    assert_same({key: each.grad for key, each in bound.net.named_parameters()}, ahead.grads(batch)[0], 1e-11)


@each_rule
def test_single_precision_is_close(name: str) -> None:
    """Float32 draws the same and gives what float64 gives, to its own precision."""
    exact = learner(F1, tca.RULES[name]).grads(F1.batch())[0]
    bound = learner(F1, tca.RULES[name], dtype=torch.float32)
    found = bound.grads(F1.batch().to(dtype=torch.float32))[0]
    assert all(value.dtype == torch.float32 for value in found.values())
    assert_same({key: value.double() for key, value in found.items()}, exact, 2e-4)


@pytest.mark.cuda
@each_rule
def test_gpu_equals_cpu(name: str) -> None:
    """A GPU draws the same and gives what the CPU gives."""
    exact = learner(F1, tca.RULES[name]).grads(F1.batch())[0]
    found = learner(F1, tca.RULES[name], device="cuda").grads(F1.batch().to(device="cuda"))[0]
    assert_same({key: value.cpu() for key, value in found.items()}, exact, 1e-10)


@each_rule
def test_what_cannot_be_is_refused(name: str) -> None:
    """No filter backwards, no signal made to fit a propagator, no influence through other populations."""
    rule, batch = tca.RULES[name], F1.batch()
    assert list(rule.executions) == ["forward"]
    assert set(EXECUTIONS) == {"reverse", "forward"}
    with pytest.raises(ValueError, match="must be 'forward', got 'reverse': no propagator"):
        learner(F1, rule).grads(batch, execution="reverse")
    for signal in (Exact(), TypeReturn()):
        with pytest.raises(ValueError, match=r"by filtering a signal backwards, and .* cannot: no propagator"):
            tca.Rule(signal, rule.eligibility)
    with pytest.raises(ValueError, match="has none, or one for each"):
        tca.Rule(Horizon(0), rule.eligibility)
    with pytest.raises(ValueError, match="recurrent"):
        tca.Learner(tca.nets.MLP(3, [4], 2), rule)


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"decay of the kernel must lie in \[0, 1\], got 1.5"):
        LearnedKernel(decay=1.5)
    with pytest.raises(ValueError, match="kernel_rate must be 0 or greater"):
        LearnedKernel(kernel_rate=-1.0)
    with pytest.raises(ValueError, match="size must be greater than 0"):
        Uniform(0.0)
    with pytest.raises(ValueError, match=r"probability of the noise must lie in \(0, 1\], got 0"):
        Rare(0.0)


@pytest.mark.parametrize(
    ("noise", "variance"), [(Signs(), 1.0), (Normal(), 1.0), (Uniform(2.0), 4 / 3), (Rare(0.25, Signs()), 0.25)]
)
def test_noise_has_mean_zero_and_its_variance(noise: Any, variance: float) -> None:
    drawn = noise.draw((200, 500), torch.Generator().manual_seed(3))
    assert drawn.dtype == torch.float64
    assert float(drawn.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(drawn.square().mean()) == pytest.approx(variance, rel=0.02)
