"""Measurements whose passes graphs replay, which are imitated on the CPU, equal eager ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from benchmarks.launches import CHANNELS, KINDS, OUTPUTS
from tca.experiments.config.components import Optimizer
from tca.experiments.records.reader import look
from tca.experiments.training import evaluation, training_loop
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.training_loop import MEASURED, TrainingLoop
from tca.nets.wiring import sparse
from tca.utils import cuda_graphs
from tca.utils.cuda_graphs import EAGER, SHAPES, VARIABLE, CaptureWarning, Replays
from tests.support.device_graph import Graphs
from tests.support.second_device import DEVICE, Device, OnDevice

ROUNDS = 6


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as found:
        yield found


@dataclasses.dataclass
class Answers:
    """A task that keeps the outputs it has measured."""

    kept: list[Tensor] = dataclasses.field(default_factory=list)

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        self.kept.append(outputs.here.clone() if isinstance(outputs, OnDevice) else outputs.cpu())
        return float((outputs.argmax(-1) == batch.targets).double().mean())


def trials_of(net: Any, trials: int, where: str = DEVICE) -> tca.Batch:
    """Return random trials on a device, the first of which ends early where there are steps."""
    source = torch.Generator().manual_seed(0)
    steps = 3 if net.populations()[0].recurrent else 1
    inputs = torch.randn(steps, trials, net.n_in, generator=source)
    weights = torch.rand(steps, trials, generator=source) + 0.5
    weights[1:, 0] = 0.0
    targets = torch.randint(net.n_out, (steps, trials), generator=source)
    return tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy()).to(where)


def replays_of(device: Device) -> tuple[Replays, Graphs]:
    graphs = Graphs(device)
    return Replays(graphs, "measurements"), graphs  # type: ignore[arg-type]


@torch.no_grad()
def change_(net: Any, step: int) -> None:
    """Change all weights in place, as an update does."""
    source = torch.Generator().manual_seed(step)
    for each in net.parameters():
        each.add_((0.1 * torch.randn(each.shape, generator=source)).to(each))
    net.walk_weights_()
    net.project_()


def both(net: Any, device: Device, trials: int, change: Callable[[Any, int], None] = change_) -> Graphs:
    """Compare measurements of a network, that changes in between, with and without graphs."""
    replays, graphs = replays_of(device)
    batch = trials_of(net, trials)
    eager, replayed, found = Answers(), Answers(), []
    for step in range(ROUNDS):
        change(net, step)
        found.append(evaluate(net, eager, batch))
        assert evaluate(net, replayed, batch, replays) == found[-1]
    assert all(map(torch.equal, replayed.kept, eager.kept))
    assert len({loss for loss, _ in found}) == ROUNDS, "the network has changed every time"
    assert not replays.refused
    return graphs


NETS: dict[str, Callable[[], Any]] = {
    **KINDS,
    "noise, types and masks": lambda: tca.nets.LeakyRNN(
        CHANNELS, 6, OUTPUTS, noise=0.5, cell_types=(0.5, 0.5), dale=(1, -1), autapses=False
    ),
    "rewiring": lambda: tca.nets.LeakyRNN(
        CHANNELS, 6, OUTPUTS, mask_rec=sparse(6, 6, density=0.5), rewiring=tca.nets.DeepR(noise=0.1)
    ),
    "learned time constants": lambda: tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS, learn=("tau",)),
    "learned start": lambda: tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS, readout_tau=30.0, learn_initial=True),
    "dropout": lambda: tca.nets.MLP(CHANNELS, [6, 6], OUTPUTS, then=(tca.nets.Dropout(),)).train(),
}


@pytest.mark.thirds
@pytest.mark.parametrize("name", NETS)
def test_replayed_measurements_equal_eager_ones(name: str, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of seven trials three pass at once: two pieces by one graph before both are measured, and one by another."""
    monkeypatch.setattr(evaluation, "TRIALS_AT_ONCE", 3)
    graphs = both(NETS[name]().to(DEVICE), device, 7)
    of_three, of_one = 2 * ROUNDS - EAGER, ROUNDS - EAGER
    assert graphs.replays == of_three + of_one + 2, "the first replay of either shape is a check"


