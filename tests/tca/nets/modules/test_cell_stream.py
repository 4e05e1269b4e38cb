"""Cell modules online: equal to forward execution, to a loop over dense Jacobians where weights change, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tca
from tca.eligibilities import Diagonal, Full, Instant, Windowed
from tca.signals import Adaptive, Broadcast, Direct, Exact, Horizon, Random, Sparse
from tca.tape import dense_step
from tests.tca.nets.modules.cells import (
    CELLS,
    F64,
    INPUTS,
    Made,
    batch,
    called,
    derivatives_of_step,
    made,
    relative,
)

each_cell = pytest.mark.parametrize("name", CELLS)
RULES = {name: tca.RULES[name] for name in ("rtrl", "tbptt", "snap1", "three_factor")} | {
    f"{signal!r} {eligibility!r}": tca.Rule(signal, eligibility)
    for signal in (Direct(), Random(), Adaptive(), Sparse(), Broadcast())
    for eligibility in (Instant(), Diagonal(), Full(), Windowed(2), Windowed(3, keep_leak=True))
}


def run(stream: Any, given: tca.Batch, optimizer: torch.optim.Optimizer | None = None) -> Tensor:
    """Return the outputs of a stream; with an optimizer, weights change after every step."""
    outputs = []
    for x, y, w in zip(given.inputs, given.targets, given.weights, strict=True):
        outputs.append(stream.step(x, y, w, given.loss))
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
    return torch.stack(outputs)


def gathered(net: nn.Module) -> dict[str, Tensor]:
    return {name: torch.zeros_like(each) if each.grad is None else each.grad for name, each in net.named_parameters()}


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("name", "rule"),
    [([*CELLS][(place + step) % len(CELLS)], rule) for place, rule in enumerate(RULES) for step in (0, 2)],
)
def test_frozen_weights_give_the_gradient_of_the_forward_execution(name: str, rule: str) -> None:
    """Trials of three lengths, twice in a stream; the gradients of both passes add up."""
    case, given = made(name), batch()
    learner = tca.Learner(case.net, RULES[rule], seed=3)
    wanted, info = learner.grads(given, "forward")
    stream = learner.stream(given.trials, steps=given.trial_lengths)
    for times in (1, 2):
        outputs = run(stream, given)
        torch.testing.assert_close(outputs, info.outputs, rtol=0, atol=1e-14)
        assert relative(gathered(case.net), {each: times * value for each, value in wanted.items()}) < 1e-12
        stream.reset()


@pytest.mark.thirds
@each_cell
@pytest.mark.parametrize("rule", ["rtrl", "snap1", "three_factor"])
def test_weights_that_change_in_a_trial_are_a_loop_over_jacobians(name: str, rule: str) -> None:
    """Each step propagates by the Jacobian of the present weights, in two trials one after the other."""
    case, same, given, rate = made(name), made(name), batch(), 0.2
    stream = tca.Learner(case.net, tca.RULES[rule]).stream(given.trials)
    optimizer = torch.optim.SGD(case.net.parameters(), lr=rate)
    run(stream, given, optimizer)
    stream.reset()
    run(stream, given, optimizer)
    before = {each: value.detach().clone() for each, value in same.net.named_parameters()}
    for _ in range(2):
        learn(same, given, rule, rate)
    found = {each: value.detach() for each, value in case.net.named_parameters()}
    wanted = {each: value.detach() for each, value in same.net.named_parameters()}
    assert relative(found, wanted) < 1e-12
    whole = tca.Learner(made(name).net, tca.RULES[rule]).grads(given, "forward")[0]
    assert relative({each: value - rate * whole[each] for each, value in before.items()}, wanted) > 1e-4


def learn(case: Made, given: tca.Batch, rule: str, rate: float) -> None:
    """Descend the gradient of every step of some trials by a loop that carries ``e = D e + G``."""
    net, trials = case.net, given.trials
    state = tuple(each.detach().expand(trials, *each.shape).clone() for each in case.start)
    traces = {
        name: torch.zeros(trials, net.n_states, each.numel(), dtype=F64)
        for name, each in net.named_parameters()
        if not name.startswith("readout")
    }
    for name, first in zip(net._start, offsets(case), strict=True):
        for index in range(traces[name].shape[2] if name in traces else 0):
            traces[name][:, first + index, index] = 1.0
    for x, target, weight in zip(given.inputs, given.targets, given.weights, strict=True):
        jac, direct = derivatives_of_step(case, x, state)
        keeps = {"rtrl": jac, "snap1": torch.diag_embed(jac.diagonal(dim1=1, dim2=2)), "three_factor": 0 * jac}[rule]
        traces = {each: keeps @ trace + direct[each] for each, trace in traces.items()}
        with torch.no_grad():
            rates, state = called(case, x, state)
            error = weight.unsqueeze(1) * (net.readout(rates) - target) / trials
            signal = error @ net.readout.weight
            for each, trace in traces.items():
                parameter = net.get_parameter(each)
                parameter -= rate * torch.einsum("bn,bnp->p", signal, trace[:, : signal.shape[1]]).view_as(parameter)
            net.readout.weight -= rate * error.t() @ rates
            if net.readout.bias is not None:
                net.readout.bias -= rate * error.sum(0)


def offsets(case: Made) -> list[int]:
    """Return the place of each tensor of the state among the numbers of a trial."""
    sizes = [each.numel() for each in case.start]
    first = case.net.n_states - sum(sizes)
    return [first + sum(sizes[:index]) for index in range(len(sizes))]


@pytest.mark.parametrize("name", [pytest.param("gru", marks=pytest.mark.slow), "fast_weights"])
def test_it_learns_within_trials_and_leaves_mode_and_generator_as_they_were(name: str) -> None:
    case, given = made(name), batch(12)
    case.net.cell.train()
    state = torch.get_rng_state()
    learner = tca.Learner(case.net, tca.RULES["rtrl"])
    optimizer = torch.optim.Adam(case.net.parameters(), lr=0.02)
    before = float(learner.grads(given)[1].loss)
    stream = learner.stream(given.trials)
    for _ in range(25):
        run(stream, given, optimizer)
        stream.reset()
    assert float(learner.grads(given)[1].loss) < 0.7 * before
    assert case.net.cell.training
    assert torch.equal(torch.get_rng_state(), state)


def test_parameters_that_do_not_learn_are_left_out() -> None:
    case, given = made("gru"), batch()
    case.net.cell.weight_hh.requires_grad_(False)
    wanted, _ = tca.Learner(case.net, tca.RULES["rtrl"]).grads(given, "forward")
    run(tca.Learner(case.net, tca.RULES["rtrl"]).stream(given.trials), given)
    assert case.net.cell.weight_hh.grad is None
    del wanted["cell.weight_hh"]
    assert relative({name: gathered(case.net)[name] for name in wanted}, wanted) < 1e-12


def test_single_precision_is_close() -> None:
    case, given = made("lstm"), batch()
    wanted, _ = tca.Learner(case.net, tca.RULES["snap1"]).grads(given, "forward")
    net = case.net.to(torch.float32)
    outputs = run(tca.Learner(net, tca.RULES["snap1"]).stream(given.trials), given.to(dtype=torch.float32))
    assert outputs.dtype == torch.float32
    assert relative({name: each.double() for name, each in gathered(net).items()}, wanted) < 1e-4


def test_what_cannot_run_online_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = made("gru").net, batch()
    for signal, eligibility in ((Exact(), Instant()), (Horizon(2), Full())):
        with pytest.raises(ValueError, match=f"{type(signal).__name__} needs later errors and cannot run online"):
            tca.Learner(net, tca.Rule(signal, eligibility)).stream(3)
    with pytest.raises(ValueError, match=r"counted from the end of the trial: give the number of steps to stream\(\)"):
        run(tca.Learner(net, tca.RULES["tbptt"]).stream(3), given)
    assert all(each.grad is None for each in net.parameters())
    stream = tca.Learner(net, tca.RULES["rtrl"]).stream(3, steps=2)
    with pytest.raises(ValueError, match=r"inputs must have shape \(B, I\) = \(3, 3\), got \(2, 3\)"):
        stream.step(given.inputs[0, :2], given.targets[0], given.weights[0], given.loss)
    with pytest.raises(ValueError, match="noise"):
        stream.step(given.inputs[0], given.targets[0], given.weights[0], given.loss, torch.zeros(3, 4, dtype=F64))
    with pytest.raises(ValueError, match="over after 2 steps"):
        run(stream, given)
    with pytest.raises(ValueError, match="trials must be at least 1"):
        tca.Learner(net, tca.RULES["rtrl"]).stream(0)
    with pytest.raises(ValueError, match="WrappedModel runs through whole trials, not step by step"):
        tca.Learner(tca.nets.wrap(nn.Linear(3, 2)), tca.RULES["bptt"]).stream(1)
    monkeypatch.setattr(dense_step, "TRACE_BYTES", net.trace_bytes(3) - 1)
    with pytest.raises(ValueError, match=r"traces of 3 trials, 4 states and 108 parameters would take .* GiB"):
        run(tca.Learner(net, tca.RULES["snap1"]).stream(3), given)


class Branching(nn.Module):
    """Reads a number of a whole batch, which torch.func does not differentiate trial by trial."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(INPUTS + 4, 4)

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        drive = self.layer(torch.cat([x, s], 1))
        return torch.tanh(drive) if float(drive.detach().sum()) > -1e9 else drive  # type: ignore[no-any-return]


@pytest.mark.parametrize("rule", ["rtrl", "snap1", "three_factor"])
def test_a_cell_without_batching_rules_is_refused_in_one_line(rule: str) -> None:
    net = tca.nets.from_module(Branching(), nn.Linear(4, 2), n_in=INPUTS)
    with pytest.raises(
        ValueError, match=r"^the cell cannot be differentiated trial by trial with torch\.func"
    ) as caught:
        run(tca.Learner(net, tca.RULES[rule]).stream(3), batch(dtype=torch.float32))
    assert "\n" not in str(caught.value)
