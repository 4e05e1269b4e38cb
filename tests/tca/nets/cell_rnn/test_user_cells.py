"""Cells that users write: equal to the library's own networks, constants learned, mistakes named."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tca
from tca import cells, nets
from tca.cells import Cell, constant
from tca.eligibilities import PotentialLeak
from tests.support import oracle_cells, user_cells
from tests.support.cases import weights_of
from tests.support.rows import assert_same, relative
from tests.tca.nets.cell_rnn.test_gated_cells import trials
from tests.tca.test_conformance_cells import REFUSED
from tests.tca.test_online import gathered, run

F64 = torch.float64
LEAK = 0.6
TAU = -10.0 / math.log(LEAK)


def like(net: Any, own: Any) -> nets.CellRNN:
    """Return the network of a user's cell with the weights of one of the library."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            own.get_parameter(name).copy_(parameter)
    return own  # type: ignore[no-any-return]


def leaky(form: str, **options: Any) -> tuple[Any, Any]:
    settings = {"seed": 3, "dtype": F64, "cell_types": (0.6, 0.4), "dale": (1, -1), **options}
    net = nets.LeakyRNN(3, 5, 2, tau=TAU, form=form, **settings)
    cell = user_cells.LeakyA(LEAK) if form == "A" else user_cells.LeakyB(LEAK)
    return net, like(net, nets.CellRNN(cell, 3, 5, 2, **settings))


def spiking() -> tuple[Any, Any]:
    net = nets.SpikingRNN(
        3, 5, 2, tau=-1 / math.log(0.8), tau_adaptation=-1 / math.log(0.9), beta=0.3, adaptive=1.0, threshold=0.5,
        refractory=0.0, reset_in_trace=True, readout_tau=None, bias=True, gain_in=6.0, gain_rec=3.0, seed=3, dtype=F64,
    )  # fmt: skip
    return net, like(net, nets.CellRNN(user_cells.ALIF(), 3, 5, 2, autapses=False, dtype=F64))


SAME = [name for name, rule in tca.RULES.items() if name not in REFUSED["gru"]]


@pytest.mark.thirds
@pytest.mark.parametrize("rule", SAME)
@pytest.mark.parametrize("kind", ["A", "B", "spiking"])
def test_own_cells_equal_the_networks_of_the_library(kind: str, rule: str) -> None:
    """The same gradient under every rule, those that draw included, in every execution."""
    net, own = spiking() if kind == "spiking" else leaky(kind)
    batch, parts = trials(8, 2), tca.Rule(tca.RULES[rule].signal, tca.RULES[rule].eligibility)
    if kind == "spiking":
        assert 5 < net.run(batch.inputs).rate.sum() < 0.9 * net.run(batch.inputs).rate.numel()
        if rule in ("kernl", "mdgl_online", "dni") or isinstance(parts.eligibility, PotentialLeak):
            pytest.skip("of cells that do not spike, or whose first component is the potential")
    for execution in parts.executions:
        wanted, info = tca.Learner(net, parts, seed=5).grads(batch, execution=execution)
        found, own_info = tca.Learner(own, parts, seed=5).grads(batch, execution=execution)
        assert relative(own_info.outputs, info.outputs) < 1e-13
        assert_same(found, wanted)


@pytest.mark.thirds
@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("rule", ["rtrl", "eprop", "eprop_random", "snap1", "snap2", "mdgl_online", "uoro", "kf_rtrl"])
@pytest.mark.parametrize("readout_tau", [None, 25.0])
def test_own_cells_equal_them_online(form: str, rule: str, readout_tau: float | None) -> None:
    """Step by step, with noise in the drive, and behind a filtered readout."""
    net, own = leaky(form, readout_tau=readout_tau)
    batch, parts = trials(8, 2), tca.Rule(tca.RULES[rule].signal, tca.RULES[rule].eligibility)
    noise = torch.randn(8, 2, 5, dtype=F64, generator=torch.Generator().manual_seed(8))
    outputs = [run(tca.Learner(each, parts, seed=5).stream(2, 8), batch, noise=noise) for each in (net, own)]
    assert relative(outputs[1], outputs[0]) < 1e-13
    assert_same(gathered(own), gathered(net))