def replaced_(net: Any, step: int) -> None:
    if step == 5:
        net.w_in = torch.nn.Parameter(net.w_in.detach() * 2)
    change_(net, step)


def loaded_(net: Any, step: int) -> None:
    state = {name: each.detach().clone() for name, each in net.state_dict().items()}
    net.load_state_dict({**state, "w_in": state["w_in"] + 1}, assign=step == 5)


@pytest.mark.parametrize("change", [replaced_, loaded_])
def test_weights_in_other_memory_are_seen(change: Callable[[Any, int], None], device: Device) -> None:
    """They have no graph yet when they have come there; weights that are loaded where they were have one."""
    net = tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS).to(DEVICE)
    graphs = both(net, device, 3, change)
    assert graphs.replays == 1 + 5 - EAGER


def test_few_sizes_have_graphs(device: Device) -> None:
    """Each keeps memory; trials of another type have their own, and are refused as without graphs."""
    net, answers = tca.nets.LeakyRNN(CHANNELS, 6, OUTPUTS).to(DEVICE), Answers()
    replays, graphs = replays_of(device)
    batches = [trials_of(net, 3).select(slice(0, size)) for size in (1, 2, 3)]
    longer = [dataclasses.replace(each, **_twice(each)) for each in batches]
    for _ in range(EAGER + 2):
        for batch in (*batches, *longer):
            assert evaluate(net, answers, batch, replays) == evaluate(net, answers, batch)
    assert len(replays._captured) == SHAPES < len(batches + longer)
    assert graphs.replays == SHAPES * (1 + 2)
    with pytest.raises(ValueError, match=r"inputs must be torch\.float32"):
        evaluate(net, answers, batches[0].to(dtype=torch.float64), replays)


def _twice(batch: tca.Batch) -> dict[str, Any]:
    return {name: torch.cat([getattr(batch, name)] * 2) for name in ("inputs", "targets", "weights")}


def run_there(**changes: Any) -> tca.Run:
    sizes = {"steps": 5, "n_train": 12, "n_test": 4, "batch_size": 4, "evaluate_every": 1}
    options = {"net": {"size": 4}, "optimizer": Optimizer(lr=0.05), "device": DEVICE, **sizes, **changes}
    return tca.Run("delayed_xor", "eprop", **options)


@pytest.fixture
def graphs(device: Device, monkeypatch: pytest.MonkeyPatch) -> Graphs:
    """Let measurements of runs be captured that begin from now on, not their updates."""
    found = Graphs(device)
    monkeypatch.setattr(training_loop, "replays_on", lambda where, work: Replays(found, work))  # type: ignore[arg-type]
    return found


def test_a_run_has_the_same_measurements_and_its_record_names_the_graphs(
    device: Device, tmp_path: Path, request: Any
) -> None:
    eager = tca.train(run_there(), tmp_path / "eager", progress=False)
    graphs = request.getfixturevalue("graphs")
    captured = tca.train(run_there(), tmp_path / "captured", progress=False)
    assert len(captured.metrics) == 6
    for one, other in zip(eager.metrics, captured.metrics, strict=True):
        assert dataclasses.replace(one, elapsed=0) == dataclasses.replace(other, elapsed=0)
    assert graphs.replays == 2 * (6 - EAGER) + 2, "twelve trials of training, and four of test"
    kernels = [look(tmp_path / name).made_with[-1]["kernels"] for name in ("captured", "eager")]
    assert kernels[0] == f"{kernels[1]}, {MEASURED}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")
def test_a_network_at_a_loss_is_found_by_replays(device: Device, request: Any) -> None:
    """Its weights are written where the graphs take them, from a state and from between two updates."""
    run = run_there(evaluate_every=5, snapshot_losses=(0.72,))
    eager = tca.train(run, progress=False)
    graphs = request.getfixturevalue("graphs")
    (one,), (other,) = eager.crossings, tca.train(run, progress=False).crossings
    assert one.metrics.train_loss == other.metrics.train_loss == pytest.approx(0.72, rel=0.01)
    assert all(torch.equal(each.here, other.net.state_dict()[name].here) for name, each in one.net.state_dict().items())
    assert graphs.replays > 0


