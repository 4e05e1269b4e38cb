"""GRU, LSTM and their relatives under every rule: equal to torch's modules and to autograd with the cut paths."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import nn

import tca
from tca import cells, nets
from tca.cells.local_derivatives import blocks_of
from tca.eligibilities import KFRTRL, UORO, ReverseKFRTRL
from tca.kernels.choice import VARIABLE
from tca.signals import Direct, Exact
from tca.utils.noise import Signs
from tests.support import oracle_cells
from tests.support.cases import weights_of
from tests.support.draws_listed import Listed, copies, sign_patterns
from tests.support.rows import assert_same, relative
from tests.support.small_networks import scattered
from tests.tca.test_online import gathered, run

F64 = torch.float64
CELLS = {name: getattr(cells, name)() for name in oracle_cells.CELLS}
each_cell = pytest.mark.parametrize("name", CELLS)
SIZES = (3, 5, 2)


def network(name: str, sizes: tuple[int, int, int] = SIZES, **options: Any) -> nets.CellRNN:
    """Return a network with every weight away from zero."""
    n_in, n_rec, n_out = sizes
    return cast("nets.CellRNN", scattered(nets.CellRNN(CELLS[name], n_in, n_rec, n_out, dtype=F64, **options), 4))


def trials(steps: int = 13, count: int = 3, sizes: tuple[int, int, int] = SIZES) -> tca.Batch:
    """Return random trials whose steps weigh differently."""
    generator = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(steps, count, each, dtype=F64, generator=generator) for each in sizes[::2])
    weights = torch.rand(steps, count, dtype=F64, generator=generator)
    return tca.Batch(inputs, targets, weights, tca.losses.MSE())


@pytest.fixture(params=["eager", "auto"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take PyTorch's operations, and compiled steps where there are any."""
    monkeypatch.setenv(VARIABLE, request.param)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
@pytest.mark.parametrize("bias", [True, False])
def test_bptt_equals_the_backward_pass_of_torch(kind: Any, bias: bool) -> None:
    """The same outputs and the same gradient of all weights and both biases, and the module back with its weights."""
    torch.manual_seed(0)
    module, readout = kind(3, 5, bias=bias, dtype=F64), nn.Linear(5, 2, dtype=F64)
    net, batch = nets.CellRNN.from_torch(module, readout), trials()
    outputs = readout(module(batch.inputs)[0])
    batch.loss.mean(outputs, batch.targets, batch.weights).backward()
    theirs = {"w_in": "weight_ih_l0", "w_rec": "weight_hh_l0", "b": "bias_ih_l0", "b_rec": "bias_hh_l0"}
    with torch.no_grad():
        assert relative(net.run(batch.inputs).outputs, outputs) < 1e-13
    assert relative(net(batch.inputs).detach(), outputs.detach()) < 1e-13
    wanted = {ours: module.get_parameter(name).grad for ours, name in theirs.items() if bias or ours[0] == "w"}
    wanted |= {"w_out": readout.weight.grad, "b_out": readout.bias.grad}
    tca.Learner(net, tca.RULES["bptt"]).backward(batch)
    assert_same(gathered(net), wanted)
    state = torch.random.get_rng_state()
    again, linear = net.to_torch()
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(linear(again(batch.inputs)[0]), readout(module(batch.inputs)[0]))


@pytest.mark.thirds
@pytest.mark.usefixtures("kernels")
@each_cell
@pytest.mark.parametrize("rule", oracle_cells.SURGERIES)
@pytest.mark.parametrize("options", [{}, {"learn_initial": True}], ids=["", "initial"])
def test_rules_equal_their_surgery(name: str, rule: str, options: Any) -> None:
    """Reverse and forward execution equal autograd with the paths cut that the rule drops."""
    net, batch = network(name, **options), trials()
    wanted = oracle_cells.gradient(oracle_cells.CELLS[name], weights_of(net), batch, oracle_cells.SURGERIES[rule])
    bound = tca.Learner(net, tca.RULES[rule])
    assert_same(bound.grads(batch, execution="reverse")[0], wanted)
    assert_same(bound.grads(batch, execution="forward")[0], wanted)


@pytest.mark.thirds
@each_cell
@pytest.mark.parametrize("rule", ["rtrl", "eprop", "snap1", "three_factor", "homotopy"])
@pytest.mark.parametrize("readout_tau", [None, 25.0])
def test_streams_equal_trials(name: str, rule: str, readout_tau: float | None) -> None:
    """With frozen weights an online run adds up to the gradient of the trial, also behind a filtered readout."""
    net, batch = network(name, readout_tau=readout_tau), trials()
    bound = tca.Learner(net, tca.RULES[rule])
    wanted = bound.grads(batch)[0]
    run(bound.stream(batch.trials, batch.steps), batch)
    assert_same(gathered(net), wanted)


