"""The spiking network itself: spikes and silence, conventions that are one network, derivatives, options, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, SurrogateGradient, Triangular, spike
from tca.experiments.config.network_config import NetworkConfig
from tca.nets import SpikingRNN
from tca.signals.regularisers.firing_rate import FiringRate
from tests.support import oracle_spiking as oracle
from tests.support.cases import weights_of
from tests.support.rows import assert_same, learner, relative
from tests.support.spiking_cases import LSNN, SPIKING

F64 = torch.float64


def driven(**options: Any) -> Any:
    """One cell without recurrence that is driven by one input, and the spikes that a strong constant input gives."""
    settings = {"tau": 20.0, "threshold": 1.0, "beta": 0.0, "readout_tau": None, "dtype": F64} | options
    net = SpikingRNN(1, 1, 1, **settings)
    with torch.no_grad():
        net.w_in.fill_(100.0)
    return net


@pytest.mark.parametrize("refractory", [0, 1, 2, 5])
def test_a_cell_is_silent_for_so_many_steps(refractory: int) -> None:
    """Driven far above threshold a cell spikes at every step that it can, and has no slope at those between.

    Its potential goes on meanwhile.
    """
    net = driven(refractory=float(refractory), surrogate_gradient="fast_sigmoid")
    tape = net.run(torch.ones(40, 1, 1, dtype=F64))
    spikes = tape.rate[:, 0, 0].nonzero().squeeze(1)
    assert spikes[0] == 1
    assert torch.all(spikes.diff() == refractory + 1)
    silent = torch.ones(41, dtype=torch.bool)
    silent[spikes], silent[0] = False, False
    assert torch.equal(tape.slope[:, 0, 0] == 0, silent)
    assert torch.all(tape.slope[spikes] > 0)
    durations = {0.5: 2 * refractory, 2.0: -(-refractory // 2)}
    for dt, steps in durations.items():
        assert driven(refractory=float(refractory), dt=dt).refractory == steps


def test_potential_adaptation_and_reset_by_hand() -> None:
    """A handful of steps of one adaptive cell, worked out with a pencil."""
    net = SpikingRNN(1, 1, 1, tau=20.0, tau_adaptation=40.0, dt=10.0, leak="euler", threshold=1.0, beta=2.0,
                     adaptive=1.0, refractory=10.0, readout_tau=None, dtype=F64)  # fmt: skip
    with torch.no_grad():
        net.w_in.fill_(3.0), net.w_out.fill_(1.0)
    # v = v / 2 + 1.5 - z,  a = 3 a / 4 + z / 4,  threshold 1 + 2 a, silent for one step after a spike
    # t = 1: v 1.5, a 0 -> spike;  2: v 1.25, a .25, silent;  3: v 2.125, a .1875 -> spike (1.375)
    # t = 4: v 1.5625, a .390625, silent;  5: v 2.28125, a .29296875 -> spike (1.5859375)
    tape = net.run(torch.ones(5, 1, 1, dtype=F64))
    assert tape.rate.flatten().tolist() == [0, 1, 0, 1, 0, 1]
    distance = torch.tensor([0.5, 0.75, 0.6953125], dtype=F64)  # v - 1 - 2 a at the spikes
    wanted = 0.3 * (1 - distance)
    assert torch.allclose(tape.slope[[1, 3, 5], 0, 0], wanted, rtol=1e-14, atol=0)


@pytest.mark.parametrize("case", [SPIKING[0], SPIKING[2], SPIKING[4]], ids=str)
@pytest.mark.parametrize("scaled", [(False, True), (True, False), (False, False)])
def test_conventions_are_one_network(case: Any, scaled: tuple[bool, bool]) -> None:
    """Without the factors ``1 - k`` and ``1 - rho``, smaller weights and a smaller beta do the same.

    Then gradients are larger by as much.
    """
    case = replace(case, beta=1.3)
    net = case.net()
    kappa, rho = net.leak.clone(), net.adaptation_leak.clone()
    weight = torch.ones_like(kappa) if scaled[0] else 1 - kappa
    beta = net.beta if scaled[1] else net.beta * (1 - rho)
    other = replace(case, scaled=scaled, beta=tuple(beta.tolist())).net()
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            own = net.get_parameter(name)
            parameter.copy_(own if name.endswith("out") else (own.t() * weight).t())
    tape, same = net.run(case.batch().inputs), other.run(case.batch().inputs)
    assert torch.equal(tape.rate, same.rate)
    assert relative(same.slope, tape.slope) < 1e-12
    for name in ("eprop", "bptt"):
        found = tca.Learner(other, tca.RULES[name]).grads(case.batch())[0]
        wanted = tca.Learner(net, tca.RULES[name]).grads(case.batch())[0]
        assert_same(
            {key: found[key] if key.endswith("out") else (found[key].t() * weight).t() for key in found}, wanted
        )


HALF_WIDTH = {
    "triangular": 0.5,
    "fast_sigmoid": 0.25,
    "gaussian": 0.6065306597126334,
    "exponential": 0.36787944117144233,
}


@pytest.mark.parametrize("name", SURROGATE_GRADIENTS)
def test_surrogate_gradients(name: str) -> None:
    """Each is a symmetric bump of the given height and width that does not grow with the distance."""
    bump = SURROGATE_GRADIENTS[name](gamma=0.7, width=2.0)
    distance = torch.linspace(-9, 9, 181, dtype=F64)
    value = bump(distance)
    assert float(value[90]) == pytest.approx(0.7, rel=1e-15)
    assert torch.allclose(value, value.flip(0), rtol=1e-13, atol=1e-16)
    assert torch.all(value[:90].diff() >= -1e-16)
    assert float(value[0]) < 0.1
    if name in HALF_WIDTH:
        at = {"triangular": 1.0}.get(name, 2.0)
        assert float(bump(torch.tensor(at, dtype=F64))) == pytest.approx(0.7 * HALF_WIDTH[name], rel=1e-14)
    else:
        assert bump(torch.tensor([1.99, 2.01])).tolist() == [pytest.approx(0.7), 0.0]
    assert relative(value, 0.7 * oracle.PSEUDO[name](distance / 2)) < 1e-14


@pytest.mark.parametrize("name", ["triangular", "fast_sigmoid", "gaussian", "exponential"])
def test_a_spike_has_the_derivatives_of_the_surrogate_gradient(name: str) -> None:
    """First derivative p, second derivative p', the value none of them."""
    bump = SURROGATE_GRADIENTS[name]()
    u = torch.tensor([-1.7, -0.6, -0.1, 0.2, 0.9, 3.0], dtype=F64, requires_grad=True)
    z = spike(u, bump)
    (first,) = torch.autograd.grad(z.sum(), u, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), u)
    step = 1e-6
    differences = (bump(u.detach() + step) - bump(u.detach() - step)) / (2 * step)
    assert z.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(first.detach(), bump(u.detach()))
    assert torch.allclose(second, differences, rtol=1e-8, atol=1e-9)


