"""What is made, learned or measured inside inference mode is what ordinary use makes, and serves it afterwards."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from analysis import operator
from analysis.curvature.operators import Hessian
from tests.support.everything import EVERYTHING, FOR_RULES, MEASURES, NETS, RUNS, flat, trials


def tensors_of(found: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """Yield every tensor that can be reached from an object."""
    seen = set() if seen is None else seen
    if id(found) in seen or isinstance(found, (type, str)):
        return
    seen.add(id(found))
    if isinstance(found, Tensor):
        yield found
        if found.grad is not None:
            yield found.grad
    elif isinstance(found, Mapping):
        for each in list(found.values()):
            yield from tensors_of(each, seen)
    elif isinstance(found, (list, tuple, set)):
        for each in found:
            yield from tensors_of(each, seen)
    for closed in getattr(found, "__closure__", None) or ():
        yield from tensors_of(closed.cell_contents, seen)
    if hasattr(found, "__dict__") and not isinstance(found, Tensor):
        yield from tensors_of(vars(found), seen)


def ephemeral(*found: Any) -> list[Tensor]:
    """Return the tensors within reach that were made in inference mode."""
    return [each for each in tensors_of(found) if each.is_inference()]


def updated(learner: tca.Learner, optimizer: torch.optim.Optimizer, batch: tca.Batch) -> None:
    optimizer.zero_grad(set_to_none=False)
    learner.backward(batch)
    optimizer.step()
    learner.net.project_()


def learned(rule: tca.Rule, kind: str, first: Callable[[], AbstractContextManager[Any]]) -> list[Any]:
    """Return what is learned from three passes and two steps online, the first pass of either kind in a mode."""
    with first():
        net = NETS[kind]()
        batch = trials(net)
        learner = tca.Learner(net, rule)
        learner.backward(batch)
        learner.follow_weights_()
    assert not ephemeral(net, learner)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for _ in range(2):
        updated(learner, optimizer, batch)
    try:
        with first():
            stream = learner.stream(batch.trials, batch.steps)
    except ValueError:
        stream = None
    if stream is not None:
        assert not ephemeral(stream)
        for t, mode in enumerate((first, nullcontext)):
            with mode():
                stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
            assert not ephemeral(stream)
        optimizer.step()
    assert not ephemeral(learner, stream, dict(optimizer.state))
    outputs = net.functional({}, trials(net).inputs)
    return [dict(net.state_dict()), learner.state_dict(), torch.autograd.grad(outputs.sum(), [*net.parameters()])]


@pytest.mark.thirds
@pytest.mark.parametrize("name", tca.RULES)
def test_a_first_pass_in_inference_mode_leaves_memory_for_any_later_one(name: str) -> None:
    """The network is made there as well, and everything after it is bit for bit what it is without the mode."""
    ran = 0
    for kind in FOR_RULES:
        try:
            wanted = list(flat(learned(tca.RULES[name], kind, nullcontext)))
        except ValueError:
            continue
        ran += 1
        assert list(flat(learned(tca.RULES[name], kind, torch.inference_mode))) == wanted
    assert ran


@pytest.mark.parametrize("kind", NETS)
def test_a_network_of_inference_mode_can_be_trained_by_autograd(kind: str) -> None:
    def gradients(first: Callable[[], AbstractContextManager[Any]]) -> list[Any]:
        with first():
            net = copy.deepcopy(NETS[kind]()).double().float()
            noise = net.draw_noise(4, 5)
        assert not ephemeral(net)
        batch = trials(net)
        net(batch.inputs, None if noise is None else noise.clone()).square().sum().backward()
        return [each.grad for each in net.parameters()]

    assert list(flat(gradients(torch.inference_mode))) == list(flat(gradients(nullcontext)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_made_in_inference_mode_is_made_outside_of_it(dtype: torch.dtype) -> None:
    with torch.inference_mode():
        made = [tca.nets.LeakyRNN(3, 4, 2, dtype=dtype, noise=0.1), tca.nets.MLP(3, [4], 2, dtype=dtype)]
    assert not any(map(ephemeral, made))


def test_products_are_taken_outside_of_inference_mode() -> None:
    """Of a function that only autograd can differentiate, and over trials made inside."""
    quartic = Hessian([lambda theta: theta.pow(4).sum()], torch.tensor([1.0, 2.0]).double(), keep=False)
    vectors = torch.eye(2, dtype=torch.float64)
    net = tca.nets.LeakyRNN(3, 4, 2, dtype=torch.float64)
    with torch.inference_mode():
        inside, batch = quartic @ vectors, trials(net)
    assert inside.tolist() == [[12.0, 0.0], [0.0, 48.0]]
    try:
        found = operator(net, batch, "all").matrix()
    except RuntimeError as error:
        pytest.fail(str(error))
    assert torch.equal(found, operator(net, trials(net), "all").matrix())


@pytest.mark.thirds
@pytest.mark.parametrize("name", MEASURES)
def test_measures_are_the_same_without_a_graph(name: str) -> None:
    wanted = list(flat(EVERYTHING[f"measure {name}"]()))
    with torch.inference_mode():
        try:
            found = list(flat(EVERYTHING[f"measure {name}"]()))
        except RuntimeError as error:
            found = [("error", str(error).encode())]
    assert found == wanted


def test_a_run_inside_inference_mode_returns_a_learner_that_goes_on() -> None:
    def learner(first: Callable[[], AbstractContextManager[Any]]) -> list[Any]:
        with first():
            found = tca.train(RUNS["leaky"], progress=False)
        updated(found.learner, torch.optim.SGD(found.net.parameters(), lr=0.1), trials(found.net))
        return [dict(found.net.state_dict()), found.learner.state_dict()]

    assert list(flat(learner(torch.inference_mode))) == list(flat(learner(nullcontext)))


def test_a_workspace_of_inference_mode_serves_ordinary_passes() -> None:
    net = NETS["leaky_rnn"]()
    inputs, space = trials(net).inputs, tca.utils.numerics.Workspace()
    with torch.inference_mode():
        net.run(inputs, workspace=space)
    assert not ephemeral(space)
    assert torch.equal(net.run(inputs, workspace=space).outputs, net.run(inputs).outputs)


def test_what_is_unpickled_in_inference_mode_stays_there() -> None:
    written = pickle.dumps(NETS["leaky_rnn"]())
    with torch.inference_mode():
        found = pickle.loads(written)
    assert all(each.is_inference() for each in found.parameters())
    assert not ephemeral(pickle.loads(written))


def fitting(rule: tca.Rule) -> tuple[tca.Learner, tca.Batch]:
    """Return a learner after its first pass, on the first network that fits the rule."""
    for kind in FOR_RULES:
        net = NETS[kind]()
        batch = trials(net)
        try:
            learner = tca.Learner(net, rule)
            learner.backward(batch)
        except ValueError:
            continue
        return learner, batch
    raise AssertionError(f"no network fits {rule}")


def again(learner: tca.Learner) -> tca.Learner:
    found: tca.Learner = pickle.loads(pickle.dumps(learner))
    return found


def in_inference_mode(learner: tca.Learner) -> tca.Learner:
    with torch.inference_mode():
        return copy.deepcopy(learner)


@pytest.mark.thirds
@pytest.mark.parametrize("copied", [copy.deepcopy, in_inference_mode, again])
@pytest.mark.parametrize("name", tca.RULES)
def test_a_copy_of_a_learner_goes_on_as_the_original_and_apart_from_it(name: str, copied: Any) -> None:
    learner, batch = fitting(tca.RULES[name])
    other = copied(learner)
    assert not ephemeral(other)
    ours, theirs = ({each.data_ptr() for each in tensors_of(one)} for one in (learner, other))
    assert not (ours & theirs) - {0}
    learner.net.zero_grad()
    other.net.zero_grad()
    before = list(flat([dict(learner.net.state_dict()), learner.state_dict()]))
    optimizer = torch.optim.SGD(other.net.parameters(), lr=0.1)
    updated(other, optimizer, batch)
    assert list(flat([dict(learner.net.state_dict()), learner.state_dict()])) == before
    updated(learner, torch.optim.SGD(learner.net.parameters(), lr=0.1), batch)
    after = [[dict(one.net.state_dict()), one.state_dict()] for one in (learner, other)]
    assert list(flat(after[0])) == list(flat(after[1])) != before