def test_a_pass_that_the_host_waits_in_is_measured_without_graphs(
    graphs: Graphs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = tca.nets.LeakyRNN.record

    def reads(self: Any, inputs: Tensor, *rest: Any) -> Any:
        assert float(inputs.sum()) < 1e9
        return own(self, inputs, *rest)

    monkeypatch.setattr(tca.nets.LeakyRNN, "record", reads)
    with pytest.warns(CaptureWarning, match="measurements are not captured in a CUDA graph: _local_scalar") as caught:
        result = tca.train(run_there(), tmp_path, progress=False)
    assert len(caught) == 1
    assert (result.outcome, len(result.metrics), graphs.replays) == ("completed", 6, 0)
    kernels = [each["kernels"] for each in look(tmp_path).made_with]
    assert kernels == [f"{kernels[-1]}, {MEASURED}", kernels[-1]]


def test_which_runs_replay_their_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where nothing is captured, where another network is measured every time, nor with modules of a user."""
    run = tca.Run("delayed_xor", "eprop", net={"size": 4}, steps=1, n_train=4, n_test=4)
    assert TrainingLoop(run).replays is None
    assert TrainingLoop(run).note == ""
    monkeypatch.setattr("tca.utils.cuda_graphs.CudaGraphs", lambda where, one_pool: (where, one_pool))
    on = cuda_graphs.replays_on
    monkeypatch.setattr(training_loop, "replays_on", lambda where, work: on(torch.device("cuda", 0), work))
    replays = TrainingLoop(run).replays
    assert replays is not None
    assert replays.graphs == (torch.device("cuda", 0), True)
    assert TrainingLoop(dataclasses.replace(run, rule="node_perturbation")).note == MEASURED
    assert TrainingLoop(run, together=True).replays is None
    own, acting = TrainingLoop(run), TrainingLoop(run)
    own.net = tca.nets.wrap(torch.nn.Linear(3, 2), torch.zeros(1, 1, 3))
    acting.run = SimpleNamespace(agent=tca.Agent())  # type: ignore[assignment]
    assert own._replays() is None
    assert acting._replays() is None
    monkeypatch.setenv(VARIABLE, "off")
    assert TrainingLoop(run).replays is None


@pytest.mark.cuda
@pytest.mark.parametrize("name", NETS)
def test_measurements_on_a_gpu_equal_eager_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels are the same, so that outputs differ by the order of sums at most."""
    monkeypatch.setattr(evaluation, "TRIALS_AT_ONCE", 3)
    net, eager, replayed = NETS[name]().to("cuda"), Answers(), Answers()
    replays, batch = cuda_graphs.replays_on(torch.device("cuda", 0), "measurements"), trials_of(net, 7, "cuda")
    assert replays is not None
    for step in range(ROUNDS):
        change_(net, step)
        evaluate(net, eager, batch)
        evaluate(net, replayed, batch, replays)
    assert len(replays._captured) == 2
    for one, other in zip(eager.kept, replayed.kept, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(eager.kept[-1], eager.kept[-2])


@pytest.mark.cuda
def test_a_run_on_a_gpu_has_the_same_measurements_with_graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beside the graphs of its updates, whose memory theirs do not share."""
    found = []
    for name in ("auto", "off"):
        monkeypatch.setenv(VARIABLE, name)
        run = run_there(device="cuda", steps=12, optimizer=Optimizer(lr=2.0**-5))
        found.append(tca.train(run, tmp_path / name, progress=False))
    for captured, eager in zip(*(each.metrics for each in found), strict=True):
        assert captured.train_loss == pytest.approx(eager.train_loss, rel=1e-4)
        assert captured.test_loss == pytest.approx(eager.test_loss, rel=1e-4)
    kernels = [look(tmp_path / name).made_with[-1]["kernels"] for name in ("auto", "off")]
    assert kernels[0] == f"{kernels[1]}, updates in CUDA graphs, {MEASURED}"