def oracle_of(cell: Cell) -> oracle_cells.Cell:
    """Return a user's cell for the oracle; gates are known by one letter."""
    letters = {name: name[0] for name in cell.drives}
    into, back = (
        "".join(letters[each] for each in (names or cell.drives))
        for names in (cell.input_drives, cell.recurrent_drives)
    )

    def step(state: Any, u: dict[str, Tensor], theta: dict[str, Tensor]) -> Any:
        return cell.bound(theta).step(state, tuple(u[letters[each]] for each in cell.drives))

    return oracle_cells.Cell(len(cell.components), into, back, step, lambda state: cell.rate(state))  # type: ignore[arg-type]


LEARNED: dict[str, tuple[Cell, tuple[str, ...] | None]] = {
    "leaky A": (user_cells.LeakyA(), ("leak",)),
    "leaky B": (user_cells.LeakyB(), ("leak",)),
    "ALIF": (user_cells.RisingALIF(), ("leak", "slow", "beta")),
    "resonator": (user_cells.Resonator(), None),
    "library A": (cells.Leaky(0.6), None),
    "library B": (cells.Leaky(0.6, form="B", activation="softplus"), None),
    "library ALIF": (cells.ALIF(0.8, 0.9, 0.3, threshold=0.5), None),
}


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("rule", "kind", "start"),
    [
        (rule, kind, (one + other) % 2 == 0)  # the start of the state is learned or zero in turn
        for one, rule in enumerate(oracle_cells.SURGERIES)
        for other, kind in enumerate(LEARNED)
    ],
)
def test_constants_are_learned_under_every_rule(rule: str, kind: str, start: bool) -> None:
    """Their gradient equals autograd with the same paths cut, in both executions and online."""
    cell, learn = LEARNED[kind]
    net = nets.CellRNN(cell, 3, 5, 2, gain_in=3.0, learn=learn, learn_initial=start, dtype=F64)
    with torch.no_grad():
        for name in net.learned:
            net.get_parameter(name).mul_(torch.linspace(0.8, 1.0, 5, dtype=F64))
        if start:
            net.s_0.copy_(torch.linspace(-0.4, 0.5, len(net.s_0), dtype=F64))
    batch, bound = trials(12, 2), tca.Learner(net, tca.RULES[rule])
    wanted = oracle_cells.gradient(oracle_of(cell), weights_of(net), batch, oracle_cells.SURGERIES[rule])
    assert set(net.learned) <= wanted.keys()
    assert all(wanted[name].any() for name in net.learned) or rule == "three_factor"
    for execution in ("reverse", "forward"):
        assert_same(bound.grads(batch, execution=execution)[0], wanted)
    if rule in ("rtrl", "eprop", "snap1", "three_factor", "homotopy"):
        run(bound.stream(2, 12), batch)
        assert_same(gathered(net), wanted)


def test_constants_stay_within_their_bounds() -> None:
    """However large the step of an optimizer is."""
    net = nets.CellRNN(user_cells.RisingALIF(), 3, 5, 2, learn=("leak", "beta"))
    for value in (50.0, -50.0):
        with torch.no_grad():
            net.leak.add_(value)
            net.beta.add_(value)
        net.project_()
        assert 0.0 <= net.leak.min() <= net.leak.max() <= 0.99
        assert net.beta.min() >= 0
    assert torch.equal(net.leak, torch.zeros(5))
    with pytest.raises(ValueError, match="rate: depends on the constant beta"):
        nets.CellRNN(user_cells.ALIF(), 3, 5, 2, learn=("beta",))
    with pytest.raises(ValueError, match="unknown constant of LeakyA 'leek'"):
        nets.CellRNN(user_cells.LeakyA(), 3, 5, 2, learn=("leek",))
    with pytest.raises(ValueError, match=r"leak must be finite and within \[0.0, 0.95\], got"):
        nets.CellRNN(user_cells.LeakyA(0.97), 3, 5, 2)


