"""Runs that are trained together are those that are trained by themselves: numbers, outcomes, records, resumption."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tca import eligibilities, signals
from tca.cli.compare.combinations import misfit
from tca.experiments import records
from tca.experiments.config.agent import Agent
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.experiments.records.files import RecordError
from tca.experiments.records.record import Record
from tca.experiments.records.result import COMPLETED, DIVERGED, REACHED_LOSS, Result
from tca.experiments.together.compatibility import groups, refusal
from tca.experiments.together.group import Group
from tca.experiments.together.train_together import train_together
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop
from tca.kernels import use
from tca.nets.leaky.leaky_ensemble import LeakyEnsemble
from tca.rule import Rule
from tca.rules import RULES
from tca.signals.diffusion.fields import Box

SIGNALS: dict[str, Any] = {
    "Direct": signals.Direct(),
    "Random": signals.Random(),
    "Adaptive": signals.Adaptive(decay=0.01),
    "Exact": signals.Exact(),
    "Decorrelation": signals.Decorrelation(0.9),
    "Diffusion": signals.Diffusion(Box(k=0.9)),
}
NET: dict[str, Any] = {
    "size": 7,
    "mask_rec": {"sparse": {"density": 0.5}},  # another one for each seed
    "noise": 0.1,
    "learn_initial": True,
    "readout_tau": 60.0,
    "tau": [20.0, 50.0, 80.0, 100.0, 30.0, 60.0, 40.0],
}
BASE = Run(
    "delayed_xor", "eprop", task_options={"delay": [100, 800]}, net=NetworkConfig(size=7), optimizer=Optimizer(),
    batch_size=5, steps=12, n_train=12, n_test=9, evaluate_every=4, dtype="float64",
)  # fmt: skip


def alike(run: Run, count: int = 3) -> list[Run]:
    """Return runs with other seeds and learning rates."""
    return [
        dataclasses.replace(run, seeds=Seeds(s, s, s, s), optimizer=dataclasses.replace(run.optimizer, lr=1e-3 * 4**s))
        for s in range(count)
    ]


def fields(run: Run) -> dict[str, Any]:
    return {each.name: getattr(run, each.name) for each in dataclasses.fields(run)}


def tensors(result: Result) -> dict[str, Tensor]:
    own = {f"{name} of the rule": each for name, each in result.learner.state_dict().items()}
    return dict(result.net.state_dict()) | own


def same(one: Result, other: Result, tolerance: float = 1e-10) -> None:
    """Demand the same outcome, measurements and tensors, times apart."""
    assert (one.run, one.outcome, one.step) == (other.run, other.outcome, other.step)
    assert one.reason == other.reason or one.outcome == DIVERGED
    assert [each.step for each in one.metrics] == [each.step for each in other.metrics]
    for each, its in zip(one.metrics, other.metrics, strict=True):
        for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
            assert getattr(each, name) == pytest.approx(getattr(its, name), rel=tolerance, abs=tolerance, nan_ok=True)
    ours, theirs = tensors(one), tensors(other)
    assert list(ours) == list(theirs)
    for name, each in ours.items():
        torch.testing.assert_close(each, theirs[name], rtol=tolerance, atol=tolerance, msg=name)


@pytest.fixture
def passes(request: pytest.FixtureRequest) -> Iterator[str]:
    """Choose the passes of leaky networks."""
    before = use(request.param)
    yield request.param
    use(before)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of networks of all passes of ensembles."""
    found: list[int] = []
    record = LeakyEnsemble.record

    def counted(self: LeakyEnsemble, *args: Any) -> Any:
        found.append(len(self.nets))
        return record(self, *args)

    monkeypatch.setattr(LeakyEnsemble, "record", counted)
    return found


