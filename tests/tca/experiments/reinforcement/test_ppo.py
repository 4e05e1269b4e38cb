"""Proximal policy optimisation: its loss against autograd, limits, minibatches, normalisation, and learning."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent, Normal

import tca
from tca.eligibilities import Instant
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor import Actor, policy_for
from tca.experiments.reinforcement.actor_critic import PPO, ActorCritic
from tca.experiments.reinforcement.normaliser import Normaliser, RunningMoments
from tca.experiments.reinforcement.policies import CategoricalPolicy, GaussianPolicy, Policy
from tca.experiments.reinforcement.rollout import Episode
from tca.signals.error_diffusion import ErrorDiffusion, NoCentre, PolicyRouting
from tests.support.rows import relative
from tests.tca.experiments.reinforcement.test_reward import Levers

F64 = torch.float64
POLICIES = {"categorical": (CategoricalPolicy(), 3), "gaussian": (GaussianPolicy(), 4)}
SHAPE = (6, 5)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def problem(kind: str, shape: tuple[int, int] = SHAPE) -> tuple[Policy, Tensor, Tensor]:
    """Outputs, and targets of PPO whose ratios and values lie on both sides of every clip."""
    policy, parameters = POLICIES[kind]
    outputs, before = numbers(*shape, parameters + 1, seed=1), numbers(*shape, parameters + 1, seed=2)
    before = outputs + 0.3 * before
    actions = policy.draw(before[..., :-1].flatten(0, 1), torch.Generator().manual_seed(3)).view(*shape, -1)
    old = policy.log_probability(before[..., :-1], actions)
    columns = torch.stack([old, before[..., -1], numbers(*shape, seed=4), numbers(*shape, seed=5)], -1)
    return policy, outputs, torch.cat([actions, columns], -1)


def distribution(policy: Policy, parameters: Tensor) -> torch.distributions.Distribution:
    """The same distribution by torch."""
    if isinstance(policy, CategoricalPolicy):
        return TorchCategorical(logits=parameters)
    mean, log_deviation = parameters.chunk(2, -1)
    return Independent(Normal(mean, log_deviation.exp()), 1)


def by_torch(policy: Policy, outputs: Tensor, targets: Tensor, clip: float, value_clip: float | None) -> Tensor:
    """The loss of every step by torch's distributions and functions."""
    actions, old, old_value, advantage, wanted = targets[..., :-4], *targets[..., -4:].unbind(-1)
    chosen = distribution(policy, outputs[..., :-1])
    log_probability = chosen.log_prob(actions[..., 0] if isinstance(policy, CategoricalPolicy) else actions)
    ratio, value = (log_probability - old).exp(), outputs[..., -1]
    actor = -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    critic = (value - wanted).square()
    if value_clip is not None:
        critic = torch.max(critic, (old_value + (value - old_value).clamp(-value_clip, value_clip) - wanted).square())
    return actor + 0.35 * critic - 0.05 * chosen.entropy()


@pytest.mark.parametrize("value_clip", [None, 0.2])
@pytest.mark.parametrize("kind", POLICIES)
def test_the_score_of_ppo_is_the_derivative(kind: str, value_clip: float | None) -> None:
    policy, outputs, targets = problem(kind)
    loss = PPO(0.7, 0.05, policy, 0.2, value_clip)
    leaf = outputs.clone().requires_grad_()
    wanted = by_torch(policy, leaf, targets, 0.2, value_clip)
    assert relative(loss.value(outputs, targets), wanted.detach()) < 1e-14
    (gradient,) = torch.autograd.grad(wanted.sum(), leaf)
    assert relative(loss.output_error(outputs, targets), gradient) < 1e-13
    ratio = (policy.log_probability(outputs[..., :-1], targets[..., :-4]) - targets[..., -4]).exp()
    assert 3 < ((ratio - 1).abs() > 0.2).sum() < ratio.numel() - 3, "both sides of the clip"


