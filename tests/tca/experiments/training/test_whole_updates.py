"""Updates of a run equal a loop of PyTorch written by hand, for rules, networks, optimizers and constraints."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import tasks
import tca
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.config.step_controls import SAM
from tca.experiments.reinforcement.actor_critic import PPO, ActorCritic
from tca.experiments.reinforcement.policies import CategoricalPolicy, GaussianPolicy, Policy
from tca.experiments.training.training_loop import TrainingLoop
from tca.experiments.training.update import Updates
from tca.learner import Learner

SMALL = {"size": 6}
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "A": ("leaky_rnn", SMALL),
    "B": ("leaky_rnn", {**SMALL, "form": "B", "tau": [20.0, 50.0, 80.0, 100.0, 30.0, 60.0], "learn_initial": True}),
    "ReLU": ("leaky_rnn", {**SMALL, "activation": "relu", "readout_tau": 30.0}),
    "Dale": ("leaky_rnn", {**SMALL, "cell_types": [0.5, 0.5], "dale": [1, -1], "autapses": False}),
    "masks": ("leaky_rnn", {**SMALL, "mask_rec": {"sparse": {"density": 0.5}}}),
    "rewired": (
        "leaky_rnn",
        {**SMALL, "mask_rec": {"sparse": {"density": 0.5}}, "rewiring": {"noise": 0.01, "shrinkage": 0.001}},
    ),
    "learned": ("leaky_rnn", {**SMALL, "learn": ["tau"]}),
    "noise": ("leaky_rnn", {**SMALL, "noise": 0.1}),
    "stack": ("stacked_rnn", {"layers": [{"size": 5}, {"size": 4}]}),
    "spikes": ("spiking_rnn", SMALL),
    "layers": ("mlp", {"sizes": [7, 6]}),
}
PAIRS = [
    (rule, net)
    for net in NETS
    for rule in ("eprop", "bptt", "rflo", "eprop_adaptive", "mdgl", "snap1", "three_factor", "backprop", "dfa", "sbd")
    if (net == "layers") == (rule in ("backprop", "dfa", "sbd"))
]


def trials(steps: int, seed: int = 0) -> Any:
    """Return 24 trials of classes at every step."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(steps, 24, 3, generator=generator, dtype=torch.float64)
    return tasks.from_arrays(inputs, inputs.argmax(-1))


def loop_of(rule: str, net: str, optimizer: Optimizer, dtype: str = "float64") -> TrainingLoop:
    kind, options = NETS[net]
    run = Run(trials(1 if net == "layers" else 12), rule, net=NetworkConfig(kind, options), optimizer=optimizer,
              batch_size=8, steps=1000, n_train=20, n_test=4, dtype=dtype)  # type: ignore[arg-type]  # fmt: skip
    return TrainingLoop(run)


def by_hand(loop: TrainingLoop, updates: int) -> dict[str, Tensor]:
    """Train a copy as a user would: every batch made anew, gradients cleared, clipped and followed."""
    chosen, net = loop.run.optimizer, copy.deepcopy(loop.net)
    learner = Learner(net, loop.run.the_rule, seed=loop.run.seeds.rule)
    groups = [{"params": [each], "lr": chosen.lr * chosen.lr_multipliers.get(name, 1.0)}
              for name, each in net.named_parameters()]  # fmt: skip
    optimizer = getattr(torch.optim, chosen.name)(groups, lr=chosen.lr, **chosen.options)
    batches = loop.train_set.batches(loop.run.batch_size, loop.run.seeds.batches)
    for _ in range(updates):
        batch = next(batches)
        batch = tca.Batch(batch.inputs.clone(), batch.targets.clone(), batch.weights.clone(), batch.loss)
        optimizer.zero_grad()
        learner.backward(batch)
        if chosen.clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), chosen.clip)
        optimizer.step()
        net.walk_weights_()
        net.project_()
        learner.follow_weights_()
    return {name: each.detach() for name, each in net.named_parameters()}


