"""The compiled steps of gated cells equal PyTorch's operations, for every rule, type, size and kind of trial."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import tca
from tca.cells import GRU, LSTM, MGU
from tca.kernels import choice
from tca.kernels.gated import GATED
from tca.nets.cell_rnn import block_population
from tca.tape.block_tape import BlockTape
from tca.tape.gated_tape import GatedTape
from tests.support import oracle_cells
from tests.support.cases import weights_of
from tests.support.rows import relative
from tests.tca.kernels.test_passes import DTYPES, assert_same, batch_of, learn

F32, F64 = torch.float32, torch.float64
CELLS, TRIALS = (1, 3, 8, 17, 33), (1, 2, 5)
RULES = ("bptt", "rtrl", "eprop", "eprop_random", "three_factor", "snap1", "snap2", "tbptt", "homotopy", "mdgl", "dni")
each_kind = pytest.mark.parametrize("kind", GATED, ids=lambda each: each.__name__)


def network(kind: type[tca.cells.Cell], cells: int, dtype: torch.dtype = F64, **options: Any) -> tca.nets.CellRNN:
    net = tca.nets.CellRNN(kind(), 3, cells, 2, dtype=dtype, seed=2, gain_rec=2.0, gain_in=2.0, **options)
    if net.s_0 is not None:
        torch.nn.init.normal_(net.s_0, std=0.3, generator=torch.Generator().manual_seed(3))
    return net


def same(
    monkeypatch: pytest.MonkeyPatch, net: Any, rule: Any, batch: tca.Batch, tolerance: float, **given: Any
) -> None:
    found = []
    for name, tape in (("eager", BlockTape), ("compiled", GatedTape)):
        monkeypatch.setenv(choice.VARIABLE, name)
        assert type(net.run(batch.inputs)) is tape
        found.append({each: value.clone() for each, value in learn(net, rule, batch, **given)().items()})
    assert_same(found[0], found[1], tolerance)


@pytest.mark.thirds
@each_kind
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_gradients_equal_those_of_pytorch(
    kind: type[tca.cells.Cell], dtype: torch.dtype, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes with all remainders; every other network has a learned initial state and no biases."""
    if rule == "dni" and kind is LSTM:
        pytest.skip("refused: the state of a cell is not one number")
    for index, (cells, trials) in enumerate([*itertools.product(CELLS, TRIALS)][::2]):
        net = network(kind, cells, dtype, **({"learn_initial": True, "bias": False} if index % 2 else {}))
        same(monkeypatch, net, tca.RULES[rule], batch_of(net, trials, 7), DTYPES[dtype])


