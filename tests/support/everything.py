"""Everything that the library computes, small: what a default or a mode of torch must not change.

Every tensor made here names its type and its device, as in the library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

import analysis
import tasks
import tca
from tca.losses import LOSSES, CrossEntropy, Loss
from tca.nets import (
    CNN,
    MLP,
    AlternatingNet,
    AvgPool,
    ConvLayer,
    DenseLayer,
    Dropout,
    DualStreamCNN,
    DualStreamMLP,
    DualStreamRNN,
    Feedforward,
    LeakyLayer,
    LeakyRNN,
    LocalLayer,
    LocalNet,
    MaxPool,
    Network,
    RMSNorm,
    SpikingLayer,
    SpikingRNN,
    StackedRNN,
    VectorCNN,
    VectorLocalNet,
    VectorMLP,
    VectorNet,
    VectorRNN,
)
from tests.support.cases import TARGETS

MAPS = (1, 6, 6)
MASK = [[(post + pre) % 3 > 0 for pre in range(6)] for post in range(6)]
TAUS = [20.0, 50.0, 100.0, 30.0, 20.0, 10.0]

NETS: dict[str, Callable[[], Network]] = {
    "leaky_rnn": lambda: LeakyRNN(
        3, 6, 3, tau=TAUS, cell_types=(0.7, 0.3), dale=(1, -1), noise=0.3, mask_rec=MASK, readout_tau=30.0
    ),
    "leaky_rnn of form B": lambda: LeakyRNN(3, 6, 3, form="B", leak="euler", noise=0.3, autapses=False),
    "stacked_rnn": lambda: StackedRNN(
        3, [LeakyLayer(5, learn_initial=True, noise=0.2), SpikingLayer(6, gain_in=9.0, noise=0.2), LeakyLayer(4)], 3
    ),
    "spiking_rnn": lambda: SpikingRNN(3, 6, 3, gain_in=4.0, tau_adaptation=30.0, mask_rec=MASK, noise=0.2),
    "dual_stream_rnn": lambda: DualStreamRNN(3, 4, 3, noise=0.1),
    "vector_rnn": lambda: VectorRNN(3, 6, 3),
    "feedforward": lambda: Feedforward(3, [DenseLayer(5)], 3, masks={"w_1": [row[:3] for row in MASK[:5]]}),
    "mlp": lambda: MLP(3, [6, 4], 3, then=(RMSNorm(), Dropout())),
    "cnn": lambda: CNN(
        MAPS, [ConvLayer(2, then=(MaxPool(),)), ConvLayer(2, kernel=1, then=(AvgPool(),)), DenseLayer(4)], 3
    ),
    "local_net": lambda: LocalNet(MAPS, [LocalLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3),
    "dual_stream_mlp": lambda: DualStreamMLP(3, [3, 2], 3),
    "dual_stream_cnn": lambda: DualStreamCNN(MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(3)], 3),
    "alternating_net": lambda: AlternatingNet(MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3),
    "vector_net": lambda: VectorNet(3, [DenseLayer(4)], 3),
    "vector_mlp": lambda: VectorMLP(3, [6, 4], 3),
    "vector_cnn": lambda: VectorCNN(MAPS, [ConvLayer(2, then=(AvgPool(),)), DenseLayer(4)], 3),
    "vector_local_net": lambda: VectorLocalNet((1, 4, 4), [LocalLayer(2), DenseLayer(4)], 3),
}
FOR_RULES = ("leaky_rnn", "leaky_rnn of form B", "spiking_rnn", "mlp", "dual_stream_rnn", "vector_mlp", "vector_rnn")


def normal(seed: int, *shape: int) -> Tensor:
    """Return normal numbers in single precision."""
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float32, device="cpu")


def trials(net: Network, loss: Loss | None = None, target: Callable[[Tensor], Tensor] | None = None) -> tca.Batch:
    """Return five trials of four steps."""
    targets = (target or TARGETS["cross_entropy"])(normal(1, 4, 5, net.n_out))
    weights = torch.full((4, 5), 0.25, dtype=torch.float32, device="cpu")
    return tca.Batch(normal(2, 4, 5, net.n_in), targets, weights, loss or CrossEntropy())


def of_network(kind: str) -> Iterator[Any]:
    """Yield what a network is made of, draws, computes and learns."""
    net = NETS[kind]()
    batch = trials(net)
    yield dict(net.state_dict())
    noise = net.draw_noise(batch.steps, batch.trials)
    yield noise, net(batch.inputs, noise), net.functional({}, batch.inputs)
    learner = tca.Learner(net, tca.RULES["bptt"])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        yield learner.backward(batch).loss, [each.grad for each in net.parameters()]
        optimizer.step()
        net.project_()
    yield dict(net.state_dict())


def of_rule(name: str) -> Iterator[Any]:
    """Yield what a rule makes of networks that it fits: twice the change, its state and its signals; then online."""
    ran = 0
    for kind in FOR_RULES:
        net = NETS[kind]()
        batch = trials(net)
        try:
            learner = tca.Learner(net, tca.RULES[name])
            learner.backward(batch)
        except ValueError as refusal:
            yield str(refusal)
            continue
        learner.backward(batch)
        ran += 1
        yield [each.grad for each in net.parameters()], dict(learner.state_dict())
        try:
            stream = learner.stream(batch.trials, batch.steps)
            for t in range(batch.steps):
                yield stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
        except ValueError as refusal:
            yield str(refusal)
        yield [each.grad for each in net.parameters()]
    assert ran, name


def of_loss(name: str) -> Iterator[Any]:
    """Yield what a loss costs, its score and its curvature."""
    net = LeakyRNN(3, 6, 4)
    batch = trials(net, LOSSES[name], TARGETS[name])
    yield [tca.Learner(net, tca.RULES[rule]).grads(batch)[0] for rule in ("bptt", "eprop_random")]
    yield tca.Learner(net, tca.RULES["bptt"]).backward(batch).loss


def of_task(name: str) -> Iterator[Any]:
    """Yield what a task draws."""
    task = tasks.make(name, **{"dt": 10.0, "per_group": 3} if name.endswith("_spikes") else {})
    yield [part.batch() for part in task.split(6, 5, seed=0)]
    yield list(islice(task.stream(3, seed=1), 2))


NEUROGYM = ("PerceptualDecisionMaking-v0", "ReadySetGo-v0", "yang19.go-v0")


def numbers(seed: int = 3) -> Tensor:
    """Return activity, 6 steps of 5 trials of 3 cells."""
    return normal(seed, 6, 5, 3).cumsum(0)


def measured() -> tuple[Network, tca.Batch]:
    """Return a network and trials for measures."""
    net = LeakyRNN(3, 4, 2, seed=3)
    return net, trials(net, LOSSES["mse"], lambda drawn: 0.1 * drawn)


def _hessian() -> Any:
    net, batch = measured()
    return analysis.operator(net, batch)


def _minimum(net: Network, batch: tca.Batch) -> Network:
    return analysis.minimum(net, batch.select(slice(0, 1)), "all", factor=0.8, tolerance=1e-12)


def _recorded() -> Tensor:
    """Return activity that is written to a file and read again."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/cells.npz", rate=np.arange(24.0).reshape(2, 4, 3))
        return analysis.load_recording(f"{folder}/cells.npz").activity


