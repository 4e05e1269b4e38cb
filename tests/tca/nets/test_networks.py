"""Leaky networks: the fast forward pass, the differentiable one and the oracle's are one model; noise, masks, seeds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import tca
from tca.cells.activations import ACTIVATIONS
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.rows import assert_same, learner, relative, true_gradient

each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_case
def test_three_forward_passes_agree(case: Case) -> None:
    """``run``, ``functional`` and the oracle give the same outputs, and ``functional`` the same gradient."""
    net, batch = case.net(), case.batch()
    wanted = oracle.outputs(case.model(), weights_of(net), batch.inputs)
    assert relative(net.run(batch.inputs).outputs, wanted) < 1e-14
    own = dict(net.named_parameters())
    outputs = net.functional(own, batch.inputs)
    assert relative(outputs.detach(), wanted) < 1e-14
    assert relative(net(batch.inputs).detach(), wanted) < 1e-14
    loss = batch.loss.mean(outputs, batch.targets, batch.weights)
    assert_same(dict(zip(own, torch.autograd.grad(loss, list(own.values())), strict=True)), true_gradient(case))


@each_case
def test_other_parameters_can_be_put_in_place(case: Case) -> None:
    """``functional`` runs the network of the parameters it is given, and its own where none are given."""
    net, batch = case.net(), case.batch()
    other = {"w_rec": 0.5 * net.w_rec.detach(), "b_out": net.b_out.detach() + 1}
    wanted = oracle.outputs(case.model(), weights_of(net) | other, batch.inputs)
    assert relative(net.functional(other, batch.inputs).detach(), wanted) < 1e-14
    with pytest.raises(ValueError, match="did you mean 'w_rec'"):
        net.functional({"w_rex": net.w_rec}, batch.inputs)


@pytest.mark.parametrize("case", [F1, CASES[7]], ids=str)
def test_the_differentiable_pass_can_be_differentiated_twice(case: Case) -> None:
    """A Hessian-vector product equals the central difference of the oracle's gradient."""
    net, batch = case.net(), case.batch()
    loss = batch.loss.mean(net(batch.inputs), batch.targets, batch.weights)
    (slope,) = torch.autograd.grad(loss, net.w_rec, create_graph=True)
    along = torch.linspace(-1, 1, slope.numel(), dtype=torch.float64).view_as(slope)
    (product,) = torch.autograd.grad((slope * along).sum(), net.w_rec)
    weights, step = weights_of(net), 1e-5
    ends = [
        oracle.gradient(case.model(), weights | {"w_rec": weights["w_rec"] + sign * step * along}, case.problem())[
            "w_rec"
        ]
        for sign in (1, -1)
    ]
    assert relative(product, (ends[0] - ends[1]) / (2 * step)) < 1e-7


@each_case
@pytest.mark.parametrize("name", ["bptt", "eprop_random"])
def test_noise_is_an_input_of_its_own_to_every_cell(case: Case, name: str) -> None:
    """Noise ``xi`` acts as one more input channel per cell with weight one, forward and under every rule."""
    bound, batch = learner(case, tca.RULES[name]), case.batch()
    noise = 0.3 * torch.randn(
        case.steps, case.trials, case.sizes[1], dtype=torch.float64, generator=torch.Generator().manual_seed(8)
    )
    weights, problem, n_in = weights_of(bound.net), case.problem(), case.sizes[0]
    model = case.model()
    inputs = torch.eye(case.sizes[1], dtype=torch.float64)
    weights["w_in"] = torch.cat([model.weight(weights, "w_in"), inputs], 1)
    model.masks.pop("w_in", None)
    problem = replace(problem, inputs=torch.cat([problem.inputs, noise], 2))
    surgery = oracle.WHOLE if name == "bptt" else oracle.LEAK_ONLY
    wanted = oracle.gradient(model, weights, problem, surgery, bound.buffers.get("feedback"))
    wanted["w_in"] = case.model().weight({"w_in": wanted["w_in"][:, :n_in]}, "w_in")
    found, info = bound.grads(batch, noise=noise)
    assert_same(found, wanted)
    assert relative(bound.net.functional({}, batch.inputs, noise).detach(), info.outputs) < 1e-13


@pytest.mark.parametrize("leak", ["exponential", "euler"])
def test_noise_has_the_declared_size_and_is_private(leak: str) -> None:
    """A potential without other input fluctuates with the declared standard deviation, independently in each cell."""
    net = tca.nets.LeakyRNN(1, 2, 1, tau=[20.0, 50.0], leak=leak, noise=0.5, gain_rec=0.0, activation="linear", seed=3)
    noise = net.draw_noise(400, 500)
    assert noise is not None
    potential = net.run(torch.zeros(400, 500, 1), noise).rate[100:]
    assert torch.allclose(potential.std((0, 1)), torch.tensor(0.5), rtol=0.03)
    assert abs(float((potential[..., 0] * potential[..., 1]).mean())) < 0.02
    assert not torch.equal(noise, net.draw_noise(400, 500))