def test_constants_of_each_neuron() -> None:
    """One number per neuron, learned or not, and in float32."""
    values = (0.1, 0.2, 0.3, 0.4, 0.5)
    batch = trials(6, 2)
    fixed, learned = (
        nets.CellRNN(user_cells.LeakyA(values), 3, 5, 2, dtype=F64, learn=learn) for learn in ((), ("leak",))
    )
    same = nets.LeakyRNN(3, 5, 2, tau=[-10 / math.log(each) for each in values], dtype=F64)
    for net in (fixed, learned):
        assert relative(net.run(batch.inputs).outputs, same.run(batch.inputs).outputs) < 1e-13
    assert learned.leak.requires_grad
    assert learned.to(torch.float32).leak.dtype == torch.float32
    many = tuple(0.05 * (1 + each % 9) for each in range(7))  # neither the number of neurons that checks use
    assert all(tca.check_cell(user_cells.LeakyA(each)) for each in (many, many[:2]))
    assert nets.CellRNN(user_cells.LeakyA(many), 3, 7, 2, learn=("leak",)).leak.tolist() == pytest.approx(many)


@pytest.mark.parametrize("rule", ["bptt", "eprop", "snap1", "snap2", "three_factor", "mdgl_exact"])
def test_learned_cells_equal_the_networks_with_fixed_constants(rule: str) -> None:
    """Weights learn as in `LeakyRNN` and `SpikingRNN`, whatever else learns."""
    batch = trials(9, 2)
    for form in "AB":
        net, own = leaky(form)[0], nets.CellRNN(cells.Leaky(LEAK, form=form), 3, 5, 2, dtype=F64)
        wanted, found = (tca.Learner(each, tca.RULES[rule]).grads(batch)[0] for each in (net, like(net, own)))
        assert_same({name: found[name] for name in wanted}, wanted)
        assert found["leak"].all()
    net = spiking()[0]
    own = like(net, nets.CellRNN(cells.ALIF(0.8, 0.9, 0.3, threshold=0.5), 3, 5, 2, autapses=False, dtype=F64))
    wanted, found = (tca.Learner(each, tca.RULES[rule]).grads(batch)[0] for each in (net, own))
    assert_same({name: found[name] for name in wanted}, wanted)
    assert all(found[name].any() for name in ("leak", "adaptation_leak", "beta") if rule != "three_factor")


@pytest.mark.parametrize("rule", ["bptt", "rtrl", "eprop", "snap1"])
def test_one_layer_of_lru_learns_exactly_online(rule: str) -> None:
    """The leak is the Jacobian: e-prop, RTRL and BPTT equal autograd for inputs, nu and theta, also online."""
    net = nets.CellRNN(cells.LRU(r_min=0.6), 3, 5, 2, skip=True, seed=4, dtype=F64)
    batch = trials(13, 3)
    z, outputs = torch.zeros(3, 5, dtype=torch.complex128), []
    use = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    eigenvalue = torch.exp(torch.complex(-torch.exp(use["nu"]), torch.exp(use["theta"])))
    gamma = torch.sqrt(1 - eigenvalue.abs() ** 2)
    b, c = torch.complex(*use["w_in"].split(5)), torch.complex(use["w_out"][:, :5], -use["w_out"][:, 5:])
    for x in batch.inputs:
        z = eigenvalue * z + gamma * (x.to(b) @ b.T + torch.complex(*use["b"].split(5)))
        outputs.append((z @ c.T).real + use["b_out"] + x @ use["w_skip"].T)
    batch.loss.mean(torch.stack(outputs), batch.targets, batch.weights).backward()
    wanted = {name: each.grad for name, each in use.items()}
    bound = tca.Learner(net, tca.RULES[rule])
    for execution in ("reverse", "forward"):
        assert_same(bound.grads(batch, execution=execution)[0], wanted)  # type: ignore[arg-type]
    if rule != "bptt":
        run(bound.stream(3), batch)
        assert_same(gathered(net), wanted)


def test_the_memory_of_an_lru_is_flat() -> None:
    """Online e-prop keeps one number per constant, and I per synapse row, for each component and trial."""
    net = nets.CellRNN(cells.LRU(), 3, 5, 2, skip=True, dtype=F64)
    stream, batch = tca.Learner(net, tca.RULES["eprop"]).stream(3), trials(13, 3)
    run(stream, batch)
    sizes = {
        each.name: trace.value.numel() for each, trace in zip(net.hidden_connections(), stream.traces, strict=True)
    }
    assert sizes == {"w_in": 3 * 2 * 10 * 3, "b": 3 * 2 * 10, "nu": 3 * 2 * 5, "theta": 3 * 2 * 5}


