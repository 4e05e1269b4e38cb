"""Numbers below the smallest normal one: zero in a compiled pass but where a slope hangs on them, as ever outside."""

from __future__ import annotations

import ctypes
import math
import platform
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells.activations import ACTIVATIONS, Activation, Tanh
from tca.eligibilities import Leak
from tca.kernels import choice
from tca.kernels.compiled import Passes
from tca.kernels.gated import GATED, GatedPasses
from tests.support import oracle
from tests.support.cases import weights_of
from tests.tca.kernels.test_gated_passes import each_kind, network
from tests.tca.kernels.test_passes import DTYPES, HOPS, LEAKY, both, learn

F64 = torch.float64
STAYING = 0.51  # a leak by which the smallest number is rounded to itself
FADED = {torch.float32: 150, torch.float64: 1100}  # steps after which an error of one is below half the smallest number
RULES = {"e-prop": LEAKY, "BPTT": tca.RULES["bptt"], "MDGL": tca.Rule(HOPS[0], Leak())}
KINKED = ("relu", "rectified_tanh")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def tiny(dtype: torch.dtype) -> float:
    """Return the smallest normal number."""
    return torch.finfo(dtype).tiny


def leaky(leak: float, recurrent: float, dtype: torch.dtype, cells: int = 5, **options: Any) -> tca.nets.LeakyRNN:
    """Return a network whose cells project to themselves alone."""
    net = tca.nets.LeakyRNN(2, cells, 1, tau=-1 / math.log(leak), dt=1.0, dtype=dtype, **options)
    with torch.no_grad():
        net.w_rec.copy_(recurrent * torch.eye(cells))
        if net.s_0 is not None:
            net.s_0.fill_(1.0)
    return net


def last_step(net: Any, steps: int, trials: int = 3) -> tca.Batch:
    """Return trials with an input in the first step and an error in the last."""
    inputs, weights = net.w_out.new_zeros(steps, trials, net.n_in), net.w_out.new_zeros(steps, trials)
    inputs[0], weights[-1] = 1.0, 1.0
    return tca.Batch(inputs, net.w_out.new_ones(steps, trials, net.n_out), weights, tca.losses.MSE())


def assert_close(expected: dict[str, Tensor], got: dict[str, Tensor]) -> None:
    """Demand round-off, below the smallest normal number of absolute size."""
    assert expected.keys() == got.keys()
    for name, each in expected.items():
        off = (got[name] - each).abs().max()
        assert off <= DTYPES[each.dtype] * each.abs().max() + tiny(each.dtype), name


