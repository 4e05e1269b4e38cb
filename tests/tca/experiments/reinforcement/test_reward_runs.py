"""Training by rewards as a run: records, resumption, what is measured, and the commands."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tasks.neurogym.neurogym_task import NeurogymTask
from tca.__main__ import main
from tca.experiments import records
from tca.experiments.config.agent import Agent
from tca.experiments.config.callbacks import Callback
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError
from tca.experiments.records.result import Result
from tca.experiments.reinforcement.actor import Actor
from tca.experiments.reinforcement.episodes import policy_of
from tca.experiments.reinforcement.rollout import Episode
from tca.experiments.sweep import sweep
from tca.experiments.training.train import train
from tca.utils.checks import DivergenceError
from tests.support.rows import relative

pytest.importorskip("neurogym")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

NAME = "PerceptualDecisionMaking-v0"
BRIEF = {"dt": 100, "cohs": [51.2], "timing": {"fixation": 100, "stimulus": 200, "delay": 0, "decision": 200}}
AGENT = Agent(steps=9, discount=0.9)
TINY = Run(
    NAME,
    "reward_eprop",
    task_options=BRIEF,
    net=NetworkConfig(size=6, tau=50.0, noise=0.3),
    batch_size=2,
    steps=5,
    n_train=7,
    n_test=9,
    evaluate_every=2,
    agent=AGENT,
    dtype="float64",
)
PPO = replace(
    TINY,
    rule="bptt",
    net=NetworkConfig(size=6, tau=50.0),
    agent=Agent(9, 0.9, clip=0.2, epochs=2, minibatches=2, normalize_observations=True, normalize_rewards=True),
)
WORDS = [f"--task={NAME}", "--net.size=5", "--steps=3", "--batch_size=2", "--evaluate_every=2", "--n_train=6",
         "--n_test=6", "--quiet"]  # fmt: skip


def same(one: Result, other: Result) -> None:
    """Check that two results hold the same bits, the time aside."""
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name
    assert [replace(each, elapsed=0.0) for each in one.metrics] == [
        replace(each, elapsed=0.0) for each in other.metrics
    ]


@pytest.mark.thirds
@pytest.mark.parametrize("last", [1, 3, 5])
@pytest.mark.parametrize("run", [TINY, PPO], ids=["actor-critic", "PPO"])
def test_a_record_resumes_to_the_same_bits(
    run: Run, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in any block, with private noise or running moments, and Adam's, a run goes on from its checkpoint."""
    whole = train(run, progress=False)
    assert [each.step for each in whole.metrics] == [0, 2, 4, 5]
    assert set(whole.last.observed) == {"reward_per_trial", "performance", "return"}
    assert whole.metrics[0].observed == {}
    lived = 0
    act = Actor.act

    def killed(actor: Any, steps: int, noise: Tensor | None) -> Any:
        nonlocal lived
        lived += 1
        if lived == last:
            raise KeyboardInterrupt
        return act(actor, steps, noise)

    monkeypatch.setattr(Actor, "act", killed)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, progress=False)
    assert not records.finished(tmp_path)
    monkeypatch.setattr(Actor, "act", act)
    same(train(run, tmp_path, progress=False), whole)
    lived = last - 1
    monkeypatch.setattr(Actor, "act", killed)  # nothing is lived through again
    same(train(run, tmp_path, progress=False), whole)
    same(records.read(tmp_path), whole)
    assert records.read(tmp_path).net.n_out == 4, "three actions and a value"


def test_what_was_done_is_what_is_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs of the learner are those that actions and values came from: it draws the same noise again."""
    values, outputs = [], []
    batch, backward = Episode.batch, tca.Learner.backward

    def batched(episode: Episode, agent: Agent) -> tca.Batch:
        values.append(episode.values)
        return batch(episode, agent)

    def looked(learner: tca.Learner, shown: tca.Batch, noise: Tensor | None = None) -> tca.Info:
        info = backward(learner, shown, noise)
        outputs.append(info.outputs)
        return info

    monkeypatch.setattr(Episode, "batch", batched)
    monkeypatch.setattr(tca.Learner, "backward", looked)
    train(TINY, progress=False)
    assert len(values) == 5
    for value, output in zip(values, outputs, strict=True):
        assert relative(output[..., -1], value[:-1]) < 1e-12
    assert relative(outputs[1], outputs[0]) > 1e-3


def test_environments_begin_anew_with_other_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block has seeds of its own, which belong to the run's."""
    given: list[tuple[int, int]] = []
    make = NeurogymTask.environments

    def made(task: NeurogymTask, count: int, seed: int) -> Any:
        given.append((count, seed))
        return make(task, count, seed)

    monkeypatch.setattr(NeurogymTask, "environments", made)
    for data in (0, 0, 1):
        train(replace(TINY, seeds=Seeds(data=data)), progress=False)
    assert {count for count, _ in given} == {TINY.batch_size}
    assert given[:3] == given[3:6]
    assert len({seed for _, seed in given}) == 6


