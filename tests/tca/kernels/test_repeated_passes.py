"""A pass that is made again gives the bits of a new one, and is made anew wherever more than the inputs has changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tca
from tca.kernels import choice
from tca.nets.leaky.repeated_pass import RepeatedPass
from tca.nets.wiring import sparse

SIZES = {"n_in": 2, "n_rec": 9, "n_out": 3, "dt": 1.0, "tau": 5.0, "seed": 3}


def batch_of(seed: int, steps: int = 6, trials: int = 4, inputs: int = 2) -> tca.Batch:
    source = torch.Generator().manual_seed(seed)
    shown = torch.randn(steps, trials, inputs, generator=source)
    targets = torch.randint(3, (steps, trials), generator=source)
    return tca.Batch(shown, targets, torch.full((steps, trials), 1 / steps), tca.losses.CrossEntropy())


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compile, and note every pass that is made again."""
    monkeypatch.setenv(choice.VARIABLE, "compiled")
    made: list[int] = []
    again = RepeatedPass.__call__
    monkeypatch.setattr(RepeatedPass, "__call__", lambda *given: (made.append(1), again(*given))[1])
    return made


def after(net: Any, rule: str, change: Callable[[Any], object], second: tca.Batch) -> tuple[Any, Any]:
    """Return what a learner and a new one give in a second batch after a change of the network in between."""
    learner = tca.Learner(net, tca.RULES[rule])
    learner.grads(batch_of(1))
    change(net)
    return learner.grads(second), tca.Learner(copy.deepcopy(net), tca.RULES[rule]).grads(second)


def same(one: Any, other: Any) -> bool:
    (gradients, info), (expected, new) = one, other
    return torch.equal(info.outputs, new.outputs) and all(torch.equal(gradients[k], expected[k]) for k in expected)


def step(net: nn.Module) -> None:
    with torch.no_grad():
        for each in net.parameters():
            each.add_(0.1 * torch.arange(each.numel()).reshape(each.shape) / each.numel())


def replaced(name: str) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        setattr(net, name, nn.Parameter(net.get_parameter(name).detach() + 0.1))

    return change


def moved(name: str) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        net.get_parameter(name).data = net.get_parameter(name).detach() + 0.1

    return change


PARAMETERS = ("w_in", "w_rec", "b", "w_out", "b_out")


@pytest.mark.parametrize("rule", ["eprop", "bptt", "mdgl"])
@pytest.mark.parametrize("options", [{}, {"form": "B"}, {"readout_tau": 4.0}, {"dtype": torch.float64}], ids=str)
def test_other_inputs_and_weights_make_it_again(repeated: list[int], options: dict[str, Any], rule: str) -> None:
    net = tca.nets.LeakyRNN(**{**SIZES, **options})
    second = batch_of(2).to("cpu", options.get("dtype", torch.float32))
    learner = tca.Learner(net, tca.RULES[rule])
    first = batch_of(1).to("cpu", options.get("dtype", torch.float32))
    before = learner.grads(first)[1].outputs
    kept = before.clone()
    step(net)
    assert not repeated
    found = learner.grads(second)
    assert repeated == [1]
    assert same(found, tca.Learner(copy.deepcopy(net), tca.RULES[rule]).grads(second))
    assert torch.equal(before, kept)  # outputs of the pass before are not overwritten


CHANGES: dict[str, Callable[[Any], object]] = {
    **{f"another {name}": replaced(name) for name in PARAMETERS},
    **{f"{name} elsewhere": moved(name) for name in PARAMETERS if name != "b_out"},
    "masked": lambda net: setattr(net, "mask_rec", sparse(9, 9, 0.5).float()),
    "masked readout": lambda net: setattr(net, "mask_out", torch.tensor([1.0, 0.0, 1.0]).unsqueeze(1).expand(3, 9)),
    "other activation": lambda net: setattr(net, "activation", tca.cells.activations.ReLU()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_another_network_makes_it_anew(repeated: list[int], change: Callable[[Any], object]) -> None:
    assert same(*after(tca.nets.LeakyRNN(**SIZES), "eprop", change, batch_of(2)))
    assert not repeated


def strided() -> tca.Batch:
    batch = batch_of(2)
    return tca.Batch(
        batch.inputs.transpose(0, 1).contiguous().transpose(0, 1), batch.targets, batch.weights, batch.loss
    )


@pytest.mark.parametrize(
    "second", [batch_of(2, steps=5), batch_of(2, trials=3), strided()], ids=["steps", "trials", "strides"]
)
def test_other_sizes_make_it_anew(repeated: list[int], second: tca.Batch) -> None:
    assert same(*after(tca.nets.LeakyRNN(**SIZES), "eprop", lambda net: None, second))
    assert not repeated


@pytest.mark.parametrize("options", [{"learn_initial": True}, {"mask_in": torch.eye(9, 2)}, {"noise": 0.1}], ids=str)
def test_what_is_more_than_inputs_and_weights_is_not_repeated(repeated: list[int], options: dict[str, Any]) -> None:
    net = tca.nets.LeakyRNN(**{**SIZES, **options})
    learner, noise = tca.Learner(net, tca.RULES["eprop"]), net.draw_noise(6, 4)
    for seed in (1, 2):
        found = learner.grads(batch_of(seed), noise=noise)
        assert same(found, tca.Learner(copy.deepcopy(net), tca.RULES["eprop"]).grads(batch_of(seed), noise=noise))
    assert not repeated


def test_a_given_start_and_a_switch_to_pytorch_are_respected(
    repeated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = tca.nets.LeakyRNN(**SIZES)
    learner, batch = tca.Learner(net, tca.RULES["eprop"]), batch_of(2)
    learner.grads(batch_of(1))
    started = tca.Batch(batch.inputs, batch.targets, batch.weights, batch.loss, start=torch.ones(4, 9))
    assert same(learner.grads(started), tca.Learner(net, tca.RULES["eprop"]).grads(started))
    assert not repeated
    assert same(learner.grads(batch), tca.Learner(net, tca.RULES["eprop"]).grads(batch))
    assert repeated == [1]
    monkeypatch.setenv(choice.VARIABLE, "eager")
    assert same(learner.grads(batch), tca.Learner(net, tca.RULES["eprop"]).grads(batch))
    assert repeated == [1]


class Halved(tca.nets.LeakyRNN):
    def run_cells(self, population: Any, inputs: Tensor, *rest: Any, **options: Any) -> Any:
        return super().run_cells(population, inputs / 2, *rest, **options)


def test_passes_of_a_subclass_are_its_own(repeated: list[int]) -> None:
    assert same(*after(Halved(**SIZES), "eprop", step, batch_of(2)))
    assert not repeated


def test_copies_of_a_learner_have_memory_of_their_own(repeated: list[int]) -> None:
    learner, batch = tca.Learner(tca.nets.LeakyRNN(**SIZES), tca.RULES["eprop"]), batch_of(2)
    expected = learner.grads(batch)
    for other in (copy.deepcopy(learner), pickle.loads(pickle.dumps(learner))):
        assert other._workspace is not learner._workspace
        assert same(other.grads(batch), expected)
    assert not repeated