@pytest.mark.thirds
@pytest.mark.filterwarnings("ignore::tca.signals.decorrelation.averages.CollapseWarning")  # a fast average is meant
@pytest.mark.parametrize(
    ("signal", "form", "passes"),
    [
        pytest.param(signal, "AB"[(place + step) % 2], passes, marks=[pytest.mark.slow] * (signal in others))
        for step, (passes, others) in enumerate(
            {"compiled": ("Direct", "Exact", "Diffusion"), "eager": ("Random", "Adaptive", "Decorrelation")}.items()
        )
        for place, signal in enumerate(SIGNALS)
    ],
    indirect=["passes"],
)
def test_every_run_equals_its_single_run_after_100_updates(
    signal: str, form: str, passes: str, seen: list[int]
) -> None:
    rule = Rule(SIGNALS[signal], eligibilities.Instant() if signal == "Exact" else eligibilities.Leak())
    net = NetworkConfig(form=form, **NET)
    runs = alike(dataclasses.replace(BASE, rule=rule, net=net, steps=100, evaluate_every=50), 2)
    found = train_together(runs, progress=False)
    assert seen == [2] * 100
    for run, result in zip(runs, found, strict=True):
        assert result.metrics[-1].train_loss != result.metrics[0].train_loss
        same(result, train(run, progress=False))


def accepted() -> Iterator[Run]:
    """Yield a run of every rule whose runs may be trained together."""
    for name, rule in RULES.items():
        net = NetworkConfig(size=7, cell_types=[0.5, 0.5], readout_tau=60.0, form=rule.form or "B")
        with contextlib.suppress(ValueError):  # the task gives no rewards
            run = Run(**{**fields(BASE), "rule": name, "net": net, "steps": 6, "evaluate_every": 3})
            if not refusal(run) and not misfit(run):
                yield run


@pytest.mark.thirds
@pytest.mark.parametrize("run", list(accepted()), ids=lambda run: run.rule)
def test_every_rule_that_is_accepted(run: Run) -> None:
    runs = alike(run)
    for each, result in zip(runs, train_together(runs, progress=False), strict=True):
        same(result, train(each, progress=False))


def test_the_lengths_of_trials_differ_between_the_runs() -> None:
    steps = {run.make_task().split(12, 9, seed=run.seeds.data)[0].steps for run in alike(BASE)}
    assert len(steps) > 1


OPTIMIZERS = {
    "different": [
        Optimizer("SGD", lr=0.1, clip=None, options={"momentum": 0.9}),
        Optimizer("AdamW", lr=0.01, clip=0.05, schedule={"kind": "cosine"}),
        Optimizer("RMSprop", lr=0.01, lr_multipliers={"w_out": 3.0, "w_in": 0.0}),
    ],
    "rates": [Optimizer(lr=0.01, clip=0.02), Optimizer(lr=0.03, clip=0.02), Optimizer(lr=0.01, clip=0.02)],
    "schedule": [Optimizer(lr=0.01, schedule={"kind": "cosine"})] * 3,
    "multipliers": [Optimizer("AdamW", lr=0.01, clip=None, lr_multipliers={"w_out": 3.0, "w_in": 0.0})] * 3,
    "projected": [Optimizer(lr=0.1, reset_momentum_on_projection=True)] * 3,
    "amsgrad": [Optimizer(lr=0.01, options={"amsgrad": True, "weight_decay": 0.1})] * 3,
    "not by numbers": [Optimizer("Adafactor", lr=0.01)] * 3,
} | {
    name: [Optimizer(name, lr=0.01)] * 3
    for name in ("Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop", "SGD")
}  # fmt: skip