def test_the_policy_is_the_network_without_its_value() -> None:
    """What is measured are the answers of the policy, on the task's own trials."""
    result = train(TINY, progress=False)
    policy, task = policy_of(TINY, result.net, dt=100.0), TINY.make_task()
    test = task.split(TINY.n_train, TINY.n_test, seed=0)[1].to("cpu", torch.float64).batch()
    with torch.no_grad():
        assert relative(policy(test.inputs), result.net(test.inputs)[..., :-1]) < 1e-14
        assert result.last.test_accuracy == task.accuracy(result.net(test.inputs)[..., :-1], test)


@pytest.mark.parametrize("rule", ["reward_eprop", "node_perturbation"])
def test_rewards_teach(rule: str) -> None:
    """Answers to trials that the network has never acted in rise from chance to nearly all right; or rise at all."""
    run = replace(
        TINY,
        rule=rule,
        net=NetworkConfig(size=16, tau=50.0),
        optimizer=Optimizer(lr=0.02),
        batch_size=8,
        steps=40,
        evaluate_every=20,
        n_train=20,
        n_test=100,
        dtype="float32",
        agent=Agent(steps=30, discount=0.9),
    )
    result = train(run, progress=False)
    first, *_, last = result.metrics
    assert first.test_accuracy < 0.6
    assert last.test_accuracy > (0.8 if rule == "reward_eprop" else first.test_accuracy + 0.1)
    assert result.metrics[-1].observed["reward_per_trial"] > result.metrics[1].observed["reward_per_trial"]


def test_the_agent_belongs_to_the_identity_of_a_run(tmp_path: Path) -> None:
    """Name and record depend on its values; runs that learn from targets keep the names that they had without one."""
    other = replace(AGENT, discount=0.5)
    runs = [replace(TINY, agent=agent, seeds=seeds) for agent in (AGENT, other) for seeds in (Seeds(), Seeds(net=1))]
    assert len({run.name for run in runs}) == 4
    assert Run.from_json(json.loads(json.dumps(TINY.to_json()))) == TINY
    assert replace(TINY, agent=Agent(steps=9, discount=0.9)).name == TINY.name
    assert "agent" not in Run(NAME, "eprop").to_json()
    run = replace(TINY, steps=1)
    train(run, tmp_path / "a", progress=False)
    assert records.read(tmp_path / "a").run.agent == AGENT
    with pytest.raises(RecordError, match=r"another run: agent is .*0\.9.* there, .*0\.5.* here"):
        train(replace(run, agent=other), tmp_path / "a", progress=False)
    with pytest.raises(RecordError, match="another run: steps is 1 there, 2 here"):
        train(replace(run, steps=2), tmp_path / "a", progress=False)


def test_rules_published_for_rewards_have_an_agent() -> None:
    """The default one; with another rule a run keeps its agent, and learns from targets if it has none."""
    assert Run(NAME, "reward_eprop").agent == Agent()
    assert Run(NAME, "eprop").agent is None
    assert Run(NAME, "eprop").with_rule("reward_eprop").agent == Agent()
    assert TINY.with_rule("bptt").agent == AGENT


def test_a_gradient_that_is_not_finite_is_an_outcome() -> None:
    huge = replace(TINY, optimizer=Optimizer("SGD", lr=1e300, clip=None), steps=4)
    result = train(huge, progress=False)
    assert result.outcome == "diverged"
    assert "became" in result.reason
    reached = train(replace(TINY, stop_loss=100.0), progress=False)
    assert (reached.outcome, reached.step) == ("reached_loss", 0)


def test_a_policy_that_is_not_finite_is_an_outcome() -> None:
    """Whether the last update has made it so or one before the last: outputs overflow, and no action can be drawn."""
    huge = Optimizer("Adam", lr=1e38, clip=None)
    one = replace(
        TINY, optimizer=huge, steps=1, dtype="float32", net=NetworkConfig(size=6, tau=50.0, activation="relu")
    )
    for run in (one, replace(one, steps=3, evaluate_every=3)):
        try:
            result = train(run, progress=False)
        except RuntimeError as error:
            pytest.fail(str(error))
        assert (result.outcome, result.step) == ("diverged", 1)
        assert "finite" in result.reason or "nan" in result.reason


def test_a_rule_that_comes_to_refuse_its_weights_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first episode; before it the weights are those that the run was given, and it is an error."""
    act = Actor.act
    lived = []

    def refuse(actor: Actor, *words: Any) -> Episode:
        if len(lived) == refused_after:
            raise DivergenceError("spectral radius 2")
        lived.append(act(actor, *words))
        return lived[-1]

    monkeypatch.setattr(Actor, "act", refuse)
    refused_after = 1
    result = train(TINY, progress=False)
    assert (result.outcome, result.step) == ("diverged", 1)
    assert result.reason == "spectral radius 2, after episode 1"
    lived.clear()
    refused_after = 0
    with pytest.raises(DivergenceError):
        train(TINY, progress=False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"task": "delayed_xor", "task_options": {}}, "task 'delayed_xor' gives no rewards for actions"),
        ({"task": "ReachingDelayResponse-v0", "task_options": {}}, "gives no rewards for actions"),
        ({"fresh": True}, "fresh must be False"),
        ({"callbacks": (Callback("alignment"),)}, "callbacks must be empty"),
        ({"net": NetworkConfig("vector_rnn", {"n_rec": 4})}, "VectorRNN runs through whole trials"),
    ],
)
def test_what_cannot_learn_from_rewards_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train(replace(TINY, **changed), progress=False)


def test_observers_of_training_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="observe must be None where a network learns from rewards"):
        train(TINY, progress=False, observe=lambda *_: {})


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the one line on stderr of a command that must fail."""
    capsys.readouterr()
    assert main(words) == 2
    return capsys.readouterr().err