@pytest.mark.parametrize("kind", POLICIES)
def test_policies_are_those_of_torch(kind: str) -> None:
    """Log probability, entropy, both derivatives, the best action, and the frequencies of what is drawn."""
    policy, size = POLICIES[kind]
    parameters = 0.5 * numbers(4, size, seed=6)
    actions = policy.draw(parameters, torch.Generator().manual_seed(0))
    leaf = parameters.clone().requires_grad_()
    chosen = distribution(policy, leaf)
    log_probability = chosen.log_prob(actions[..., 0] if kind == "categorical" else actions)
    assert relative(policy.log_probability(parameters, actions), log_probability.detach()) < 1e-14
    assert relative(policy.entropy(parameters), chosen.entropy().detach()) < 1e-14
    for found, of in ((policy.score, log_probability), (lambda p, _: policy.entropy_slope(p), chosen.entropy())):
        (wanted,) = torch.autograd.grad(of.sum(), leaf, retain_graph=True)
        assert relative(found(parameters, actions), wanted) < 1e-13
    best = policy.best(parameters)
    assert (policy.log_probability(parameters, best) >= log_probability - 1e-12).all()
    many = policy.draw(parameters[:1].expand(4000, -1), torch.Generator().manual_seed(1))
    first = distribution(policy, parameters[:1])
    if kind == "categorical":
        share, wanted = many.eq(1.0).double().mean(), torch.softmax(parameters[0], -1)[1]
        assert abs(share - wanted) < 4 * (wanted * (1 - wanted) / 4000).sqrt()
    else:
        assert ((many.mean(0) - first.mean[0]).abs() < 4 * first.stddev[0] / 4000**0.5).all()  # type: ignore[attr-defined]
        assert relative(many.std(0), first.stddev[0].detach()) < 0.06  # type: ignore[attr-defined]


def networks() -> dict[str, Any]:
    """Networks of a policy with three actions, beside a value."""
    return {
        "backprop": tca.nets.MLP(2, [6, 5], 4, seed=1, dtype=F64),
        "dfa": tca.nets.MLP(2, [6, 5], 4, seed=1, dtype=F64),
        "ed": tca.nets.DualStreamMLP(2, [8, 8], 4, seed=1, dtype=F64),
        "gevb": tca.nets.VectorMLP(2, [6], 4, seed=1, dtype=F64),
        "bptt": tca.nets.LeakyRNN(2, 6, 4, seed=1, dtype=F64),
        "eprop": tca.nets.LeakyRNN(2, 6, 4, seed=1, dtype=F64),
    }


def lived(net: Any, steps: int = 6, count: int = 5, policy: Policy | None = None) -> Episode:
    """What an actor with this network has done in some environments."""
    environments: list[Any] = [Levers(seed, over=True) for seed in range(count)]
    rule = "bptt" if isinstance(net, tca.nets.LeakyRNN) else "backprop" if isinstance(net, tca.nets.MLP) else None
    learner = tca.Learner(net, tca.RULES[rule]) if rule else _Holder(net)
    return Actor(learner, environments, torch.Generator().manual_seed(0)).act(steps, None)  # type: ignore[arg-type]


class _Holder:
    """A network in the place of its learner."""

    def __init__(self, net: Any) -> None:
        self.net = net


ED = tca.Rule(ErrorDiffusion(PolicyRouting(1), NoCentre()), Instant())
PLAIN = Agent(6, value_weight=0.7, entropy=0.05)
CLIPPED = replace(PLAIN, clip=0.2, epochs=2, minibatches=3)


