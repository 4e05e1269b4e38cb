"""Runs in environments that give rewards only: their settings, returns, records, commands and refusals."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor

import tasks
import tca
from tca.__main__ import main
from tca.experiments import records
from tca.experiments.config.control_settings import ALGORITHMS, PPO_AGENT, agent_for
from tca.experiments.records.result import Result
from tca.experiments.reinforcement.actor import Actor
from tca.experiments.reinforcement.trained_policy import TrainedPolicy
from tca.experiments.sweep import sweep
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop
from tca.signals.error_diffusion import ErrorDiffusion, NoCentre, PolicyRouting

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SMALL = replace(PPO_AGENT, steps=5, epochs=2, minibatches=2, test_episodes=3)
BRIEF = {"steps": 5, "batch_size": 4, "evaluate_every": 2, "agent": SMALL}
CART = tca.Run("CartPole-v1", "backprop", net=tca.NetworkConfig("mlp", sizes=[6]), **BRIEF)  # type: ignore[arg-type]
SWING = tca.Run(
    "Pendulum-v1", "eprop", task_options={"time_limit": 7},
    net=tca.NetworkConfig(size=5, readout_tau=40.0), **BRIEF,  # type: ignore[arg-type]
)  # fmt: skip


def same(one: Result, other: Result) -> None:
    """Check that two results hold the same bits, the time aside."""
    for mine, its in ((one.net.state_dict(), other.net.state_dict()), (one.normalisation, other.normalisation)):
        assert mine.keys() == its.keys()
        for name, value in mine.items():
            assert torch.equal(value, its[name]), name
    first, second = ([replace(each, elapsed=0.0).to_json() for each in result.metrics] for result in (one, other))
    assert first == second


@pytest.mark.thirds
@pytest.mark.parametrize("last", [2, 3, 5])
@pytest.mark.parametrize("run", [CART, SWING], ids=["discrete", "continuous and recurrent"])
def test_a_record_resumes_to_the_same_bits(
    run: tca.Run, last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in any block: states of environments and cells, moments, actions and episodes go on where they were."""
    whole = train(run, progress=False)
    assert [each.step for each in whole.metrics] == [0, 2, 4, 5]
    lived, act = 0, Actor.act

    def killed(actor: Any, steps: int, noise: Tensor | None) -> Any:
        nonlocal lived
        lived += 1
        if lived == last:
            raise KeyboardInterrupt
        return act(actor, steps, noise)

    monkeypatch.setattr(Actor, "act", killed)
    with pytest.raises(KeyboardInterrupt):
        train(run, tmp_path, progress=False)
    monkeypatch.setattr(Actor, "act", act)
    same(train(run, tmp_path, progress=False), whole)
    same(records.read(tmp_path), whole)


def test_the_test_return_is_that_of_a_loop_by_hand() -> None:
    """The policy acts greedily in environments of its own, on observations normalised by the final moments."""
    result = train(CART, progress=False)
    moments = result.normalisation
    mean = moments["observations.mean"]
    scale = (moments["observations.squares"] / moments["observations.count"] + 1e-8).rsqrt()
    test = TrainingLoop(CART).task.environments(3, int(_sequence(CART.seeds.data)[1]))
    returns = []
    for each in test:
        observed, total, over = each.reset()[0], 0.0, False
        while not over:
            shown = ((torch.as_tensor(observed) - mean) * scale).clamp(-10, 10).float()
            with torch.no_grad():
                action = int(result.net(shown.reshape(1, 1, -1))[0, 0, :2].argmax())
            observed, reward, end, limit, _ = each.step(action)
            total, over = total + reward, end or limit
        returns.append(total)
    assert result.last.test_accuracy == pytest.approx(np.mean(returns))
    assert result.last.test_loss == -result.last.test_accuracy
    half = 4.302652729911275 * np.std(returns, ddof=1) / math.sqrt(3)  # Student's t of two degrees of freedom
    assert result.last.observed["return_interval"] == pytest.approx(half)


def _sequence(seed: int) -> Tensor:
    return torch.randint(2**62, (2,), generator=torch.Generator().manual_seed(seed))


