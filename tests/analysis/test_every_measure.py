"""Every measure on every network runs or says why not, changes nothing, and refuses data that are drawn."""

from __future__ import annotations

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset

import analysis
import tca
from tca import cells, nets
from tests.support.everything import NETS as OF_LIBRARY
from tests.support.everything import normal, trials

Measure = Callable[[Any, tca.Batch], Any]


def moved(net: Any) -> Any:
    """Return a copy with other weights that its constraints allow."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        for each in other.parameters():
            each.mul_(1.1)
    other.project_()
    return other


def last(net: Any) -> str:
    return [name for name, _ in net.named_parameters()][-1]


def order(net: Any) -> Tensor:
    return torch.arange(net.populations()[0].cells).flip(0)


class Near:
    """A task that knows accuracy alone."""

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        return float(outputs.argmax(-1).eq(batch.targets).double().mean())


MEASURES: dict[str, Measure] = {
    "alignment": lambda net, batch: analysis.alignment(net, batch, ["bptt", "three_factor"]),
    "barrier": lambda net, batch: analysis.barrier(net, moved(net), batch, points=3),
    "broadcasting": lambda net, batch: analysis.broadcasting(tca.Learner(net, tca.RULES["sbd"]), batch),
    "check_stability": lambda net, batch: analysis.check_stability(net, one(batch), "bptt", last(net), steps=2),
    "curvature": lambda net, batch: analysis.curvature(net, batch, probes=2, tolerance=0.1),
    "density": lambda net, batch: analysis.density(net, batch, probes=2, steps=3),
    "fixed_points": lambda net, batch: analysis.fixed_points(
        net, batch.inputs[0, 0], analysis.sampled_states(net, batch.inputs, 2), iterations=3
    ),
    "generalization_gap": lambda net, batch: analysis.generalization_gap(net, Near(), batch, batch, input_noise=0.1),
    "gradient_share": lambda net, batch: analysis.gradient_share(net, batch, 2),
    "iterate": lambda net, batch: analysis.iterate(net, one(batch), "bptt", 0.1, last(net), steps=2),
    "landscape": lambda net, batch: analysis.landscape(net, batch, directions="random", points=3),
    "learning_regime": lambda net, batch: analysis.learning_regime(net, moved(net), batch, last(net)),
    "lyapunov": lambda net, batch: analysis.lyapunov(net, normal(6, 15, 2, net.n_in).to(batch.inputs), count=1),
    "match_cells": lambda net, batch: analysis.match_cells(net, moved(net), batch),
    "minimum": lambda net, batch: analysis.minimum(net, one(squared(batch)), last(net), steps=1, tolerance=1e9),
    "operator": lambda net, batch: analysis.operator(net, batch, kind="fisher"),
    "permuted": lambda net, batch: analysis.permuted(net, order(net)),
    "random_sharpness": lambda net, batch: analysis.random_sharpness(net, batch, pairs=2, probes=2),
    "ranks": lambda net, batch: analysis.ranks(
        {name: each for name, each in tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0].items() if each.ndim == 2}
    ),
    "rates": lambda net, batch: analysis.rates(net, batch),
    "rates_of_trials": lambda net, batch: analysis.rates_of_trials(net, batch),
    "sampled_states": lambda net, batch: analysis.sampled_states(net, batch.inputs, 2),
    "sharpness": lambda net, batch: analysis.sharpness(net, batch, steps=2, group=2),
    "spectrum": lambda net, batch: analysis.spectrum(net, batch, k=2, tolerance=0.1),
    "stability": lambda net, batch: analysis.stability(net, one(batch), "bptt", last(net)),
    "tangent_kernel": lambda net, batch: analysis.tangent_kernel(net, one(batch)),
    "trace": lambda net, batch: analysis.trace(net, batch, probes=2),
    "update_jacobian": lambda net, batch: analysis.update_jacobian(net, one(batch), "bptt", last(net)).matrix(),
    "weight_changes": lambda net, batch: analysis.weight_changes(net, moved(net)),
}
OF_ACTIVITY = {  # and records: they take no network
    "cca", "cka", "cka_distance", "distances", "dsa", "linear_dynamics", "load", "load_curves", "load_recording",
    "noise_ceiling", "participation_ratio", "procrustes_distance", "psychometric", "psychometric_by", "reliability",
    "rsa", "svcca",
}  # fmt: skip


def one(batch: tca.Batch) -> tca.Batch:
    return batch.select(slice(0, 1))


def squared(batch: tca.Batch) -> tca.Batch:
    """Return the trials with another loss, which vanishes at a finite place."""
    targets = torch.nn.functional.one_hot(batch.targets, 3).to(batch.inputs)
    return tca.Batch(batch.inputs, targets, batch.weights, tca.losses.MSE())


def seeded(build: Callable[[], Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


class Trial(nn.Module):
    """A whole model with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.drop, self.head = nn.LSTM(3, 4), nn.Dropout(), nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.drop(self.rnn(inputs)[0]))  # type: ignore[no-any-return]