def test_noise_is_drawn_in_training_and_resumes_with_the_network() -> None:
    """``backward`` draws new noise each time; a network loaded from a state dictionary draws the same ones."""
    net = F1.net(noise=0.5)
    bound, batch = tca.Learner(net, tca.RULES["eprop"]), F1.batch()
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    clean = bound.grads(batch)[0]["w_rec"]
    found = []
    for _ in range(2):
        net.zero_grad()
        bound.backward(batch)
        found.append(net.w_rec.grad.clone())
    assert relative(found[0], clean) > 1e-3
    assert relative(found[1], found[0]) > 1e-3
    other = F1.net(noise=0.5, seed=99)
    other.load_state_dict(kept)
    tca.Learner(other, tca.RULES["eprop"]).backward(batch)
    assert torch.equal(other.w_rec.grad, found[0])


def test_the_global_generator_is_left_alone() -> None:
    """Building, learning and drawing noise never touch the global generator."""
    before = torch.get_rng_state()
    net = F1.net(noise=0.1)
    tca.Learner(net, tca.RULES["eprop_adaptive"], seed=1).backward(F1.batch())
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_synapses_neither_act_nor_learn() -> None:
    """What stands where no synapse is changes nothing, learns nothing, and ``project_`` clears it."""
    case = CASES[3]
    net, batch = case.net(), case.batch()
    wanted, outputs = learner(case, tca.RULES["bptt"]).grads(batch)[0], net.run(batch.inputs).outputs
    masks = {"w_in": net.mask_in, "w_rec": net.mask_rec, "w_out": net.mask_out}
    with torch.no_grad():
        for name, mask in masks.items():
            net.get_parameter(name).add_(5 * (1 - mask))
    assert torch.equal(net.run(batch.inputs).outputs, outputs)
    assert relative(net(batch.inputs).detach(), outputs) < 1e-14
    assert_same(tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0], wanted)
    for name, mask in masks.items():
        assert not (wanted[name] * (1 - mask)).any()
    net.project_()
    assert_same({name: value for name, value in weights_of(net).items()}, weights_of(case.net()), 0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_are_derivatives(name: str) -> None:
    """``slope(f(u))`` is ``f'(u)`` by autograd, ``into`` is ``f``, and both are the oracle's."""
    u = torch.linspace(-4, 4, 40, dtype=torch.float64).requires_grad_()
    activation, value = ACTIVATIONS[name], oracle.ACTIVATIONS[name](u)
    (wanted,) = torch.autograd.grad(value.sum(), u)
    out = torch.empty_like(u, requires_grad=False)
    activation.into(u.detach(), out)
    assert relative(activation(u).detach(), value.detach()) < 1e-15
    assert relative(out, value.detach()) < 1e-15
    assert relative(activation.slope(out), wanted) < 1e-14


def test_seeds_make_networks() -> None:
    """The same seed gives the same bits whatever the dtype, another seed other weights of the declared sizes."""
    one, same, other = (tca.nets.LeakyRNN(50, 80, 60, gain_rec=1.5, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.w_rec, other.w_rec)
    double = tca.nets.LeakyRNN(50, 80, 60, gain_rec=1.5, seed=1, dtype=torch.float64)
    assert torch.equal(double.w_rec.float(), one.w_rec)
    for weight, size in ((one.w_in, 50**-0.5), (one.w_rec, 1.5 * 80**-0.5), (one.w_out, 80**-0.5)):
        assert float(weight.detach().std()) == pytest.approx(size, rel=0.05)


def test_frozen_parameters_get_no_gradient() -> None:
    """``backward`` fills ``.grad`` of the parameters that want one, and adds to what is there."""
    bound, batch = learner(F1, tca.RULES["eprop"]), F1.batch()
    bound.net.w_rec.requires_grad_(False)
    bound.net.w_in.grad = torch.ones_like(bound.net.w_in)
    info = bound.backward(batch)
    wanted = bound.grads(batch)[0]
    assert bound.net.w_rec.grad is None
    assert relative(bound.net.w_in.grad, wanted["w_in"] + 1) < 1e-15
    assert not info.loss.requires_grad


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2.5e-7), (torch.float64, 5e-16)])
def test_tanh_on_a_cpu_is_right_absolutely_but_not_relatively(dtype: torch.dtype, error: float) -> None:
    """The tanh of a run, made of the sigmoid: near zero it has the precision of one, not of its value."""
    u = torch.linspace(-30, 30, 100_001, dtype=torch.float64).to(dtype)
    out = torch.empty_like(u)
    tca.cells.activations.Tanh().into(u, out)
    assert (out.double() - torch.tanh(u.double())).abs().max() < error
    tiny = torch.full((1,), 1e-3 * torch.finfo(dtype).eps, dtype=dtype)
    tca.cells.activations.Tanh().into(tiny, out[:1])
    assert out[0] == 0
    assert torch.tanh(tiny) > 0


@pytest.mark.parametrize("leak", [0.5, 0.9048374180359595])
def test_the_size_of_private_noise_is_exact(leak: float) -> None:
    """The drive has ``noise sqrt((1 + k) / (1 - k))``, to the round-off of double precision."""
    net = tca.nets.LeakyRNN(2, 3, 1, dt=10.0, tau=-10.0 / math.log(leak), noise=0.3, dtype=torch.float64)
    wanted = 0.3 * math.sqrt((1 + net.leak) / (1 - net.leak))
    assert net.cell_noise(torch.ones(1, 1, 3, dtype=torch.float64)).flatten().tolist() == pytest.approx(
        [wanted] * 3, rel=1e-14
    )
