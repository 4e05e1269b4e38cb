"""How captures are asked for, without a GPU: streams and pools that PyTorch would be given, by its own signature."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tca.utils import cuda_graphs

GPU = torch.device("cuda", 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Return what captures are given."""
    found: list[dict[str, Any]] = []
    signature = inspect.signature(torch.cuda.graph)

    @contextlib.contextmanager
    def graph(*args: Any, **options: Any) -> Iterator[None]:
        found.append(signature.bind(*args, **options).arguments)
        yield

    monkeypatch.setattr(torch.cuda, "graph", graph)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: None))
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(device=device))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    cuda_graphs._stream.cache_clear()
    yield found
    cuda_graphs._stream.cache_clear()


def test_values_that_are_copied_share_a_pool_and_all_captures_of_a_device_a_stream(asked: list[dict[str, Any]]) -> None:
    updates, copied, others = (
        cuda_graphs.graphs_on(GPU),
        *(cuda_graphs.replays_on(GPU, name) for name in ("products", "measurements")),
    )
    assert updates is not None
    assert copied is not None
    assert others is not None
    for graphs in (updates, copied.graphs, others.graphs, copied.graphs):
        assert graphs.capture(lambda: "result")[1] == "result"
    pools = [each["pool"] for each in asked]
    assert pools[0] is None
    assert pools[1] is pools[3] is not pools[2]
    assert None not in pools[1:]
    assert len({id(each["stream"]) for each in asked}) == 1
    assert asked[0]["stream"].device == GPU
