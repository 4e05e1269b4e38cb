"""The imitated device and its graphs do what a GPU and CUDA graphs do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.support.device_graph import DeviceGraph
from tests.support.second_device import DEVICE, Device, OnDevice


def here(tensor: Tensor) -> Tensor:
    assert isinstance(tensor, OnDevice)
    return tensor.here


def test_tensors_of_the_device_have_values() -> None:
    with Device():
        there = torch.arange(6.0, device=DEVICE).view(2, 3)
        assert (there.device.type, there.is_cpu) == (DEVICE, False)
        assert (there @ there.t()).to("cpu").tolist() == [[5.0, 14.0], [14.0, 50.0]]
        there[0].mul_(2)
        assert there.tolist() == [[0.0, 2.0, 4.0], [3.0, 4.0, 5.0]]
        assert float(there.sum()) == 18.0
        assert there.new_tensor([1.0]).tolist() == torch.tensor([1.0], device=DEVICE).tolist() == [1.0]
        net = nn.Linear(3, 1).to(DEVICE)
        net(there).sum().backward()
        assert net.weight.grad is not None
        torch.testing.assert_close(net.weight.grad.tolist(), [[3.0, 6.0, 9.0]])
        torch.optim.SGD(net.parameters(), 1.0).step()


def test_a_capture_does_nothing_and_replays_do_the_work_on_the_same_memory() -> None:
    with Device() as device:
        given, held = torch.ones(2, device=DEVICE), torch.zeros(2, device=DEVICE)
        graph = DeviceGraph(device)

        def work() -> Tensor:
            held.add_(given * 2)
            return held + given

        found = graph.capture(work)
        assert held.tolist() == [0.0, 0.0]
        assert found.isnan().all()
        graph.replay()
        assert (held.tolist(), found.tolist()) == ([2.0, 2.0], [3.0, 3.0])
        given.fill_(10.0)
        graph.replay()
        assert (held.tolist(), found.tolist()) == ([22.0, 22.0], [32.0, 32.0])


def test_numbers_of_the_host_stay_as_they_were_captured() -> None:
    with Device() as device:
        count, also = [1.0], torch.tensor(1.0)
        there, graph = torch.zeros((), device=DEVICE), DeviceGraph(device)
        graph.capture(lambda: there.add_(count[0]).add_(also))
        count[0] = 100.0
        also.fill_(100.0)
        graph.replay()
        assert float(there) == 2.0


def test_a_replay_is_no_change_that_pytorch_counts() -> None:
    with Device() as device:
        there, graph = torch.zeros(2, device=DEVICE), DeviceGraph(device)
        graph.capture(lambda: there.add_(1))
        before = there._version
        graph.replay()
        assert (there._version, there.tolist()) == (before, [1.0, 1.0])


def test_memory_that_was_freed_is_noticed() -> None:
    with Device() as device:
        held, into = [torch.ones(2, device=DEVICE)], torch.zeros(2, device=DEVICE)
        graph = DeviceGraph(device)
        graph.capture(lambda: into.add_(held[0]))
        graph.replay()
        assert into.tolist() == [1.0, 1.0]
        held.clear()
        with pytest.raises(AssertionError, match="freed"):
            graph.replay()


REFUSED: dict[str, Callable[[Tensor], object]] = {
    "a value": lambda there: there.sum().item(),
    "a condition": lambda there: bool((there > 0).all()),
    "values": lambda there: there.tolist(),
    "positions": lambda there: there.nonzero(),
    "a mask as index": lambda there: there[there > 0],
    "a masked place": lambda there: there.index_put_((there > 0,), there[:1]),
    "a copy to the host": lambda there: there.to("cpu"),
    "a copy from the host": lambda there: there.copy_(torch.ones(3)),
    "a tensor from the host": lambda there: torch.tensor(1.0, device=there.device),
    "an index of the host": lambda there: there[torch.tensor([0, 1])],
    "a draw": lambda there: torch.rand_like(there),
    "a draw of a generator": lambda there: torch.randperm(3, generator=torch.Generator(), device="cpu").to(DEVICE),
    "a check of an inverse": lambda there: torch.linalg.inv(there.diag()),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_gpu_refuses_is_refused(name: str) -> None:
    with Device() as device:
        there = torch.ones(3, device=DEVICE)
        REFUSED[name](there)
        with pytest.raises(RuntimeError, match=r"capture does not allow|not registered"):
            DeviceGraph(device).capture(lambda: REFUSED[name](there))
        there.add_(1)  # the device goes on
