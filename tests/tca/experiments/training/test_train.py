"""Training: against a loop written by hand, and its outcomes."""

from __future__ import annotations

import dataclasses
import math
import sys

import pytest
import torch

import tasks
import tca
from tca.batch import Batch
from tca.eligibilities import Leak
from tca.experiments.config.run import NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.training.train import evaluate, train
from tca.experiments.training.training_loop import TrainingLoop
from tca.learner import Learner
from tca.rule import Rule
from tca.signals import Decorrelation, Regularised, Signal
from tca.signals.decorrelation.averages import CollapseWarning, Decay
from tca.signals.regularisers.activity_regularisers import Power

SMALL = Run(
    "delayed_match",
    "bptt",
    net=NetworkConfig(size=8),
    batch_size=8,
    steps=10,
    n_train=20,
    n_test=12,
    evaluate_every=4,
    dtype="float64",
    seeds=Seeds(data=1, net=2, rule=3, batches=4),
)


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_training_with_bptt_is_autograd_and_the_optimizer(fresh: bool, clip: float | None) -> None:
    """The same weights to 1e-12 as a loop with ``loss.backward()`` and an update rule written out."""
    run = dataclasses.replace(SMALL, fresh=fresh, optimizer=Optimizer("SGD", lr=0.1, clip=clip))
    task = tasks.make("delayed_match")
    train_set, _ = task.split(20, 12, seed=1)
    net = tca.nets.LeakyRNN(task.n_in, 8, task.n_out, tau=100.0, dt=task.dt, seed=2, dtype=torch.float64)
    batches = task.stream(8, seed=4) if fresh else train_set.batches(8, seed=4)
    for _ in range(10):
        batch = next(batches).to(dtype=torch.float64)
        parameters = list(net.parameters())
        loss = batch.loss.mean(net(batch.inputs), batch.targets, batch.weights)
        gradients = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float((each**2).sum()) for each in gradients))
        factor = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
        assert clip is None or factor < 1
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= 0.1 * factor * gradient
    trained = train(run, progress=False).net
    for name, value in net.named_parameters():
        assert (trained.get_parameter(name) - value).abs().max() < 1e-12, name


def test_measurements_are_those_of_the_whole_sets() -> None:
    result = train(SMALL, progress=False)
    task = tasks.make("delayed_match")
    assert [each.step for each in result.metrics] == [0, 4, 8, 10]
    for trials, loss, accuracy in zip(
        task.split(20, 12, seed=1),
        (result.last.train_loss, result.last.test_loss),
        (result.last.train_accuracy, result.last.test_accuracy),
        strict=True,
    ):
        batch = trials.batch().to(dtype=torch.float64)
        outputs = result.net(batch.inputs).detach()
        chosen = outputs.log_softmax(-1).gather(-1, batch.targets[..., None])[..., 0]
        assert abs(loss + float((chosen * batch.weights).sum(0).mean())) < 1e-12
        right = (outputs.argmax(-1) == batch.targets) & batch.decision_steps
        assert abs(accuracy - float((right.sum(0) / batch.decision_steps.sum(0)).mean())) < 1e-7


def test_large_sets_are_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks.make("delayed_match")
    trials, _ = task.split(20, 1, seed=0)
    net = tca.nets.LeakyRNN(task.n_in, 8, task.n_out, dt=task.dt)
    whole = evaluate(net, task, trials)
    monkeypatch.setattr(sys.modules["tca.experiments.training.evaluation"], "TRIALS_AT_ONCE", 7)
    assert evaluate(net, task, trials) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("rule", ["bptt", "eprop"])
def test_learning(rule: str) -> None:
    result = train(
        Run("delayed_xor", rule, net=NetworkConfig(size=32), steps=150, evaluate_every=150, n_test=100), progress=False
    )
    assert result.outcome == "completed"
    assert result.metrics[0].test_accuracy < 0.75
    assert result.last.test_accuracy > 0.9
    assert result.seconds_per_step > 0


def test_stopping_at_a_loss() -> None:
    run = Run(
        "delayed_xor", net=NetworkConfig(size=32), steps=500, stop_loss=0.3, evaluate_every=10, n_train=50, n_test=10
    )
    result = train(run, progress=False)
    assert result.outcome == "reached_loss"
    assert result.step == result.last.step < 500
    assert result.last.train_loss <= 0.3
    assert all(each.train_loss > 0.3 for each in result.metrics[:-1])


