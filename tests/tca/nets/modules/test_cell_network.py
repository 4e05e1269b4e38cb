"""Rules on cell modules: gradients by autograd with cut paths, an independent loop over dense Jacobians, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tca
from tca.eligibilities import Diagonal, Full, Instant, Leak, Windowed
from tca.signals import Adaptive, Broadcast, Direct, Exact, Horizon, Random, Sparse
from tca.tape import dense_step
from tca.tape import tape as tape_module
from tca.tape.tape import Tape
from tests.tca.nets.modules.cells import (
    CELLS,
    F64,
    INPUTS,
    Deep,
    Made,
    batch,
    derivatives_of_step,
    made,
    oracle,
    relative,
    steps_of,
)

each_cell = pytest.mark.parametrize("name", CELLS)
EXECUTIONS = ("reverse", "forward")


def grads(
    case: Made, rule: tca.Rule, execution: str | None = None, given: tca.Batch | None = None
) -> dict[str, Tensor]:
    return tca.Learner(case.net, rule).grads(batch() if given is None else given, execution)[0]  # type: ignore[arg-type]


def keep(t: int, state: Tensor) -> Tensor:
    return state


def drop(t: int, state: Tensor) -> Tensor:
    return state.detach()


@each_cell
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
def test_bptt_and_rtrl_are_the_gradient(name: str, rule: str, execution: str) -> None:
    case = made(name)
    assert relative(grads(case, tca.RULES[rule], execution), oracle(case, batch(), keep)) < 1e-12


@each_cell
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_without_memory_it_is_autograd_with_detached_states(name: str, execution: str) -> None:
    case = made(name)
    found = grads(case, tca.RULES["three_factor"], execution)
    assert relative(found, oracle(case, batch(), drop)) < 1e-12
    assert relative(found, oracle(case, batch(), keep)) > 1e-2


@each_cell
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_windows_are_cut_from_the_end_of_each_trial(name: str, execution: str) -> None:
    case, given = made(name), batch()

    def cut(t: int, state: Tensor) -> Tensor:
        at = (given.trial_lengths - t + 1) % 2 == 0
        return torch.where(at.view(-1, *[1] * (state.ndim - 1)), state.detach(), state)

    found = grads(case, tca.Rule(Direct(), Windowed(2)), execution)
    assert relative(found, oracle(case, given, cut)) < 1e-12
    assert relative(found, oracle(case, given, keep)) > 1e-3


@each_cell
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize(("eligibility", "cut"), [(Full(), keep), (Instant(), drop)], ids=["Full", "Instant"])
def test_random_feedback_is_autograd_of_its_own_objective(
    name: str, execution: str, eligibility: Any, cut: Callable[[int, Tensor], Tensor]
) -> None:
    case = made(name)
    learner = tca.Learner(case.net, tca.Rule(Random(), eligibility), seed=3)
    found, _ = learner.grads(batch(), execution)  # type: ignore[arg-type]
    assert relative(found, oracle(case, batch(), cut, learner.buffers["feedback"])) < 1e-12


def jacobians(case: Made, given: tca.Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Return ``J_t`` (T, B, M, M), ``G_t`` (T, B, M, P) and the start of the traces, a trial and a row at a time."""
    trials = given.trials
    _, states = steps_of(case, given.inputs, drop)
    before = [tuple(each.detach().expand(trials, *each.shape) for each in case.start), *states[:-1]]
    found = [derivatives_of_step(case, x, state) for x, state in zip(given.inputs, before, strict=True)]
    direct = {name: torch.stack([each[name] for _, each in found]) for name in found[0][1]}
    start = torch.stack([torch.cat([each.flatten() for each in case.start])] * trials)
    return torch.stack([jac for jac, _ in found]), direct, start


@each_cell
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_the_diagonal_is_an_independent_loop(name: str, execution: str) -> None:
    case, given = made(name), batch(5)
    jac, direct, _ = jacobians(case, given)
    learner = tca.Learner(case.net, tca.RULES["snap1"])
    signal = learner.signal(given)[1:].detach()
    found, _ = learner.grads(given, execution)  # type: ignore[arg-type]
    for parameter, each in direct.items():
        trace = torch.zeros_like(each[0])
        if parameter in case.net._start:  # the state at time zero, which the readout does not read
            offset = case.net.n_states - sum(part.numel() for part in case.start)
            for index in range(trace.shape[2]):
                trace[:, offset + index, index] = 1.0
        total = torch.zeros(each.shape[-1], dtype=F64)
        for t in range(len(jac)):
            trace = jac[t].diagonal(dim1=1, dim2=2).unsqueeze(2) * trace + each[t]
            total += torch.einsum("bm,bmp->p", signal[t], trace)
        wanted = total.view_as(found[parameter])
        assert relative({"": found[parameter]}, {"": wanted}) < 1e-12
    assert relative(found, oracle(case, given, keep)) > 1e-3