def _judged() -> tuple[list[int], tca.Batch]:
    """Return choices with their trials."""
    trials, _ = tasks.make("context_decision", stimulus=200.0, delay=100.0).split(40, 1, seed=0)
    return [1 + (each % 3 > 0) for each in range(40)], trials.batch()


def _repeats() -> Tensor:
    return numbers().expand(6, 6, 5, 3) + normal(4, 6, 6, 5, 3)


MEASURES: Mapping[str, Callable[[Network, tca.Batch], Any]] = {
    "alignment": lambda net, batch: analysis.alignment(net, batch, ["eprop", "eprop_random"]),
    "barrier": lambda net, batch: analysis.barrier(net, LeakyRNN(3, 4, 2, seed=4), batch, match="activity", points=5),
    "broadcasting": lambda net, batch: analysis.broadcasting(tca.Learner(net, tca.RULES["sbd"]), batch),
    "cca": lambda net, batch: analysis.cca(numbers(3), numbers(4), 2),
    "check_stability": lambda net, batch: analysis.check_stability(
        _minimum(net, batch), batch.select(slice(0, 1)), ["bptt"], "all", steps=20
    ),
    "cka": lambda net, batch: [analysis.cka(numbers(3), numbers(4), debiased=each) for each in (False, True)],
    "cka_distance": lambda net, batch: analysis.cka_distance(numbers(3), numbers(4)),
    "curvature": lambda net, batch: analysis.curvature(net, batch),
    "density": lambda net, batch: [analysis.density(_hessian(), probes=2, steps=each) for each in (4, 40)],
    "distances": lambda net, batch: analysis.distances({"a": numbers(3), "b": numbers(4)}),
    "dsa": lambda net, batch: analysis.dsa(numbers(3), numbers(4), rank=2, starts=1),
    "fixed_points": lambda net, batch: analysis.fixed_points(net, [0.0, 0.5, 0.0], normal(5, 3, 4)),
    "generalization_gap": lambda net, batch: analysis.generalization_gap(
        net, tasks.make("delayed_xor"), trials(net), trials(net), input_noise=0.1
    ),
    "gradient_share": lambda net, batch: analysis.gradient_share(net, batch, 2),
    "iterate": lambda net, batch: analysis.iterate(
        _minimum(net, batch), batch.select(slice(0, 1)), "bptt", 0.1, "all", steps=5
    ),
    "landscape": lambda net, batch: [analysis.landscape(net, batch, directions=each, points=5, dimensions=2)
                                     for each in ("sharpest", "random")],
    "learning_regime": lambda net, batch: analysis.learning_regime(net, LeakyRNN(3, 4, 2, seed=4), batch),
    "linear_dynamics": lambda net, batch: analysis.linear_dynamics(numbers(), rank=2, ridge=0.1),
    "lyapunov": lambda net, batch: analysis.lyapunov(net, normal(6, 15, 2, 3), count=2),
    "match_cells": lambda net, batch: analysis.match_cells(net, LeakyRNN(3, 4, 2, seed=4), batch),
    "minimum": lambda net, batch: dict(_minimum(net, batch).state_dict()),
    "noise_ceiling": lambda net, batch: analysis.noise_ceiling(_repeats(), splits=3),
    "operator": lambda net, batch: [analysis.operator(net, batch, kind=each).matrix()
                                    for each in ("hessian", "gauss_newton", "fisher", "empirical_fisher")],
    "participation_ratio": lambda net, batch: analysis.participation_ratio(numbers()),
    "permuted": lambda net, batch: dict(
        analysis.permuted(net, torch.tensor([2, 0, 3, 1], dtype=torch.int64, device="cpu")).state_dict()
    ),
    "procrustes_distance": lambda net, batch: analysis.procrustes_distance(numbers(3), np.linspace(0, 1, 30)[:, None]),
    "load_recording": lambda net, batch: _recorded(),
    "psychometric": lambda net, batch: analysis.psychometric(*_judged(), lapse=0.0),
    "psychometric_by": lambda net, batch: analysis.psychometric_by(*_judged(), by="context", lapse=0.0),
    "random_sharpness": lambda net, batch: analysis.random_sharpness(net, batch, pairs=2, probes=2, allowed=0.5),
    "ranks": lambda net, batch: analysis.ranks(tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]),
    "rates": lambda net, batch: analysis.rates(net, batch),
    "rates_of_trials": lambda net, batch: analysis.rates_of_trials(net, batch),
    "reliability": lambda net, batch: analysis.reliability(_repeats(), splits=3),
    "rsa": lambda net, batch: analysis.rsa(numbers(3), numbers(4)),
    "sampled_states": lambda net, batch: analysis.sampled_states(net, batch.inputs, 3),
    "sharpness": lambda net, batch: analysis.sharpness(net, batch, steps=2),
    "spectrum": lambda net, batch: [analysis.spectrum(_hessian(), k=k, engine=each)
                                    for k, each in ((2, "lanczos"), (2, "auto"))],
    "stability": lambda net, batch: analysis.stability(net, batch, ["bptt", "eprop"]),
    "svcca": lambda net, batch: analysis.svcca(numbers(3), numbers(4)),
    "tangent_kernel": lambda net, batch: analysis.tangent_kernel(net, batch),
    "trace": lambda net, batch: [analysis.trace(_hessian(), estimator=each, probes=6)
                                 for each in ("hutchinson", "hutch++", "xtrace")],
    "update_jacobian": lambda net, batch: [analysis.update_jacobian(net, batch.select(slice(0, 2)), each).matrix()
                                           for each in ("eprop", "eprop_adaptive", "sbd", "kernl")],
    "weight_changes": lambda net, batch: analysis.weight_changes(net, LeakyRNN(3, 4, 2, seed=4)),
}  # fmt: skip