FEEDFORWARD = ("mlp", "cnn", "dual_stream_mlp", "vector_mlp")
RECURRENT = ("stacked_rnn", "spiking_rnn", "dual_stream_rnn", "vector_rnn")
NETS: dict[str, Callable[[], Any]] = {
    **{
        kind: OF_LIBRARY[kind] for kind in (*FEEDFORWARD, "stacked_rnn", "spiking_rnn", "dual_stream_rnn", "vector_rnn")
    },
    "leaky_rnn": lambda: nets.LeakyRNN(3, 4, 3, noise=0.1, autapses=False),
    "gru": lambda: nets.CellRNN(cells.GRU(), 3, 4, 3, noise=0.1),
    "lstm": lambda: nets.CellRNN(cells.LSTM(), 3, 4, 3, readout_tau=20.0),
    "lru": lambda: nets.CellRNN(cells.LRU(), 3, 4, 3, skip=True),
    "alif": lambda: nets.CellRNN(cells.ALIF(), 3, 4, 3),
    "stack of cells": lambda: nets.StackedRNN(3, [nets.CellLayer(3, cells.LRU()), nets.LeakyLayer(4)], 3),
    "from_module": lambda: seeded(lambda: nets.from_module(nn.LSTMCell(3, 4), nn.Linear(4, 3))),
    "wrap": lambda: seeded(lambda: nets.wrap(Trial())),
}
SPIKING = {"stacked_rnn", "spiking_rnn", "alif"}
STACKS = ("stacked_rnn", "stack of cells")


def refusal(measure: str, kind: str) -> str | None:
    """Return the reason for which a measure does not exist in a network, ``None`` if it does."""
    if measure in ("fixed_points", "sampled_states"):
        return "there is no state" if kind in FEEDFORWARD else "must not spike" if kind in SPIKING else None
    if measure == "lyapunov":
        if kind in (*FEEDFORWARD, "wrap"):
            return "must have a state"
        return "must have one population" if kind in STACKS else "must not spike" if kind in SPIKING else None
    if measure in ("match_cells", "permuted"):
        return None if kind == "leaky_rnn" else "cells are matched in a LeakyRNN"
    if measure == "broadcasting":
        reasons = {"wrap": "not defined on a whole model", "from_module": "not defined on a cell module"}
        return reasons.get(kind)
    return None


def kept(net: Any) -> dict[str, Any]:
    """Return copies of all that a measure must leave as it is."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "weights": {name: each.clone() for name, each in net.state_dict().items()},
        "gradients": [each.grad if each.grad is None else each.grad.clone() for each in net.parameters()],
        "flags": [each.requires_grad for each in net.parameters()],
        "modes": [each.training for each in net.modules()],
        "hooks": [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in net.modules()],
        "generators": [torch.get_rng_state(), random.getstate(), numpy_state[1].tobytes(), numpy_state[2:]],
        "settings": [torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()],
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_every_measure_is_listed() -> None:
    assert set(MEASURES) | OF_ACTIVITY == set(analysis.__all__)
    assert not set(MEASURES) & OF_ACTIVITY
    first = {name: next(iter(inspect.signature(getattr(analysis, name)).parameters)) for name in OF_ACTIVITY}
    assert not {name for name, each in first.items() if each in ("net", "before", "learner")}


DAILY = ("mlp", "cnn", "vector_mlp", "leaky_rnn", "spiking_rnn", "gru", "wrap")


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        pytest.param(kind, (torch.float32, torch.float64)[index % 2], marks=[pytest.mark.slow] * (kind not in DAILY))
        for index, kind in enumerate([*NETS, "mlp", "gru"])  # in turn, and these in both
    ],
)
def test_every_measure_runs_or_says_why_not_and_changes_nothing(kind: str, dtype: torch.dtype) -> None:
    net = NETS[kind]().to(dtype).train()
    list(net.modules())[-1].eval()  # a part in another mode
    batch = trials(net).to(dtype=dtype)
    tca.Learner(net, tca.RULES["bptt"]).backward(batch)
    wrong = {}
    for name, measure in MEASURES.items():
        before, expected = kept(net), refusal(name, kind)
        try:
            measure(net, batch)
            found = None
        except (ValueError, TypeError) as error:
            found = str(error)
        lines = str(found).count("\n")
        if lines or (found is None) != (expected is None) or (expected is not None and expected not in str(found)):
            wrong[name] = found
        after = kept(net)
        wrong |= {f"{name} changes {each}": "" for each in before if not same(before[each], after[each])}
    assert not wrong, wrong


class Drawn(Dataset[tuple[Tensor, Tensor]]):
    """Samples with noise, drawn anew by a generator."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.tensor([index / 10, self.draw(), 1.0]), torch.tensor(index % 3)