@pytest.mark.parametrize("rule", networks())
def test_the_first_update_of_ppo_is_that_of_the_actor_critic(rule: str) -> None:
    """One epoch of one minibatch: every ratio is one, so clips and old values do not count."""
    net = networks()[rule]
    episode, learner = lived(net), tca.Learner(net, ED if rule == "ed" else tca.RULES[rule], seed=0)
    instant = not isinstance(net, tca.nets.LeakyRNN)
    (plain,), (clipped,) = (
        list(episode.batches(agent, torch.Generator(), instant=instant))
        for agent in (PLAIN, replace(PLAIN, clip=1e-3, value_clip=1e-3))
    )
    assert isinstance(plain.loss, ActorCritic)
    assert isinstance(clipped.loss, PPO)
    wanted, found = learner.grads(plain)[0], learner.grads(clipped)[0]
    for name, each in wanted.items():
        assert relative(found[name], each) < 1e-12, name
    assert any(each.abs().max() > 1e-6 for each in wanted.values())


STREAMS = tca.nets.DualStreamMLP(2, [6, 5], 4, activation="relu", then=(tca.nets.RMSNorm(),), seed=1, dtype=F64)


@pytest.mark.parametrize("kind", ["backprop", "bptt", "two streams"])
def test_the_gradient_of_a_minibatch_is_that_of_autograd(kind: str) -> None:
    """After a change of the weights, so that ratios are not one; a minibatch holds whole steps, or whole trials."""
    net = copy.deepcopy(STREAMS) if kind == "two streams" else networks()[kind]
    rule, instant = "bptt" if kind == "bptt" else "backprop", kind != "bptt"
    episode = lived(net)
    with torch.no_grad():
        for place, each in enumerate(net.parameters()):
            each.add_(0.3 * numbers(*each.shape, seed=place))
        net.project_()
    batches = list(episode.batches(CLIPPED, torch.Generator().manual_seed(1), instant=instant))
    assert [each.trials for each in batches] == ([10, 10, 10] if instant else [2, 2, 1]) * 2
    for batch in batches[:3]:
        found = tca.Learner(net, tca.RULES[rule]).grads(batch)[0]
        parameters = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
        outputs = net.functional(parameters, batch.inputs)
        loss = (by_torch(CategoricalPolicy(), outputs, batch.targets, 0.2, None) * batch.weights).sum() / batch.trials
        for name, wanted in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
            assert relative(found[name], wanted) < 1e-12, name


def test_without_a_critic_it_is_reinforce() -> None:
    """``-sum_t G_t grad log pi(a_t)``, returns summed reward by reward to the end of trial, block or time limit."""
    net = networks()["backprop"]
    episode = lived(net)
    ends = torch.zeros(6, 5, dtype=torch.bool)
    ends[2, :3], ends[4, 2:] = True, True
    cut = ends & (torch.arange(5) % 2 == 0)
    episode = replace(
        episode, terminated=ends & ~cut, truncated=cut, final_values=torch.where(cut, 9.0, 0.0).double(),
        rewards=numbers(6, 5, seed=3), scaled_rewards=None,
    )  # fmt: skip
    agent = Agent(6, discount=0.9, entropy=0.0, critic=False)
    (batch,) = episode.batches(agent, torch.Generator(), instant=True)
    returns = torch.zeros(6, 5, dtype=F64)
    for t in range(6):
        for b in range(5):
            for later in range(t, 6):
                returns[t, b] += 0.9 ** (later - t) * episode.rewards[later, b]
                if ends[later, b]:
                    break
    parameters = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    outputs = net.functional(parameters, episode.inputs)
    log_probability = torch.log_softmax(outputs[..., :-1], -1).gather(-1, episode.actions.long()).squeeze(-1)
    loss = -(returns * log_probability).mean()
    found = tca.Learner(net, tca.RULES["backprop"]).grads(batch)[0]
    for name, wanted in zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True):
        assert relative(found[name], wanted) < 1e-12, name
    assert not found["w_out"][-1].any(), "the value is not learned"


