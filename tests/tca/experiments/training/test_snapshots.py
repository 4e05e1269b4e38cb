"""The network where a training loss is crossed: how close, which network it is, and that training does not notice."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import tca
from tca.experiments import records
from tca.experiments.config.components import Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.config.step_controls import MatchedStepSize
from tca.experiments.records.result import Metrics, Result, Snapshot, first_at
from tca.experiments.training.snapshots import HALVINGS, TOLERANCE, cross
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop

RUN = Run("delayed_xor", net=NetworkConfig(size=8), steps=40, evaluate_every=9, n_train=40, n_test=4, dtype="float64",
          optimizer=tca.Optimizer(lr=0.02), snapshot_losses=(0.6, 0.5, 0.45))  # fmt: skip
RUNS = {
    "Adam": RUN,
    "one measurement": dataclasses.replace(RUN, evaluate_every=40),
    "plain descent": dataclasses.replace(
        RUN, rule="three_factor", optimizer=tca.Optimizer("SGD", lr=0.5), snapshot_losses=(0.7, 0.68, 0.66)
    ),
    "momentum, random feedback, noise": dataclasses.replace(
        RUN, rule="eprop_adaptive", net=NetworkConfig(size=8, noise=0.05), seeds=Seeds(3, 3, 3, 3),
        optimizer=tca.Optimizer("SGD", lr=0.3, options={"momentum": 0.9}), snapshot_losses=(0.7, 0.68, 0.664),
    ),
    "matched steps, new trials": dataclasses.replace(
        RUN, fresh=True, optimizer=tca.Optimizer("SGD", lr=2.0, matched=MatchedStepSize("eprop")), steps=80,
        snapshot_losses=(0.66, 0.64),
    ),
    "one step over several losses": dataclasses.replace(
        RUN, optimizer=tca.Optimizer(lr=0.2), evaluate_every=1, snapshot_losses=(0.68, 0.66, 0.65)
    ),
}  # fmt: skip


def loss_of(net: torch.nn.Module, run: Run) -> float:
    """Return the loss over the training set, written out."""
    batch = run.make_task().split(run.n_train, run.n_test, seed=run.seeds.data)[0].batch().to(dtype=torch.float64)
    with torch.no_grad():
        outputs = net.eval()(batch.inputs)
    picked = torch.log_softmax(outputs, -1).gather(-1, batch.targets[..., None])[..., 0]
    return float(-(batch.weights * picked).sum() / batch.trials)


def crossings(run: Run) -> dict[float, Snapshot]:
    return {each.loss: each for each in train(run, progress=False).crossings}


@pytest.mark.thirds
@pytest.mark.parametrize("name", RUNS)
def test_the_loss_is_within_a_percent_of_the_one_asked_for(name: str) -> None:
    run = RUNS[name]
    result = train(run, progress=False)
    reached = [loss for loss in run.snapshot_losses if any(each.train_loss <= loss for each in result.metrics)]
    assert reached
    assert [each.loss for each in result.crossings] == reached
    for each in result.crossings:
        assert each.metrics.train_loss == pytest.approx(each.loss, rel=0.01)
        assert each.metrics.train_loss == pytest.approx(loss_of(each.net, run), rel=1e-12)
        later = first_at(each.loss, result.metrics)
        assert later is not None
        assert later.step - run.evaluate_every <= each.metrics.step <= later.step


@pytest.mark.thirds
@pytest.mark.parametrize("name", RUNS)
def test_training_does_not_notice(name: str, tmp_path: Path) -> None:
    """The same bits of weights, learner, measurements and global generators with and without losses to measure at."""
    run = RUNS[name]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    asked = train(run, tmp_path, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    plain = train(dataclasses.replace(run, snapshot_losses=()), progress=False)
    assert same(asked, plain)
    again = records.read(tmp_path)
    for one, other in zip(asked.crossings, again.crossings, strict=True):
        assert (one.loss, one.metrics.step, one.metrics.train_loss, one.metrics.test_accuracy) == (
            other.loss, other.metrics.step, other.metrics.train_loss, other.metrics.test_accuracy)  # fmt: skip
        assert all(torch.equal(one.net.state_dict()[name], each) for name, each in other.net.state_dict().items())


def same(one: Result, other: Result) -> bool:
    measured = [[dataclasses.replace(each, elapsed=0.0) for each in result.metrics] for result in (one, other)]
    states = [{**result.net.state_dict(), **result.learner.state_dict()} for result in (one, other)]
    return measured[0] == measured[1] and all(torch.equal(states[0][name], each) for name, each in states[1].items())


def test_a_whole_update_near_the_loss_is_that_of_a_shorter_training() -> None:
    run = dataclasses.replace(RUNS["momentum, random feedback, noise"], snapshot_losses=(0.7, 0.68))
    for each in crossings(run).values():
        short = train(dataclasses.replace(run, steps=each.metrics.step, snapshot_losses=()), progress=False)
        if short.last.train_loss == each.metrics.train_loss:
            assert all(torch.equal(short.net.state_dict()[name], one) for name, one in each.net.state_dict().items())
            assert all(
                torch.equal(short.learner.state_dict()[name], one) for name, one in each.learner.state_dict().items()
            )
            return
    pytest.fail("no loss was crossed by a whole update")


def test_replays_begin_where_training_was_each_time() -> None:
    """With moments, however often: whole updates near the loss are those of a shorter training with Adam."""
    run = dataclasses.replace(RUN, evaluate_every=15, snapshot_losses=(0.66, 0.63, 0.6, 0.55, 0.5, 0.48, 0.46))
    checked = 0
    for each in crossings(run).values():
        ends = [train(dataclasses.replace(run, steps=step, snapshot_losses=()), progress=False).net
                for step in (each.metrics.step - 1, each.metrics.step)]  # fmt: skip
        start, end, found = (torch.cat([one.flatten() for one in net.parameters()]).detach()
                             for net in (*ends, each.net))  # fmt: skip
        part = ((found - start) @ (end - start) / (end - start).square().sum()).item()
        torch.testing.assert_close(found, start + part * (end - start), rtol=1e-12, atol=1e-14)
        checked += 1
    assert checked >= 4


def test_replays_begin_at_the_last_state_above_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits as with all updates since the measurement replayed each time, in about as many updates as these."""
    run = dataclasses.replace(RUNS["one measurement"], snapshot_losses=(0.45,))
    update, made = TrainingLoop.update, list[int]()

    def counted(loop: TrainingLoop) -> str:
        made.append(loop.step)
        return update(loop)

    monkeypatch.setattr(TrainingLoop, "update", counted)
    (found,) = crossings(run).values()
    replayed = len(made) - run.steps
    assert 0 < replayed <= run.evaluate_every + 2, "bisection halves, and two updates end it"
    made.clear()
    monkeypatch.setattr("tca.experiments.training.snapshots._Search.begin_here", lambda _: None)
    (other,) = crossings(run).values()
    assert len(made) - run.steps > replayed, "no loss above was met on the way"
    timed = [dataclasses.replace(each.metrics, elapsed=0.0) for each in (found, other)]
    assert timed[0] == timed[1]
    for one, same_one in zip(found.net.state_dict().values(), other.net.state_dict().values(), strict=True):
        assert torch.equal(one, same_one)


