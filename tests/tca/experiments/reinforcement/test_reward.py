"""Learning from rewards: the actor-critic loss, advantages, and a network that acts in neurogym's environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tca
from tasks.neurogym.neurogym_rewards import reward_environments
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor import Actor, Environment
from tca.experiments.reinforcement.actor_critic import ActorCritic, advantages
from tca.experiments.reinforcement.rollout import Episode
from tca.nets.constraints import project_
from tests.support import oracle
from tests.support.cases import Case, weights_of
from tests.support.rows import assert_same, learner, relative

LOSS = ActorCritic(value_weight=0.7, entropy=0.05)


def acting(
    learner: tca.Learner, environments: Sequence[Environment], optimizer: torch.optim.Optimizer, episodes: int,
    agent: Agent,
) -> list[Episode]:  # fmt: skip
    """Act and learn for some episodes, with a loop written by hand; return them."""
    actor, lived = Actor(learner, environments, torch.Generator().manual_seed(0)), []
    for _ in range(episodes):
        noise = learner.net.draw_noise(agent.steps, len(environments))
        with torch.no_grad():
            lived.append(actor.act(agent.steps, noise))
        optimizer.zero_grad()
        learner.backward(lived[-1].batch(agent), noise)
        optimizer.step()
        project_(learner.net, optimizer)
    return lived


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def targets_of(steps: int, trials: int, actions: int) -> Tensor:
    """Actions, advantages and returns."""
    taken = torch.randint(actions, (steps, trials), generator=torch.Generator().manual_seed(3)).double()
    return torch.stack([taken, numbers(steps, trials, seed=4), numbers(steps, trials, seed=5)], -1)


def surrogate(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of every step in other words: a categorical distribution, its entropy, and half a squared error."""
    policy = torch.distributions.Categorical(logits=outputs[..., :-1])
    critic = functional.mse_loss(outputs[..., -1], targets[..., 2], reduction="none")
    return -policy.log_prob(targets[..., 0]) * targets[..., 1] + 0.35 * critic - 0.05 * policy.entropy()


def test_the_score_is_the_derivative() -> None:
    outputs, targets = numbers(5, 3, 5).requires_grad_(), targets_of(5, 3, 4)
    assert relative(LOSS.value(outputs, targets).detach(), surrogate(outputs, targets).detach()) < 1e-14
    (wanted,) = torch.autograd.grad(surrogate(outputs, targets).sum(), outputs)
    assert relative(LOSS.output_error(outputs.detach(), targets), wanted) < 1e-14


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("readout_leak", [0.0, 0.6])
def test_reward_eprop_is_the_policy_gradient_with_cut_transmission(form: str, readout_leak: float) -> None:
    """Autograd of the surrogate on a network whose recurrent transmission is cut by hand, and not of the whole one."""
    case = Case("acting", form=form, sizes=(3, 6, 4), steps=9, trials=3, readout_leak=readout_leak, seed=2)
    bound, targets = learner(case, tca.RULES["reward_eprop"]), targets_of(9, 3, 3)
    weights, inputs = torch.full((9, 3), 1 / 9).double(), case.batch().inputs
    found = bound.grads(tca.Batch(inputs, targets, weights, LOSS))[0]

    def gradient(surgery: oracle.Surgery) -> dict[str, Tensor]:
        leaves = {name: each.requires_grad_() for name, each in weights_of(bound.net).items()}
        rates = [case.model().rate(state) for state in oracle.states(case.model(), leaves, inputs, surgery)[1:]]
        loss = (surrogate(oracle.readout(case.model(), leaves, rates), targets) * weights).sum() / 3
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    assert_same(found, gradient(oracle.LEAK_ONLY))
    assert relative(found["w_rec"], gradient(oracle.WHOLE)["w_rec"]) > 1e-2


def test_advantages_are_discounted_sums_of_errors_within_a_trial() -> None:
    rewards, values = numbers(7, 2), numbers(8, 2, seed=1)
    ends = torch.zeros(7, 2, dtype=torch.bool)
    ends[2, 0] = ends[4, 1] = True
    found = advantages(rewards, values, ends, discount=0.9, trace_decay=0.7)
    for b in range(2):
        for t in range(7):
            total, factor = 0.0, 1.0
            for q in range(t, 7):
                after = 0.0 if ends[q, b] else float(values[q + 1, b])
                total += factor * (float(rewards[q, b]) + 0.9 * after - float(values[q, b]))
                factor *= 0.9 * 0.7
                if ends[q, b]:
                    break
            assert float(found[t, b]) == pytest.approx(total, rel=1e-12)
    one = advantages(rewards, values, ends, discount=0.9, trace_decay=1.0)
    rest = float(rewards[3:, 0] @ 0.9 ** torch.arange(4.0).double()) + 0.9**4 * float(values[7, 0])
    assert float(one[3, 0] + values[3, 0]) == pytest.approx(rest, rel=1e-12), "with all memory it is the return"