def test_returns_while_acting_are_those_of_the_episodes_that_ended() -> None:
    """With an end every seventh step, 4 environments and 5 steps an update: 28 steps of a block hold 4 episodes."""
    result = train(replace(SWING, steps=2), progress=False)
    first, last = result.metrics
    assert first.observed["acting_episodes"] == 0.0
    assert math.isnan(first.train_accuracy)
    assert last.observed["acting_episodes"] == 4.0
    assert last.observed["acting_length"] == 7.0
    assert last.train_accuracy == last.observed["acting_return"] == -last.train_loss
    assert last.observed["episode_length"] == 7.0


def test_environments_go_on_over_measurements() -> None:
    """Episodes longer than the steps between measurements end nevertheless; each has a seed of its own."""
    run = replace(SWING, task_options={"time_limit": 17}, steps=8, evaluate_every=1)
    lengths = [each.observed["acting_length"] for each in train(run, progress=False).metrics
               if each.observed["acting_episodes"]]  # fmt: skip
    assert lengths == [17.0, 17.0]
    (environment,) = tasks.make("CartPole-v1").environments(1, 5)
    starts = [tuple(environment.reset()[0]) for _ in range(3)]
    assert len(set(starts)) == 3
    (again,) = tasks.make("CartPole-v1").environments(1, 5)
    assert tuple(again.reset()[0]) == starts[0]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Taxi-v3"])
def test_an_environment_is_its_seed_and_its_actions(name: str) -> None:
    """Restored from its state it goes on as the other does."""
    one, other = tasks.make(name).environments(1, 3) + tasks.make(name).environments(1, 3)
    one.reset(), one.reset()
    actions = [one.action_space.sample() for _ in range(9)]
    for action in actions[:5]:
        one.step(action)
    other.restore(one.state())
    for action in actions[5:]:
        (seen, *rest), (known, *its) = one.step(action)[:4], other.step(action)[:4]
        assert np.array_equal(seen, known)
        assert rest == its


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("backprop", "mlp"), ("dfa", "mlp"), ("feedback_alignment", "mlp"), ("gevb", "vector_mlp"),
        ("error_diffusion", "dual_stream_mlp"), ("bptt", "leaky_rnn"), ("eprop", "leaky_rnn"), ("rflo", "leaky_rnn"),
        ("node_perturbation", "leaky_rnn"),
    ],
)  # fmt: skip
def test_a_rule_has_a_network_that_acts(rule: str, kind: str) -> None:
    run = tca.Run("CartPole-v1", rule, **(BRIEF | {"steps": 1}))  # type: ignore[arg-type]
    assert run.net.kind == kind
    result = train(run, progress=False)
    assert result.outcome == "completed"
    fresh = TrainingLoop(run).net.state_dict()
    assert any(not torch.equal(each, fresh[name]) for name, each in result.net.state_dict().items())


def test_error_diffusion_routes_the_errors_of_actions() -> None:
    """Without centring, as published; a routing that is given stays."""
    signal = tca.Run("Pendulum-v1", "error_diffusion").the_rule.signal
    assert signal == ErrorDiffusion(PolicyRouting(1), NoCentre())
    own = tca.Rule(ErrorDiffusion(PolicyRouting(2)), tca.eligibilities.Instant())
    assert tca.Run("CartPole-v1", own).the_rule == own
    assert tca.Run("CartPole-v1", "backprop").with_rule("error_diffusion").net.kind == "dual_stream_mlp"


def test_settings_belong_to_the_identity_of_a_run() -> None:
    run = tca.Run("CartPole-v1", "error_diffusion")
    assert run.agent == PPO_AGENT
    assert tca.Run("CartPole-v1", "reward_eprop").agent == replace(PPO_AGENT, clip=None, epochs=1, minibatches=1)
    assert tca.Run.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert replace(CART, agent=replace(SMALL, test_episodes=4)).name != CART.name
    assert run.agent is not None
    assert "critic" not in run.agent.to_json(), "runs keep the names that they had without the option"


def test_algorithms_are_found_by_name_and_fit_the_actions() -> None:
    cart, pendulum = (tasks.make(name) for name in ("CartPole-v1", "Pendulum-v1"))
    assert agent_for("dfa", task=cart) == PPO_AGENT
    longer = replace(PPO_AGENT, discount=0.95, steps=64, epochs=8, minibatches=4)
    assert agent_for("dfa", task=pendulum) == tca.Run("Pendulum-v1", "dfa").agent == longer
    named = {name: agent_for("dfa", {"steps": 7}, cart, name) for name in ALGORITHMS}
    assert {name: (each.clip, each.epochs, each.critic, each.steps) for name, each in named.items()} == {
        "ppo": (0.2, 4, True, 7), "actor_critic": (None, 1, True, 7), "reinforce": (None, 1, False, 7)
    }  # fmt: skip
    assert agent_for("dfa", task=pendulum, algorithm="reinforce").discount == 0.95
    with pytest.raises(ValueError, match="unknown algorithm 'reinforced', did you mean 'reinforce'"):
        agent_for("dfa", algorithm="reinforced")


