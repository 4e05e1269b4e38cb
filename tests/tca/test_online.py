"""Rules online: equal to whole trials with frozen weights, to a loop over numbers when weights change in a trial."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.signals import CausalSignal
from tests.support.cases import CASES, F1, Case, some_cases
from tests.support.rows import ELIGIBILITIES, ROWS, assert_same, learner, relative

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def run(
    stream: Any, batch: tca.Batch, optimizer: torch.optim.Optimizer | None = None, noise: Tensor | None = None
) -> Tensor:
    """Stream a batch and return the outputs; with an optimizer, weights change after every step."""
    outputs = []
    for t in range(batch.steps):
        step_noise = None if noise is None else noise[t]
        outputs.append(stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss, step_noise))
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()
    return torch.stack(outputs)


def gathered(net: torch.nn.Module) -> dict[str, Tensor]:
    """Return what has been added to ``.grad``."""
    return {name: parameter.grad.clone() for name, parameter in net.named_parameters()}


ONLINE = {
    name: rule
    for name, rule in tca.RULES.items()
    if name in ROWS and isinstance(rule.signal, CausalSignal) and name != "weight_mirror"
}  # learns at every step
WHOLE_TRIALS = (
    *("bptt", "tbptt_future", "one_hop", "two_hops", "mdgl_exact", "mdgl", "nl_mdgl", "mdgl_one_hop"),
    *("ebd", "sbd", "sbd_expansion", "sbd_filtered", "sbd_lagged"),
)


@pytest.mark.thirds
@some_cases([*ONLINE, *(tca.Rule(tca.signals.Random(), each) for each in ELIGIBILITIES)], 4)
def test_frozen_weights_give_the_gradient_of_the_trial(case: Case, part: str | tca.Rule) -> None:
    """A rule without later error, online, sums to what it gives at the end of the trial; and again after a reset."""
    bound = learner(case, tca.RULES[part] if isinstance(part, str) else part)
    batch = case.batch()
    wanted, info = bound.grads(batch)
    stream = bound.stream(case.trials, steps=case.steps)
    for _ in range(2):
        outputs = run(stream, batch)
        assert_same(gathered(bound.net), wanted)
        assert torch.allclose(outputs, info.outputs, rtol=1e-12, atol=1e-14)
        stream.reset()
        bound.net.zero_grad()


def test_noise_reaches_a_stream_as_it_reaches_a_trial() -> None:
    """Noise of every step is added to the drive."""
    bound, batch = learner(F1, tca.RULES["eprop"]), F1.batch()
    noise = F1.values()["w_in"][None, :, :1].mT * torch.arange(1.0, F1.steps + 1, dtype=torch.float64)[:, None, None]
    noise = noise.expand(F1.steps, F1.trials, -1)
    run(bound.stream(F1.trials), batch, noise=noise)
    wanted = bound.grads(batch, noise=noise)[0]
    assert_same(gathered(bound.net), wanted)
    assert not torch.allclose(wanted["w_rec"], bound.grads(batch)[0]["w_rec"])


def test_a_noisy_network_draws_its_noise_online() -> None:
    """Without noise given, each step draws new noise from the network's own generator."""
    bound, batch = learner(F1, tca.RULES["eprop"], noise=0.5), F1.batch()
    first, second = (run(bound.stream(F1.trials), batch) for _ in range(2))
    clean = bound.net.run(batch.inputs).outputs
    assert torch.all((first - clean).norm(dim=(1, 2)) > 1e-3)
    assert torch.all((first - second).norm(dim=(1, 2)) > 1e-3)
    again = learner(F1, tca.RULES["eprop"], noise=0.5)
    assert torch.equal(run(again.stream(F1.trials), batch), first)


