"""Captured updates make the bits of eager ones, by graphs imitated on the CPU; what cannot be captured states it."""

from __future__ import annotations

import copy
import dataclasses
import gc
import itertools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from benchmarks.launches import CHANNELS, KINDS, LAYERED, OUTPUTS, learner_there, saved
from tca.experiments.config.components import Optimizer
from tca.experiments.config.schedules import Cosine
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.experiments.records.reader import look
from tca.experiments.training import captured_updates
from tca.experiments.training.captured_updates import CapturedUpdates, capturable, updates_of
from tca.experiments.training.training_loop import TrainingLoop
from tca.experiments.training.update import Updates
from tca.nets.wiring import sparse
from tca.signals.regularisers.firing_rate import FiringRate
from tca.utils.cuda_graphs import VARIABLE, CaptureWarning, graphs_on
from tca.utils.host_values import host_value
from tests.support.device_graph import Graphs
from tests.support.second_device import DEVICE, Device, OnDevice

RATE = 2.0**-7  # the same in a tensor of float32
STEPS, UPDATES = 3, 20
SAVED = saved()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Let optimizers be fused on the device, as they are on a GPU."""
    monkeypatch.setattr("tca.experiments.config.components.FUSED_ON", (DEVICE,))
    optimizers = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: [DEVICE])
    with Device() as found, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", CaptureWarning)
        yield found


def first_fit(rule: str) -> tuple[str, str]:
    return next((name, kind) for name, kind in SAVED if name == rule)


FIRST = ("bptt", "sbd", "sbd_filtered", "mdgl", "uoro", "node_perturbation", "error_diffusion")
DAILY = sorted(
    {first_fit(rule) for rule in FIRST}
    | {each for each in SAVED if each[0] == ("backprop" if each[1] in LAYERED else "eprop")}
)  # all pairs under -m slow


def trials_of(
    net: Any, trials: int, seed: int, steps: int = STEPS, padded: bool = False, where: str = DEVICE
) -> tca.Batch:
    """Return random trials on a device, checked."""
    source = torch.Generator().manual_seed(seed)
    inputs = torch.randn(steps, trials, net.n_in, generator=source)
    targets = torch.randint(net.n_out, (steps, trials), generator=source)
    weights = torch.rand(steps, trials, generator=source) + 0.5
    if padded:
        weights[seed % (steps - 1) + 1 :, 0] = 0.0
    batch = tca.Batch(inputs, targets, weights, LOSS)
    batch.check(net.n_in, net.n_out)
    return batch.to(where)


LOSS = tca.losses.CrossEntropy()


def numbers(updates: Updates) -> dict[str, Tensor]:
    """Return everything that updates change, on the CPU."""
    state = updates.optimizer.state
    found = {
        **dict(updates.net.named_parameters()),
        **dict(updates.net.named_buffers()),
        **{f"rule {name}": each for name, each in updates.learner.buffers.items()},
        **{
            f"optimizer {name} {key}": each
            for name, parameter in updates.net.named_parameters()
            for key, each in state.get(parameter, {}).items()
            if isinstance(each, Tensor)
        },
    }
    return {name: each.here.clone() if isinstance(each, OnDevice) else each.clone() for name, each in found.items()}


def alike(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(each.nan_to_num(), other[name].nan_to_num())
        if each.is_floating_point()
        else torch.equal(each, other[name])
        for name, each in one.items()
    )


def both(
    device: Device, make: Callable[[], tca.Learner], chosen: Optimizer, batches: Callable[[Any, int], tca.Batch],
    updates: int = UPDATES,
) -> tuple[dict[str, Tensor], dict[str, Tensor], CapturedUpdates]:  # fmt: skip
    """Return the numbers after eager and after captured updates, and the latter."""
    eager = Updates(make(), chosen, updates, 0)
    captured = CapturedUpdates(make(), chosen, updates, 0, Graphs(device))  # type: ignore[arg-type]
    for which in (eager, captured):
        for step in range(updates):
            if step == 7 and which is captured:
                gc.collect()  # frees the memory of trials of the other shape, which tapes hold in cycles
            assert which.make(batches(which.net, step), step) == ""
    return numbers(eager), numbers(captured), captured


def learner_of(rule: str, kind: str) -> tca.Learner:
    found = learner_there(rule, kind)
    assert found is not None
    return found


def mixed_shapes(net: Any, step: int, where: str = DEVICE) -> tca.Batch:
    return trials_of(net, 2 if step % 4 == 2 else 3, step, where=where)


def check(device: Device, rule: str, kind: str, updates: int) -> None:
    """Compare captured and eager updates where the rule states that they can be captured; else show that it is true."""
    chosen = Optimizer(lr=RATE, clip=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaptureWarning)
        eager, captured, made = both(device, lambda: learner_of(rule, kind), chosen, mixed_shapes, updates)
    if capturable(made.learner, chosen):
        assert not made.refused
        assert made.graphs.replays >= 2 * (updates - 6)  # type: ignore[attr-defined]
        assert alike(eager, captured), [name for name in eager if not torch.equal(eager[name], captured[name])]
    else:
        assert made.refused or not alike(eager, captured), "it could be captured"


@pytest.mark.thirds
@pytest.mark.parametrize(("rule", "kind"), DAILY)
def test_captured_updates_make_the_same_bits(device: Device, rule: str, kind: str) -> None:
    check(device, rule, kind, 8)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "kind"), sorted(set(SAVED) - set(DAILY)))
def test_captured_updates_make_the_same_bits_everywhere(device: Device, rule: str, kind: str) -> None:
    check(device, rule, kind, UPDATES)


def leaky(**options: Any) -> Callable[[], tca.Learner]:
    return lambda: moved(tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS, **options))


def moved(net: Any, rule: Any = "bptt") -> tca.Learner:
    """Return a learner made on the device."""
    return tca.Learner(net.to(DEVICE), tca.RULES[rule] if isinstance(rule, str) else rule)


def same_shape(net: Any, step: int) -> tca.Batch:
    return trials_of(net, 3, step)


NETS: dict[str, Callable[[], tca.Learner]] = {
    "noise": leaky(noise=0.5),
    "Dale's principle, masks and bounds": leaky(cell_types=(0.5, 0.5), dale=(1, -1), autapses=False),
    "a filtered readout and a learned start": leaky(readout_tau=30.0, learn_initial=True),
    "learned time constants": leaky(learn=("tau",)),
    "LSTM": lambda: moved(tca.nets.CellRNN(tca.cells.LSTM(), CHANNELS, 6, OUTPUTS), "eprop"),
    "dropout": lambda: moved(tca.nets.MLP(CHANNELS, [6, 6], OUTPUTS, then=(tca.nets.Dropout(),)).train(), "backprop"),
    "pooled maxima": lambda: moved(
        tca.nets.CNN((1, 4, 4), [tca.nets.ConvLayer(2, 3, padding=1, then=(tca.nets.MaxPool(2),))], OUTPUTS), "dfa"
    ),
    "noise in a stack": lambda: moved(tca.nets.StackedRNN(CHANNELS, [tca.nets.LeakyLayer(5, noise=0.2), 4], OUTPUTS)),
    "regularisers": lambda: moved(
        tca.nets.SpikingRNN(CHANNELS, 6, OUTPUTS),
        tca.Rule(tca.signals.Regularised(tca.signals.Direct(), (FiringRate(),)), tca.eligibilities.Diagonal()),
    ),
}


@pytest.mark.thirds
@pytest.mark.parametrize("name", NETS)
def test_networks_of_many_kinds(device: Device, name: str) -> None:
    assert capturable(NETS[name](), Optimizer())
    eager, captured, updates = both(device, NETS[name], Optimizer(lr=RATE), same_shape, 10)
    assert updates.graphs.replays == 2 * 8  # type: ignore[attr-defined]
    assert alike(eager, captured)


OPTIMIZERS = {
    "no clipping": Optimizer(lr=RATE, clip=None),
    "SGD with momentum": Optimizer("SGD", lr=0.5, clip=0.1, options={"momentum": 0.9}),
    "AdamW": Optimizer("AdamW", lr=RATE, options={"weight_decay": 0.1}),
    "amsgrad": Optimizer(lr=RATE, options={"amsgrad": True}),
    "rates of their own": Optimizer(lr=RATE, lr_multipliers={"w_out": 4.0, "b": 0.0}),
    "momentum that is reset": Optimizer(lr=RATE, reset_momentum_on_projection=True),
    "a step by PyTorch": Optimizer("RMSprop", lr=RATE),
    "a step that is not fused": Optimizer(lr=RATE, options={"foreach": False, "fused": False}),
}


@pytest.mark.thirds
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(device: Device, name: str) -> None:
    """Steps of those that do not take the learning rate from a tensor follow the captured pass without a graph."""
    chosen, made = OPTIMIZERS[name], leaky(cell_types=(0.5, 0.5), dale=(1, -1), autapses=False)
    eager, captured, updates = both(device, made, chosen, same_shape, 10)
    whole = name not in ("a step by PyTorch", "a step that is not fused")
    assert updates.graphs.replays == (2 if whole else 1) * 8  # type: ignore[attr-defined]
    assert alike(eager, captured)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_scheduled_learning_rates_reach_captured_steps(device: Device, name: str) -> None:
    """In a tensor they are numbers of float32."""
    chosen = Optimizer(name, lr=0.1, schedule=Cosine())
    eager, captured, updates = both(device, leaky(dtype=torch.float64), chosen, doubles)
    assert updates.graphs.replays == 2 * 18  # type: ignore[attr-defined]
    assert [group["lr"] for group in updates.optimizer.param_groups] == [0.1 * chosen.schedule.at(19, 20)]  # type: ignore[union-attr]
    for each, value in eager.items():
        torch.testing.assert_close(captured[each], value, rtol=1e-6, atol=1e-7)


def doubles(net: Any, step: int) -> tca.Batch:
    return same_shape(net, step).to(dtype=torch.float64)


def test_padded_trials_have_graphs_of_their_own(device: Device) -> None:
    def batches(net: Any, step: int) -> tca.Batch:
        return trials_of(net, 3, step, steps=5, padded=step % 2 == 1)

    for make in (leaky(noise=0.3), lambda: moved(tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS), "sbd")):
        eager, captured, updates = both(device, make, Optimizer(lr=RATE), batches)
        assert len(updates._captured) == 2
        assert alike(eager, captured)


def test_shapes_without_graphs_are_updated_eagerly(device: Device) -> None:
    """Of six lengths four have graphs; another loss than the captured one has none."""

    def batches(net: Any, step: int) -> tca.Batch:
        batch = trials_of(net, 3, step, steps=1 + step % 6)
        return batch if step % 7 else tca.Batch(batch.inputs, batch.targets, batch.weights, tca.losses.Focal())

    eager, captured, updates = both(device, leaky(), Optimizer(lr=RATE), batches, 40)
    assert len(updates._captured) == 4
    assert alike(eager, captured)


def test_frozen_parameters_stay(device: Device) -> None:
    def make() -> tca.Learner:
        learner = leaky()()
        learner.net.get_parameter("w_in").requires_grad_(False)
        return learner

    before = numbers(Updates(make(), Optimizer(), 1, 0))
    eager, captured, _ = both(device, make, Optimizer(lr=RATE), same_shape, 8)
    assert alike(eager, captured)
    assert torch.equal(captured["w_in"], before["w_in"])


def test_restored_updates_go_on_from_the_state(device: Device) -> None:
    """Its tensors are others than those of the graphs."""
    one, other = (CapturedUpdates(leaky()(), Optimizer(lr=RATE), 20, 0, Graphs(device)) for _ in range(2))  # type: ignore[arg-type]
    for step in range(6):
        one.make(same_shape(one.net, step), step)
    net, state = copy.deepcopy(one.net.state_dict()), copy.deepcopy(one.state())
    for step in range(6, 10):
        one.make(same_shape(one.net, step), step)
    expected = numbers(one)
    for each in (one, other):
        each.net.load_state_dict(net)
        each.restore(copy.deepcopy(state))
        for step in range(6, 10):
            each.make(same_shape(each.net, step), step)
        assert alike(numbers(each), expected)


def test_numbers_that_are_not_finite_end_the_run_before_the_step(device: Device) -> None:
    def batches(net: Any, step: int) -> tca.Batch:
        return same_shape(net, step)

    eager = Updates(leaky(activation="linear")(), Optimizer(lr=RATE), 20, 0)
    captured = CapturedUpdates(leaky(activation="linear")(), Optimizer(lr=RATE), 20, 0, Graphs(device))  # type: ignore[arg-type]
    reasons = []
    for which in (eager, captured):
        for step in range(6):
            assert which.make(batches(which.net, step), step) == ""
        with torch.no_grad():
            which.net.get_parameter("w_in").fill_(3e38)
        reasons.append(which.make(batches(which.net, 6), 6))
    assert reasons[0] == reasons[1] != ""
    assert captured.graphs.replays == 2 * 4 + 1  # type: ignore[attr-defined]
    assert alike(numbers(eager), numbers(captured))


def test_values_that_the_host_keeps_are_read_again_after_replays(device: Device) -> None:
    updates = CapturedUpdates(learner_of("sbd", "leaky A"), Optimizer(lr=RATE), 20, 0, Graphs(device))  # type: ignore[arg-type]
    read = []
    for step in range(6):
        updates.make(same_shape(updates.net, step), step)
        read.append(host_value(updates.learner.buffers["correlation"], torch.Tensor.tolist))
    assert all(one != other for one, other in itertools.pairwise(read))


def test_updates_that_the_host_waits_in_go_on_eagerly_and_say_so(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss that reads a value, one of the library for the sake of the test."""
    own = tca.losses.CrossEntropy.output_error

    def reads(self: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        assert float(outputs.sum()) < 1e9
        return own(self, outputs, targets)

    monkeypatch.setattr(tca.losses.CrossEntropy, "output_error", reads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        eager, captured, updates = both(device, leaky(noise=0.5), Optimizer(lr=RATE), same_shape)
    told = [str(each.message) for each in caught if each.category is CaptureWarning]
    assert len(told) == 1
    assert told[0].startswith("updates are not captured in a CUDA graph: _local_scalar_dense makes the host wait")
    assert (updates.refused, updates.passes, updates.graphs.replays) == (True, "", 0)  # type: ignore[attr-defined]
    assert alike(eager, captured)


def test_a_count_of_the_host_in_an_update_is_noticed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule states that it keeps nothing on the host and counts there: the first replay is not what it was."""
    count, own = [0], tca.signals.Random.rate_signal

    def counts(self: Any, error: Tensor, *rest: Any) -> Tensor:
        count[0] += 1
        return own(self, error, *rest) / count[0]

    monkeypatch.setattr(tca.signals.Random, "rate_signal", counts)
    updates = CapturedUpdates(learner_of("eprop_random", "leaky A"), Optimizer(lr=RATE), 20, 0, Graphs(device))  # type: ignore[arg-type]
    for step in range(3):
        updates.make(same_shape(updates.net, step), step)
    before = numbers(updates)
    with pytest.warns(CaptureWarning, match="a replay gives other numbers than the work itself"):
        updates.make(same_shape(updates.net, 3), 3)
    assert (updates.refused, updates.passes) == (True, "")
    assert not alike(before, numbers(updates)), "the update was made, without a graph"


def test_what_is_not_captured(device: Device) -> None:
    """Draws of the host, control by other rules, rewiring, and parts of users, of which nothing is known."""

    class Own(tca.signals.Direct):
        pass

    def leaky_by(rule: Any, **options: Any) -> tca.Learner:
        return moved(tca.nets.LeakyRNN(3, 6, 2, **options), rule)

    field = tca.Rule(tca.signals.Diffusion(), tca.eligibilities.Leak())
    rewired = {"mask_rec": sparse(6, 6, density=0.5), "rewiring": tca.nets.DeepR()}
    model = tca.nets.wrap(torch.nn.Linear(3, 2), torch.zeros(1, 1, 3))
    given = {
        "perturbations": (leaky_by("node_perturbation"), Optimizer()),
        "stochastic traces": (leaky_by("uoro"), Optimizer()),
        "a field with memory": (leaky_by(field), Optimizer()),
        "rewiring": (leaky_by("bptt", **rewired), Optimizer()),
        "ascent": (leaky_by("bptt"), Optimizer(sam=SAM())),
        "a matched step": (leaky_by("bptt"), Optimizer(matched=MatchedStepSize(rule="eprop"))),
        "an own signal": (leaky_by(tca.Rule(Own(), tca.eligibilities.Leak())), Optimizer()),
        "own modules": (tca.Learner(model, tca.RULES["backprop"]), Optimizer()),
    }
    assert [name for name, parts in given.items() if capturable(*parts)] == []
    assert capturable(leaky_by("bptt"), Optimizer())


def run_there(**changes: Any) -> tca.Run:
    sizes = {"steps": 14, "n_train": 12, "n_test": 4, "batch_size": 4, "evaluate_every": 7}
    return tca.Run(
        "delayed_xor", "eprop", net={"size": 4}, optimizer=Optimizer(lr=RATE), device=DEVICE, **sizes, **changes
    )


def test_a_run_is_the_same_with_graphs_and_its_record_names_them(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def graphs_on(where: torch.device) -> Graphs | None:
        return Graphs(device) if os.environ.get(VARIABLE) != "off" else None

    monkeypatch.setattr(captured_updates, "graphs_on", graphs_on)
    captured = tca.train(run_there(), tmp_path / "captured", progress=False)
    monkeypatch.setenv(VARIABLE, "off")
    eager = tca.train(run_there(), tmp_path / "eager", progress=False)
    assert (captured.step, captured.outcome) == (eager.step, eager.outcome) == (14, "completed")
    assert [each.train_loss for each in captured.metrics] == [each.train_loss for each in eager.metrics]
    for name, each in eager.net.state_dict().items():
        assert torch.equal(captured.net.state_dict()[name].here, each.here)
    kernels = [look(tmp_path / name).made_with[-1]["kernels"] for name in ("captured", "eager")]
    assert kernels[0] == f"{kernels[1]}, updates in CUDA graphs"


def test_a_record_says_where_the_graphs_of_a_run_were_refused(
    device: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Graphs, work: Callable[[], object]) -> object:
        raise RuntimeError("no memory")

    monkeypatch.setattr(captured_updates, "graphs_on", lambda where: Graphs(device))
    monkeypatch.setattr(Graphs, "capture", refuse)
    with pytest.warns(CaptureWarning, match="updates are not captured in a CUDA graph: no memory"):
        tca.train(run_there(), tmp_path, progress=False)
    before, after = (each["kernels"] for each in look(tmp_path).made_with)
    assert before == f"{after}, updates in CUDA graphs"


def test_what_runs_have_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """None on the CPU, nor with `TCA_GRAPHS=off`, nor of runs together; a mistaken choice is named."""
    run = tca.Run("delayed_xor", "eprop", net={"size": 4}, steps=1, n_train=4, n_test=4)
    assert type(TrainingLoop(run).updates) is Updates
    monkeypatch.setattr(captured_updates, "graphs_on", lambda where: "graphs")
    assert type(TrainingLoop(run).updates) is CapturedUpdates
    assert type(TrainingLoop(run, together=True).updates) is Updates
    assert type(TrainingLoop(dataclasses.replace(run, rule="node_perturbation")).updates) is Updates
    monkeypatch.setattr("tca.utils.cuda_graphs.CudaGraphs", lambda where, one_pool: where)
    assert graphs_on(torch.device("cuda", 0)) == torch.device("cuda", 0)
    monkeypatch.setenv(VARIABLE, "off")
    assert graphs_on(torch.device("cuda", 0)) is None
    monkeypatch.setenv(VARIABLE, "of")
    with pytest.raises(ValueError, match="TCA_GRAPHS"):
        graphs_on(torch.device("cpu"))


@pytest.mark.cuda
@pytest.mark.parametrize(("rule", "kind"), DAILY)
def test_captured_updates_on_a_gpu_equal_eager_ones(rule: str, kind: str) -> None:
    """Noise is drawn alike, and the order of sums is that of the same kernels; the rate is the same in float32."""
    made = []
    for captured in (False, True):
        learner = tca.Learner(KINDS[kind]().to("cuda"), tca.RULES[rule])
        chosen = Optimizer(lr=RATE, clip=0.5)
        if captured and not capturable(learner, chosen):
            pytest.skip("it states that it cannot be captured")
        updates = updates_of(learner, chosen, UPDATES, 0) if captured else Updates(learner, chosen, UPDATES, 0)
        for step in range(UPDATES):
            assert updates.make(mixed_shapes(learner.net, step, "cuda"), step) == ""
        made.append(updates)
    eager, captured_ones = map(numbers, made)
    assert isinstance(made[1], CapturedUpdates)
    assert len(made[1]._captured) == 2
    for name, each in eager.items():
        torch.testing.assert_close(captured_ones[name], each, rtol=1e-4, atol=1e-5, msg=name)