def smooth(model: oracle.Model, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """Outputs of a network whose spikes carry a primitive of the Gaussian surrogate gradient, for autograd to derive.

    Value and derivatives are those of ``hard + P - P``, the second ``P`` detached.
    """
    state, rates = oracle.rest(model, inputs.shape[1]), []
    for x in inputs:
        found = model.step(weights, state, x)
        u = (found.v - model.thr - model.beta * found.a) / model.thr
        ready = (found.wait == 0).double()
        primitive = model.gamma * (torch.pi / 2) ** 0.5 * torch.erf(u / 2**0.5) * ready
        hard = (u > 0).double() * ready
        state = found._replace(z=hard + primitive - primitive.detach())
        rates.append(state.z)
    return oracle.readout(model, weights, rates)


def test_curvature_through_the_surrogate_gradient() -> None:
    """The differentiable network has the gradient of bptt, and the Hessian of a network with smooth primitives."""
    case = replace(SPIKING[3], steps=12, refractory=2)
    net, batch, model, problem = case.net(), case.batch(), case.model(), case.problem()
    weights = weights_of(net)

    def loss(w_rec: Tensor) -> Tensor:
        return problem.value(net.functional({"w_rec": w_rec}, batch.inputs))

    def wanted(w_rec: Tensor) -> Tensor:
        return problem.value(smooth(model, weights | {"w_rec": w_rec}, batch.inputs))

    hessian = torch.autograd.functional.hessian(loss, weights["w_rec"]).reshape(36, 36)
    assert relative(hessian, torch.autograd.functional.hessian(wanted, weights["w_rec"]).reshape(36, 36)) < 1e-10
    assert relative(hessian, hessian.t()) < 1e-10
    assert hessian.abs().max() > 1e-3
    leaves = {name: each.clone().requires_grad_() for name, each in weights.items()}
    value = problem.value(net.functional(leaves, batch.inputs))
    found = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
    assert_same(found, learner(case, tca.RULES["bptt"]).grads(batch)[0])


def test_curvature_of_the_analysis_takes_a_spiking_network() -> None:
    """The leading eigenvalue through the surrogate gradient is that of the dense Hessian."""
    from analysis import curvature

    case = replace(SPIKING[3], steps=12)
    found = curvature(case.net(), case.batch(), parameters="w_rec")
    net, problem = case.net(), case.problem()
    hessian = torch.autograd.functional.hessian(
        lambda w: problem.value(net.functional({"w_rec": w}, problem.inputs)), net.w_rec.detach()
    ).reshape(36, 36)
    exists = case.model().masks["w_rec"].flatten().bool()
    assert found.largest.value == pytest.approx(float(torch.linalg.eigvalsh(hessian[exists][:, exists])[-1]), rel=1e-6)


def test_who_adapts() -> None:
    """One number for a fraction of the cells, the last of them, or one for each cell."""
    assert SpikingRNN(1, 4, 1).beta.tolist() == pytest.approx([0, 0, 1.8, 1.8])
    assert SpikingRNN(1, 3, 1, beta=0.5, adaptive=1.0).beta.tolist() == [0.5] * 3
    assert SpikingRNN(1, 3, 1, beta=[0.0, 1.0, 0.0]).beta.tolist() == [0, 1, 0]
    assert not SpikingRNN(1, 3, 1, beta=0.0).beta.any()
    assert "4 (2 of them adaptive)" in repr(SpikingRNN(1, 4, 1))


def test_masks_signs_and_autapses() -> None:
    """Missing synapses stay missing, signs are kept, and no cell has a synapse onto itself unless asked for."""
    mask = SPIKING[3].options["mask_rec"]
    net = SpikingRNN(3, 6, 2, mask_rec=mask, cell_types=(0.5, 0.5), dale=(1, -1))
    assert not net.w_rec.diagonal().any()
    with torch.no_grad():
        net.w_rec.add_(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))
    net.project_()
    assert not net.w_rec[mask == 0].any()
    assert not net.w_rec.diagonal().any()
    assert torch.all(net.w_rec[:, :3] >= 0)
    assert torch.all(net.w_rec[:, 3:] <= 0)
    assert SpikingRNN(3, 6, 2, autapses=True).w_rec.diagonal().all()