@pytest.mark.thirds
@each_dtype
@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("rule", RULES)
def test_errors_that_fade_reach_zero(rule: str, form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one pass, and of filter or adjoint under a learned initial state; PyTorch's stay at subnormal numbers."""
    for learned, first in ((False, "w_in"), (True, "s_0")):  # whose gradient is that of the first step
        net = leaky(STAYING, 1e-3, dtype, form=form, learn_initial=learned)
        expected, got = both(monkeypatch, learn(net, RULES[rule], last_step(net, FADED[dtype])))
        assert 0 < expected[first].abs().max() < tiny(dtype)
        assert not got[first].any()
        assert_close(expected, got)


@pytest.mark.thirds
@each_dtype
@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_states_that_fade_have_the_slopes_of_autograd(
    activation: str, form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rectified cell with a rate of 1e-40 has a slope of one."""
    steps = round(math.log(0.02 * tiny(dtype)) / math.log(0.19))
    net = leaky(0.1, 0.1, dtype, activation=activation, form=form, learn_initial=True)
    batch = last_step(net, steps)
    batch.inputs.zero_()
    model = oracle.Model(form, activation, torch.tensor(0.1, dtype=dtype))
    problem = oracle.Problem(batch.inputs, batch.targets, batch.weights, "mse")
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    for rule, surgery in ((LEAKY, oracle.LEAK_ONLY), (tca.RULES["bptt"], oracle.WHOLE)):
        expected = oracle.gradient(model, weights_of(net), problem, surgery)
        assert expected["b"].abs().min() > 0.001
        assert_close(expected, tca.Learner(net, rule).grads(batch)[0])
    rate = net.run(batch.inputs).rate[-1]
    if activation in KINKED:
        assert ((rate > 0) & (rate < tiny(dtype))).all()
    elif activation != "softplus":
        assert not rate.any()


@each_dtype
@pytest.mark.parametrize("activation", KINKED)
def test_a_rectified_cell_of_subnormal_activity_learns(
    activation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the pass that has all gradients; a cell without activity has a gradient of exactly zero."""
    net = leaky(0.5, 0.0, dtype, activation=activation)
    batch = last_step(net, 3)
    with torch.no_grad():
        net.w_in.fill_(1.0)
        net.b[0] = -1.0
    batch.inputs.fill_(tiny(dtype) / 64)
    expected, got = both(monkeypatch, learn(net, LEAKY, batch))
    assert_close(expected, got)
    assert got["b"][1:].abs().min() > 0.01
    assert expected["b"][0] == got["b"][0] == 0


@each_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activities_are_right_down_to_the_smallest_normal_number(name: str, dtype: torch.dtype) -> None:
    smallest = tiny(dtype)
    sizes = smallest * torch.logspace(-4, 4, 81, dtype=F64)
    edge = math.log(smallest)  # e to which is the smallest normal number
    drives = torch.cat([sizes, -sizes, torch.linspace(edge - 20, edge + 5, 201, dtype=F64)]).to(dtype)
    function: Activation = ACTIVATIONS[name]
    exact = torch.tanh(drives.double()) if isinstance(function, Tanh) else function(drives.double())
    zero, rate = torch.zeros(1, 1, dtype=dtype), torch.empty(1, 2, len(drives), 1, dtype=dtype)
    passes = Passes(choice._library(), function, False, zero, zero + 1)
    weights = (torch.ones(1, 1, 1, dtype=dtype), torch.zeros(1, 1, 1, dtype=dtype), zero)
    passes.forward_(weights, drives.view(1, 1, -1, 1), None, None, rate, rate)
    got = rate[0, 1, :, 0]
    assert ((got.double() - exact).abs() <= smallest + 8 * torch.finfo(dtype).eps * exact.abs()).all()
    small = (drives > 0) & (drives < smallest)
    assert torch.equal(got[small], drives[small]) if name in KINKED else name == "softplus" or not got[small].any()


@each_kind
@each_dtype
def test_states_and_signals_of_gated_cells_reach_zero(kind: type[tca.cells.Cell], dtype: torch.dtype) -> None:
    """What is half of the smallest normal number or less; with a signal of one each result is another."""
    passes, states = GatedPasses(choice._library(), GATED[kind]), 2 if kind.__name__ == "LSTM" else 1
    gates = torch.zeros(2, 1, 4, 3, dtype=dtype)
    before, after = (
        torch.full((2, 1, states, 3), tiny(dtype) / 2, dtype=dtype),
        torch.empty(2, 1, states, 3, dtype=dtype),
    )
    for t in range(2):
        passes.advance_(gates[t], before[t], after[t])
    assert not after.any()
    gates.fill_(0.25)
    before.fill_(0.5)
    after.fill_(0.125)
    for size in (1.0, tiny(dtype) / 2):
        for filtered in (False, True):
            signal, driven = torch.full_like(before, size), torch.full_like(gates, -1.0)
            kept = signal[0] if filtered else torch.full_like(before, tiny(dtype) / 2)
            if filtered:
                passes.filter_leak_(gates, before, after, signal, driven)
            else:
                passes.back_(gates, before, after, signal, driven, kept)
            assert bool(driven.all()) == bool(driven.any()) == (size == 1.0)
            assert bool(kept[..., 0, :].any()) == (size == 1.0)


@each_kind
@pytest.mark.parametrize("rule", ["eprop", "bptt"])
def test_gated_cells_have_the_gradients_of_pytorch_where_errors_fade(
    kind: type[tca.cells.Cell], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network(kind, 5, torch.float32, bias=False)
    with torch.no_grad():
        net.w_rec.mul_(1e-2)
    found = []
    for name in ("eager", "compiled"):
        monkeypatch.setenv(choice.VARIABLE, name)
        found.append(learn(net, tca.RULES[rule], last_step(net, 170))())
    assert_close(*found)


def test_every_thread_takes_subnormal_numbers_for_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    net = leaky(STAYING, 1e-3, torch.float32, cells=48)
    compute = learn(net, LEAKY, last_step(net, FADED[torch.float32], trials=240))  # 83 million multiplications
    alone = compute()
    torch.set_num_threads(3)
    try:
        threaded = compute()
    finally:
        torch.set_num_threads(1)
    assert not alone["w_in"].any()
    assert all(torch.equal(threaded[name], each) for name, each in alone.items())


def mode() -> int:
    """Return the mode of this thread's arithmetic, MXCSR without the flags of past operations or FPCR."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("a processor or system with another environment of arithmetic")
    words = (ctypes.c_uint32 * 16)()
    assert ctypes.CDLL(None).fegetenv(words) == 0
    return words[7] & ~0x3F if platform.machine() == "x86_64" else words[0]


@pytest.mark.parametrize("flushing", [False, True])
def test_passes_leave_the_mode_of_the_process_alone(flushing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is, and PyTorch's own arithmetic with it: forward pass, filter, adjoint, gradients, gated cells."""
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    nets = (
        *(leaky(0.5, 0.1, F64, learn_initial=each) for each in (False, True)),
        *(network(each, 3) for each in GATED),
    )
    usual = mode()
    if not torch.set_flush_denormal(flushing):
        pytest.skip("not a processor with such a mode")
    try:
        before = mode()
        assert (before != usual) == flushing
        for net in nets:
            for rule in (LEAKY, tca.RULES["bptt"]):
                learn(net, rule, last_step(net, 4))()
                assert mode() == before
        assert (torch.tensor([1e-310], dtype=F64) * 0.5).item() == (0.0 if flushing else 5e-311)
    finally:
        torch.set_flush_denormal(False)
    assert mode() == usual