def furthest(loop: TrainingLoop, other: dict[str, Tensor]) -> float:
    return max((each.detach() - other[name]).abs().max().item() for name, each in loop.net.named_parameters())


@pytest.mark.thirds
@pytest.mark.parametrize(("rule", "net"), PAIRS)
def test_updates_equal_a_loop_by_hand(rule: str, net: str) -> None:
    try:
        loop = loop_of(rule, net, Optimizer(lr=0.01, clip=0.3))
    except ValueError as error:
        pytest.skip(str(error))
    expected = by_hand(loop, 20)
    assert furthest(loop, expected) > 1e-3  # they moved
    assert loop.block(20, lambda: None) == ""
    assert furthest(loop, expected) < 1e-10


@pytest.mark.parametrize("rule", ["eprop", "bptt"])
def test_200_updates_equal_a_loop_by_hand(rule: str) -> None:
    double, single = (loop_of(rule, "A", Optimizer(lr=0.003), dtype) for dtype in ("float64", "float32"))
    expected = by_hand(double, 200)
    for loop, most in ((double, 1e-10), (single, 1e-3)):
        assert loop.block(200, lambda: None) == ""
        assert furthest(loop, {name: each.to(loop.run.torch_dtype) for name, each in expected.items()}) < most


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer("SGD", lr=0.1, clip=None, options={"momentum": 0.9}),
        Optimizer("AdamW", lr=0.01, clip=0.1, options={"weight_decay": 0.1}),
        Optimizer("RMSprop", lr=0.01),
        Optimizer("Adagrad", lr=0.05),
        Optimizer("Adam", lr=0.01, options={"amsgrad": True}),
        Optimizer("Adam", lr=0.01, lr_multipliers={"w_out": 3.0, "b": 0.0}),
    ],
    ids=["SGD", "AdamW", "RMSprop", "Adagrad", "amsgrad", "factors"],
)
def test_every_optimizer_makes_the_steps_of_the_loop_by_hand(optimizer: Optimizer) -> None:
    loop = loop_of("bptt", "A", optimizer)
    expected = by_hand(loop, 20)
    assert loop.block(20, lambda: None) == ""
    assert furthest(loop, expected) < 1e-10


@pytest.mark.parametrize("net", ["A", "Dale", "masks", "rewired", "learned", "noise", "stack", "spikes", "layers"])
def test_a_restored_loop_makes_the_same_bits(net: str) -> None:
    rule = "backprop" if net == "layers" else "eprop"
    whole, part = (loop_of(rule, net, Optimizer(lr=0.01, sam=SAM() if net == "A" else None), "float32") for _ in "12")
    whole.block(12, lambda: None)
    part.block(5, lambda: None)
    state = copy.deepcopy(part.state())
    resumed = loop_of(rule, net, whole.run.optimizer, "float32")
    resumed.restore(state)
    resumed.block(7, lambda: None)
    assert furthest(resumed, dict(whole.net.named_parameters())) == 0.0


def test_frozen_parameters_stay_and_do_not_count_in_the_norm() -> None:
    loop = loop_of("bptt", "A", Optimizer("SGD", lr=1.0, clip=1e-3))
    before = loop.net.w_rec.detach().clone()
    loop.net.w_rec.requires_grad_(False)
    start = {name: each.detach().clone() for name, each in loop.net.named_parameters()}
    loop.block(1, lambda: None)
    assert torch.equal(loop.net.w_rec, before)
    moved = torch.cat([(each.detach() - start[name]).flatten() for name, each in loop.net.named_parameters()])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)  # clipped to the norm of what learns


def test_weights_that_a_user_assigns_or_replaces_are_those_of_the_next_update() -> None:
    data, assigned = (loop_of("bptt", "A", Optimizer("SGD", lr=0.1, clip=None)) for _ in "12")
    for loop in (data, assigned):
        loop.block(2, lambda: None)
    wanted = torch.full_like(data.net.w_rec.detach(), 0.1)
    data.net.w_rec.data = wanted.clone()
    assigned.net.w_rec = torch.nn.Parameter(wanted.clone())
    assigned.updates = Updates(assigned.learner, assigned.run.optimizer, 1000, 0)
    for loop in (data, assigned):
        loop.block(2, lambda: None)
    assert furthest(data, dict(assigned.net.named_parameters())) == 0.0
    assert not torch.equal(data.net.w_rec, wanted)


