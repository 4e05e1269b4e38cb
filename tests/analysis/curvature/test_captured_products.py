"""Products replayed by graphs, which are imitated on the CPU, equal eager ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import analysis
import tca
from tca.utils.cuda_graphs import CaptureWarning, Replays
from tests.support.device_graph import Graphs
from tests.support.second_device import DEVICE, Device, OnDevice


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as found:
        yield found


def operator_there(net: Any, kind: str) -> Any:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 4, 3, generator=source, dtype=torch.float64)
    weights = torch.full((5, 4), 0.2, dtype=torch.float64)
    batch = tca.Batch(inputs, inputs.argmax(-1) % 2, weights, tca.losses.CrossEntropy())
    return analysis.operator(net.double().to(DEVICE), batch.to(DEVICE), "all", kind)


NETS = {
    "leaky": lambda: tca.nets.LeakyRNN(3, 6, 2, seed=1),
    "spiking": lambda: tca.nets.SpikingRNN(3, 6, 2, seed=1),
    "stack": lambda: tca.nets.StackedRNN(3, [4, 5], 2, seed=1),
    "two streams": lambda: tca.nets.DualStreamRNN(3, 3, 2, seed=1),
    "vectors": lambda: tca.nets.VectorRNN(3, 4, 2, seed=1),
}


@pytest.mark.thirds
@pytest.mark.parametrize(("name", "kind"), [*((name, "hessian") for name in NETS), ("leaky", "gauss_newton")])
def test_replayed_products_equal_eager_ones(device: Device, name: str, kind: str) -> None:
    """Of vectors and of several at once, whose graphs take turns in the same scratch memory."""
    eager, replayed = (operator_there(NETS[name](), kind) for _ in "12")
    graphs = Graphs(device)
    replayed._replays = Replays(graphs)  # type: ignore[arg-type]
    source, found = torch.Generator().manual_seed(1), []
    for turn in range(10):
        size = (eager.size, 3) if turn % 2 else (eager.size,)
        vectors = torch.randn(*size, generator=source, dtype=torch.float64).to(DEVICE)
        one, other = eager @ vectors, replayed @ vectors
        assert isinstance(one, OnDevice)
        assert isinstance(other, OnDevice)
        assert float(one.abs().max()) > 1e-6
        found.append((one.here, other.here))
    assert all(torch.equal(one, other) for one, other in found)
    assert graphs.replays == 4 + 2, "two shapes, each of which is checked once"
    assert eager._replays is None


def test_products_that_the_host_waits_in_are_computed_without_graphs(device: Device) -> None:
    replays = Replays(Graphs(device))  # type: ignore[arg-type]
    given = torch.ones(2, device=DEVICE)

    def waits(vector: Tensor) -> Tensor:
        return vector * float(vector.sum())

    for _ in range(3):
        assert replays(waits, given).tolist() == [2.0, 2.0]
    with pytest.warns(CaptureWarning, match="products are not captured in a CUDA graph"):
        assert replays(waits, given).tolist() == [2.0, 2.0]
    assert replays(waits, given + 1).tolist() == [8.0, 8.0]


def test_only_operators_that_keep_their_values_and_no_graph_of_autograd_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    for place in ("hessian", "pullback"):
        monkeypatch.setattr(sys.modules[f"analysis.curvature.operators.{place}"], "replays_on", asked.append)
    batch = tca.Batch(torch.ones(3, 4, 2), torch.zeros(3, 4, 1), torch.ones(3, 4), tca.losses.MSE())
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all")
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all", "fisher")
    assert len(asked) == 2
    analysis.operator(
        tca.nets.MLP(2, [4], 1),
        tca.Batch(*(each[:1] for each in (batch.inputs, batch.targets, batch.weights)), batch.loss),
        "all",
    )
    analysis.operator(tca.nets.LeakyRNN(2, 4, 1), batch, "all", chunk=1, memory=1e-4)
    assert len(asked) == 2


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_products_on_a_gpu_equal_those_of_the_cpu(kind: str) -> None:
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 4, 3, generator=source, dtype=torch.float64)
    batch = tca.Batch(inputs, inputs.argmax(-1) % 2, torch.full((5, 4), 0.2).double(), tca.losses.CrossEntropy())
    net = tca.nets.LeakyRNN(3, 6, 2, seed=1).double()
    here = analysis.operator(net, batch, "all", kind)
    there = analysis.operator(net.to("cuda"), batch.to("cuda"), "all", kind)
    for seed in range(6):
        vector = torch.randn(here.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        torch.testing.assert_close(there.product(vector).cpu(), here.product(vector), rtol=1e-9, atol=1e-12)
    assert there._replays is not None
    assert len(there._replays._captured) == 1
