"""Decoupled neural interfaces (Jaderberg et al. 2017): windows that end in a learned estimate of later errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells import LSTM
from tca.eligibilities import Full, Instant, Leak, Windowed
from tca.nets import CellRNN, LeakyLayer, SpikingRNN, StackedRNN
from tca.signals import Direct, SyntheticGradient
from tests.support.cases import F1, Case, mask
from tests.support.rows import assert_same, changes, cosine, learner, put, relative
from tests.tca.test_online import gathered, run

F64 = torch.float64
LINEAR = Case("linear", activation="linear", leak=0.5, sizes=(2, 4, 2), steps=12, trials=5, seed=51, plain=True)


def autonomous(case: Case, until: int) -> tca.Batch:
    """Targets of zero, and inputs that stop at a step: every later error is linear in the state."""
    batch = case.batch()
    inputs = batch.inputs.clone()
    inputs[until:] = 0
    return replace(
        batch, inputs=inputs, targets=torch.zeros_like(batch.targets), weights=torch.ones_like(batch.weights)
    )


def without_biases(net: Any) -> Any:
    put(net, {name: torch.zeros_like(net.get_parameter(name)) for name in ("b", "b_out")})
    return net


def gramian(net: Any, steps: int) -> Tensor:
    """``sum_{j=1}^{steps} M^jT W_o^T W_o M^j``, ``M`` the linear map from one state to the next."""
    step = net.leak * torch.eye(net.n_rec, dtype=F64) + net.gain * net.w_rec.detach()
    readout, power, total = (
        net.w_out.detach(),
        torch.eye(net.n_rec, dtype=F64),
        torch.zeros(net.n_rec, net.n_rec, dtype=F64),
    )
    for _ in range(steps):
        power = step @ power
        total += power.t() @ readout.t() @ readout @ power
    return total


@pytest.mark.parametrize("eligibility", [Instant(), Leak(), Full()], ids=repr)
def test_with_the_exact_linear_estimate_it_is_backpropagation_through_time(eligibility: Any) -> None:
    """One window after the other, the second without input: its error is the Gramian times the state."""
    bound = learner(LINEAR, tca.Rule(SyntheticGradient(6, rate=0.0), eligibility))
    net, batch = without_biases(bound.net), autonomous(LINEAR, until=6)
    bound.buffers["synthetic"].copy_(gramian(net, 6))
    wanted = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    assert_same(bound.grads(batch)[0], wanted)
    assert_same(bound.grads(batch, execution="forward")[0], wanted)
    truncated = tca.Learner(net, tca.Rule(Direct(), Windowed(6))).grads(batch)[0]
    assert relative(truncated["w_rec"], wanted["w_rec"]) > 1e-2


def test_one_estimate_serves_all_windows_where_memory_is_short() -> None:
    """Cells without leak in a chain forget after four steps: the same Gramian is exact at every window of four."""
    case = replace(LINEAR, leak=0.0, steps=16)
    bound = learner(case, tca.Rule(SyntheticGradient(4, rate=0.0), Instant()))
    net, batch = without_biases(bound.net), autonomous(case, until=4)
    put(net, {"w_rec": net.w_rec.detach().tril(-1)})
    bound.buffers["synthetic"].copy_(gramian(net, 4))
    assert_same(bound.grads(batch)[0], tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0])


def test_before_learning_it_is_truncated_backpropagation() -> None:
    """From zero, and with windows that fit the trial; windows beyond its end are the whole trial."""
    held = tca.Rule(SyntheticGradient(4, rate=0.0), Instant())
    case = replace(F1, options={})
    assert_same(changes(case, held), changes(case, tca.Rule(Direct(), Windowed(4))))
    assert_same(changes(F1, tca.Rule(SyntheticGradient(40), Instant())), changes(F1, "bptt"))


@pytest.mark.slow
def test_the_estimate_learns_what_later_windows_return() -> None:
    """From data alone, the exact matrix of the linear task; then the change is that of backpropagation."""
    case = replace(LINEAR, steps=4, trials=40)
    bound = learner(case, tca.Rule(SyntheticGradient(2, rate=0.5), Instant()))
    net = without_biases(bound.net)
    put(net, {"w_in": 2 * net.w_in.detach() + torch.eye(4, 2, dtype=F64)})
    wanted = gramian(net, 2)
    for seed in range(1500):
        batch = autonomous(replace(case, seed=seed % 50), until=2)
        bound.rule.signal.update_statistics_(bound.tape(batch), bound.buffers)
    assert relative(bound.buffers["synthetic"], wanted) < 1e-2
    batch = autonomous(case, until=2)
    found, true = bound.grads(batch)[0]["w_rec"], tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]["w_rec"]
    assert cosine(found, true) > 0.9999


def test_a_batch_of_twice_the_trials_has_the_same_estimate() -> None:
    """The estimate is of the errors of a trial, and neither its learning nor its use depends on their number."""
    rule = tca.Rule(SyntheticGradient(4, rate=0.3), Instant())
    batch = F1.batch()
    double = replace(
        batch, **{key: torch.cat([getattr(batch, key)] * 2, 1) for key in ("inputs", "targets", "weights")}
    )
    assert_same(learner(F1, rule).grads(double)[0], learner(F1, rule).grads(batch)[0])
    one, two = learner(F1, rule), learner(F1, rule)
    one.backward(batch)
    two.backward(double)
    assert relative(one.buffers["synthetic"], two.buffers["synthetic"]) < 1e-12
    assert one.buffers["synthetic"].any()


def test_masked_networks_keep_their_mask_and_state_resumes() -> None:
    """Missing synapses have no change; the state continues bit for bit."""
    case = replace(F1, options={"mask_rec": mask(2, 6, 6)})
    first, second = (learner(case, tca.Rule(SyntheticGradient(3, 0.2), Instant())) for _ in range(2))
    first.backward(case.batch())
    second.load_state_dict(first.state_dict())
    found = second.grads(case.batch())[0]
    assert_same(found, first.grads(case.batch())[0], 0)
    assert not found["w_rec"][case.options["mask_rec"] == 0].any()


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("window", [1, 4, 12])
@pytest.mark.parametrize("padded", [False, True])
def test_online_it_sums_to_the_trial_and_learns_the_same(form: str, window: int, padded: bool) -> None:
    """Gradients of the estimate as it was; afterwards the estimate as a whole trial changes it."""
    case = replace(F1, form=form, options={"learn_initial": True})
    batch = case.batch()
    lengths = torch.tensor([F1.steps - 5, *[F1.steps] * (F1.trials - 1)]) if padded else None
    if lengths is not None:
        weights = batch.weights.masked_fill(torch.arange(F1.steps)[:, None] >= lengths, 0.0)
        batch = replace(batch, weights=weights, lengths=lengths)
    online, whole = (learner(case, tca.Rule(SyntheticGradient(window, rate=0.3), Leak())) for _ in range(2))
    source = torch.Generator().manual_seed(3)
    for name in ("synthetic", "synthetic_bias"):
        drawn = torch.randn(whole.buffers[name].shape, generator=source, dtype=F64)
        for bound in (online, whole):
            bound.buffers[name].copy_(drawn)
    held = tca.Learner(whole.net, tca.Rule(SyntheticGradient(window, rate=0.0), Leak()))
    held.load_state_dict(whole.buffers)
    stream = online.stream(F1.trials, steps=F1.steps if lengths is None else lengths)
    for _ in range(2):
        wanted = held.grads(batch)[0]
        run(stream, batch)
        assert_same(gathered(online.net), wanted)
        whole.rule.signal.update_statistics_(whole.tape(batch), whole.buffers)
        assert_same(online.buffers, whole.buffers)
        assert (window < F1.steps) == bool(relative(held.buffers["synthetic"], whole.buffers["synthetic"]) > 1e-6)
        held.load_state_dict(whole.buffers)
        online.net.zero_grad()
        stream.reset()


def test_what_it_cannot_do_is_refused() -> None:
    """Spiking cells, stacks, filtered readouts and unknown ends online, and bad constants."""
    for net, words in ((SpikingRNN(3, 4, 2), "spikes"), (CellRNN(LSTM(), 3, 4, 2), "has states of 2 numbers")):
        with pytest.raises(ValueError, match=words):
            tca.Learner(net, tca.RULES["dni"])
    with pytest.raises(ValueError, match="is one of several"):
        tca.Learner(StackedRNN(3, [LeakyLayer(4), LeakyLayer(3)], 2), tca.RULES["dni"])
    with pytest.raises(ValueError, match="readouts without a filter"):
        learner(replace(F1, readout_leak=0.5), tca.RULES["dni"]).stream(2)
    with pytest.raises(ValueError, match="give the number of steps"):
        run(learner(F1, tca.RULES["dni"]).stream(F1.trials), F1.batch())
    with pytest.raises(ValueError, match="window"):
        SyntheticGradient(0)