def test_the_command_trains_by_reinforce(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--rule=backprop", "--algorithm=reinforce", *WORDS[:4], *WORDS[5:]]
    assert main(["train", "--task=CartPole-v1", *words, f"--folder={tmp_path}"]) == 0
    (folder,) = tmp_path.iterdir()
    assert records.read(folder).run.agent == replace(ALGORITHMS["reinforce"], steps=4, test_episodes=2)
    assert main(["train", "--task=delayed_xor", "--algorithm=reinforce", f"--folder={tmp_path}"]) == 2
    assert "algorithm must not be given where tasks have right answers" in capsys.readouterr().err
    words = [
        "compare",
        "--tasks=Pendulum-v1",
        "--rules=backprop",
        "--workers=1",
        "--seeds=1",
        "--algorithm=actor_critic",
    ]
    assert main([*words, *WORDS[:4], *WORDS[5:], f"--folder={tmp_path / 'compared'}"]) == 0
    (compared,) = (tmp_path / "compared" / "runs").iterdir()
    agent = records.read(compared).run.agent
    assert agent == replace(ALGORITHMS["actor_critic"], steps=4, test_episodes=2, discount=0.95)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rule": "sbd"}, "PPO.* cannot be used where activity and score are decorrelated"),
        ({"snapshot_losses": (-100.0,)}, "snapshot_losses must be empty in CartPole-v1, which gives rewards only"),
        ({"task_options": {"gravity": 3}}, "unknown option of CartPole-v1 'gravity'"),
        ({"net": tca.NetworkConfig("vector_rnn", {"n_rec": 4})}, "runs through whole trials"),
        ({"task": "CarRacing-v2"}, "needs a library that is not installed"),
        ({"agent": replace(SMALL, minibatches=21)}, "minibatches must be at most the 20 steps"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, ImportError), match=words):
        train(replace(CART, **changed), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists(), "no update was made"


def test_spaces_that_are_not_supported_are_named() -> None:
    class Many(gymnasium.Env):
        action_space, observation_space = gymnasium.spaces.MultiDiscrete([2, 2]), gymnasium.spaces.Discrete(3)

    gymnasium.register("Many-v0", Many)
    try:
        with pytest.raises(ValueError, match="Many-v0 must have discrete actions or real ones in a box, got MultiDis"):
            tasks.make("Many-v0")
    finally:
        del gymnasium.registry["Many-v0"]


def test_early_stopping_is_on_minus_the_return() -> None:
    result = train(replace(CART, stop_loss=-5.0, steps=50), progress=False)
    assert result.outcome == "reached_loss"
    assert result.last.train_accuracy >= 5.0
    assert result.step < 50


def test_a_finished_policy_is_read_and_acts(tmp_path: Path) -> None:
    """As in the test episodes of the run: the record has weights and moments."""
    result = train(CART, tmp_path / "run", progress=False)
    policy, again = TrainedPolicy(result), TrainedPolicy(records.read(tmp_path / "run"))
    seed = int(_sequence(CART.seeds.data)[1])
    assert policy.rollout(seed).total == again.rollout(seed).total
    observed = torch.tensor([[0.1, -0.2, 0.03, 0.4]])
    assert torch.equal(policy.outputs(observed), again.outputs(observed))
    with pytest.raises(ValueError, match="gives rewards only, got 'delayed_xor'"):
        TrainedPolicy(train(tca.Run("delayed_xor", steps=1, n_train=4, n_test=4), progress=False))


WORDS = ["--steps=2", "--batch_size=3", "--evaluate_every=2", "--agent.steps=4", "--agent.minibatches=2",
         "--agent.test_episodes=2", "--quiet"]  # fmt: skip


def test_the_commands_train_show_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Options replace those of the agent of the task; sweeps and files of options take the same runs."""
    assert main(["train", "--task=CartPole-v1", "--rule=error_diffusion", *WORDS, f"--folder={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "return of test episodes" in out
    (folder,) = tmp_path.iterdir()
    run = records.read(folder).run
    assert run.agent == replace(PPO_AGENT, steps=4, minibatches=2, test_episodes=2)
    assert run.net.kind == "dual_stream_mlp"
    assert main(["show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "acting_episodes" in shown
    assert "environment.gymnasium" in shown
    assert main(["report", str(tmp_path)]) == 0
    assert "return of test episodes" in capsys.readouterr().out
    assert main(["list", "tasks"]) == 0
    assert "CartPole-v1" in capsys.readouterr().out
    (tmp_path / "run.yaml").write_text("task: Pendulum-v1\nrule: dfa\nagent: {clip: null, epochs: 1, minibatches: 1}\n")
    words = ["train", f"--config={tmp_path / 'run.yaml'}", *WORDS[:4], *WORDS[5:], f"--folder={tmp_path / 'other'}"]
    assert main(words) == 0
    (other,) = (tmp_path / "other").iterdir()
    assert records.read(other).run.agent == replace(
        PPO_AGENT, steps=4, discount=0.95, clip=None, epochs=1, minibatches=1, test_episodes=2
    )
    (swept,) = sweep([run], tmp_path / "swept", scheduler="processes", workers=1, progress=False)
    same(swept.result(), records.read(folder))


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a file."""
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_comparison_shows_returns_with_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "--tasks=CartPole-v1", "--rules=backprop,error_diffusion,sbd", "--seeds=2", "--workers=1",
             *WORDS, f"--folder={tmp_path}"]  # fmt: skip
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "left out: sbd on CartPole-v1: PPO" in out
    rows = table(tmp_path / "runs.csv")
    folders = {records.read(each).run.name: records.read(each).last for each in (tmp_path / "runs").iterdir()}
    assert len(rows) == len(folders) == 4
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["entry"], {})[row["seed"]] = float(row["return"])
    assert sorted(each.test_accuracy for each in folders.values()) == sorted(
        value for its in found.values() for value in its.values()
    )
    backprop, diffusion = found["backprop"], found["error_diffusion"]
    paired = [diffusion[seed] - backprop[seed] for seed in backprop]
    (difference,) = [row for row in table(tmp_path / "differences.csv") if row["measure"] == "return"]
    assert float(difference["difference"]) == pytest.approx(np.mean(paired))
    mean, half = np.mean(list(backprop.values())), 12.7062047 * np.std(list(backprop.values()), ddof=1) / math.sqrt(2)
    assert f"{mean:.1f} ±{half:.1f}" in out
    assert (tmp_path / "learning_curves.csv").exists()
    assert "environments side by side" in (tmp_path / "report.html").read_text()
    assert main(["report", str(tmp_path)]) == 0