FIXED = TensorDataset(normal(0, 10, 3), torch.arange(10) % 3)
OWN = np.random.default_rng(0)
LOADERS: dict[str, tuple[Callable[[], DataLoader[Any]], str]] = {
    "shuffle": (lambda: DataLoader(FIXED, 4, shuffle=True), "a loader that shuffles"),
    "batches of a random sampler": (
        lambda: DataLoader(FIXED, batch_sampler=BatchSampler(RandomSampler(FIXED), 4, drop_last=False)),
        "two passes over the loader gave other data",
    ),
    "augmented by torch": (lambda: DataLoader(Drawn(lambda: torch.rand(()).item()), 4), "two passes over the loader"),
    "augmented by its own": (lambda: DataLoader(Drawn(OWN.random), 4), "two passes over the loader"),
}
ON_LOADERS: dict[str, Callable[[nn.Module, Any], Any]] = {
    "barrier": lambda net, data: analysis.barrier(net, copy.deepcopy(net), data, loss=LOSS, points=3),
    "curvature": lambda net, data: analysis.curvature(net, data, loss=LOSS, probes=2),
    "density": lambda net, data: analysis.density(net, data, loss=LOSS, probes=2, steps=3),
    "generalization_gap, training": lambda net, data: analysis.generalization_gap(net, None, data, PAIR, loss=LOSS),
    "generalization_gap, test": lambda net, data: analysis.generalization_gap(net, None, PAIR, data, loss=LOSS),
    "gradient_share": lambda net, data: analysis.gradient_share(net, data, 2, loss=LOSS),
    "landscape": lambda net, data: analysis.landscape(net, data, loss=LOSS, directions="random", points=3),
    "operator": lambda net, data: analysis.operator(net, data, loss=LOSS),
    "random_sharpness": lambda net, data: analysis.random_sharpness(net, data, loss=LOSS, pairs=2, probes=2),
    "rates": lambda net, data: analysis.rates(net, data, "1"),
    "sharpness": lambda net, data: analysis.sharpness(net, data, loss=LOSS),
    "spectrum": lambda net, data: analysis.spectrum(net, data, loss=LOSS, k=1),
    "trace": lambda net, data: analysis.trace(net, data, loss=LOSS, probes=2),
}
LOSS, PAIR = nn.CrossEntropyLoss(), FIXED.tensors
ON_TRIALS = {
    "alignment": lambda net, data: analysis.alignment(net, data, "bptt"),
    "broadcasting": lambda net, data: analysis.broadcasting(tca.Learner(net, tca.RULES["sbd"]), data),
    "check_stability": lambda net, data: analysis.check_stability(net, data, "bptt"),
    "iterate": lambda net, data: analysis.iterate(net, data, "bptt", 0.1),
    "learning_regime": lambda net, data: analysis.learning_regime(net, moved(net), data),
    "match_cells": lambda net, data: analysis.match_cells(net, net, data),
    "minimum": lambda net, data: analysis.minimum(net, data),
    "rates_of_trials": lambda net, data: analysis.rates_of_trials(net, data),
    "stability": lambda net, data: analysis.stability(net, data, "bptt"),
    "tangent_kernel": lambda net, data: analysis.tangent_kernel(net, data),
    "update_jacobian": lambda net, data: analysis.update_jacobian(net, data, "bptt"),
}


def test_every_measure_of_data_is_listed() -> None:
    listed = {name.partition(",")[0] for name in (*ON_LOADERS, *ON_TRIALS)}
    takes = {
        name
        for name in MEASURES
        if {"trials", "train", "test"} & {*inspect.signature(getattr(analysis, name)).parameters}
    }
    assert listed == takes


@pytest.mark.parametrize("words", LOADERS)
@pytest.mark.parametrize("measure", ON_LOADERS)
def test_loaders_that_shuffle_or_augment_are_refused(measure: str, words: str) -> None:
    """By every measure that takes a loader, which accepts the same samples in order; nothing is left changed."""
    build, message = LOADERS[words]
    net = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(), nn.Linear(4, 3))).train()
    before = kept(net)
    with pytest.raises(ValueError, match=message):
        ON_LOADERS[measure](net, build())
    if words == "shuffle":
        assert ON_LOADERS[measure](net, DataLoader(FIXED, 4)) is not None
    assert same(before, kept(net))


@pytest.mark.parametrize("measure", ON_TRIALS)
def test_measures_of_rules_take_no_loader(measure: str) -> None:
    net = nets.MLP(3, [4], 3)
    for build, _ in LOADERS.values():
        with pytest.raises(TypeError, match="trials must be a Trials or a Batch, got <torch"):
            ON_TRIALS[measure](net, build())