def of_measure(name: str) -> Iterator[Any]:
    """Yield a measure."""
    yield MEASURES[name](*measured())


def of_run(name: str) -> Iterator[Any]:
    """Yield the weights and the measurements of a run."""
    found = tca.train(RUNS[name], progress=False)
    yield dict(found.net.state_dict()), [(each.step, vars(each).get("loss")) for each in found.metrics]


SMALL = {"steps": 3, "batch_size": 4, "n_train": 8, "n_test": 6, "evaluate_every": 2}
RUNS = {
    "leaky": tca.Run("delayed_xor", "eprop_adaptive", net=tca.NetworkConfig(size=6, noise=0.1), **SMALL),
    "spiking": tca.Run("evidence_accumulation_spikes", "eprop", net=tca.NetworkConfig("spiking_rnn", {"n_rec": 6}),
                       task_options={"dt": 10.0, "per_group": 3}, **SMALL),
    "images": tca.Run("sequential_digits", "sbd", net=tca.NetworkConfig("mlp", {"sizes": [6]}), **SMALL),
}  # fmt: skip

EVERYTHING: dict[str, Callable[[], Iterator[Any]]] = {
    f"{what} {name}": lambda show=show, name=name: show(name)
    for what, show, names in (
        ("network", of_network, NETS),
        ("rule", of_rule, tca.RULES),
        ("loss", of_loss, LOSSES),
        ("task", of_task, [*tasks.NATIVE, *NEUROGYM]),
        ("measure", of_measure, MEASURES),
        ("run", of_run, RUNS),
    )
    for name in names
}


def flat(found: Any) -> Iterator[tuple[str, bytes]]:
    """Yield the type and the bits of every number in a result, in order."""
    if isinstance(found, Tensor):
        assert found.device.type == "cpu", "a default device has had its say"
        yield f"{found.dtype} {tuple(found.shape)}", found.detach().resolve_conj().contiguous().numpy().tobytes()
    elif isinstance(found, np.ndarray):
        yield f"{found.dtype} {found.shape}", found.tobytes()
    elif is_dataclass(found) and not isinstance(found, type):
        for each in fields(found):
            yield from flat(getattr(found, each.name))
    elif isinstance(found, Mapping):
        for name in found:
            yield from flat(found[name])
    elif isinstance(found, (list, tuple, Iterator)):
        for each in found:
            yield from flat(each)
    else:
        yield type(found).__name__, repr(found).encode()