@pytest.mark.parametrize("rule", [pytest.param("backprop", marks=pytest.mark.slow), "error_diffusion"])
def test_agents_learn(rule: str) -> None:
    """Episodes of the acting policy become several times as long within a few updates."""
    agent = replace(PPO_AGENT, minibatches=4, test_episodes=5)
    run = tca.Run("CartPole-v1", rule, batch_size=16, steps=30, evaluate_every=15, agent=agent)
    _, middle, last = train(run, progress=False).metrics
    assert middle.train_accuracy < 80 < 120 < last.train_accuracy


def shown_for(film: Any) -> float:
    """Return how long the images of a GIF are shown, in ms."""
    total = 0.0
    for place in range(film.n_frames):
        film.seek(place)
        total += film.info["duration"]
    return total


def test_a_rollout_is_an_animation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every fourth state at 50 a second, and of the last; it takes the time of the episode, and a second more."""
    from PIL import Image

    def drawn(environment: Any) -> Any:
        image = np.full((400, 600, 3), 255, np.uint8)
        image[200:300, :, 1] = (1000 * environment.state[2]) % 256
        return image

    monkeypatch.setattr(gymnasium.envs.classic_control.CartPoleEnv, "render", drawn)
    train(CART, tmp_path / "run", progress=False)
    policy = TrainedPolicy(records.read(tmp_path / "run"))
    rollout = policy.rollout(5, render=True)
    steps = rollout.steps
    assert rollout.times == [state / 50 for state in range(steps + 1)]
    kept = policy.rollout(5, render=True, rate=12.5)
    assert steps % 4
    states = [*range(0, steps, 4), steps]
    assert kept.times == [state / 50 for state in states]
    assert all(np.array_equal(one, rollout.frames[state]) for one, state in zip(kept.frames, states, strict=True))
    for words, size in ([], (320, 213)), (["--width=600", "--rate=50"], (600, 400)):
        film = tmp_path / "a.gif"
        assert main(["show", str(tmp_path / "run"), "--rollout", str(film), "--seed=5", *words]) == 0
        out = capsys.readouterr().out
        assert f"return {rollout.total:.4g} in {steps} steps" in out
        assert f"{len(states) if not words else steps + 1} images in {steps / 50:.3g} s" in out
        with Image.open(film) as images:
            assert images.size == size
            assert shown_for(images) == pytest.approx(1000 * (steps / 50 + 1))
    assert main(["show", str(tmp_path / "run"), "--rollout", str(tmp_path / "a.gif"), "--width=0"]) == 2
    assert "width must be at least 1, got 0" in capsys.readouterr().err
    assert main(["show", str(tmp_path / "run"), "--rollout", str(tmp_path / "a.mp4")]) == 2
    assert "rollout must be a file that ends in .gif" in capsys.readouterr().err


def test_a_pendulum_is_drawn_with_its_torque() -> None:
    pytest.importorskip("pygame")
    run = tca.Run("Pendulum-v1", "backprop", steps=1, batch_size=2, agent=SMALL, task_options={"time_limit": 5})
    policy = TrainedPolicy(train(run, progress=False))
    drawn = policy.rollout(1, render=True)
    assert len(drawn.frames) == 6
    assert drawn.total == policy.rollout(1).total
    assert not np.array_equal(drawn.frames[0], drawn.frames[-1])


def test_a_picture_that_fails_without_a_display_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    run = tca.Run("InvertedPendulum-v4", "backprop", steps=1, batch_size=2, agent=replace(SMALL, test_episodes=1))
    policy = TrainedPolicy(train(run, progress=False))

    def refused(_: Any) -> None:
        raise RuntimeError("no context")

    monkeypatch.setattr(gymnasium.envs.mujoco.mujoco_env.MujocoEnv, "render", refused)
    with pytest.raises(ValueError, match="cannot be drawn here: no context; without a display MuJoCo needs MUJOCO_GL"):
        policy.rollout(1, render=True)


@pytest.mark.parametrize("name", ["InvertedPendulum-v4", "HalfCheetah-v4", "Ant-v4"])
def test_environments_of_mujoco_are_tasks(name: str) -> None:
    """Their versions are recorded and equal seeds give equal steps."""
    pytest.importorskip("mujoco")
    task = tasks.make(name)
    assert set(task.provenance["environment"]) == {"id", "time_limit", "gymnasium", "mujoco"}
    one, other = task.environments(1, 0) + task.environments(1, 0)
    assert np.array_equal(one.reset()[0], other.reset()[0])
    for _ in range(3):
        action = np.full(one.action_space.shape, 0.3, np.float32)
        assert np.array_equal(one.step(action)[0], other.step(action)[0])
    run = tca.Run(name, "error_diffusion", steps=1, batch_size=2, agent=replace(SMALL, test_episodes=1))
    assert train(run, progress=False).outcome == "completed"


@pytest.mark.parametrize("name", ["Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"])
def test_other_environments_that_need_no_library_are_tasks(name: str) -> None:
    """Acrobot-v1 also under NumPy 2, for which gymnasium 0.29 was not made; a step costs one in the first two."""
    run = tca.Run(name, "error_diffusion", steps=1, batch_size=2, agent=SMALL, task_options={"time_limit": 9})
    result = train(run, progress=False)
    assert result.outcome == "completed"
    assert result.last.observed["episode_length"] == 9
    assert result.last.test_accuracy == (-9 if "Continuous" not in name else pytest.approx(-0.05, abs=0.05))


@pytest.mark.parametrize(
    ("missing", "ours"), [("mujoco", True), ("pygame", True), ("mujoco_py", False), ("Box2D", False)]
)
def test_a_missing_library_is_one_line(
    missing: str, ours: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the extra that has the library, and no other."""

    def absent(*_: Any, **__: Any) -> None:
        raise gymnasium.error.DependencyNotInstalled(f"{missing} is not installed")

    monkeypatch.setattr(gymnasium, "make", absent)
    assert main(["train", "--task=Reacher-v4", "--rule=backprop"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"Reacher-v4 needs a library that is not installed ({missing} is not installed)" in line
    assert ("pip install 'temporal-credit-assignment[control]'" in line) == ours