@each_kind
def test_noise_padding_masks_and_a_filtered_readout(
    kind: type[tca.cells.Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that takes several windows, whose carried signals are copies."""
    mask = (torch.rand(33, 33, generator=torch.Generator().manual_seed(0)) < 0.6).double()
    net = network(kind, 33, readout_tau=30.0, mask_rec=mask, noise=0.2)
    batch = batch_of(net, 4, 60, torch.tensor([60, 31, 1, 45]))
    noise = 0.3 * torch.randn(60, 4, 4 * 33, generator=torch.Generator().manual_seed(1), dtype=F64)
    for rule in ("bptt", "eprop", "snap1"):
        monkeypatch.setattr(BlockTape, "window_steps", 7)
        same(monkeypatch, net, tca.RULES[rule], batch, 1e-12, noise=noise)


def test_populations_of_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [tca.nets.CellLayer(9, LSTM()), tca.nets.CellLayer(5, MGU()), tca.nets.CellLayer(7, GRU())]
    net = tca.nets.StackedRNN(3, layers, 2, dtype=F64, seed=0)
    for rule in ("bptt", "eprop"):
        found = []
        for name in ("eager", "compiled"):
            monkeypatch.setenv(choice.VARIABLE, name)
            found.append(learn(net, tca.RULES[rule], batch_of(net, 3, 9))())
        assert_same(found[0], found[1], 1e-12)


@each_kind
@pytest.mark.parametrize("dtype", DTYPES)
def test_gates_that_are_shut_and_numbers_that_are_none(
    kind: type[tca.cells.Cell], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gates far below one keep their digits, drives of any size give finite gradients, NaN stays NaN."""
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    net = network(kind, 1, dtype)
    with torch.no_grad():
        for each in (net.w_in, net.w_rec, net.b, net.b_rec):
            each.zero_()
        net.w_in[:, 0] = 1.0
    drives = torch.tensor([-1e4, -800.0, -90.0, -30.0, -9.0, 0.0, 9.0, 90.0, 1e4], dtype=dtype)
    inputs = torch.zeros(1, len(drives), 3, dtype=dtype)
    inputs[0, :, 0] = drives
    tape = net.run(inputs)
    gate = tape.driven_by[1, :, 1, 0]  # of a GRU that of the reset, of an LSTM that of forgetting
    exact = torch.sigmoid(drives.double())
    normal = exact > torch.finfo(dtype).tiny
    assert ((gate.double() - exact).abs() <= 8 * torch.finfo(dtype).eps * exact)[normal].all()
    large = batch_of(net, len(drives), 3)
    large.inputs[...] = inputs
    gradients, _ = tca.Learner(net, tca.RULES["bptt"]).grads(large)
    assert all(each.isfinite().all() for each in gradients.values())
    inputs[0, 3] = float("nan")
    outputs = net.run(inputs).outputs[0]
    assert outputs[3].isnan().all()
    assert outputs[[0, 1, 2, 4, 5, 6, 7, 8]].isfinite().all()


def test_signals_in_memory_with_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = choice.choose_gated("compiled", LSTM(), (), F64, torch.device("cpu"))
    assert passes is not None
    source = torch.Generator().manual_seed(0)
    gates, before, after, signal, kept = (
        torch.rand(4, size, 6, generator=source, dtype=F64) for size in (4, 2, 2, 2, 2)
    )
    gaps = torch.empty(4, 2, 12, dtype=F64)[..., ::2].copy_(kept)
    wide = torch.empty(4, 2, 12, dtype=F64)[..., ::2].copy_(signal)
    one, other = torch.empty_like(gates), torch.empty_like(gates)
    passes.back_(gates, before, after, signal, one, kept)
    passes.back_(gates, before, after, wide, other, gaps)
    assert torch.equal(kept, gaps)
    assert torch.equal(one, other)


@dataclass(frozen=True)
class Slower(LSTM):
    """An LSTM of a user, which need not compute the same."""

    def step(self, state: Any, drive: Any) -> Any:
        c, h = super().step(state, drive)
        return c, 0.5 * h

    def derivatives(self, state: Any, drive: Any) -> None:
        return None

    def advance_(self, drive: Any, before: Any, after: Any) -> bool:
        return False


def test_compiled_steps_are_for_the_library_s_own_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    inputs = torch.zeros(2, 1, 3)
    for cell in (Slower(), MGU(), tca.cells.LRU()):
        assert type(tca.nets.CellRNN(cell, 3, 4, 2).run(inputs)) is BlockTape
    cpu = torch.device("cpu")
    assert choice.choose_gated("compiled", LSTM(), (), F32, cpu) is not None
    assert choice.choose_gated("auto", LSTM(), (), F64, cpu) is not None
    assert choice.choose_gated("compiled", LSTM(), ("leak",), F32, cpu) is None
    assert choice.choose_gated("compiled", LSTM(), (), F32, torch.device("meta")) is None
    assert choice.choose_gated("compiled", LSTM(), (), torch.float16, cpu) is None
    assert choice.choose_gated("eager", LSTM(), (), F32, cpu) is None
    with pytest.raises(ValueError, match="unknown TCA_KERNELS 'quick'"):
        choice.choose_gated("quick", GRU(), (), F32, cpu)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("cell", [GRU(), LSTM(), MGU(), tca.cells.LRU()], ids=repr)
def test_drives_are_written_a_few_steps_at_a_time(
    cell: tca.cells.Cell, noisy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are those of the differentiable network, however many steps fit into the cache."""
    net = tca.nets.CellRNN(cell, 3, 5, 2, noise=0.3, dtype=F64, seed=1)
    with torch.no_grad():
        net.b.normal_(generator=torch.Generator().manual_seed(2))
    inputs = torch.randn(11, 3, 3, dtype=F64, generator=torch.Generator().manual_seed(1))
    noise = net.draw_noise(11, 3) if noisy else None
    wanted = net.functional({}, inputs, noise).detach()
    for size in (1, 4 * 3 * 5 * 8 * 3, 2**20):
        monkeypatch.setattr(block_population, "CACHED_BYTES", size)
        assert relative(net.run(inputs, noise).outputs, wanted) < 1e-14


@each_kind
def test_the_drive_of_what_a_filter_has_left_is_taken_from_it(
    kind: type[tca.cells.Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as computed anew, and computed anew for a signal that has changed, a copy, or other steps."""
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    net = network(kind, 7)
    tape = tca.Learner(net, tca.RULES["eprop"]).tape(batch_of(net, 3, 9))
    assert isinstance(tape, GatedTape)
    steps, source = slice(4, 8), torch.Generator().manual_seed(0)
    for filter_ in (tape.filter_leak_, tape.filter_jacobian_):
        signal, later = (torch.randn(4, *tape.state[0].shape, dtype=F64, generator=source) for _ in range(2))
        if tape.components == 1:
            signal, later = signal.squeeze(-2), later.squeeze(-2)
        whole = torch.cat([signal, later[:1]])
        propagate = tape.leak_ if filter_ == tape.filter_leak_ else tape.return_
        for t in range(7, 3, -1):
            propagate(t + 1, whole[t - 4], whole[t - 3])
        first = filter_(signal, steps, later[0])
        assert relative(signal, whole[:-1]) < 1e-14
        assert torch.equal(first, signal[0])
        again = BlockTape.drive(tape, signal, steps)
        assert relative(tape.drive(signal, steps), again) < 1e-14
        assert torch.equal(tape.drive(signal, slice(2, 6)), BlockTape.drive(tape, signal, slice(2, 6)))
        assert torch.equal(tape.drive(signal.clone(), steps), again)
        signal.mul_(2.0)
        assert relative(tape.drive(signal, steps), 2 * again) < 1e-14


def test_biases_share_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an LSTM both have the same gradient, in every window; of a GRU those of r and z."""
    monkeypatch.setattr(BlockTape, "window_steps", 4)
    for name in ("eager", "compiled"):
        monkeypatch.setenv(choice.VARIABLE, name)
        for kind, shared in ((LSTM, 4), (GRU, 2)):
            net = network(kind, 6)
            found = tca.Learner(net, tca.RULES["eprop"]).grads(batch_of(net, 3, 9))[0]
            assert torch.equal(found["b"][: shared * 6], found["b_rec"][: shared * 6])
            cell, cuts = oracle_cells.CELLS[kind.__name__], oracle_cells.SURGERIES["eprop"]
            exact = oracle_cells.gradient(cell, weights_of(net), batch_of(net, 3, 9), cuts)
            assert relative(found["b_rec"], exact["b_rec"]) < 1e-12
            assert relative(found["b"], exact["b"]) < 1e-12