@pytest.mark.thirds
@each_cell
@pytest.mark.parametrize("eligibility", [Instant(), Diagonal(), Full(), Windowed(3)], ids=repr)
def test_every_eligibility_with_its_exact_signal_is_the_gradient(name: str, eligibility: Any) -> None:
    case = made(name)
    wanted = oracle(case, batch(), keep)
    for execution in EXECUTIONS:
        assert relative(grads(case, tca.Rule(Exact(), eligibility), execution), wanted) < 1e-12


@pytest.mark.parametrize("signal", [Direct(), Random(), Adaptive(), Sparse(), Broadcast(), Horizon(2)], ids=repr)
@pytest.mark.parametrize("eligibility", [Instant(), Diagonal(), Full(), Windowed(2)], ids=repr)
def test_forward_equals_reverse(signal: Any, eligibility: Any) -> None:
    case = made("deep")
    rule = tca.Rule(signal, eligibility)
    assert relative(grads(case, rule, "forward"), grads(case, rule, "reverse")) < 1e-12


def test_the_horizon_counts_later_errors() -> None:
    case, given = made("gru"), batch()
    jac, direct, _ = jacobians(case, given)
    learning_signal = tca.Learner(case.net, tca.RULES["three_factor"]).signal(given)[1:].detach()
    wanted = torch.zeros(case.net.cell.weight_hh.numel(), dtype=F64)
    for t in range(given.steps):
        product = torch.eye(case.net.n_states, dtype=F64).expand(given.trials, -1, -1)
        for q in range(t, min(t + 3, given.steps)):
            product = jac[q] @ product if q > t else product
            wanted += torch.einsum("bm,bmn,bnp->p", learning_signal[q], product, direct["cell.weight_hh"][t])
    found = grads(case, tca.Rule(Horizon(2), Instant()))["cell.weight_hh"]
    assert relative({"": found.flatten()}, {"": wanted}) < 1e-12


@pytest.mark.thirds
@each_cell
@pytest.mark.parametrize("rule", ["bptt", "tbptt", "snap1", "three_factor", "eprop_random"])
def test_padding_changes_no_gradient(name: str, rule: str) -> None:
    case, given = made(name), batch()
    rules = dict(tca.RULES, eprop_random=tca.Rule(Random(), Diagonal()))
    more = torch.nn.functional.pad
    longer = replace(
        given,
        inputs=more(given.inputs, (0, 0, 0, 0, 0, 4), value=3.0),
        targets=more(given.targets, (0, 0, 0, 0, 0, 4), value=9.0),
        weights=more(given.weights, (0, 0, 0, 4)),
    )
    for execution in EXECUTIONS:
        assert relative(grads(case, rules[rule], execution, longer), grads(case, rules[rule], execution)) < 1e-12


def test_a_learned_initial_state_has_its_gradient_and_no_other_has_any() -> None:
    assert "cell.initial_state" in dict(made("deep").net.named_parameters())
    case = made("lstm")
    assert [name for name, _ in case.net.named_parameters() if name.startswith("initial")] == ["initial_0"]
    assert [name for name, _ in case.net.named_buffers()] == ["initial_1"]
    assert grads(case, tca.RULES["bptt"])["initial_0"].abs().max() > 1e-3
    assert not grads(case, tca.RULES["three_factor"])["initial_0"].any()


@each_cell
def test_the_differentiable_forward_pass_is_the_recorded_one(name: str) -> None:
    case, given = made(name), batch()
    outputs = case.net(given.inputs)
    torch.testing.assert_close(outputs, case.net.run(given.inputs).outputs, rtol=0, atol=1e-14)
    rates, _ = steps_of(case, given.inputs, keep)
    torch.testing.assert_close(outputs, case.net.readout(torch.stack(rates)), rtol=0, atol=1e-14)
    parameters = [each for each in case.net.parameters()]
    first = torch.autograd.grad(outputs.square().sum(), parameters, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), parameters)  # type: ignore[arg-type]
    assert all(each.isfinite().all() for each in second)