@pytest.mark.thirds
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", ["GRU", "LSTM", "MGU"])
@pytest.mark.parametrize("rule", ["eprop", "snap1", "snap2", "three_factor", "homotopy", "tbptt_rate_cut"])
def test_every_eligibility_has_an_exact_signal(name: str, rule: str) -> None:
    """With the signal made to fit it, any propagator gives the true gradient, in both executions."""
    net, batch = network(name), trials()
    wanted = oracle_cells.gradient(oracle_cells.CELLS[name], weights_of(net), batch)
    bound = tca.Learner(net, tca.Rule(Exact(), tca.RULES[rule].eligibility))
    assert_same(bound.grads(batch, execution="reverse")[0], wanted)
    assert_same(bound.grads(batch, execution="forward")[0], wanted)


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
@pytest.mark.parametrize("kind", [UORO, KFRTRL, ReverseKFRTRL])
@pytest.mark.parametrize("start", [False, True])
def test_means_over_all_signs_are_the_gradient(name: str, kind: Any, start: bool) -> None:
    """Two cells, two steps: the mean over all patterns of signs; a single one is far off."""
    sizes = (1, 2, 1) if name == "GRU" or kind is KFRTRL else (1, 1, 1)
    net, batch = network(name, sizes, learn_initial=start), trials(2, 1, sizes)
    cell = CELLS[name]
    states = len(cell.components) * sizes[1]
    drives = (len(cell.drives) + start * len(cell.components)) * sizes[1]
    drawn = {UORO: states, KFRTRL: 2, ReverseKFRTRL: drives}[kind]
    begun = {UORO: states, KFRTRL: 0, ReverseKFRTRL: drives}[kind] if start else 0
    if 2 * drawn + begun > 16:
        pytest.skip("more than 65536 patterns")
    patterns = sign_patterns(2 * drawn + begun)
    shape = (2, sizes[1]) if kind is UORO and len(cell.components) == 2 else (drawn,)
    rows = [patterns[:, :begun]] * bool(begun)
    rows += [each.reshape(-1, *shape) for each in patterns[:, begun:].split(drawn, 1)]
    found = tca.Learner(net, tca.Rule(Direct(), kind(Listed(rows)))).grads(copies(batch, len(patterns)))[0]
    wanted = oracle_cells.gradient(oracle_cells.CELLS[name], weights_of(net), batch)
    assert_same(found, wanted, 1e-11)
    single = tca.Learner(net, tca.Rule(Direct(), kind())).grads(batch)[0]
    assert relative(single["w_in"], wanted["w_in"]) > 0.01


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_closed_forms_equal_automatic_derivatives(name: str) -> None:
    """Leak and gain of a cell, entry by entry."""
    cell, generator = CELLS[name], torch.Generator().manual_seed(1)
    state, drive = (
        torch.randn(7, 3, size, 5, dtype=F64, generator=generator) for size in (len(cell.components), len(cell.drives))
    )
    closed, automatic = (blocks_of(cell, state, drive, (), closed=each).tables(state) for each in (True, False))
    for one, other in zip(closed, automatic, strict=True):
        assert relative(one, other) < 1e-14


def test_rules_differ_on_gated_cells() -> None:
    """On the default start e-prop lies near the gradient of a GRU, and three-factor further from that of an LSTM."""
    batch, cosines = trials(11, 3, (3, 7, 2)), {}
    for kind, rule in ((nn.GRU, "eprop"), (nn.LSTM, "three_factor")):
        torch.manual_seed(0)
        net = nets.CellRNN.from_torch(kind(3, 7, dtype=F64), nn.Linear(7, 2, dtype=F64))
        one, other = (tca.Learner(net, tca.RULES[each]).grads(batch)[0]["w_rec"] for each in ("bptt", rule))
        cosines[rule] = float((one * other).sum() / (one.norm() * other.norm()))
        with torch.no_grad():
            net.w_rec.mul_(8)
        one, other = (tca.Learner(net, tca.RULES[each]).grads(batch)[0]["w_rec"] for each in ("bptt", rule))
        assert float((one * other).sum() / (one.norm() * other.norm())) < cosines[rule]
    assert 0.95 < cosines["eprop"] < 0.9999
    assert 0.7 < cosines["three_factor"] < 0.97


@each_cell
def test_noise_in_drives_estimates_the_gradient(name: str) -> None:
    """The mean over many draws points along the gradient."""
    net, batch = network(name, (1, 2, 1)), trials(3, 1, (1, 2, 1))
    wanted = oracle_cells.gradient(oracle_cells.CELLS[name], weights_of(net), batch)["w_in"]
    found = tca.Learner(net, tca.RULES["node_perturbation"]).grads(copies(batch, 4000))[0]["w_in"]
    assert float((found * wanted).sum() / (found.norm() * wanted.norm())) > 0.9


@each_cell
def test_noise_in_weights_gives_the_derivative_along_it(name: str) -> None:
    """With signs for noise, ``g = (G . xi) xi`` and therefore ``g . G = |g|^2 / n``."""
    net, batch = network(name), trials()
    rule = tca.Rule(tca.signals.RewardDifference(), tca.eligibilities.WeightNoise(1e-6, antithetic=True, noise=Signs()))
    wanted = oracle_cells.gradient(oracle_cells.CELLS[name], weights_of(net), batch)
    found = tca.Learner(net, rule).grads(batch)[0]
    hidden = [each for each in found if not each.endswith("out")]
    along = sum(float((found[each] * wanted[each]).sum()) for each in hidden)
    square = sum(float(found[each].square().sum()) for each in hidden)
    assert along == pytest.approx(square / sum(found[each].numel() for each in hidden), rel=1e-6)


@pytest.mark.parametrize(
    ("module", "readout", "words"),
    [
        (nn.RNN(3, 5), nn.Linear(5, 2), "torch.nn.GRU or torch.nn.LSTM with torch's own forward, got RNN"),
        (nn.GRU(3, 5, num_layers=2), nn.Linear(5, 2), "num_layers=1, got 2"),
        (nn.GRU(3, 5, bidirectional=True), nn.Linear(5, 2), "bidirectional=False"),
        (nn.LSTM(3, 5, proj_size=2), nn.Linear(2, 2), "proj_size=0"),
        (nn.GRU(3, 5), nn.Linear(4, 2), "5 inputs, got 4"),
        (nn.GRU(3, 5), nn.ReLU(), "readout must be a Linear, got ReLU"),
    ],
)
def test_other_modules_are_refused(module: Any, readout: Any, words: str) -> None:
    """The message says what is allowed."""
    with pytest.raises((TypeError, ValueError), match=words):
        nets.CellRNN.from_torch(module, readout)