@pytest.mark.parametrize(("policy", "components"), [(CategoricalPolicy(), 3), (GaussianPolicy(), 2)])
def test_error_diffusion_of_a_policy_is_the_score_by_component_and_the_value_for_all(
    policy: Policy, components: int
) -> None:
    """``-slope t_k (d_c(k) + d_V)`` with minus the score d, summed over the parameters of a component; no centring."""
    kind = "categorical" if isinstance(policy, CategoricalPolicy) else "gaussian"
    _, _, targets = problem(kind, (1, 7))
    net = tca.nets.DualStreamMLP(2, [10], POLICIES[kind][1] + 1, seed=1, dtype=F64)
    rule = tca.Rule(ErrorDiffusion(PolicyRouting(components), NoCentre()), Instant())
    learner, inputs = tca.Learner(net, rule, seed=0), numbers(1, 7, 2, seed=3)
    batch = tca.Batch(inputs, targets, torch.ones(1, 7, dtype=F64), PPO(0.7, 0.05, policy, 0.2))
    tape = learner.tape(batch)
    error = -batch.loss.output_error(tape.outputs, targets)[0] / 7
    half = net.populations()[0].cells // 2
    component = torch.arange(error.shape[1] - 1) % components
    own = [error[:, :-1][:, component == k % components].sum(1) for k in range(half)]
    routed = torch.stack(own, 1) + error[:, -1:]
    wanted = tape.lift(torch.cat([-routed, routed], 1).unsqueeze(0), slice(1, 2))
    assert relative(learner.signal(batch)[1:], wanted) < 1e-13
    with pytest.raises(ValueError, match="no multiple of components = "):
        tca.Learner(net, tca.Rule(ErrorDiffusion(PolicyRouting(3 if components == 2 else 2)), Instant()))


def test_every_step_or_environment_is_in_one_minibatch_of_an_epoch() -> None:
    net = networks()["backprop"]
    episode = lived(net)
    batches = list(episode.batches(CLIPPED, torch.Generator().manual_seed(1), instant=True))
    for epoch in (batches[:3], batches[3:]):
        rows = torch.cat([each.targets for each in epoch], 1)[0]
        whole = episode.batch(CLIPPED).targets.flatten(0, 1)
        assert sorted(rows.tolist()) == sorted(whole.tolist())
    assert not torch.equal(batches[0].targets, batches[3].targets), "drawn anew in every epoch"
    standard = list(episode.batches(replace(CLIPPED, standardize_advantages=True), torch.Generator(), instant=True))
    for each in standard:
        advantage = each.targets[..., -2]
        assert abs(float(advantage.mean())) < 1e-12
        assert float(advantage.std()) == pytest.approx(1.0, rel=1e-6)
    with pytest.raises(ValueError, match="minibatches must be at most the 5 environments, got 6"):
        list(episode.batches(replace(CLIPPED, minibatches=6), torch.Generator()))


def test_moments_of_batches_are_those_of_all_rows() -> None:
    moments, rows = RunningMoments(3), 5 + 2 * numbers(50, 3, seed=8)
    for part in rows.tensor_split([1, 7, 30]):
        moments.add(part)
    assert relative(moments.mean, rows.mean(0)) < 1e-14
    assert relative(moments.variance, rows.var(0, correction=0)) < 1e-13


def test_rewards_are_scaled_by_the_deviation_of_discounted_sums() -> None:
    """Written out number by number, with a trial that ends; the state resumes it."""
    normaliser, rewards = Normaliser(0, 2, 0.9), numbers(6, 2, seed=9)
    ends = torch.zeros(6, 2, dtype=torch.bool)
    ends[2, 0] = True
    sums, seen = [0.0, 0.0], []
    for t in range(6):
        if t == 3:
            other = Normaliser(0, 2, 0.9)
            other.restore(normaliser.state())
            normaliser = other
        found = normaliser.earned(rewards[t], ends[t])
        for b in range(2):
            sums[b] = 0.9 * sums[b] + float(rewards[t, b])
            seen.append(sums[b])
            if ends[t, b]:
                sums[b] = 0.0
        wanted = rewards[t] / (np.var(seen) + 1e-8) ** 0.5
        assert relative(found, wanted.clamp(-10, 10)) < 1e-12
    frozen = normaliser.state()
    normaliser.learning = False
    normaliser.earned(rewards[0], ends[0])
    assert all(torch.equal(frozen[name], each) for name, each in normaliser.state().items())