def test_weights_are_scaled_by_existing_synapses() -> None:
    """The standard deviation is the gain over the square root of the in-degree, whatever the mask."""
    few = (torch.rand(300, 200, generator=torch.Generator().manual_seed(0)) < 0.1).double()
    sparse = (torch.rand(300, 300, generator=torch.Generator().manual_seed(1)) < 0.1).double()
    net = SpikingRNN(200, 300, 50, mask_in=few, mask_rec=sparse, mask_out=few[:50].repeat(1, 2)[:, :300],
                     gain_in=2.0, gain_rec=0.5, gain_out=3.0)  # fmt: skip
    for weight, gain in ((net.w_in, 2.0), (net.w_rec, 0.5), (net.w_out, 3.0)):
        exists = weight != 0
        scaled = (weight * exists.sum(1, keepdim=True).sqrt()).detach()
        assert float(scaled[exists].std()) == pytest.approx(gain, rel=0.05)


def test_private_noise_has_the_size_asked_for() -> None:
    """A potential that never spikes fluctuates with the standard deviation of the noise, in either convention."""
    for scaled in (True, False):
        net = SpikingRNN(1, 200, 1, threshold=1e3, noise=0.5, gain_in=0.0, seed=3, tau=[10.0, 40.0] * 100, refractory=0,
                         scaled_drive=scaled, surrogate_gradient="fast_sigmoid", beta=0.0, dtype=F64)  # fmt: skip
        tape = net.run(torch.zeros(2000, 1, 1, dtype=F64), net.draw_noise(2000, 1))
        potential = 1e3 * (2 - (0.3 / (1e3 * tape.slope)).sqrt())  # the slope is 0.3 / thr (2 - v / thr)^-2
        for first in (0, 1):
            assert float(potential[400:, :, first::2].std()) == pytest.approx(0.5, rel=0.05)


