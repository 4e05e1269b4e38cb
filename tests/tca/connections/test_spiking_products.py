"""Products with spikes, of which only the active cells are added up, against the full products."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.connections import spike_products as spiking_products
from tca.connections.spike_products import few_times, gather_few_
from tca.nets import SpikingRNN
from tests.support.rows import assert_same, learner
from tests.support.spiking_cases import SPIKING, SpikingCase

F64 = torch.float64


def sparse(rows: int, columns: int, share: float, seed: int = 0) -> Tensor:
    """A matrix of which a share is not zero."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.rand(rows, columns, generator=generator) < share
    return torch.randn(rows, columns, dtype=F64, generator=generator) * chosen


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small products are worth the trouble as well."""
    monkeypatch.setattr(spiking_products, "WORTH", 1)


@pytest.mark.parametrize("spikes", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_rows_of_active_cells_add_up_to_the_product(spikes: bool, seed: int) -> None:
    """The first and last rows may be empty, values may be any unless they are said to be spikes."""
    pre, table = sparse(13, 70, 0.08, seed), torch.randn(70, 5, dtype=F64)
    pre[0], pre[-1] = 0, 0
    pre = (pre != 0).double() if spikes else pre
    found = few_times(pre, table, spikes=spikes)
    assert found is not None
    assert torch.allclose(found, pre @ table, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("cells", [70, 2**15 + 5])
def test_gathered_over_active_cells(cells: int) -> None:
    """What is gathered is added to what was there, in either layout, also for more cells than sixteen bits count."""
    pre, learning_signal = sparse(30, cells, 0.03), torch.randn(30, 2, 4, dtype=F64)[:, 1]
    for layout in (torch.zeros(4, cells, dtype=F64), torch.zeros(cells, 4, dtype=F64).t()):
        gradient = layout + 2.0
        assert gather_few_(gradient, learning_signal, pre)
        assert torch.allclose(gradient, 2.0 + learning_signal.t() @ pre, rtol=1e-13, atol=1e-13)


def test_nothing_active() -> None:
    """Silence adds nothing."""
    gradient = torch.ones(4, 6, dtype=F64)
    found = few_times(torch.zeros(3, 6, dtype=F64), torch.ones(6, 4, dtype=F64))
    assert torch.equal(found, torch.zeros(3, 4, dtype=F64))  # type: ignore[arg-type]
    assert gather_few_(gradient, torch.ones(3, 4, dtype=F64), torch.zeros(3, 6, dtype=F64))
    assert torch.equal(gradient, torch.ones(4, 6, dtype=F64))


def test_full_products_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many active cells, small products and types that NumPy lacks are left to the caller, and nothing is changed."""
    dense, gradient = torch.ones(8, 8, dtype=F64), torch.zeros(3, 8, dtype=F64)
    assert few_times(dense, torch.ones(8, 3, dtype=F64)) is None
    assert not gather_few_(gradient, torch.ones(8, 3, dtype=F64), dense)
    assert not gradient.any()
    few = torch.eye(16)
    assert few_times(few, torch.ones(16, 3)) is not None
    assert few_times(few.bfloat16(), torch.ones(16, 3).bfloat16()) is None
    monkeypatch.setattr(spiking_products, "WORTH", 16 * 16 * 3 + 1)
    assert few_times(few, torch.ones(16, 3)) is None


@pytest.mark.parametrize("case", [SPIKING[0], SPIKING[3], SPIKING[6]], ids=str)
@pytest.mark.parametrize("name", ["eprop", "bptt", "snap1"])
def test_learning_is_the_same(case: SpikingCase, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spikes, slopes and gradients do not depend on which products are made."""
    monkeypatch.setattr(spiking_products, "FEW", 1.0)
    calls: list[bool] = []
    gather = gather_few_

    def counted(*given: Any) -> bool:
        calls.append(gather(*given))
        return calls[-1]

    monkeypatch.setattr("tca.tape.spiking_tape.gather_few_", counted)
    bound = learner(case, tca.RULES[name])
    found, tape = bound.grads(case.batch())[0], bound.tape(case.batch())
    assert calls
    assert all(calls)
    monkeypatch.setattr(spiking_products, "WORTH", 2**60)
    assert_same(found, learner(case, tca.RULES[name]).grads(case.batch())[0])
    full = learner(case, tca.RULES[name]).tape(case.batch())
    assert torch.equal(tape.rate, full.rate)
    assert torch.allclose(tape.slope, full.slope, rtol=1e-12, atol=1e-13)


def test_large_network_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the sizes for which they are made, gradients are those of the full products, in single precision as well."""
    monkeypatch.undo()
    generator = torch.Generator().manual_seed(1)
    inputs = (torch.rand(40, 16, 20, generator=generator) < 0.1).double()
    weights = torch.zeros(40, 16, dtype=F64)
    weights[-3:] = 1 / 3
    batch = tca.Batch(inputs, torch.randn(40, 16, 2, dtype=F64, generator=generator), weights, tca.losses.MSE())
    net = SpikingRNN(20, 300, 2, gain_in=2.0, tau_adaptation=50.0, dtype=F64)
    bound = tca.Learner(net, tca.RULES["eprop"])
    found, tape = bound.grads(batch)[0], bound.tape(batch)
    assert 0.01 < float(tape.rate.mean()) < 0.1
    assert few_times(tape.rate[-1], net.w_rec.detach().t().contiguous()) is not None
    single = tca.Learner(SpikingRNN(20, 300, 2, gain_in=2.0, tau_adaptation=50.0), tca.RULES["eprop"])
    close = {name: each.double() for name, each in single.grads(batch.to(dtype=torch.float32))[0].items()}
    monkeypatch.setattr(spiking_products, "WORTH", 2**60)
    wanted = bound.grads(batch)[0]
    assert_same(found, wanted)
    assert_same(close, wanted, 1e-3)