@pytest.mark.parametrize("rule", ["eprop", "rtrl"])
def test_several_rates_pass_a_filtered_readout(rule: str) -> None:
    """Online, traces are filtered rate by rate."""
    net = nets.CellRNN(cells.LRU(), 3, 5, 2, readout_tau=25.0, dtype=F64)
    batch, bound = trials(9, 2), tca.Learner(net, tca.RULES[rule])
    wanted = bound.grads(batch)[0]
    run(bound.stream(2), batch)
    assert_same(gathered(net), wanted)


def test_derivatives_of_the_lru_and_its_ring() -> None:
    """Closed forms equal autograd; eigenvalues lie where they are drawn."""
    assert tca.check_cell(cells.LRU(-1.0, 0.3)), tca.check_cell(cells.LRU(-1.0, 0.3))
    net = nets.CellRNN(cells.LRU(r_min=0.9, r_max=0.99, max_phase=0.3), 2, 200, 1, dtype=F64)
    radius, phase = torch.exp(-torch.exp(net.nu)), torch.exp(net.theta)
    assert 0.9 <= float(radius.min().detach()) < 0.91
    assert 0.98 < float(radius.max().detach()) <= 0.99
    assert 0.29 < float(phase.max().detach()) <= 0.3


@dataclass(frozen=True)
class Good(Cell):
    """What the bad ones below are made of."""

    components = ("v",)
    drives = ("u",)
    leak: Any = constant(0.9, low=0.0, high=1.0)  # noqa: RUF009

    def step(self, state: Any, drive: Any) -> Any:
        return (self.leak * state[0] + drive[0],)

    def rate(self, state: Any) -> Any:
        return torch.tanh(state[0])


def bad(**methods: Any) -> Cell:
    """Return the cell with other methods or names."""
    return dataclass(frozen=True)(type("Bad", (Good,), methods))()  # type: ignore[no-any-return]


CALLS = itertools.count()
OWN, DRAWER, OTHER, THIRD = np.random.default_rng(0), torch.Generator(), random.Random(0), np.random.RandomState(0)


def rarely() -> float:
    """Return a number from a generator that no method of a cell names itself."""
    return float(THIRD.random_sample())