class Target:
    """One number is shown; the action should equal twice that number, within the bounds of the arm."""

    class Space:
        shape, low, high, dtype = (1,), np.array([-1.0]), np.array([1.0]), np.float32

    action_space = Space()

    def __init__(self, seed: int, offset: float = 0.0) -> None:
        self.generator, self.offset, self.taken = torch.Generator().manual_seed(seed), offset, np.zeros((0, 1))

    def _show(self) -> np.ndarray[Any, Any]:
        self.shown = float(torch.rand((), generator=self.generator)) - 0.5
        return np.array([self.shown + self.offset])

    def reset(self) -> tuple[Any, dict[str, Any]]:
        return self._show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken = np.concatenate([self.taken, [action]], dtype=action.dtype)
        reward = -((float(action[0]) - 2 * self.shown) ** 2)
        return self._show(), reward, True, False, {}


@pytest.mark.thirds
@pytest.mark.parametrize("rule", [pytest.param("backprop", marks=pytest.mark.slow), "dfa", "ed"])
def test_continuous_actions_are_learned_by_ppo(rule: str) -> None:
    """A tenth of the first loss is left, with observations far from zero normalised."""
    net: Any = (tca.nets.DualStreamMLP if rule == "ed" else tca.nets.MLP)(1, [32], 3, seed=0)
    learner = tca.Learner(net, ED if rule == "ed" else tca.RULES[rule], seed=0)
    agent = Agent(16, discount=0.0, trace_decay=0.0, entropy=0.0, clip=0.2, epochs=4, minibatches=4,
                  standardize_advantages=True)  # fmt: skip
    normaliser = Normaliser(1, 0, agent.discount)
    environments: list[Any] = [Target(seed, offset=50.0) for seed in range(8)]
    actor = Actor(learner, environments, torch.Generator().manual_seed(0), normaliser)
    assert actor.policy == GaussianPolicy()
    optimizer, generator = torch.optim.Adam(net.parameters(), 3e-3), torch.Generator().manual_seed(1)
    earned = []
    for _ in range(50):
        episode = actor.act(agent.steps, None)
        earned.append(float(episode.rewards.mean()))
        for batch in episode.batches(agent, generator, instant=actor.instant):
            optimizer.zero_grad()
            learner.backward(batch)
            torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            net.project_()
    assert len(episode.returns) == episode.rewards.numel(), "every step is a trial"
    assert environments[0].taken.dtype == np.float32
    assert abs(environments[0].taken).max() == 1.0, "an action out of bounds is taken at the bound"
    first, last = sum(earned[:3]) / 3, sum(earned[-5:]) / 5
    assert last > 0.2 * first, (first, last)
    best = Actor(learner, environments, None, normaliser)
    normaliser.learning = False
    assert float(best.act(16, None).rewards.mean()) > 0.1 * first


def test_what_ppo_refuses() -> None:
    for values, words in (
        ({"epochs": 2}, "epochs must be 1 without a clip, got 2"),
        ({"value_clip": 0.2}, "value_clip must be None without a clip"),
        ({"clip": 0.0}, "clip must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=words):
            Agent(**values)
    assert list(Agent().to_json()) == ["steps", "discount", "trace_decay", "value_weight", "entropy"]
    assert Agent(**CLIPPED.to_json()) == CLIPPED
    net = tca.nets.MLP(1, [4], 4)
    with pytest.raises(ValueError, match="the network must have 3 outputs, a mean and a logarithm"):
        Actor(tca.Learner(net, tca.RULES["backprop"]), [Target(0)], None)
    assert policy_for(Levers(0)) == CategoricalPolicy()
    with pytest.raises(ValueError, match="odd number of outputs of at least 3, got 4"):
        ActorCritic(policy=GaussianPolicy()).check((1, 1, 4), torch.zeros(1, 1, 3))