def test_a_network_moved_to_another_type_learns_there() -> None:
    net = tca.nets.MLP(3, [5], 3, seed=0)
    batch = trials(1).batch()
    Learner(net, tca.RULES["backprop"]).backward(batch.to(dtype=torch.float32))
    net.double().zero_grad()
    Learner(net, tca.RULES["backprop"]).backward(batch)
    other = tca.nets.MLP(3, [5], 3, seed=0).double()
    Learner(other, tca.RULES["backprop"]).backward(batch)
    for one, same in zip(net.parameters(), other.parameters(), strict=True):
        assert one.dtype == torch.float64
        assert torch.equal(one.grad, same.grad)


@pytest.mark.parametrize("loss", [tca.losses.MSE(), tca.losses.CrossEntropy(), tca.losses.Poisson()])
def test_the_witness_is_finite_where_the_loss_is(loss: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    for scale in (1.0, 1e10, 1e25, 3e38, float("inf"), float("nan")):
        outputs = torch.randn(3, 2, 4, generator=generator) * scale
        real = torch.rand(3, 2, 4, generator=generator)
        targets = real.argmax(-1) if isinstance(loss, tca.losses.CrossEntropy) else real
        info = tca.Info(tca.Batch(torch.zeros(3, 2, 1), targets, torch.ones(3, 2), loss), outputs)
        assert info.loss.isfinite() or not info.witness.isfinite(), scale
        assert info.witness.isfinite() or scale != 1, scale


@pytest.mark.parametrize("policy", [CategoricalPolicy(), GaussianPolicy()])
def test_a_loss_of_rewards_that_is_not_finite_shows_in_outputs_or_their_errors(policy: Policy) -> None:
    """The witness leaves out the loss, and the gradient of the readout the outputs."""
    generator = torch.Generator().manual_seed(0)
    for loss in (ActorCritic(policy=policy), PPO(policy=policy), PPO(policy=policy, value_clip=0.2)):
        for scale in (1.0, 90.0, 1e3, 1e15, 1e25, float("inf")):
            outputs = torch.randn(4, 50, 5, generator=generator) * scale
            actions = torch.randint(4, (4, 50, 1), generator=generator) if policy == CategoricalPolicy() else (
                torch.randn(4, 50, 2, generator=generator))  # fmt: skip
            targets = torch.cat([actions, torch.randn(4, 50, len(loss.columns), generator=generator)], -1)
            info = tca.Info(tca.Batch(torch.zeros(4, 50, 1), targets, torch.ones(4, 50), loss), outputs)
            shown = info.witness.isfinite() and loss.output_error(outputs, targets).isfinite().all()
            assert info.loss.isfinite() or not shown, (loss, scale)
            assert shown or scale != 1, loss


def test_a_ratio_that_overflows_and_is_not_followed_gives_no_gradient() -> None:
    outputs, targets = torch.tensor([[[100.0, 0.0, 0.0]]]), torch.tensor([[[0.0, -100.0, 0.0, 1.0, 0.0]]])
    assert not PPO(entropy=0.0).output_error(outputs, targets).any()


def test_losses_that_only_inherit_a_bound_are_computed() -> None:
    @dataclasses.dataclass(frozen=True)
    class Broken(tca.losses.CrossEntropy):
        def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return super().value(outputs, targets) / 0.0

    batch = tca.Batch(torch.zeros(3, 2, 1), torch.zeros(3, 2, dtype=torch.int64), torch.ones(3, 2), Broken())
    info = tca.Info(batch, torch.zeros(3, 2, 4))
    assert not info.witness.isfinite()