@pytest.mark.thirds
@pytest.mark.parametrize("optimizers", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_optimizers_may_differ(optimizers: list[Optimizer]) -> None:
    net = NetworkConfig(size=7, cell_types=[0.5, 0.5], dale=[1, -1])
    base = dataclasses.replace(BASE, net=net, steps=8)
    runs = [dataclasses.replace(run, optimizer=each) for run, each in zip(alike(base), optimizers, strict=True)]
    for run, result in zip(runs, train_together(runs, progress=False), strict=True):
        same(result, train(run, progress=False))


def test_a_run_that_is_left_counts_its_own_steps() -> None:
    given = [TrainingLoop(dataclasses.replace(run, optimizer=Optimizer(lr=0.01))) for run in alike(BASE)]
    group = Group(given, (), ())
    for _ in range(3):
        assert group.update(tuple(given)) == [""] * 3
    for each in given:
        assert group.update((each,)) == [""]
    counts = [float(state["step"]) for each in given for state in each.updates.optimizer.state.values()]
    assert counts == [4.0] * len(counts)
    assert len(counts) == 3 * len(list(given[0].net.parameters()))
    owned = [state["exp_avg"] for each in given for state in each.updates.optimizer.state.values()]
    assert all(each.untyped_storage().nbytes() == each.numel() * 8 for each in owned)


def test_runs_with_one_seed_of_trials_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    made, sets = [0], TrainingLoop._sets

    def counted(self: TrainingLoop) -> Any:
        made[0] += 1
        return sets(self)

    monkeypatch.setattr(TrainingLoop, "_sets", counted)
    seeds = [Seeds(data=data, net=net) for data in (0, 1) for net in (0, 1)]
    train_together([dataclasses.replace(BASE, steps=1, seeds=each) for each in seeds], progress=False)
    assert made == [2]


@pytest.mark.thirds
@pytest.mark.parametrize(
    "changes",
    [
        {"fresh": True},
        {"held_out": 3},
        {"snapshot_losses": (0.69,)},
        {"net": NetworkConfig(size=7, cell_types=[0.5, 0.5], dale=[1, -1], autapses=False)},
        {"net": NetworkConfig(size=7, activation="softplus")},
        {"rule": Rule(SIGNALS["Diffusion"], eligibilities.Leak())},  # a field lasts beyond the end of a trial
    ],
)
def test_other_settings(changes: dict[str, Any]) -> None:
    runs = alike(dataclasses.replace(BASE, **changes))
    for run, result in zip(runs, train_together(runs, progress=False), strict=True):
        single = train(run, progress=False)
        same(result, single)
        assert [each.loss for each in result.crossings] == [each.loss for each in single.crossings]


def test_a_run_that_reaches_its_loss_leaves_the_others(seen: list[int]) -> None:
    run = dataclasses.replace(BASE, rule="bptt", steps=40, evaluate_every=2)
    losses = [result.metrics[-1].train_loss for result in map(lambda each: train(each, progress=False), alike(run))]
    runs = alike(dataclasses.replace(run, stop_loss=min(losses) + 0.3 * (sorted(losses)[1] - min(losses))))
    found = train_together(runs, progress=False)
    assert sorted(each.outcome for each in found) == [COMPLETED, COMPLETED, REACHED_LOSS]
    assert set(seen) == {3, 2}
    for each, result in zip(runs, found, strict=True):
        same(result, train(each, progress=False))


def test_a_run_that_diverges_leaves_the_others(seen: list[int]) -> None:
    steep = Optimizer("SGD", lr=1e30, clip=None)
    runs = alike(dataclasses.replace(BASE, net=NetworkConfig(size=7, activation="linear")))
    runs[1] = dataclasses.replace(runs[1], optimizer=steep)
    found = train_together(runs, progress=False)
    assert [each.outcome for each in found] == [COMPLETED, DIVERGED, COMPLETED]
    assert 2 in seen
    for place, result in enumerate(found):
        single = train(runs[place], progress=False)
        if place == 1:
            assert (result.outcome, result.step) == (single.outcome, single.step)
            assert result.reason.split()[0] == single.reason.split()[0]
        else:
            same(result, single)


def test_a_signal_that_diverges_in_one_run_leaves_the_others(seen: list[int]) -> None:
    """The mean weight of a pair of types grows beyond what the sum over later errors can bear, as in the single run."""
    rule = Rule(signals.TypeReturn(0.25), eligibilities.Leak())
    runs = alike(dataclasses.replace(BASE, rule=rule, steps=6, evaluate_every=3))
    runs[1] = dataclasses.replace(runs[1], optimizer=Optimizer("SGD", lr=3e4, clip=None))
    found = train_together(runs, progress=False)
    assert [each.outcome for each in found] == [COMPLETED, DIVERGED, COMPLETED]
    assert {3, 2} <= set(seen)
    for run, result in zip(runs, found, strict=True):
        single = train(run, progress=False)
        assert (result.outcome, result.step, result.reason) == (single.outcome, single.step, single.reason)
        if result.outcome == COMPLETED:
            same(result, single)
    assert "propagation by cell type diverges" in found[1].reason


def test_a_killed_group_resumes_and_finished_records_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    runs = alike(BASE, 4)
    train(runs[3], runs[3].folder(tmp_path), progress=False)
    save, saved = Record.save, [0]
    seen.clear()

    def killed(self: Record, state: Any) -> None:
        if saved[0] == 7:  # the first run has made 8 updates, the others 4
            raise KeyboardInterrupt
        saved[0] += 1
        save(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(Record, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train_together(runs, tmp_path, progress=False)
    assert not any(records.finished(run.folder(tmp_path)) for run in runs[:3])
    made = len(seen)
    found = train_together(runs, tmp_path, progress=False)
    assert made == 8
    assert seen[made:] == [2] * 4 + [3] * 4  # the two that are behind catch up
    for run, result in zip(runs, found, strict=True):
        same(result, train(run, progress=False))
        same(records.read(run.folder(tmp_path)), result, 0.0)


def test_more_runs_than_networks_of_a_pass_and_equal_runs(seen: list[int], tmp_path: Path) -> None:
    runs = alike(dataclasses.replace(BASE, steps=4), 3)
    found = train_together([*runs, runs[0]], tmp_path, at_once=2, progress=False)
    assert [each.run for each in found] == [*runs, runs[0]]
    assert set(seen) == {2}
    assert train_together([], progress=False) == []


def test_updates_are_divided_among_the_runs() -> None:
    found = train_together(alike(BASE), progress=False)
    times = [each.metrics[-1].elapsed for each in found]
    assert min(times) > 0
    assert max(times) == pytest.approx(min(times))


def test_a_result_owns_its_tensors() -> None:
    found = train_together(alike(BASE), progress=False)
    for each in found:
        assert all(one.untyped_storage().nbytes() == one.numel() * 8 for one in each.net.parameters())
    with torch.no_grad():
        before = found[1].net.w_rec.clone()
        found[0].net.w_rec.add_(1.0)
    torch.testing.assert_close(found[1].net.w_rec, before, rtol=0, atol=0)


def test_an_error_of_one_record_is_raised_after_the_others_have_ended(tmp_path: Path) -> None:
    runs = alike(BASE)
    folder = runs[1].folder(tmp_path)
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("no folder")
    with pytest.raises(RecordError):
        train_together(runs, tmp_path, progress=False)
    assert [records.finished(run.folder(tmp_path)) for run in runs] == [True, False, True]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"rule": "uoro"}, "UORO is computed for one network at a time"),
    ({"rule": "modprop", "net": NetworkConfig(size=7, cell_types=[0.5, 0.5])}, "TypePropagation is computed"),
    ({"rule": "force"}, "RecursiveLeastSquares has gradient products of its own"),
    ({"net": NetworkConfig("spiking_rnn", size=7)}, "its network is a spiking_rnn, no leaky_rnn"),
    ({"net": NetworkConfig(size=7, learn=["tau"])}, "learns constants"),
    ({"net": NetworkConfig(size=7, mask_rec={"sparse": {"density": 0.5}}, rewiring={})}, "is rewired"),
    ({"optimizer": Optimizer(sam=SAM())}, "takes further gradients"),
    ({"optimizer": Optimizer(matched=MatchedStepSize())}, "takes further gradients"),
    ({"task": "PerceptualDecisionMaking-v0", "task_options": {}, "agent": Agent()}, "it learns from rewards"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_what_cannot_be_trained_together_is_refused(changes: dict[str, Any], reason: str) -> None:
    run = dataclasses.replace(BASE, **changes)
    with pytest.raises(ValueError, match=f"but of runs.0. .*{reason}.*: use train"):
        train_together(alike(run), progress=False)
    assert [len(each) for each in groups(alike(run), 8)] == [1, 1, 1]


def test_runs_that_differ_in_more_are_refused_and_grouped() -> None:
    runs = [*alike(BASE), *alike(dataclasses.replace(BASE, steps=8))]
    with pytest.raises(ValueError, match=r"runs\[3\] has steps = 8 and runs\[0\] 12"):
        train_together(runs, progress=False)
    assert [len(each) for each in groups(runs, 2)] == [2, 1, 2, 1]
    assert [len(each) for each in groups(runs, 8)] == [3, 3]
