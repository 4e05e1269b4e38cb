"""Weights of torch's GRU and LSTM into networks and back: gates, biases, types, absent synapses, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tca
from tca import cells, nets

F64 = torch.float64
KINDS: dict[str, Any] = {"GRU": nn.GRU, "LSTM": nn.LSTM}
each_kind = pytest.mark.parametrize("kind", KINDS)


def inputs(dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(7, 3, 3, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)


def made(kind: str, dtype: torch.dtype = F64, bias: bool = True, **options: Any) -> tuple[Any, nn.Linear]:
    torch.manual_seed(0)
    return KINDS[kind](3, 5, dtype=dtype, **options), nn.Linear(5, 2, bias=bias, dtype=dtype)


def by_hand(kind: str, module: Any, x: Tensor) -> Tensor:
    """Return the hidden states by the equations of torch's pages, a gate at a time."""
    gate = dict(zip({"GRU": "rzn", "LSTM": "ifgo"}[kind], range(4), strict=False))

    def drive(name: str, x: Tensor, side: str) -> Tensor:
        rows = slice(5 * gate[name], 5 * gate[name] + 5)
        return x @ getattr(module, f"weight_{side}_l0")[rows].t() + getattr(module, f"bias_{side}_l0")[rows]

    h = c = torch.zeros(x.shape[1], 5, dtype=x.dtype)
    found = []
    for each in x:
        u = {name: drive(name, each, "ih") for name in gate}
        v = {name: drive(name, h, "hh") for name in gate}
        if kind == "GRU":
            r, z = (torch.sigmoid(u[name] + v[name]) for name in "rz")
            h = (1 - z) * torch.tanh(u["n"] + r * v["n"]) + z * h
        else:
            i, f, o = (torch.sigmoid(u[name] + v[name]) for name in "ifo")
            c = f * c + i * torch.tanh(u["g"] + v["g"])
            h = o * torch.tanh(c)
        found.append(h)
    return torch.stack(found)


@each_kind
def test_gates_and_biases_are_those_of_the_equations(kind: str) -> None:
    module, readout = made(kind)
    net = nets.CellRNN.from_torch(module, readout)
    with torch.no_grad():
        wanted = readout(by_hand(kind, module, inputs()))
        torch.testing.assert_close(net.run(inputs()).outputs, wanted, rtol=0, atol=1e-14)
    assert torch.equal(net.b, module.bias_ih_l0)
    assert torch.equal(net.b_rec, module.bias_hh_l0)


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_type_follows_there_and_back(kind: str, dtype: torch.dtype) -> None:
    net = nets.CellRNN.from_torch(*made(kind, dtype))
    assert {each.dtype for each in net.parameters()} == {dtype}
    back, linear = net.to_torch()
    assert {each.dtype for part in (back, linear) for each in part.parameters()} == {dtype}


@each_kind
def test_batch_first_changes_no_number(kind: str) -> None:
    module, readout = made(kind, batch_first=True)
    net = nets.CellRNN.from_torch(module, readout)
    with torch.no_grad():
        wanted = readout(module(inputs().transpose(0, 1))[0]).transpose(0, 1)
        torch.testing.assert_close(net.run(inputs()).outputs, wanted, rtol=0, atol=1e-14)


@each_kind
def test_a_readout_without_a_bias_gets_none(kind: str) -> None:
    module, readout = made(kind, bias=False)
    net = nets.CellRNN.from_torch(module, readout)
    given = tca.Batch(inputs(), torch.ones(7, 3, 2, dtype=F64), torch.full((7, 3), 1 / 7, dtype=F64), tca.losses.MSE())
    tca.Learner(net, tca.RULES["bptt"]).backward(given)
    assert net.b_out.grad is None
    assert not net.b_out.any()
    assert net.w_out.grad.abs().max() > 1e-3  # type: ignore[union-attr]
    with torch.no_grad():
        torch.testing.assert_close(net.run(inputs()).outputs, readout(module(inputs())[0]), rtol=0, atol=1e-14)


@each_kind
def test_absent_synapses_and_signs_reach_torch_as_they_act(kind: str) -> None:
    mask = torch.rand(5, 5, generator=torch.Generator().manual_seed(2)) < 0.6
    net = nets.CellRNN(getattr(cells, kind)(), 3, 5, 2, mask_rec=mask, dtype=F64, seed=3)
    with torch.no_grad():
        for each in net.parameters():  # absent synapses as well, before their projection
            each += 0.5
        module, readout = net.to_torch()
        torch.testing.assert_close(readout(module(inputs())[0]), net.run(inputs()).outputs, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"readout_tau": 20.0}, "readout_tau"),
        ({"noise": 0.1}, "noise"),
        ({"skip": True}, "skip"),
        ({"learn_initial": True}, "learn_initial"),
    ],
)
def test_what_torch_does_not_have_is_refused(options: dict[str, Any], name: str) -> None:
    net = nets.CellRNN(cells.GRU(), 3, 5, 2, **options)
    with pytest.raises(ValueError, match=f"^torch's modules have no {name}: make the network without it$"):
        net.to_torch()


class Doubling(nn.GRU):
    """A GRU of doubled inputs."""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return super().forward(2 * x)


@pytest.mark.parametrize(
    ("module", "error", "words"),
    [
        (lambda: Doubling(3, 5), TypeError, r"with torch's own forward, got Doubling: use tca\.nets\.wrap"),
        (
            lambda: nn.utils.parametrizations.weight_norm(nn.GRU(3, 5), "weight_hh_l0"),
            ValueError,
            "module must hold weight_hh_l0 as a parameter, and it computes it: remove its parametrization",
        ),
        (
            lambda: nn.GRU(3, 5, dtype=F64),
            ValueError,
            r"module must be torch\.float32 on cpu as readout is, got torch\.float64 on cpu in weight_ih_l0",
        ),
    ],
    ids=["forward", "computed", "type"],
)
def test_modules_that_would_become_another_network_are_refused(module: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        nets.CellRNN.from_torch(module(), nn.Linear(5, 2))


def test_another_cell_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^to_torch needs the cell GRU or LSTM, got MGU\(\)$"):
        nets.CellRNN(cells.MGU(), 3, 5, 2).to_torch()