def test_advantages_are_filtered_traces_that_meet_errors_of_prediction() -> None:
    """``sum_t D_t L_t e_t = sum_t delta_t g_t`` with ``g_t = gamma lambda g_t-1 + L_t e_t``, as synapses do."""
    case = Case("filter", sizes=(3, 5, 4), steps=6, trials=1, seed=3)
    bound, actions = learner(case, tca.RULES["reward_eprop"]), targets_of(6, 1, 3)[..., 0]
    rewards, values = numbers(6, 1), numbers(7, 1, seed=1)
    ends = torch.zeros(6, 1, dtype=torch.bool)
    plain = ActorCritic(value_weight=0.0, entropy=0.0)

    def change(weights: Tensor, better: Tensor) -> Tensor:
        targets = torch.stack([actions, better, torch.zeros_like(better)], -1)
        return bound.grads(tca.Batch(case.batch().inputs, targets, weights, plain))[0]["w_rec"]

    wanted, g = 0, 0
    for t in range(6):
        only = torch.zeros(6, 1).double()
        only[t] = 1
        g = 0.9 * 0.8 * g + change(only, torch.ones(6, 1).double())
        wanted = wanted + float(rewards[t] + 0.9 * values[t + 1] - values[t]) * g
    found = change(torch.ones(6, 1).double(), advantages(rewards, values, ends, 0.9, 0.8))
    assert relative(found, wanted) < 1e-12


class Levers:
    """Two levers: the right one is shown for two steps, pays one, and ends the trial."""

    def __init__(self, seed: int, over: bool = False) -> None:
        self.generator, self.time, self.over = torch.Generator().manual_seed(seed), 0, over
        self.resets = 0

    def reset(self) -> tuple[Any, dict[str, Any]]:
        self.resets += 1
        return self._show(), {}

    def _show(self) -> list[float]:
        self.right, self.time = int(torch.randint(2, (), generator=self.generator)), 0
        return [1.0 - self.right, float(self.right)]

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        paid = float(action == self.right)
        if self.time < 2:
            return [1.0 - self.right, float(self.right)], paid, False, False, {}
        over = self.over
        return self._show(), paid, over, False, {"new_trial": True, "performance": paid}


@pytest.mark.parametrize("kind", ["leaky", "filtered", "noisy", "spiking"])
def test_what_is_learned_from_is_what_was_done(kind: str) -> None:
    """The outputs that the rule learns from are those that the actions and values came from, private noise included."""
    options = {"leaky": {}, "filtered": {"readout_tau": 50.0}, "noisy": {"noise": 0.5, "form": "B"}}
    if kind == "spiking":
        net: Any = tca.nets.SpikingRNN(2, 8, 3, threshold=0.1, gain_in=3.0, dtype=torch.float64)
    else:
        net = tca.nets.LeakyRNN(2, 8, 3, dtype=torch.float64, **options[kind])
    seen: list[Tensor] = []

    class Looking(tca.Learner):
        def backward(self, batch: tca.Batch, noise: Tensor | None = None) -> tca.Info:
            info = super().backward(batch, noise)
            seen.append(info.outputs)
            return info

    bound = Looking(net, tca.RULES["reward_eprop"])
    environments = [Levers(seed) for seed in range(3)]
    (episode,) = acting(bound, environments, torch.optim.SGD(net.parameters(), 0.1), 1, Agent(steps=11))
    assert episode.actions.shape[:2] == episode.rewards.shape == episode.ends.shape == (11, 3)
    assert relative(episode.values[:-1], seen[0][..., -1]) < 1e-12
    assert episode.ends.sum() == 15
    assert len(episode.performance) == 15
    assert 0 < episode.reward_per_trial < 2.01