def test_the_command_trains_records_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the shell, with the agent's options; the record can be shown, reported and read like any other."""
    words = [
        "train",
        *WORDS,
        "--rule=reward_eprop",
        "--agent.steps=9",
        "--agent.entropy=0.1",
        f"--folder={tmp_path}",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "reward_eprop, form A" in out
    (folder,) = tmp_path.iterdir()
    assert records.read(folder).run.agent == Agent(steps=9, entropy=0.1)
    assert main(["show", str(folder)]) == 0
    assert "reward_per_trial" in capsys.readouterr().out
    assert main(["report", str(tmp_path)]) == 0
    assert "completed after 3 updates" in capsys.readouterr().out
    assert main([*words[:-1], "--rule=bptt", "--rewards", f"--folder={tmp_path}"]) == 0, "any rule learns from rewards"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_commands_refuse_what_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each error names the argument, what came and what is allowed."""
    for words in (["--rule=reward_eprop"], ["--rule=bptt", "--rewards"]):
        line = refusal(capsys, "train", "--task=delayed_xor", *words, f"--folder={tmp_path}")
        assert re.search(r"task 'delayed_xor' gives no rewards .* 'PerceptualDecisionMaking-v0', or another rule", line)
    line = refusal(capsys, "train", "--task=Bandit-v0", "--rule=eprop", f"--folder={tmp_path}")
    assert "Bandit-v0 can not be supervised: it has rewards but no ground truth" in line
    line = refusal(capsys, "train", *WORDS, "--rule=eprop", "--agent.steps=5", f"--folder={tmp_path}")
    assert "a rule that learns from rewards, got 'eprop': add --rewards, or use reward_eprop" in line
    line = refusal(
        capsys, "compare", "--strict", "--tasks=delayed_xor", "--rules=bptt,reward_eprop", f"--folder={tmp_path}"
    )
    assert "task 'delayed_xor' gives no rewards for actions, which rule 'reward_eprop' learns from" in line
    assert not list(tmp_path.iterdir()), "nothing has been begun"


@pytest.mark.usefixtures("no_figures")
def test_a_comparison_sets_rewards_beside_right_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The policy is tested on the same trials and its curvature is taken; a second time nothing is trained."""
    words = ["compare", *(each.replace("--task=", "--tasks=") for each in WORDS), "--rules=bptt,reward_eprop",
             "--seeds=1", "--curvature_trials=4", "--workers=1", f"--folder={tmp_path}"]  # fmt: skip
    assert main(words) == 0
    out = capsys.readouterr().out
    row = re.findall(rf"{NAME} +reward_eprop .*", out)[0]
    assert "nan" not in row
    assert main(["report", str(tmp_path)]) == 0
    assert row == re.findall(rf"{NAME} +reward_eprop .*", capsys.readouterr().out)[0]


@pytest.mark.usefixtures("no_figures")
def test_all_rules_of_a_comparison_act_if_it_says_so(tmp_path: Path) -> None:
    words = ["compare", *(each.replace("--task=", "--tasks=") for each in WORDS), "--rules=bptt,eprop", "--seeds=1",
             "--curvature_trials=4", "--workers=1", f"--folder={tmp_path}", "--rewards", "--agent.steps=7"]  # fmt: skip
    assert main(words) == 0
    runs = [records.read(each).run for each in (tmp_path / "runs").iterdir()]
    assert [run.agent for run in runs] == [Agent(steps=7)] * 2


def test_sweeps_learn_from_rewards(tmp_path: Path) -> None:
    run = replace(TINY, steps=1)
    (swept,) = sweep([run], tmp_path, scheduler="processes", workers=1, progress=False)
    same(swept.result(), train(run, progress=False))


@pytest.mark.usefixtures("no_figures")
def test_rules_that_draw_or_try_are_compared_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They have no signal of their own to take apart, which must not keep them from being measured."""
    rules = ["uoro", "kf_rtrl", "r_kf_rtrl", "kernl", "node_perturbation", "weight_perturbation", "miconi"]
    words = ["--seeds=1", "--net.size=3", "--steps=1", "--n_train=3", "--n_test=3", "--batch_size=3", "--workers=1",
             "--curvature_trials=3", "--quiet", f"--folder={tmp_path}"]  # fmt: skip
    assert main(["compare", "--tasks=delayed_xor", f"--rules={','.join(rules)}", *words]) == 0
    out = capsys.readouterr().out
    for rule in rules:
        assert re.search(rf"delayed_xor  {rule} ", out)
