"""Products replayed by graphs, which are imitated on the CPU, equal eager ones."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca
from analysis.curvature.operators.hessian import Hessian
from tca.utils.cuda_graphs import EAGER, CaptureWarning, Replays
from tests.support.device_graph import Graphs, streams_kept
from tests.support.second_device import DEVICE, Device, OnDevice


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as found, streams_kept(found):
        yield found


@pytest.fixture
def graphs(device: Device, monkeypatch: pytest.MonkeyPatch) -> Graphs:
    """Let operators be captured that are made from now on."""
    found = Graphs(device)
    for place in PLACES:
        monkeypatch.setattr(place, "replays_on", lambda where, work: Replays(found, work))  # type: ignore[arg-type]
    return found


PLACES = [sys.modules[f"analysis.curvature.operators.{name}"] for name in ("hessian", "pullback")]


def trials_of(net: Any) -> tca.Batch:
    source = torch.Generator().manual_seed(0)
    steps = 5 if net.populations()[0].recurrent else 1
    inputs = torch.randn(steps, 4, net.n_in, generator=source, dtype=torch.float64)
    weights = torch.full((steps, 4), 0.2, dtype=torch.float64)
    return tca.Batch(inputs, inputs.argmax(-1) % 2, weights, tca.losses.CrossEntropy())


def operator_there(net: Any, kind: str) -> Any:
    batch = trials_of(net)
    return analysis.operator(net.double().to(DEVICE), batch.to(DEVICE), "all", kind)


def check(eager: Any, replayed: Any, graphs: Graphs, shapes: int) -> None:
    """Compare products with vectors, and of several at once where they have graphs of their own."""
    source, found = torch.Generator().manual_seed(1), []
    for turn in range(10):
        size = (eager.size, 3) if turn % 2 else (eager.size,)
        vectors = torch.randn(*size, generator=source, dtype=torch.float64).to(DEVICE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaptureWarning)  # a refusal is noticed below
            one, other = eager @ vectors, replayed @ vectors
        assert isinstance(one, OnDevice)
        assert isinstance(other, OnDevice)
        assert float(one.abs().max()) > 1e-6
        found.append((one.here, other.here))
    for one, other in found:  # a graph takes a column of a matrix in memory of its own, where sums have another order
        assert torch.equal(one, other) if one.ndim == 1 else torch.allclose(one, other, rtol=1e-12, atol=1e-14)
    products = 10 if shapes == 2 else 5 + 3 * 5
    assert graphs.replays == products - EAGER * shapes + shapes, "all after the first, and the check of each graph"
    assert not replayed._replays.refused


NETS = {
    "leaky": lambda: tca.nets.LeakyRNN(3, 6, 2, seed=1),
    "spiking": lambda: tca.nets.SpikingRNN(3, 6, 2, seed=1),
    "stack": lambda: tca.nets.StackedRNN(3, [4, 5], 2, seed=1),
    "two streams": lambda: tca.nets.DualStreamRNN(3, 3, 2, seed=1),
    "vectors": lambda: tca.nets.VectorRNN(3, 4, 2, seed=1),
    "MLP": lambda: tca.nets.MLP(3, [6, 5], 2, seed=1),
    "CNN": lambda: tca.nets.CNN((1, 3, 3), [tca.nets.ConvLayer(2, 2, then=(tca.nets.MaxPool(2),))], 2, seed=1),
}
BY_AUTOGRAD = ("MLP", "CNN")
KINDS = [
    *((name, "hessian") for name in NETS),
    *((name, "gauss_newton") for name in ("leaky", "MLP")),
    ("MLP", "trial_fisher"),
]


@pytest.mark.thirds
@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_replayed_products_equal_eager_ones(name: str, kind: str, device: Device, request: Any) -> None:
    """Those by hand take several vectors at once, whose graphs take turns in the same scratch memory."""
    eager = operator_there(NETS[name](), kind)
    assert eager._replays is None
    graphs = request.getfixturevalue("graphs")
    check(eager, operator_there(NETS[name](), kind), graphs, 1 if name in BY_AUTOGRAD else 2)


class Own(nn.Module):
    """A model of a user, whose batch normalization and dropout keep and draw nothing in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layers = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(), nn.Tanh(), nn.Linear(5, 2))
        self.double().eval()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs)  # type: ignore[no-any-return]


def operator_of_own(kind: str, where: str = DEVICE) -> Any:
    source = torch.Generator().manual_seed(0)
    data = torch.randn(6, 3, generator=source).double().to(where), torch.tensor([0, 1, 1, 0, 1, 0]).to(where)
    return analysis.operator(Own().to(where), data, "all", kind, loss=nn.CrossEntropyLoss())


@pytest.mark.thirds
@pytest.mark.parametrize("kind", ["hessian", "fisher"])
def test_products_of_a_model_of_a_user_are_replayed(kind: str, device: Device, request: Any) -> None:
    eager = operator_of_own(kind)
    graphs = request.getfixturevalue("graphs")
    check(eager, operator_of_own(kind), graphs, 1)


class Scaled(torch.autograd.Function):
    """The identity, with a backward pass of a user: Python, which runs in a capture and in no replay."""

    @staticmethod
    def forward(context: Any, x: Tensor, factor: Any) -> Tensor:
        context.factor = factor
        return x.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        gradient = gradients[0] * context.factor(gradients[0])
        return Scaled.apply(gradient, context.factor), None  # type: ignore[no-untyped-call]