def test_divergence_is_an_outcome_with_its_step(tmp_path) -> None:  # type: ignore[no-untyped-def]
    run = dataclasses.replace(SMALL, steps=200, net=NetworkConfig(size=8, activation="relu"),
                              optimizer=Optimizer("SGD", lr=1e6, clip=None), dtype="float32")  # fmt: skip
    result = train(run, tmp_path, progress=False)
    assert result.outcome == "diverged"
    assert 0 < result.step < 200
    assert f"in step {result.step + 1}" in result.reason
    again = train(run, tmp_path, progress=False)
    assert (again.outcome, again.step, again.reason) == (result.outcome, result.step, result.reason)


def test_a_rule_that_cannot_go_on_has_diverged_and_one_that_cannot_begin_is_an_error(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """ModProp needs a spectral radius below one: weights that lose it end the run, weights without it never begin."""
    steep = Optimizer("SGD", lr=50.0, clip=None)
    run = dataclasses.replace(
        SMALL, rule="modprop", steps=200, net=NetworkConfig(size=8, activation="relu"), optimizer=steep
    )
    result = train(run, tmp_path, progress=False)
    assert result.outcome == "diverged"
    assert 0 < result.step < 200
    assert "spectral radius" in result.reason
    again = train(run, tmp_path, progress=False)
    assert (again.outcome, again.step, again.reason) == (result.outcome, result.step, result.reason)
    wild = dataclasses.replace(run, net=NetworkConfig(size=8, activation="relu", gain_rec=200.0))
    with pytest.raises(ValueError, match="spectral radius"):
        train(wild, progress=False)


def test_the_seeds_decide_and_the_global_generator_is_left_alone() -> None:
    run = dataclasses.replace(SMALL, rule="eprop_random", net=NetworkConfig(size=8, noise=0.2))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = train(run, progress=False)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(6)
    assert weights(train(run, progress=False)) == weights(first)
    for name in ("data", "net", "rule", "batches"):
        seeds = dataclasses.replace(run.seeds, **{name: 9})
        assert weights(train(dataclasses.replace(run, seeds=seeds), progress=False)) != weights(first), name


def weights(result: tca.Result) -> list[list[float]]:
    return [each.flatten().tolist() for each in result.net.parameters()]


def test_an_observer_sees_the_learner_and_a_batch_of_the_training_set() -> None:
    seen: list[tuple[Learner, Batch]] = []

    def observe(learner: Learner, batch: Batch) -> dict[str, float]:
        seen.append((learner, batch))
        return {"norm": learner.net.w_rec.norm().item()}

    result = train(SMALL, progress=False, observe=observe)
    assert [each.trials for _, each in seen] == [8] * 4
    assert all(torch.equal(each.inputs, seen[0][1].inputs) for _, each in seen)
    assert result.last.observed == {"norm": result.net.w_rec.norm().item()}
    assert result.metrics[0].observed != result.last.observed


def test_progress_shows_loss_and_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    result = train(SMALL, progress=True)
    shown = capsys.readouterr().err
    assert f"loss={result.last.train_loss:.4f}" in shown
    assert f"accuracy={result.last.test_accuracy:.3f}" in shown
    result = train(dataclasses.replace(SMALL, task="rotation"), progress=True)
    assert f"R2={result.last.test_accuracy:.3f}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Run("delayed_xr"), r"unknown task 'delayed_xr', did you mean 'delayed_xor'\?"),
        (lambda: Run("delayed_xor", "epprop"), r"unknown rule 'epprop', did you mean 'eprop'\?"),
        (
            lambda: Run("delayed_xor", task_options={"dtt": 10}),
            r"unknown option of delayed_xor 'dtt', did you mean 'dt'\?",
        ),
        (
            lambda: Run("delayed_xor", task_options={"dt": torch.ones(1)}),
            "task_options must hold finite numbers, strings",
        ),
        (lambda: Run("delayed_xor", steps=0), "steps must be at least 1, got 0"),
        (lambda: Run("delayed_xor", batch_size=2.5), "batch_size must be an integer of at least 1, got 2.5"),
        (lambda: Run("delayed_xor", n_test=-1), "n_test must be at least 1, got -1"),
        (lambda: Run("delayed_xor", stop_loss=math.nan), "stop_loss must be finite, got nan"),
        (lambda: Run("delayed_xor", device="gpu"), "device must be a device of torch such as .* got 'gpu'"),
        (lambda: Run("delayed_xor", dtype="float16"), "unknown dtype 'float16', did you mean 'float64'"),  # type: ignore[arg-type]
        (lambda: Seeds(net=-1), "net must be at least 0, got -1"),
        (lambda: Optimizer("adam"), "unknown optimizer 'adam', did you mean 'Adam'"),
        (lambda: Optimizer("LBFGS"), "optimizer LBFGS cannot be used here: it evaluates the loss several times a step"),
        (lambda: Optimizer(options={"betta": 1}), r"unknown option of Adam 'betta', did you mean 'betas'\?"),
        (
            lambda: train(dataclasses.replace(SMALL, optimizer=Optimizer("Muon"))),
            "optimizer Muon refuses its arguments: ",
        ),
        (lambda: Optimizer(lr=-1.0), "lr must be greater than 0, got -1"),
        (lambda: Optimizer(clip=0.0), "clip must be greater than 0, got 0"),
        (lambda: NetworkConfig(size=0), "size must be at least 1, got 0"),
        (lambda: NetworkConfig(tau=-1.0), "tau must be positive and finite, in milliseconds, got -1"),
        (lambda: NetworkConfig(tau="long"), "tau must be a number or a list or tuple of numbers"),  # type: ignore[arg-type]
        (lambda: NetworkConfig(form="C"), "unknown form 'C'"),
        (lambda: NetworkConfig(activation="tnah"), "unknown activation 'tnah', did you mean 'tanh'"),
        (
            lambda: train(Run("delayed_xor", net=NetworkConfig(tau=20.0, leak="euler")), progress=False),
            "tau must be at least dt",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="there is no CUDA device here"):
        train(Run("delayed_xor", device="cuda"), progress=False)


@pytest.mark.cuda
def test_training_on_a_gpu_is_close_to_the_cpu(tmp_path) -> None:  # type: ignore[no-untyped-def]
    cpu = train(SMALL, progress=False)
    gpu = train(dataclasses.replace(SMALL, device="cuda"), tmp_path, progress=False)
    for name, value in cpu.net.named_parameters():
        assert (gpu.net.get_parameter(name).cpu() - value).abs().max() < 1e-9, name
    assert gpu.last.test_loss == pytest.approx(cpu.last.test_loss, rel=1e-9)


def test_cell_types_and_dales_principle_are_part_of_a_run():
    net = tca.NetworkConfig(size=10, cell_types=[0.8, 0.2], dale=[1, -1])
    assert net == tca.NetworkConfig(size=10, cell_types=(0.8, 0.2), dale=(1, -1))
    run = tca.Run("delayed_xor", rule="mdgl", net=net, steps=3, n_train=16, n_test=16, batch_size=8)
    assert tca.Run.from_json(run.to_json()) == run
    trained = tca.train(run, progress=False).net
    assert trained.types.tolist() == [0] * 8 + [1] * 2
    assert (trained.w_rec[:, :8] >= 0).all()
    assert (trained.w_rec[:, 8:] <= 0).all()
    with pytest.raises(ValueError, match="dale must hold one sign for each of the 2 types"):
        tca.NetworkConfig(size=10, cell_types=(0.8, 0.2), dale=(1,))


FAST = Decorrelation(average=Decay(0.9))


@pytest.mark.parametrize(
    ("signal", "optimizer", "steps", "words"),
    [
        (FAST, Optimizer(lr=1.0), 50, r"updates \* \(1 - lam\) = 5 is above 4"),
        (Regularised(FAST, (Power(),)), Optimizer(lr=1.0), 50, r"updates \* \(1 - lam\) = 5 is above 4"),
        (FAST, Optimizer(lr=1e-3), 2, r"\(1 - lam\) / rate = 100 is above 5"),
        (FAST, Optimizer(lr=1e-3, lr_multipliers={"w_out": 10.0}), 2, r"\(1 - lam\) / rate = 10 is above 5"),
    ],
)
def test_correlations_that_are_averaged_too_fast_are_warned_of(
    signal: Signal, optimizer: Optimizer, steps: int, words: str
) -> None:
    """By the number of updates or beside the rate of the readout; a readout that is fast enough brings no warning."""
    run = Run(
        "delayed_xor",
        Rule(signal, Leak()),
        steps=steps,
        optimizer=optimizer,
        net=NetworkConfig(size=3),
        n_train=4,
        n_test=4,
        batch_size=2,
    )
    with pytest.warns(CollapseWarning, match=words):
        TrainingLoop(run)
    faster = {"w_out": 0.2 / optimizer.lr}
    TrainingLoop(dataclasses.replace(run, steps=30, optimizer=dataclasses.replace(optimizer, lr_multipliers=faster)))