@pytest.mark.parametrize("bias", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_module_learns_from_rewards(bias: bool) -> None:
    """A cell module steps through environments as other networks do, with a bias of its readout or without."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = tca.nets.from_module(torch.nn.GRUCell(2, 12), torch.nn.Linear(12, 3, bias=bias))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    environments = [Levers(seed) for seed in range(8)]
    episodes = acting(tca.Learner(net, tca.RULES["bptt"]), environments, optimizer, 40, Agent(20, discount=0.5))
    assert sum(each.rewards.mean() for each in episodes[:2]) / 2 < 0.75
    assert sum(each.rewards.mean() for each in episodes[-5:]) / 5 > 0.8


def test_environments_that_are_over_begin_anew() -> None:
    net = tca.nets.LeakyRNN(2, 4, 3)
    environments = [Levers(0, over=True), Levers(1)]
    acting(tca.Learner(net, tca.RULES["uoro"]), environments, torch.optim.SGD(net.parameters(), 0.1), 2, Agent(6))
    assert [each.resets for each in environments] == [7, 1]


@pytest.mark.parametrize("rule", ["reward_eprop", pytest.param("uoro", marks=pytest.mark.slow)])
def test_any_rule_learns_to_pull_the_lever(rule: str) -> None:
    """From half right, which is chance, to nearly always, and to the same bits from the same seeds."""

    def trained() -> list[Episode]:
        net = tca.nets.LeakyRNN(2, 12, 3, tau=20.0, seed=1)
        optimizer = torch.optim.Adam(net.parameters(), 0.02)
        environments = [Levers(seed) for seed in range(8)]
        return acting(tca.Learner(net, tca.RULES[rule]), environments, optimizer, 40, Agent(20, discount=0.5))

    episodes = trained()
    assert 0.3 < sum(each.rewards.mean() for each in episodes[:2]) / 2 < 0.75
    assert sum(each.rewards.mean() for each in episodes[-5:]) / 5 > 0.8
    assert torch.equal(trained()[-1].rewards, episodes[-1].rewards)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_reward_eprop_learns_a_perceptual_decision() -> None:
    """neurogym's environment as it is, rewards step by step: decisions rise from chance, a half, in forty episodes."""
    pytest.importorskip("neurogym")
    environments = reward_environments(
        "PerceptualDecisionMaking-v0", 8, seed=1, dt=100, cohs=[51.2],
        timing={"fixation": 100, "stimulus": 200, "delay": 0, "decision": 200},
    )  # fmt: skip
    net = tca.nets.LeakyRNN(3, 16, 4, tau=50.0, dt=50.0)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    episodes = acting(tca.Learner(net, tca.RULES["reward_eprop"]), environments, optimizer, 40, Agent(30, 0.9))

    def right(part: list[Episode]) -> float:
        judged = [each for episode in part for each in episode.performance]
        return sum(judged) / len(judged)

    assert right(episodes[:3]) < 0.7
    assert right(episodes[-10:]) > 0.85
    first, second = (reward_environments("PerceptualDecisionMaking-v0", 2, seed=seed) for seed in (1, 1))
    assert all((one.reset()[0] == other.reset()[0]).all() for one, other in zip(first, second, strict=True))
    one, other = (each.reset()[0] for each in first)
    assert (one != other).any(), "environments differ"


def test_what_cannot_be_is_refused() -> None:
    """Targets, settings and networks that do not fit."""
    outputs, targets = (2, 1, 3), torch.zeros(2, 1, 3)
    for wrong, words in (
        (torch.zeros(2, 1, 2), r"targets must have shape \(2, 1, 3\)"),
        (torch.full((2, 1, 3), torch.nan), "targets must be finite"),
        (targets + 0.5, "actions must be whole numbers from 0 to 1"),
        (targets + 2, "actions must be whole numbers from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=words):
            LOSS.check(outputs, wrong)
    with pytest.raises(TypeError, match="targets must be real numbers"):
        LOSS.check(outputs, targets.long())
    with pytest.raises(ValueError, match="at least one action and a value"):
        LOSS.check((2, 1, 1), targets)
    with pytest.raises(ValueError, match="entropy must be 0 or greater"):
        ActorCritic(entropy=-1.0)
    with pytest.raises(ValueError, match="discount must be at most 1, got 2"):
        Agent(discount=2)
    net = tca.nets.VectorRNN(2, 4, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    with pytest.raises(ValueError, match="VectorRNN runs through whole trials, not step by step"):
        acting(tca.Learner(net, tca.RULES["gevb"]), [Levers(0)], optimizer, 1, Agent())
    with pytest.raises(ValueError, match="at least one environment"):
        Actor(tca.Learner(tca.nets.LeakyRNN(2, 3, 3), tca.RULES["eprop"]), [], torch.Generator())


class Clock:
    """Pays one a step, shows the step, and goes on for ever; a limit of time from outside cuts it."""

    def __init__(self, limit: int, at_limit: dict[str, Any] | None = None, ends: bool = False) -> None:
        self.limit, self.at_limit, self.ends, self.time, self.resets = limit, at_limit or {}, ends, 0, 0

    def reset(self) -> tuple[Any, dict[str, Any]]:
        self.time, self.resets = 0, self.resets + 1
        return [100.0], {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        there = self.time == self.limit
        return [float(self.time)], 1.0, there and self.ends, there, self.at_limit if there else {}


def constant(value: float) -> Any:
    """Return a network of one input and one action that expects the same of every state."""
    net = tca.nets.LeakyRNN(1, 4, 2, dtype=torch.float64)
    with torch.no_grad():
        net.w_out.zero_()
        net.b_out.copy_(torch.tensor([0.0, value]))
    return net


def acted(net: Any, environment: Any, steps: int, noise: Tensor | None = None) -> Episode:
    actor = Actor(tca.Learner(net, tca.RULES["reward_eprop"]), [environment], torch.Generator().manual_seed(0))
    with torch.no_grad():
        return actor.act(steps, noise)


def test_a_limit_of_time_is_no_end() -> None:
    """One a step for ever is worth ``1 / (1 - 0.9) = 10``: who expects it has nothing to learn, cut or not."""
    episode = acted(constant(10.0), Clock(5), 12)
    assert episode.truncated[:, 0].tolist() == [t in (4, 9) for t in range(12)]
    assert not episode.terminated.any()
    assert torch.equal(episode.ends, episode.truncated)
    targets = episode.batch(Agent(12, discount=0.9)).targets
    assert relative(targets[..., 2], torch.full((12, 1), 10.0).double()) < 1e-14
    assert targets[..., 1].abs().max() < 1e-13


@pytest.mark.parametrize("environment", [Clock(5, ends=True), Clock(5, {"new_trial": True})])
def test_an_end_at_the_limit_of_time_is_an_end(environment: Clock) -> None:
    """Both at once: nothing follows, and rewards of the five steps are all there is."""
    episode = acted(constant(10.0), environment, 7)
    assert episode.terminated[:, 0].tolist() == [t == 4 for t in range(7)]
    assert not episode.truncated.any()
    assert environment.resets == 2, "the environment begins anew all the same"
    returns = episode.batch(Agent(7, discount=0.9)).targets[:5, 0, 2].tolist()
    assert returns == pytest.approx([sum(0.9**k for k in range(n)) for n in (5, 4, 3, 2, 1)], rel=1e-14)


@pytest.mark.parametrize("readout_tau", [None, 50.0])
@pytest.mark.parametrize("noisy", [False, True])
def test_what_lies_beyond_a_limit_is_the_value_of_the_last_state(noisy: bool, readout_tau: float | None) -> None:
    """As if the trial had gone on: the value after the same steps of an environment without a limit, noise included."""
    net = tca.nets.LeakyRNN(1, 4, 2, seed=3, readout_tau=readout_tau, dtype=torch.float64)
    noise = 0.3 * numbers(8, 1, 4, seed=7) if noisy else None
    cut, whole = acted(net, Clock(5), 8, noise), acted(net, Clock(99), 8, noise)
    assert float(cut.final_values[4, 0]) == pytest.approx(float(whole.values[5, 0]), abs=1e-14)
    assert cut.final_values.count_nonzero() == 1
    assert relative(cut.values[:5], whole.values[:5]) < 1e-14
    assert abs(float(cut.values[5, 0] - whole.values[5, 0])) > 1e-3, "the network goes on with another observation"
    outputs = net.run(cut.inputs, noise).outputs
    assert relative(cut.values[:-1], outputs[..., -1]) < 1e-14, "and from where it stood"
    at_the_end = acted(net, Clock(8), 8, noise)
    assert float(at_the_end.final_values[7, 0]) == pytest.approx(float(whole.values[8, 0]), abs=1e-14)


def test_cut_trials_are_kept_apart_from_ended_ones_side_by_side() -> None:
    """Returns of lambda = 1 and of less, written out trial by trial; nothing crosses a cut either."""
    rewards, values, final_values = numbers(7, 3), numbers(8, 3, seed=1), numbers(7, 3, seed=2)
    terminated, truncated = torch.zeros(2, 7, 3, dtype=torch.bool)
    terminated[2, 0] = truncated[4, 1] = truncated[1, 2] = terminated[5, 2] = True
    found = advantages(rewards, values, terminated, 0.9, 0.7, truncated=truncated, final_values=final_values)
    for b in range(3):
        later = 0.0
        for t in reversed(range(7)):
            if terminated[t, b]:
                after, later = 0.0, 0.0
            elif truncated[t, b]:
                after, later = float(final_values[t, b]), 0.0
            else:
                after = float(values[t + 1, b])
            later = float(rewards[t, b]) + 0.9 * after - float(values[t, b]) + 0.63 * later
            assert float(found[t, b]) == pytest.approx(later, rel=1e-12)
    with pytest.raises(ValueError, match="truncated and final_values must be given together"):
        advantages(rewards, values, terminated, 0.9, 0.7, truncated=truncated)