def test_same_seed_same_network() -> None:
    """Weights, spikes and noise repeat themselves; another seed changes them; float32 gets the same weights."""
    one, same, other = (SpikingRNN(3, 5, 2, noise=0.1, seed=seed) for seed in (4, 4, 5))
    assert all(torch.equal(one.state_dict()[name], same.state_dict()[name]) for name in one.state_dict())
    assert not torch.equal(one.w_rec, other.w_rec)
    assert torch.equal(one.draw_noise(4, 2), same.draw_noise(4, 2))
    double = SpikingRNN(3, 5, 2, noise=0.1, seed=4, dtype=F64)
    assert torch.allclose(double.w_rec.float(), one.w_rec, rtol=1e-6)


def test_backward_learns() -> None:
    """e-prop lowers the loss of a network that must reproduce a pattern."""
    net = SpikingRNN(20, 40, 1, gain_in=2.0, seed=1)
    generator = torch.Generator().manual_seed(2)
    inputs = (torch.rand(100, 1, 20, generator=generator) < 0.05).float()
    target = torch.sin(torch.arange(100) / 10).view(100, 1, 1)
    batch = tca.Batch(inputs, target, torch.full((100, 1), 1 / 100), tca.losses.MSE())
    bound, optimizer = tca.Learner(net, tca.RULES["eprop"]), torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(float(bound.backward(batch).loss))
        optimizer.step()
        net.project_()
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold must be greater than 0"),
        ({"beta": -1.0}, "beta must be finite and not negative"),
        ({"beta": [1.0, 2.0]}, "beta must be one number or 4"),
        ({"adaptive": 1.5}, "adaptive must be at most 1, got 1.5"),
        ({"refractory": -1.0}, "refractory must be 0 or greater"),
        ({"surrogate_gradient": "triangle"}, "triangular"),
        ({"tau": 0.5, "leak": "euler"}, "tau must be at least dt"),
        ({"tau_adaptation": [1.0]}, "tau_adaptation must be one number or 4"),
        ({"mask_in": torch.ones(2, 2)}, r"mask_in must have the shape \(4, 2\)"),
        ({"gain_in": -1.0}, "gain_in must be 0 or greater"),
        ({"dtype": torch.int64}, r"dtype must be torch\.float32 or torch\.float64"),
    ],
)
def test_careless_options_are_refused(options: dict[str, Any], message: str) -> None:
    """Every error names the argument, what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        SpikingRNN(2, 4, 1, **options)


@pytest.mark.parametrize("make", [Triangular, *SURROGATE_GRADIENTS.values()])
def test_careless_surrogate_gradients_are_refused(make: type[SurrogateGradient]) -> None:
    """Height and width must be positive."""
    with pytest.raises(ValueError, match="gamma must be greater than 0"):
        make(gamma=0.0)
    with pytest.raises(ValueError, match="width must be greater than 0"):
        make(width=-1.0)


def test_a_configured_network_is_a_value() -> None:
    """It compares, hashes, and builds the same network twice, with masks drawn with the seed and without autapses."""
    one = sparse(
        30, 0.1, 0.2, 0.5, surrogate_gradient={"name": "gaussian", "gamma": 0.5}, cell_types=(0.8, 0.2), dale=(1, -1)
    )
    assert one == NetworkConfig(**json.loads(json.dumps(one.to_json())))
    assert one == NetworkConfig("spiking_rnn", {**one.options, "tau": 20})
    assert hash(one) == hash(one.with_options(size=30))
    assert one != one.with_options(size=31)
    net, same = (one.build(20, 4, dt=1.0, seed=7) for _ in range(2))
    assert all(torch.equal(net.state_dict()[name], same.state_dict()[name]) for name in net.state_dict())
    assert int(net.mask_in.sum()) == 60
    assert int(net.mask_rec.sum()) <= round(0.2 * 900)
    assert int(net.mask_out.sum()) == 60
    assert not net.mask_rec.diagonal().any()
    assert net.surrogate_gradient == SURROGATE_GRADIENTS["gaussian"](0.5)
    assert NetworkConfig("spiking_rnn", size=5).build(2, 1, dt=1.0, seed=0).mask_rec.sum() == 20
    assert not torch.equal(one.build(20, 4, dt=1.0, seed=8).mask_in, net.mask_in)
    for wrong, message in (({"adaptive": 1.5}, "adaptive must be at most 1"), ({"size": 0}, "size must be"),
                           ({"surrogate_gradient": {"name": "box"}}, "boxcar"), ({"beta": -1.0}, "beta must be"),
                           ({"tau": -1.0}, "tau must be"), ({"dale": (1, 1)}, "dale must")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            NetworkConfig("spiking_rnn", {"size": 5, **wrong})


def sparse(size: int, into: float, among: float, out: float, **options: Any) -> NetworkConfig:
    """Return a network of which shares of the synapses exist."""
    masks = {"mask_in": into, "mask_rec": among, "mask_out": out}
    drawn = {name: {"sparse": {"density": share}} for name, share in masks.items() if share < 1}
    return NetworkConfig("spiking_rnn", {"size": size, **drawn, **options})


def test_published_configurations_can_be_written_down() -> None:
    """The networks of the published tasks: sparse, half adaptive or not, with their constants; they spike and learn."""
    cue = sparse(100, 0.1, 0.1, 0.1)
    match = cue.with_options(tau_adaptation=1400.0, gain_in=0.5, gain_rec=0.1, gain_out=0.5)
    pattern = sparse(400, 0.1, 0.1, 1.0, beta=0.0, tau=30.0, readout_tau=30.0, refractory=2.0)
    mdgl = sparse(100, 1.0, 0.1, 0.1, threshold=0.01, reset_in_trace=True, cell_types=(0.8, 0.2), dale=(1, -1))
    for config, n_in, n_out in ((cue, 40, 2), (match, 80, 2), (pattern, 100, 1), (mdgl, 40, 2)):
        net = config.build(n_in, n_out, dt=1.0, seed=0)
        inputs = (torch.rand(60, 2, n_in, generator=torch.Generator().manual_seed(1)) < 0.04).float()
        rule = "mdgl" if config is mdgl else "diffusion"
        signal = tca.signals.Regularised(tca.RULES[rule].signal, (FiringRate(),))
        bound = tca.Learner(net, tca.Rule(signal, tca.eligibilities.Leak()))
        batch = tca.Batch(inputs, torch.zeros(60, 2, n_out), torch.full((60, 2), 1 / 60), tca.losses.MSE())
        found = bound.grads(batch)[0]
        assert all(bool(torch.isfinite(value).all()) for value in found.values())
        assert found["w_rec"].any()


def test_firing_rate_is_in_hertz() -> None:
    """One spike in ten steps of one ms is a hundred a second, of five ms twenty."""
    net = driven(refractory=9.0)
    tape = net.run(torch.ones(40, 1, 1, dtype=F64))
    assert float(FiringRate().rate(tape)) == pytest.approx(100.0)
    assert float(FiringRate(dt=5.0).rate(tape)) == pytest.approx(20.0)
    learning_signal = FiringRate(10.0, 2.0).windowed_signal(tape, {})(slice(1, 3))
    assert learning_signal.flatten().tolist() == pytest.approx([2.0 / 40 * 90] * 2)
    with pytest.raises(ValueError, match="weight must be 0 or greater"):
        FiringRate(weight=-1.0)


def test_a_sharp_case_would_flip() -> None:
    """The cases keep every cell away from its threshold, so that precisions agree: further than float32 rounds."""
    for case in SPIKING:
        model = case.model()
        trail = oracle.states(model, weights_of(case.net()), case.batch().inputs)[1:]
        nearest = min(float((s.v - model.thr - model.beta * s.a).detach().abs().min()) for s in trail)
        assert nearest > 1e-4, case
    assert LSNN in SPIKING