def read(gradient: Tensor) -> float:
    return float(gradient.isfinite().all())


@pytest.mark.parametrize("reason", ["makes the host wait", "a replay gives other numbers"])
def test_a_backward_pass_of_a_user_that_no_graph_can_replay(graphs: Graphs, reason: str) -> None:
    """It reads a number, or grows with each call, of which a product has two: products go on eagerly and are right."""
    waits, count = "wait" in reason, itertools.count()

    def factor(gradient: Tensor) -> float:
        return read(gradient) if waits else 1 + next(count)

    point = torch.tensor([1.0, 2.0], dtype=torch.float64).to(DEVICE)
    cubes = Hessian([lambda theta: (Scaled.apply(theta, factor) ** 3).sum()], point)  # type: ignore[no-untyped-call]
    vector = torch.tensor([1.0, -1.0], dtype=torch.float64).to(DEVICE)

    def product() -> Any:
        try:
            return (cubes @ vector).tolist()
        except ValueError as error:
            return str(error)

    found = [product() for _ in range(EAGER)]
    with pytest.warns(CaptureWarning, match=f"products are not captured in a CUDA graph: .*{reason}"):
        found.append(product())
    found += [product() for _ in range(2)]
    calls = (2, 4, 6, 12, 14, 16)  # the fourth product was made twice before, to be captured
    assert found == [[6.0 * scale, -12.0 * scale] for scale in (1 if waits else each * (each + 1) for each in calls)]


def test_a_backward_pass_of_a_user_runs_in_no_replay(graphs: Graphs) -> None:
    calls = itertools.count()

    def factor(gradient: Tensor) -> float:
        next(calls)
        return 1.0

    point = torch.tensor([1.0, 2.0], dtype=torch.float64).to(DEVICE)
    cubes = Hessian([lambda theta: (Scaled.apply(theta, factor) ** 3).sum()], point)  # type: ignore[no-untyped-call]
    for turn in range(8):
        vector = torch.tensor([1.0, turn], dtype=torch.float64).to(DEVICE)
        assert (cubes @ vector).tolist() == [6.0, 12.0 * turn]
    assert next(calls) == 1 + 2 * (EAGER + 2), "the gradient, eager products, and what its graph was made from"
    assert graphs.replays == 1 + 8 - EAGER


def test_products_that_the_host_waits_in_are_computed_without_graphs(device: Device) -> None:
    replays = Replays(Graphs(device), "products")  # type: ignore[arg-type]
    given = torch.ones(2, device=DEVICE)

    def waits(vector: Tensor) -> Tensor:
        return vector * float(vector.sum())

    for _ in range(3):
        assert replays(waits, given).tolist() == [2.0, 2.0]
    with pytest.warns(CaptureWarning, match="products are not captured in a CUDA graph"):
        assert replays(waits, given).tolist() == [2.0, 2.0]
    assert replays(waits, given + 1).tolist() == [8.0, 8.0]


def test_only_operators_that_keep_their_values_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for place in PLACES:
        monkeypatch.setattr(place, "replays_on", lambda where, work: asked.append(work))
    batch = tca.Batch(torch.ones(3, 4, 2), torch.zeros(3, 4, 1), torch.ones(3, 4), tca.losses.MSE())
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all")
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all", "fisher")
    analysis.operator(
        tca.nets.MLP(2, [4], 1),
        tca.Batch(*(each[:1] for each in (batch.inputs, batch.targets, batch.weights)), batch.loss),
        "all",
    )
    assert asked == ["products"] * 3
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all", chunk=1, memory=1e-4)
    assert len(asked) == 3


@pytest.mark.cuda
@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_products_on_a_gpu_equal_those_of_the_cpu(name: str, kind: str) -> None:
    net = NETS[name]().double()
    here = analysis.operator(net, trials_of(net), "all", kind)
    there = analysis.operator(net.to("cuda"), trials_of(net).to("cuda"), "all", kind)
    near(here, there)


def near(here: Any, there: Any) -> None:
    """Compare products of the CPU with those of a GPU, which are replayed."""
    for seed in range(6):
        vector = torch.randn(here.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        torch.testing.assert_close(there.product(vector).cpu(), here.product(vector), rtol=1e-9, atol=1e-12)
    assert there._replays is not None
    assert len(there._replays._captured) == 1


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["hessian", "fisher"])
def test_products_of_a_model_of_a_user_on_a_gpu_equal_those_of_the_cpu(kind: str) -> None:
    near(*(operator_of_own(kind, where) for where in ("cpu", "cuda")))


@pytest.mark.cuda
def test_a_backward_pass_that_waits_on_a_gpu_is_not_captured() -> None:
    point = torch.tensor([1.0, 2.0], dtype=torch.float64, device="cuda")
    cubes = Hessian([lambda theta: (Scaled.apply(theta, read) ** 3).sum()], point)  # type: ignore[no-untyped-call]
    vector = torch.tensor([1.0, -1.0], dtype=torch.float64)
    found = [cubes.product(vector).tolist() for _ in range(EAGER)]
    with pytest.warns(CaptureWarning, match="products are not captured in a CUDA graph"):
        found.append(cubes.product(vector).tolist())
    assert [*found, cubes.product(vector).tolist()] == [[6.0, -12.0]] * (EAGER + 2)