@pytest.mark.parametrize("form", ["A", "B"])
def test_weights_that_change_in_a_trial(form: str) -> None:
    """Learning after every step equals a loop over single numbers that carries a trace per synapse."""
    case = Case("online", form=form, sizes=(2, 4, 2), steps=9, trials=1, seed=21, leak=0.7)
    bound, batch, rate = learner(case, tca.RULES["rflo"]), case.batch(), 0.3
    feedback = bound.buffers["feedback"].tolist()
    w = {name: parameter.detach().clone() for name, parameter in bound.net.named_parameters()}
    whole = {name: w[name] - rate * each for name, each in bound.grads(batch)[0].items()}
    run(bound.stream(1), batch, torch.optim.SGD(bound.net.parameters(), lr=rate))
    assert relative(bound.net.w_rec.detach(), whole["w_rec"]) > 1e-3

    n_in, n_rec, n_out = case.sizes
    state, before = torch.zeros(n_rec, dtype=torch.float64), torch.zeros(n_rec, dtype=torch.float64)
    trace = torch.zeros(n_rec, n_in + n_rec + 1, dtype=torch.float64)
    for t in range(case.steps):
        pre = torch.cat([batch.inputs[t, 0], before, torch.ones(1, dtype=torch.float64)])
        drive = torch.cat([w["w_in"], w["w_rec"], w["b"][:, None]], 1) @ pre
        activity = drive if form == "A" else drive.tanh()
        slope = torch.ones(n_rec, dtype=torch.float64) if form == "A" else 1 - activity**2
        state = 0.7 * state + 0.3 * activity
        for i in range(n_rec):
            for j in range(len(pre)):
                trace[i, j] = 0.7 * trace[i, j] + 0.3 * slope[i] * pre[j]
        before = state.tanh() if form == "A" else state
        emitted = 1 - before**2 if form == "A" else torch.ones(n_rec, dtype=torch.float64)
        error = (w["w_out"] @ before + w["b_out"] - batch.targets[t, 0]) * batch.weights[t, 0]
        for i in range(n_rec):
            learning_signal = emitted[i] * sum(feedback[i][k] * error[k] for k in range(n_out))
            w["w_in"][i] -= rate * learning_signal * trace[i, :n_in]
            w["w_rec"][i] -= rate * learning_signal * trace[i, n_in:-1]
            w["b"][i] -= rate * learning_signal * trace[i, -1]
        w["w_out"] -= rate * torch.outer(error, before)
        w["b_out"] -= rate * error
    assert_same({name: parameter.detach() for name, parameter in bound.net.named_parameters()}, w)


@each_case
def test_online_hops_give_the_change_of_the_trial(case: Case) -> None:
    """The error of the next synapse, met by traces of the step before, sums to what the whole trial gives."""
    bound = learner(case, tca.RULES["mdgl_online"])
    if bound.net.s_0 is not None:
        with pytest.raises(ValueError, match="learned initial state"):
            bound.stream(case.trials)
        return
    wanted, _ = bound.grads(case.batch())
    run(bound.stream(case.trials), case.batch())
    assert_same(gathered(bound.net), wanted)


def test_what_cannot_stream_says_so() -> None:
    """Rules with later errors, windows without an end, and steps beyond the end are refused."""
    for name in WHOLE_TRIALS:
        with pytest.raises(ValueError, match=r"needs later errors|is made from whole trials only"):
            learner(F1, tca.RULES[name]).stream(F1.trials)
    assert {name for name in ROWS if tca.RULES[name].signal.online() is None} <= set(WHOLE_TRIALS)
    with pytest.raises(ValueError, match="give the number of steps"):
        run(learner(F1, tca.RULES["tbptt"]).stream(F1.trials), F1.batch())
    stream = learner(F1, tca.RULES["eprop"]).stream(F1.trials, steps=F1.steps - 1)
    with pytest.raises(ValueError, match="over after 11 steps"):
        run(stream, F1.batch())
    with pytest.raises(ValueError, match="trials must be at least 1"):
        learner(F1, tca.RULES["eprop"]).stream(0)


def test_adaptive_feedback_follows_every_step() -> None:
    """Online, feedback and readout come together by the decay with every update inside a trial."""
    case = Case("online", sizes=(2, 4, 2), steps=9, trials=2, seed=22, plain=True)
    bound = learner(case, tca.Rule(tca.signals.Adaptive(decay=0.1), tca.eligibilities.Leak()))
    gap = bound.buffers["feedback"] - bound.net.w_out.detach().t()
    run(bound.stream(2), case.batch(), torch.optim.SGD(bound.net.parameters(), lr=0.01))
    bound.follow_weights_()
    left = bound.buffers["feedback"] - bound.net.w_out.detach().t()
    assert torch.allclose(left, gap * 0.9**case.steps, rtol=1e-12)