def test_an_update_that_jumps_over_the_loss_is_shortened() -> None:
    """The weights lie on the line between those before and after the update, as independent runs find them."""
    run = dataclasses.replace(RUNS["one step over several losses"], snapshot_losses=(0.66,))
    each = crossings(run)[0.66]
    ends = [train(dataclasses.replace(run, steps=step, snapshot_losses=()), progress=False)
            for step in (each.metrics.step - 1, each.metrics.step)]  # fmt: skip
    assert ends[1].last.train_loss < 0.66 * (1 - TOLERANCE) < 0.66 * (1 + TOLERANCE) < ends[0].last.train_loss
    start, end, found = (torch.cat([one.flatten() for one in net.parameters()]).detach()
                         for net in (ends[0].net, ends[1].net, each.net))  # fmt: skip
    part = ((found - start) @ (end - start) / (end - start).square().sum()).item()
    assert 0.01 < part < 0.99
    torch.testing.assert_close(found, start + part * (end - start), rtol=1e-12, atol=1e-14)


def test_what_is_measured_first_crosses_nothing() -> None:
    first, then = (Metrics(step, loss, 0.0, 0.0, 0.0, 0.0) for step, loss in ((0, 0.5), (1, 0.4)))
    assert first_at(0.6, [first, then]) is None
    assert first_at(0.45, [first, then]) is then
    assert first_at(0.3, [first, then]) is None


def test_a_network_that_begins_below_a_loss_does_not_cross_it(tmp_path: Path) -> None:
    run = dataclasses.replace(RUN, snapshot_losses=(10.0, 0.6))
    for result in (train(run, tmp_path, progress=False), records.read(tmp_path)):
        assert [each.loss for each in result.crossings] == [0.6]


@pytest.mark.slow
def test_runs_that_learn_from_rewards_are_matched_too(tmp_path: Path) -> None:
    run = Run(
        "PerceptualDecisionMaking-v0",
        "reward_eprop",
        net=NetworkConfig(size=16),
        batch_size=16,
        steps=24,
        n_train=20,
        n_test=10,
        evaluate_every=8,
        optimizer=tca.Optimizer(lr=0.001),
    )
    plain = train(run, progress=False)
    losses = [each.train_loss for each in plain.metrics]
    place = next(at for at in range(1, len(losses)) if losses[at] < losses[0])
    asked = 0.5 * (losses[place] + max(losses[:place]))
    result = train(dataclasses.replace(run, snapshot_losses=(asked,)), tmp_path, progress=False)
    assert same(result, plain)
    (each,) = result.crossings
    assert each.metrics.train_loss == pytest.approx(asked, rel=TOLERANCE)