def test_types_and_copies_follow() -> None:
    case, given = made("lstm"), batch()
    wanted = grads(case, tca.RULES["snap1"])
    net = case.net.to(torch.float32)
    found, info = tca.Learner(net, tca.RULES["snap1"]).grads(given.to(dtype=torch.float32))
    assert info.outputs.dtype == torch.float32
    assert relative({name: each.double() for name, each in found.items()}, wanted) < 1e-4
    ahead = tca.Learner(net, tca.RULES["bptt"]).ahead()
    assert not set(map(id, ahead.net.parameters())) & set(map(id, net.parameters()))


def test_it_learns_and_leaves_the_mode_as_it_was() -> None:
    torch.manual_seed(0)
    cell = Cell()
    cell.dropout.eval()
    net = tca.nets.from_module(cell, nn.Linear(8, 2), n_in=INPUTS)
    modes = [each.training for each in net.modules()]
    learner, given = tca.Learner(net, tca.RULES["snap1"]), batch(dtype=torch.float32)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        losses.append(float(learner.backward(given).loss))
        optimizer.step()
        net.project_()
    assert losses[-1] < 0.5 * losses[0]
    assert [each.training for each in net.modules()] == modes


@each_cell
def test_windows_of_the_cache(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, rule = made(name), tca.Rule(Exact(), Diagonal())
    wanted = grads(case, rule)
    monkeypatch.setattr(tape_module, "WINDOW_BYTES", 200)
    assert len(list(tca.Learner(case.net, rule).tape(batch()).windows())) > 2
    assert relative(grads(case, rule), wanted) < 1e-13


def test_dropout_turned_on_later_does_not_act() -> None:
    torch.manual_seed(0)
    net = tca.nets.from_module(Cell().eval(), nn.Linear(8, 2), n_in=INPUTS)
    learner, given = tca.Learner(net, tca.RULES["bptt"]), batch(dtype=torch.float32)
    wanted, _ = learner.grads(given)
    net.train()
    assert all(torch.equal(each, wanted[name]) for name, each in learner.grads(given)[0].items())
    assert torch.equal(net(given.inputs), net(given.inputs))


class Cell(nn.Module):
    """A GRU of eight cells, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.dropout = nn.GRUCell(INPUTS, 8), nn.Dropout()

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return self.dropout(self.gru(x, s))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("eprop", "Leak is not defined on a cell module, whose Jacobian is dense, without a leak"),
        ("snap2", "SnAp is not defined"),
        ("mdgl", "Leak is not defined"),
        ("ebd", "Decorrelation is not defined on a cell module"),
        ("node_perturbation", "NodeNoise is not defined"),
        ("uoro", "UORO is not defined"),
        ("feedback_alignment", "FeedbackAlignment is not defined.*use Direct, Exact"),
    ],
)
def test_other_rules_are_refused_with_the_reason(rule: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tca.Learner(made("gru").net, tca.RULES[rule])


def test_traces_beyond_the_limit_are_refused_with_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dense_step.TRACE_BYTES == 1024**3
    case = made("gru")
    learner = tca.Learner(case.net, tca.RULES["rtrl"])
    wanted = 3 * 4 * (4 + 2 * sum(each.numel() for each in case.net.cell.parameters())) * 8
    assert case.net.trace_bytes(3) == wanted
    monkeypatch.setattr(dense_step, "TRACE_BYTES", wanted)
    learner.grads(batch(), "forward")
    monkeypatch.setattr(dense_step, "TRACE_BYTES", wanted - 1)
    with pytest.raises(ValueError, match=r"traces of 3 trials, 4 states and 108 parameters would take .* GiB"):
        learner.grads(batch(), "forward")
    learner.grads(batch(), "reverse")
    monkeypatch.setattr(dense_step, "TRACE_BYTES", 3 * 4 * 4 * 8 - 1)
    with pytest.raises(ValueError, match="the Jacobian of a step would take"):
        tca.Learner(case.net, tca.RULES["snap1"]).grads(batch())


class Bad(nn.Module):
    """A cell of four numbers with one defect."""

    def __init__(self, step: Callable[[nn.Linear, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.step = nn.Linear(INPUTS + 4, 4), step

    def forward(self, x: Tensor, s: Tensor) -> Any:
        return self.step(self.layer, x, s)


def _both(x: Tensor, s: Tensor) -> Tensor:
    return torch.cat([x, s], 1)


def _raising(layer: nn.Linear, x: Tensor, s: Tensor) -> Tensor:
    raise KeyError("gate")


DEFECTS: dict[str, tuple[Callable[[nn.Linear, Tensor, Tensor], Any], str]] = {
    "shape": (lambda f, x, s: f(_both(x, s))[:, :3], r"^cell must return the next state, \(3, 4\) as it was given"),
    "list": (lambda f, x, s: [f(_both(x, s))], r"got \(\(3, 4\)\)"),
    "raises": (
        lambda f, x, s: f(s),
        r"cell must accept inputs of shape \(3, 3\) and \(3, 4\), as given by n_in and initial; it raised",
    ),
    "own error": (_raising, r"as given by n_in and initial; it raised: KeyError: 'gate'$"),
    "in place": (lambda f, x, s: f(_both(x, s.mul_(2))), "must not change its inputs or its state in place"),
    "detached": (lambda f, x, s: f(_both(x, s)).detach(), "no derivative reaches them"),
    "nan": (lambda f, x, s: f(_both(x, s)) / 0.0 * 0.0, "must return finite numbers"),
    "type": (lambda f, x, s: f(_both(x, s)).double(), "must return torch.float32"),
    "trials": (lambda f, x, s: f(_both(x, s)) - s.mean(0) - x.mean(), "must treat trials apart"),
    "random": (
        lambda f, x, s: torch.dropout(f(_both(x, s)), 0.5, f.training),
        "cell must be deterministic, and it draws random numbers in training mode",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_cells_that_cannot_be_trained_are_refused(defect: str) -> None:
    step, words = DEFECTS[defect]
    cell, readout = Bad(step), nn.Linear(4, 1)
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=words):
        tca.nets.from_module(cell, readout, n_in=INPUTS, initial=torch.full((4,), 0.3))
    assert torch.equal(state, torch.get_rng_state())


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="n_in must be given, since Deep has no input_size"):
        tca.nets.from_module(Deep(), nn.Linear(4, 1))
    with pytest.raises(ValueError, match="readout must have 4 inputs"):
        tca.nets.from_module(Deep(), nn.Linear(5, 1), n_in=INPUTS)
    with pytest.raises(TypeError, match="readout"):
        tca.nets.from_module(Deep(), Deep(), n_in=INPUTS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as given by n_in and initial; it raised"):
        tca.nets.from_module(nn.LSTMCell(3, 4), nn.Linear(4, 1), initial=torch.zeros(4))
    with pytest.raises(ValueError, match="initial must be finite, got NaN or infinity"):
        tca.nets.from_module(nn.GRUCell(3, 4), nn.Linear(4, 1), initial=torch.tensor([0.0, 1.0, float("nan"), 0.0]))
    with pytest.raises(ValueError, match="cell must hold numbers, got a parameter on the meta device"):
        tca.nets.from_module(nn.GRUCell(3, 4, device="meta"), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"dtype must be torch\.float32 or torch\.float64, got torch\.bfloat16"):
        tca.nets.from_module(nn.GRUCell(3, 4, dtype=torch.bfloat16), nn.Linear(4, 1, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match="cell must have parameters"):
        tca.nets.from_module(nn.Identity(), nn.Linear(4, 1), n_in=3)
    with pytest.raises(ValueError, match=r"cell\.initial_state must be read at time zero alone"):
        tca.nets.from_module(ReadsStart(), nn.Linear(4, 1), n_in=INPUTS)


class ReadsStart(Deep):
    """Adds its initial state at every step."""

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return super().forward(x, s) + self.initial_state


def test_a_cell_without_batching_rules_trains_by_products_alone() -> None:
    torch.manual_seed(0)

    def step(layer: nn.Linear, x: Tensor, s: Tensor) -> Tensor:
        drive: Tensor = layer(_both(x, s))
        return torch.tanh(drive) if float(drive.detach().sum()) > -1e9 else drive  # a number of a whole batch

    net = tca.nets.from_module(Bad(step), nn.Linear(4, 2), n_in=INPUTS)
    given = batch(dtype=torch.float32)
    tca.Learner(net, tca.RULES["bptt"]).backward(given)
    with pytest.raises(ValueError, match=r"cannot be differentiated trial by trial with torch\.func"):
        tca.Learner(net, tca.RULES["snap1"]).backward(given)


def test_a_tape_of_a_cell_has_no_parts_of_other_cells() -> None:
    case = made("gru")
    tape: Tape = tca.Learner(case.net, tca.RULES["bptt"]).tape(batch())
    step, states = tape.local_step(1), torch.ones(3, 4, dtype=F64)
    parts: tuple[Callable[[], Any], ...] = (
        lambda: tape.synapses,
        lambda: tape.derivative(1),
        lambda: step.driven(states),
        lambda: step.driven_back(states),
        step.gain_blocks,
    )
    for part in parts:
        with pytest.raises(ValueError, match="the population is a module, which has no"):
            part()
    with pytest.raises(ValueError, match="Leak"):
        tca.Learner(case.net, tca.Rule(Direct(), Leak()))
