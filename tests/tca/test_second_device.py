"""Passes on a second device: no operands on two devices, no wait of the host, and the launches that the page names."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

import tca
from benchmarks import launches
from benchmarks.launches import KINDS, SecondDevice, checked, counted, one_pass, one_update
from tca.utils.deferred_checks import DeferredChecks
from tca.utils.host_values import device_generator, host_value

OFTEN = ("bptt", "eprop", "eprop_random", "backprop")  # in every kind of network daily; all rules under -m slow
WAITS_OF_AN_UPDATE = 2  # of a batch that was not checked: its values, and those of its targets
SAVED = launches.saved()


def first_fit(rule: str) -> tuple[str, str]:
    return next((name, kind) for name, kind in SAVED if name == rule)


DAILY = sorted({*(first_fit(rule) for rule, _ in SAVED), *(each for each in SAVED if each[0] in OFTEN)})


def check(rule: str, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = counted(rule, kind, one_pass)
    assert found is not None
    counts, step = found
    assert not counts.mixed
    assert not counts.waits
    assert step == SAVED[rule, kind], "run `python -m benchmarks.launches --save`, then `make pages`"


@pytest.mark.thirds
@pytest.mark.parametrize(("rule", "kind"), DAILY)
def test_a_pass_neither_mixes_devices_nor_waits(rule: str, kind: str) -> None:
    check(rule, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "kind"), sorted(set(SAVED) - set(DAILY)))
def test_no_pass_mixes_devices_or_waits(rule: str, kind: str) -> None:
    check(rule, kind)


def test_every_rule_that_fits_a_kind_of_network_is_counted() -> None:
    fits = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for kind, make in KINDS.items():
            net = make()
            for rule in tca.RULES:
                try:
                    tca.Learner(net, tca.RULES[rule])
                except (ValueError, TypeError):
                    continue
                fits.add((rule, kind))
    assert fits == set(SAVED)
    assert {rule for rule, _ in fits} == set(tca.RULES)


def check_update(rule: str, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = counted(rule, kind, one_update, checked)
    assert found is not None
    assert not found[0].mixed
    assert found[0].waits.total() == 1, found[0].waits


@pytest.mark.thirds
@pytest.mark.parametrize(("rule", "kind"), [each for each in DAILY if each == first_fit(each[0])])
def test_an_update_waits_once(rule: str, kind: str) -> None:
    check_update(rule, kind)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "kind"), [each for each in sorted(SAVED) if each != first_fit(each[0])])
def test_every_update_waits_once(rule: str, kind: str) -> None:
    check_update(rule, kind)


@pytest.mark.parametrize("rule", ["modprop", "error_diffusion"])
def test_an_update_reads_flags_with_its_norms_and_a_pass_by_itself_reads_them(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the filter of each population diverges, and whether the batch holds a single class."""
    kind = first_fit(rule)[1]
    flags = len(KINDS[kind]().populations()) if rule == "modprop" else 1
    read: list[list[float]] = []
    monkeypatch.setattr(DeferredChecks, "act", lambda self, values: read.append(list(values)))
    assert counted(rule, kind, one_update, checked) is not None
    assert read == [[0.0] * flags] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        alone = counted(rule, kind, lambda learner, batch: learner.backward(batch), checked)
    assert alone is not None
    assert alone[0].waits.total() == flags


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_update_waits_for_its_checks_alone(kind: str) -> None:
    rule = "bptt" if ("bptt", kind) in SAVED else "backprop"
    found = counted(rule, kind, lambda learner, batch: learner.backward(batch))
    assert found is not None
    assert not found[0].mixed
    assert found[0].waits.total() == WAITS_OF_AN_UPDATE, found[0].waits


def test_what_is_counted() -> None:
    there, here = torch.ones(2, 3, device="meta"), torch.ones(2, 3)
    with SecondDevice() as mode:
        (there @ there.t()).view(4)
        torch.add(here, here)
        there.t()
    assert (mode.counts.launches, mode.counts.waits.total()) == (1, 0)
    with SecondDevice() as mode:
        assert bool((there > 0).all())
        assert not (there > 0).any()
        float(there.sum())
        there.nonzero()
        there.to("cpu")
        here.to("meta")
    assert mode.counts.waits.total() == 5
    with SecondDevice() as mode, pytest.raises(RuntimeError, match="device"):
        there + here
    with SecondDevice() as mode:
        torch.where(there > 0, there, torch.tensor(1.0))  # a number of the host is no operand
    assert not mode.counts.mixed
    with SecondDevice() as mode:
        there.index_select(0, torch.tensor([0]))
    assert mode.counts.mixed.total() == 1


def test_a_value_is_read_again_after_a_change_alone() -> None:
    reads = []

    def read(tensor: torch.Tensor) -> int:
        reads.append(tensor)
        return len(reads)

    there = torch.zeros(2, device="meta")
    assert [host_value(there, read), host_value(there, read)] == [1, 1]
    there.add_(1)
    assert [host_value(there, read), host_value(there.clone(), read), host_value(there, read)] == [2, 3, 2]
    here = torch.zeros(2)
    assert [host_value(here, read), host_value(here, read)] == [4, 5]


def test_a_masked_trace_reaches_the_same_cells_from_a_value_that_was_kept() -> None:
    net = tca.nets.LeakyRNN(3, 6, 2, mask_rec=(torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) < 0.3))
    learner = tca.Learner(net.to("meta"), tca.RULES["snap2"])
    batch = launches.batch_there(learner, 3)
    waits = []
    for _ in range(2):
        with SecondDevice() as mode:
            _ = batch.padded
            mode.counts.waits.clear()
            one_pass(learner, batch)
        waits.append(mode.counts.waits.total())
    assert waits == [1, 0]


def test_the_state_of_the_generator_stays_with_the_host() -> None:
    net = tca.nets.LeakyRNN(2, 5, 1, noise=0.5, seed=3)
    assert copy.deepcopy(net).double().noise_state.dtype == torch.uint8
    moved = copy.deepcopy(net).to("meta")
    assert moved.noise_state is not None
    assert moved.noise_state.device.type == "cpu"
    with SecondDevice() as mode:
        drawn = moved.draw_noise(4, 2)
    assert drawn is not None
    assert (drawn.device.type, drawn.shape, mode.counts.waits.total()) == ("meta", (4, 2, 5), 0)
    net.draw_noise(4, 2)
    assert torch.equal(moved.noise_state, net.noise_state)


@pytest.mark.cuda
def test_noise_on_a_gpu_follows_the_generator_of_the_host() -> None:
    nets = [tca.nets.LeakyRNN(2, 5, 1, noise=0.5, seed=seed).to("cuda") for seed in (3, 3, 4)]
    drawn = [net.draw_noise(2000, 16) for net in nets]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], nets[0].draw_noise(2000, 16))
    here = tca.nets.LeakyRNN(2, 5, 1, noise=0.5, seed=3).draw_noise(2000, 16)
    torch.testing.assert_close(drawn[0].std().cpu(), here.std(), rtol=0.02, atol=0.0)
    few, many = (device_generator(torch.Generator().manual_seed(1), torch.device("cuda")) for _ in range(2))
    assert few.device.type == "cuda"
    assert torch.equal(torch.rand(3, generator=few, device="cuda"), torch.rand(3, generator=many, device="cuda"))
