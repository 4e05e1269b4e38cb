"""Updates: rates that change, steps scaled by rho and gradients taken uphill, against loops written by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, StepLR

import tasks
import tca
from tca.experiments import records
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.config.schedules import SCHEDULES, Cosine, ExponentialDecay, Piecewise
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop
from tca.experiments.training.update import Updates
from tca.learner import Learner

HIDDEN = ("w_in", "w_rec", "b")
STEPS = 8
SMALL = Run("delayed_match", "eprop", net=NetworkConfig(size=8), batch_size=8, steps=STEPS, n_train=20, n_test=4,
            evaluate_every=STEPS, dtype="float64", seeds=Seeds(data=1, net=2, rule=3, batches=4),
            optimizer=Optimizer("SGD", lr=0.1, clip=None))  # fmt: skip

Weights = dict[str, Tensor]
Change = Callable[[int, tca.nets.LeakyRNN, Learner, tca.Batch], Weights]


def by_hand(change: Change, rule: str = "eprop") -> Weights:
    """Train without an optimizer: each update subtracts what ``change`` returns."""
    task = tasks.make("delayed_match")
    batches = task.split(20, 4, seed=1)[0].batches(8, seed=4)
    net = tca.nets.LeakyRNN(task.n_in, 8, task.n_out, tau=100.0, dt=task.dt, seed=2, dtype=torch.float64)
    learner = Learner(net, tca.RULES[rule], seed=3)
    for step in range(STEPS):
        taken = change(step, net, learner, next(batches).to(dtype=torch.float64))
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter -= taken[name]
    return {name: each.detach().clone() for name, each in net.named_parameters()}


def trained(**changes: object) -> Weights:
    """Train by a run whose optimizer is changed."""
    rule = changes.pop("by", SMALL.rule)
    run = dataclasses.replace(SMALL, rule=rule, optimizer=dataclasses.replace(SMALL.optimizer, **changes))
    return {name: each.detach().clone() for name, each in train(run, progress=False).net.named_parameters()}


def close(one: Weights, other: Weights) -> bool:
    return all((one[name] - other[name]).abs().max() < 1e-12 for name in other)


def _raise(error: type[Exception]) -> NoReturn:
    raise error


def test_the_rate_follows_the_schedule() -> None:
    rates = [0.3] * 4 + [0.05] * 2 + [0.1] * 2

    def change(step: int, net: tca.nets.LeakyRNN, learner: Learner, batch: tca.Batch) -> Weights:
        return {name: rates[step] * each for name, each in learner.grads(batch)[0].items()}

    found = trained(schedule=Piecewise((3.0, 0.5, 1.0), (0.5, 0.75)))
    assert close(found, by_hand(change))
    assert not close(found, trained())


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Piecewise(), [3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        (Piecewise((2.0, 0.0, 1.0), (0.25, 0.5)), [2.0, 2.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        (ExponentialDecay(0.5, 3), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25]),
        (Cosine(), [(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)]),
        (Cosine(0.5, 0.2), [0.25, 0.5, 0.75, 1.0, 1.0, 0.6 + 0.4 * 0.5**0.5, 0.6, 0.6 - 0.4 * 0.5**0.5]),
    ],
)  # fmt: skip
def test_schedules(schedule: Piecewise | ExponentialDecay | Cosine, factors: list[float]) -> None:
    assert [schedule.at(step, 8) for step in range(8)] == pytest.approx(factors, abs=1e-12)
    assert SCHEDULES[schedule.kind] is type(schedule)


def joined(gradients: Weights) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in HIDDEN])


@pytest.mark.parametrize(
    ("schedule", "of_torch"),
    [
        (Piecewise((1.0, 0.1, 0.01), (0.25, 0.625)), partial(MultiStepLR, milestones=[2, 5], gamma=0.1)),
        (ExponentialDecay(0.7, 3), partial(StepLR, step_size=3, gamma=0.7)),
        (Cosine(last=0.2), partial(CosineAnnealingLR, T_max=8, eta_min=0.2)),
    ],
)
def test_schedules_are_those_of_torch(schedule: Piecewise | ExponentialDecay | Cosine, of_torch: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = of_torch(optimizer)
    for step in range(8):
        assert scheduler.get_last_lr()[0] == pytest.approx(schedule.at(step, 8), rel=1e-14), step
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(("by", "of"), [("bptt", "eprop"), ("bptt", "eprop_random"), ("eprop", None)])
@pytest.mark.parametrize("smoothing", [0.0, 0.8])
@pytest.mark.parametrize("invert", [False, True])
def test_steps_of_the_recurrent_population_are_scaled_by_rho(
    by: str, of: str | None, smoothing: float, invert: bool
) -> None:
    """With ``rho = <gh, g> / |g|^2`` from averages over the batches so far; the readout goes its own way."""
    past = [0.0, 0.0]

    def change(step: int, net: tca.nets.LeakyRNN, learner: Learner, batch: tca.Batch) -> Weights:
        gradient, true = learner.grads(batch)[0], Learner(net, tca.RULES["bptt"]).grads(batch)[0]
        other = learner if of is None else Learner(net, tca.RULES[of], seed=3)
        gh, g = joined(other.grads(batch)[0]), joined(true)
        past[0] = smoothing * past[0] + (1 - smoothing) * (gh @ g).item()
        past[1] = smoothing * past[1] + (1 - smoothing) * (g @ g).item()
        rho = max(0.0, past[0] / past[1])
        factor = min(20.0, (1 / rho if rho else 20.0) if invert else rho)
        return {name: 0.1 * each * (factor if name in HIDDEN else 1.0) for name, each in gradient.items()}

    found = trained(by=by, matched=MatchedStepSize(of, invert=invert, smoothing=smoothing))
    assert close(found, by_hand(change, by))
    assert not close(found, trained(by=by))


FACTORS = {"w_out": 5.0, "w_rec": 0.0, "b": 0.5}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("schedule", [None, Piecewise((3.0, 1.0), (0.5,))])
def test_every_parameter_has_the_rate_of_its_factor(schedule: Piecewise | None, decay: float) -> None:
    """Gradients and weight decay times rate, factor and schedule; a factor of zero keeps a parameter."""

    def change(step: int, net: tca.nets.LeakyRNN, learner: Learner, batch: tca.Batch) -> Weights:
        rate = 0.1 * (1.0 if schedule is None else (3.0, 1.0)[step >= STEPS // 2])
        values, gradient = dict(net.named_parameters()), learner.grads(batch)[0]
        return {
            name: rate * FACTORS.get(name, 1.0) * (each + decay * values[name].detach())
            for name, each in gradient.items()
        }

    options = {"weight_decay": decay}
    found = trained(lr_multipliers=FACTORS, schedule=schedule, options=options)
    assert close(found, by_hand(change))
    assert not close(found, trained(schedule=schedule, options=options))


def test_factors_and_matched_steps_go_together() -> None:
    """The step that is scaled by rho is the one that the factors have made."""

    def change(step: int, net: tca.nets.LeakyRNN, learner: Learner, batch: tca.Batch) -> Weights:
        gradient, true = learner.grads(batch)[0], Learner(net, tca.RULES["bptt"]).grads(batch)[0]
        gh, g = joined(gradient), joined(true)
        rho = max(0.0, (gh @ g).item() / (g @ g).item())
        return {
            name: 0.1 * FACTORS.get(name, 1.0) * each * (rho if name in HIDDEN else 1.0)
            for name, each in gradient.items()
        }

    matched = MatchedStepSize(None, invert=False, smoothing=0.0)
    assert close(trained(lr_multipliers=FACTORS, matched=matched), by_hand(change))


def test_a_run_with_factors_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """StoppedError between two checkpoints, with momentum, a schedule and groups of parameters."""
    optimizer = Optimizer(lr=0.01, schedule=ExponentialDecay(0.5, 2), lr_multipliers=FACTORS)
    run = dataclasses.replace(SMALL, optimizer=optimizer, evaluate_every=3)
    whole = dict(train(run, progress=False).net.named_parameters())

    class StoppedError(Exception):
        """The process dies."""

    with monkeypatch.context() as patched:
        update = TrainingLoop.update
        patched.setattr(TrainingLoop, "update", lambda self: update(self) if self.step < 5 else _raise(StoppedError))
        with pytest.raises(StoppedError):
            train(run, tmp_path / "record", progress=False)
    again = train(run, tmp_path / "record", progress=False)
    assert all(torch.equal(each, whole[name]) for name, each in again.net.named_parameters())
    assert records.read(tmp_path / "record", "cpu").run == run


def test_without_factors_the_optimizer_is_as_it_always_was() -> None:
    """One group, whose state has the places that records of older runs have."""
    net = NetworkConfig(size=4).build(2, 2, dt=10.0, seed=0)
    plain, made = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True), Optimizer().build(net)
    assert made.state_dict() == plain.state_dict()
    made.load_state_dict(torch.optim.Adam(net.parameters(), lr=1e-3).state_dict())  # that of an older record


FUSED: dict[str, dict[str, Any]] = {
    "Adam": {},
    "AdamW": {"weight_decay": 0.1, "amsgrad": True},
    "SGD": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "Adagrad": {"lr_decay": 0.1},
}


@pytest.mark.parametrize("name", FUSED)
def test_the_form_of_one_pass_makes_the_updates_of_the_plain_one(name: str) -> None:
    """After ten updates but for rounding; an option that asks for another form is honoured."""
    nets = [NetworkConfig(size=6).build(3, 2, dt=10.0, seed=0, dtype=torch.float64) for _ in range(2)]
    fused, plain = (
        Optimizer(name, lr=0.01, options={**FUSED[name], **each}).build(net)
        for net, each in zip(nets, ({}, {"fused": False}), strict=True)
    )
    assert fused.defaults["fused"]
    assert not plain.defaults["fused"]
    assert not Optimizer(name, options={"foreach": True}).build(nets[0]).defaults["fused"]
    generator = torch.Generator().manual_seed(0)
    start = [each.detach().clone() for each in nets[0].parameters()]
    for _ in range(10):
        for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator, dtype=torch.float64)
            other.grad = one.grad.clone()
        fused.step()
        plain.step()
    for one, other, first in zip(nets[0].parameters(), nets[1].parameters(), start, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
        assert not torch.equal(one, first)


@pytest.mark.parametrize("execution", ["reverse", "forward", "stream"])
def test_gradients_of_few_synapses_lie_as_their_weights_do(execution: str) -> None:
    """Where inputs are few, products are gathered across; the form of one pass then still makes the plain update."""
    task = tasks.make("delayed_match")
    batch = next(task.split(20, 4, seed=1)[0].batches(8, seed=4)).to(dtype=torch.float64)
    size, generator = 8 * task.n_in, torch.Generator().manual_seed(0)
    shapes = {"mask_in": (size, task.n_in), "mask_rec": (size, size), "mask_out": (task.n_out, size)}
    masks = {name: torch.rand(shape, generator=generator) > 0.4 for name, shape in shapes.items()}
    made = []
    for options in ({}, {"fused": False}):
        net = tca.nets.LeakyRNN(task.n_in, size, task.n_out, dt=task.dt, dtype=torch.float64, **masks)
        learner, start = Learner(net, tca.RULES["eprop"]), net.w_in.detach().clone()
        if execution == "stream":
            stream = learner.stream(batch.trials)
            for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights, strict=True):
                stream.step(inputs, targets, weights, batch.loss)
        else:
            found, _ = learner.grads(batch, execution)  # type: ignore[arg-type]
            for name, parameter in net.named_parameters():
                parameter.grad = found[name]
        assert all(each.grad is not None and each.grad.stride() == each.stride() for each in net.parameters())
        Optimizer("SGD", lr=0.1, options=options).build(net).step()
        assert torch.equal((net.w_in != start) & ~masks["mask_in"], torch.zeros_like(masks["mask_in"]))
        assert not torch.equal(net.w_in, start)
        made.append(net)
    for one, other in zip(made[0].parameters(), made[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_weights_laid_out_across_are_updated_one_by_one() -> None:
    """The form of one pass takes memory as it lies and would give a transposed weight the numbers of others."""
    across = nn.Linear(3, 2, bias=False)
    across.weight = nn.Parameter(torch.arange(6.0).view(3, 2).t())
    optimizer = Optimizer("SGD", lr=1.0).build(across)
    across.weight.grad = across.weight.detach().contiguous()
    optimizer.step()
    assert not across.weight.any()


def test_without_a_bound_gradients_stay_as_they_are() -> None:
    """Bit by bit, and with a bound they are as long as it."""
    task = tasks.make("delayed_match")
    batch = next(task.split(20, 4, seed=1)[0].batches(8, seed=4))
    lengths = {}
    for clip in (None, 1e-3):
        net = NetworkConfig(size=6).build(task.n_in, task.n_out, dt=task.dt, seed=0)
        learner = Learner(net, tca.RULES["bptt"])
        before, _ = learner.grads(batch)
        assert not Updates(learner, Optimizer("SGD", lr=1e-9, clip=clip), 1, 0).make(batch, 0)
        found = {name: each.grad for name, each in learner.net.named_parameters() if each.grad is not None}
        lengths[clip] = torch.stack([each.norm() for each in found.values()]).norm().item()
        if clip is None:
            assert all(torch.equal(each, before[name]) for name, each in found.items())
    assert lengths[None] > lengths[1e-3] == pytest.approx(1e-3, rel=1e-3)


def test_parameters_that_a_network_does_not_have_are_refused() -> None:
    """With the nearest name that it has."""
    net = NetworkConfig(size=4).build(2, 2, dt=10.0, seed=0)
    message = "unknown parameter with a factor on its learning rate 'w_ou', did you mean 'w_out'"
    with pytest.raises(ValueError, match=message):
        Optimizer(lr_multipliers={"w_ou": 2.0}).build(net)
    with pytest.raises(ValueError, match=r"unknown parameter with a factor on its learning rate 'w_\*'"):
        Optimizer(lr_multipliers={"w_*": 2.0}).build(net)
    with pytest.raises(ValueError, match=r"lr_multipliers\['w_out'\] must be 0 or greater, got -1"):
        Optimizer(lr_multipliers={"w_out": -1.0})


def test_the_rule_by_which_bptt_is_measured_does_not_matter_if_it_is_bptt() -> None:
    """Rho of BPTT is one, so its steps keep their length, whatever is averaged."""
    assert close(trained(by="bptt", matched=MatchedStepSize("bptt")), trained(by="bptt"))
    assert close(trained(by="bptt", matched=MatchedStepSize("bptt", invert=True)), trained(by="bptt"))


def test_the_step_is_scaled_whatever_the_optimizer() -> None:
    """Half the step of Adam, which takes no notice of the length of gradients."""
    halves = [
        dataclasses.replace(SMALL, steps=1, evaluate_every=1, rule="bptt",
                            optimizer=Optimizer("Adam", lr=0.1, clip=None, matched=matched))
        for matched in (None, MatchedStepSize("bptt", most=0.5))
    ]  # fmt: skip
    start = SMALL.net.build(3, 3, dt=100.0, seed=2, dtype=torch.float64)
    whole, half = (dict(train(run, progress=False).net.named_parameters()) for run in halves)
    for name, before in start.named_parameters():
        share = 0.5 if name in HIDDEN else 1.0
        assert ((half[name] - before) - share * (whole[name] - before)).abs().max() < 1e-12, name


@pytest.mark.parametrize("by", ["bptt", "eprop", "eprop_adaptive"])
def test_gradients_are_taken_uphill(by: str) -> None:
    """At weights moved by the radius along the rule's own gradient; the readout's gradient is taken there too."""

    def change(step: int, net: tca.nets.LeakyRNN, learner: Learner, batch: tca.Batch) -> Weights:
        learner.follow_weights_()
        gradient = learner.grads(batch)[0]
        norm = joined(gradient).norm()
        before = {name: each.detach().clone() for name, each in net.named_parameters()}
        with torch.no_grad():
            for name in HIDDEN:
                net.get_parameter(name).add_(0.3 * gradient[name] / norm)
        upper = learner.grads(batch)[0]
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(before[name])
        return {name: 0.1 * each for name, each in upper.items()}

    found = trained(by=by, sam=SAM(0.3))
    known = by_hand(change, by)
    if by == "eprop_adaptive":  # the last decay of its readout is due at the next batch
        known["w_out"] = known["w_out"] * (1 - 1e-3)
    assert close(found, known)
    assert not close(found, trained(by=by))


def test_optimizers_are_values_that_survive_json() -> None:
    for changes in (
        {"schedule": Piecewise()}, {"schedule": ExponentialDecay(0.9, 5)}, {"schedule": Cosine(0.1)},
        {"matched": MatchedStepSize("eprop", smoothing=0.5)}, {"sam": SAM(0.1)}, {"lr_multipliers": {"w_out": 100}},
    ):  # fmt: skip
        run = dataclasses.replace(SMALL, optimizer=dataclasses.replace(SMALL.optimizer, **changes))
        again = Run.from_json(run.to_json())
        assert again == run
        assert hash(again) == hash(run)
        assert again.name == run.name != SMALL.name


def test_runs_that_use_none_of_it_are_written_as_they_always_were() -> None:
    """Names of records do not change when fields are added: this one was given before there were schedules."""
    assert Run("delayed_xor").name == "e6ac78e8976e56f8"
    written = Run("delayed_xor").to_json()
    assert set(written["optimizer"]) == {"name", "lr", "clip", "options"}
    assert not {"callbacks", "snapshot_losses"} & set(written)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Piecewise((1.0, 2.0), ()), "until must hold one end less than there are factors"),
        (lambda: Piecewise((1.0, 2.0, 3.0), (0.5, 0.2)), "until must hold rising fractions between 0 and 1"),
        (lambda: Piecewise((1.0, -2.0), (0.5,)), "factors must be 0 or greater, got -2"),
        (lambda: ExponentialDecay(0.0), "factor must be greater than 0, got 0"),
        (lambda: ExponentialDecay(every=0), "every must be at least 1, got 0"),
        (lambda: Cosine(warmup=1.0), "warmup must be a fraction below 1, got 1"),
        (lambda: MatchedStepSize("epprop"), r"unknown rule 'epprop', did you mean 'eprop'\?"),
        (lambda: MatchedStepSize(smoothing=1.0), r"smoothing must lie in \[0, 1\), got 1.0"),
        (lambda: MatchedStepSize(most=0.0), "most must be greater than 0, got 0"),
        (lambda: SAM(0.0), "radius must be greater than 0, got 0"),
        (lambda: Optimizer(schedule={"kind": "cosin"}), "unknown schedule 'cosin', did you mean 'cosine'"),  # type: ignore[arg-type]
        (
            lambda: Optimizer(schedule=3.0),
            "schedule must be a Piecewise or an ExponentialDecay or a Cosine or None, got 3.0",
        ),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ValueError, TypeError), match=message):
        make()