class Stub:
    """A course of one weight that grows by one an update, whose loss is a function of it."""

    def __init__(self, loss: Any, step: int) -> None:
        self.loss, self.step, self.learner = loss, step, torch.nn.Module()
        self.net: Any = torch.nn.Linear(1, 1, bias=False)
        self.net.project_ = lambda: None
        self.restore({"step": step})

    def copied(self) -> Stub:
        return Stub(self.loss, 0)

    def state(self) -> dict[str, int]:
        return {"step": self.step}

    def restore(self, state: dict[str, int]) -> None:
        self.step = state["step"]
        torch.nn.init.constant_(self.net.weight, float(self.step))

    def block(self, updates: int, _made: Any) -> str:
        self.restore({"step": self.step + updates})
        return ""

    def train_loss(self) -> float:
        value: float = self.loss(self.net.weight.item())
        return value

    def measured(self, _: Any) -> Metrics:
        return Metrics(self.step, self.train_loss(), 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("loss", "asked", "weight", "at_step"),
    [
        (lambda w: math.exp(-0.02 * w), 0.5, 50 * math.log(2), None),  # between updates that are close enough
        (lambda w: 64 - w, 31.0, 33.0, 33),
        (lambda w: 1.0 if w < 40.3 else 0.0, 0.5, 40.3, 41),  # a jump: the first weights below
        (lambda w: math.nan if w < 40.5 else 0.1, 0.5, 40.5, 41),  # a loss that is not finite is above
        (lambda w: 2 - w, 0.0, 2.0, 2),  # a loss of zero has no relative tolerance
        (lambda w: -w, -20.5, 20.5, None),
    ],
)
def test_losses_of_known_form_are_crossed_where_they_are(loss: Any, asked: float, weight: float, at_step: Any) -> None:
    course: Any = Stub(loss, 64)
    found = cross(course, {"step": 0}, course.measured({}), asked)
    exact = 2.0**-HALVINGS if at_step is not None else TOLERANCE * weight * 1.5
    assert found.net["weight"].item() == pytest.approx(weight, abs=max(exact, 1e-5))
    assert found.metrics.train_loss == loss(found.net["weight"].item())
    assert at_step in (None, found.metrics.step)
    assert course.net.weight.item() == 64.0


def dipping() -> tuple[Run, list[float], int]:
    """Return a run whose loss falls below all before and comes back, its losses and the step; the course is chaotic."""
    for rate in (6.0, 5.0, 7.0, 4.0, 8.0, 5.5, 6.5):
        run = dataclasses.replace(RUN, optimizer=tca.Optimizer("SGD", lr=rate), evaluate_every=1, snapshot_losses=())
        losses = [each.train_loss for each in train(run, progress=False).metrics]
        for at in range(2, len(losses) - 1):
            if losses[at] < 0.97 * min(*losses[:at], losses[at + 1]):
                return run, losses, at
    raise AssertionError("the loss of no run dips")


def test_a_crossing_between_measurements_above_the_loss_is_not_seen() -> None:
    """A loss that dips and comes back before it is measured: measured more often, it is crossed."""
    run, losses, place = dipping()
    asked = dataclasses.replace(run, snapshot_losses=(1.01 * losses[place],), steps=place + 1)
    assert len(crossings(asked)) == 1
    assert not crossings(dataclasses.replace(asked, evaluate_every=place + 1))


def test_losses_that_jump_leave_the_first_weights_below() -> None:
    """Spikes make the loss jump, and the loss that is measured says how far."""
    run = dataclasses.replace(RUN, net=NetworkConfig("spiking_rnn", {"n_rec": 20}), optimizer=tca.Optimizer(lr=0.05),
                              snapshot_losses=(0.68,))  # fmt: skip
    for each in train(run, progress=False).crossings:
        assert each.metrics.train_loss <= each.loss * (1 + TOLERANCE)


def test_signs_hold_in_the_middle_of_an_update() -> None:
    run = dataclasses.replace(
        RUNS["one step over several losses"], net=NetworkConfig(size=8, cell_types=(0.75, 0.25), dale=(1, -1))
    )
    signs = torch.tensor([1.0] * 6 + [-1.0] * 2, dtype=torch.float64)
    found = crossings(run)
    assert found
    for each in found.values():
        assert (each.net.w_rec.detach() * signs >= 0).all()