BAD = {
    "step: must return a tuple of 1 tensors": bad(step=lambda self, s, u: (s[0], s[0])),
    "step: v must have the shape": bad(step=lambda self, s, u: (s[0].sum(-1),)),
    "rate: z must have the shape": bad(rate=lambda self, s: s[0][..., :1]),
    "step: changes v in place": bad(step=lambda self, s, u: (s[0].mul_(0.9) + u[0],)),
    "rate: changes v in place": bad(rate=lambda self, s: s[0].tanh_()),
    "step: neuron 0 changes with the drive u of neuron 1": bad(
        step=lambda self, s, u: (s[0] + u[0].mean(-1, keepdim=True),)
    ),
    "rate: neuron 0 changes with the state of neuron 1": bad(rate=lambda self, s: s[0].softmax(-1)),
    "step: a step or trial changes": bad(step=lambda self, s, u: (s[0] + u[0].mean(0, keepdim=True),)),
    "step: not differentiable": bad(step=lambda self, s, u: (s[0].detach() + u[0].detach(),)),
    "rate: not differentiable": bad(rate=lambda self, s: (s[0] > 0).to(s[0])),
    "step: must be finite": bad(step=lambda self, s, u: (u[0] / s[0],)),
    "step: derivatives must be finite": bad(step=lambda self, s, u: (s[0].abs().sqrt() + u[0],)),
    "step: must return torch.float32 for torch.float32": bad(step=lambda self, s, u: ((s[0] + u[0]).double(),)),
    "step: must return the same values": bad(step=lambda self, s, u: (s[0] + u[0] + next(CALLS),)),
    "step: draws random numbers": bad(step=lambda self, s, u: (s[0] + u[0] + (random.random() < 1e-3),)),
    "rate: draws random numbers": bad(rate=lambda self, s: s[0] + 0 * torch.rand(())),
    "step: draws random numbers; it": bad(step=lambda self, s, u: (s[0] + u[0] + (OWN.random() < 1e-3),)),
    "rate: draws random numbers; it": bad(rate=lambda self, s: s[0] + 0 * torch.rand((), generator=DRAWER)),
    "rate: draws random": bad(rate=lambda self, s: s[0] + (rarely() < 1e-3)),
    "step: draws random": bad(step=lambda self, s, u: (s[0] + u[0] + (self.drawn[0].random() < 1e-3),), drawn=[OTHER]),
    "step: takes values out of torch (tolist)": bad(
        step=lambda self, s, u: (s[0] + u[0] + 0 * torch.tensor(s[0].tolist()).to(s[0]),)
    ),
    "rate: takes values out of torch (numpy)": bad(
        rate=lambda self, s: s[0] + torch.from_numpy(np.sin(s[0].detach().numpy()))
    ),
    "rate: takes values out of torch (__array__)": bad(
        rate=lambda self, s: s[0] + torch.from_numpy(np.asarray(s[0].detach()) * 1)
    ),
    "step: reads values in Python": bad(step=lambda self, s, u: (s[0] + u[0],) if (u[0] < 99).all() else (u[0],)),
    "rate: reads values in Python": bad(rate=lambda self, s: s[0] * min(float(s[0].max()), 1e9)),
    "components must be a tuple of names": bad(components=[]),
    "drives must be different names": bad(drives=("u", "u")),
    "input_drives must be names of drives": bad(input_drives=("w",)),
    "derivatives: leak must have 1 rows of 1 entries": bad(
        derivatives=lambda self, s, u: cells.Derivatives(((),), ((1.0,),))
    ),
    "derivatives: leak of v by v is off by": bad(
        derivatives=lambda self, s, u: cells.Derivatives(((0.5,),), ((1.0,),))
    ),
    "advance_: v differs from that of step": bad(advance_=lambda self, u, s, after: after.zero_() is not None),
    "advance_: changes the state": bad(advance_=lambda self, u, s, after: s.zero_() is not None),
    "Bad defines advance_, which needs gate_derivatives": bad(
        advance_=lambda self, u, s, after: (
            after.copy_(torch.stack(self.step(s.unbind(-2), u.unbind(-2)), -2)) is not None
        )
    ),
    "gate_derivatives: differ from autograd": bad(
        advance_=lambda self, u, s, after: (
            after.copy_(torch.stack(self.step(s.unbind(-2), u.unbind(-2)), -2)) is not None
        ),
        gate_derivatives=lambda self, gates, s, after: cells.Derivatives(((0.1,),), ((1.0,),)),
    ),
    "step: raised AttributeError": bad(step=lambda self, s, u: (s[0] + self.missing,)),
    "rate: raised ZeroDivisionError: division by zero": bad(rate=lambda self, s: s[0] + 1 / 0),
}


@pytest.mark.parametrize("words", BAD)
def test_mistakes_are_named(words: str) -> None:
    """One line with the method, in the report and where the network is built."""
    report = tca.check_cell(BAD[words])
    assert not report
    assert words in report.failures[0].detail, str(report)
    assert "\n" not in str(report.failures[0])
    with pytest.raises(ValueError, match=words.split(":")[0]):
        nets.CellRNN(BAD[words], 3, 5, 2)


def test_good_cells_pass() -> None:
    """Those of the library and of users."""
    found: list[Cell] = [Good(), *(kind() for kind in cells.CELLS.values()), cells.Leaky(form="B")]
    found += [cells.ALIF(refractory=2), cells.ALIF(reset_in_trace=False, scaled_drive=False, scaled_adaptation=False)]
    found += [
        user_cells.LeakyA(),
        user_cells.LeakyB(),
        user_cells.ALIF(),
        user_cells.RisingALIF(),
        user_cells.Resonator(),
    ]
    for cell in found:
        assert tca.check_cell(cell), str(tca.check_cell(cell))
    with pytest.raises(TypeError, match="cell must be"):
        tca.check_cell("gru")  # type: ignore[arg-type]
    assert replace(Good(), leak=0.5).leak == 0.5
