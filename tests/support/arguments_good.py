"""Arguments that public callables take: by the name of the parameter, or by callable and parameter."""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

import analysis.statistics
import tasks
import tca
from analysis.curvature.eigensolvers import Pair
from analysis.figures import Series
from tca import losses, nets, signals
from tca.cells import GRU
from tca.cells.surrogate_gradients import Triangular
from tca.experiments.records.result import Metrics
from tca.signals.diffusion import fields


def _net(**options: Any) -> nets.LeakyRNN:
    return nets.LeakyRNN(3, 4, 2, **{"dtype": torch.float64, **options})


def _batch() -> tca.Batch:
    draw = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(5, 6, size, generator=draw, dtype=torch.float64) for size in (3, 2))
    return tca.Batch(inputs, targets, torch.full((5, 6), 0.2, dtype=torch.float64), losses.MSE())


def _activity() -> Tensor:
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _learner(rule: str = "eprop", **options: Any) -> tca.Learner:
    return tca.Learner(_net(**options), tca.RULES[rule])


def _run(task: str = "delayed_xor", **options: Any) -> tca.Run:
    sizes = {"steps": 1, "n_train": 2, "n_test": 2, "batch_size": 2, "net": tca.NetworkConfig(size=4)}
    return tca.Run(task, **{**sizes, **options})


def _streams() -> nets.DualStreamMLP:
    return nets.DualStreamMLP(3, [4], 2)


def _operator() -> analysis.curvature.operators.Operator:
    return analysis.operator(_net(), _batch())


def _metrics() -> Metrics:
    return Metrics(1, 0.5, 0.5, 0.5, 0.5, 0.1, {})


def _series() -> list[Series]:
    return [Series("panel", "label", seed, [1.0, 2.0], [0.5, 0.25]) for seed in (0, 1)]


def _pair() -> Pair:
    return Pair(1.0, torch.ones(3, dtype=torch.float64), 0.0)


def _cube() -> Tensor:
    return torch.randn(12, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _split() -> Any:
    trials, _ = tasks.images("digits").split(8, 4, 0)
    return trials


def _layers(kind: Callable[..., Any]) -> Mapping[str, Callable[[], Any]]:
    return {"shape": lambda: (1, 6, 6), "layers": lambda: [kind(2)]}


def _parabola(theta: Tensor) -> Tensor:
    return theta.square().sum()


FLAT = {"shape": lambda: 3, "layers": lambda: [nets.DenseLayer(4)]}
CONV, LOCAL = _layers(nets.ConvLayer), _layers(nets.LocalLayer)
SIZED = {"sizes": lambda: [4]}
THETA = {"theta": lambda: torch.ones(3, dtype=torch.float64)}
WHOLE = {"trials": _cube}
FILE = Path(tempfile.gettempdir()) / "tca-tests-of-arguments"

GOOD: Mapping[str, Callable[[], Any]] = {
    "net": _net,
    "other": _net,
    "before": _net,
    "after": _net,
    "matrices": lambda: {"w": torch.eye(3)},
    "batch": _batch,
    "trials": _batch,
    "train": _batch,
    "test": _batch,
    "x": _activity,
    "y": _activity,
    "activity": _activity,
    "n_in": lambda: 3,
    "n_rec": lambda: 4,
    "n_out": lambda: 2,
    "rule": lambda: tca.RULES["eprop"],
    "cell": GRU,
    "default": lambda: 0.5,
    "rules": lambda: "eprop",
    "learner": _learner,
    "loss": losses.MSE,
    "run": _run,
    "runs": lambda: [_run()],
    "operator": _operator,
    "size": lambda: 4,
    "channels": lambda: 2,
    "series": _series,
    "weight": lambda: 0.1,
    "post": lambda: 9,
    "pre": lambda: 9,
    "seed": lambda: 0,
}


def _recording() -> Path:
    """Return a file with activity of neurons."""
    path = Path(tempfile.mkdtemp()) / "cells.npz"
    np.savez(path, rate=np.ones((5, 4, 3)))
    return path


JUDGED: dict[str, Callable[[], Any]] = {
    "net_or_choices": lambda: [0, 1, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0],
    "trials": lambda: tasks.from_arrays(
        np.zeros((3, 12, 1)), [0, 1, 1] * 4, info={"evidence": [-1.0, 1.0, 2.0] * 4, "context": [0] * 12}
    ),
}


@functools.cache
def _curve() -> analysis.behaviour.psychometric.Psychometric:
    return analysis.psychometric(*(each() for each in JUDGED.values()), lapse=0.0)


SPECIAL: Mapping[str, Mapping[str, Callable[[], Any]]] = {
    "tca.Batch": {
        "inputs": lambda: torch.zeros(2, 2, 3),
        "targets": lambda: torch.zeros(2, 2, 2),
        "weights": lambda: torch.ones(2, 2),
        "decisions": lambda: torch.ones(2, 2, dtype=torch.bool),
    },
    "tca.NetworkConfig": {"kind": lambda: "leaky_rnn", "options": lambda: {"n_rec": 4}},
    "tca.Rule": {"signal": signals.Direct, "eligibility": tca.eligibilities.Diagonal},
    "tca.check_task": {"task": lambda: "delayed_xor"},
    "tca.kernels.use": {"name": lambda: "auto"},
    "tca.register_rule": {"name": lambda: "own_rule"},
    "tca.Run": {"task": lambda: "delayed_xor", "rule": lambda: "eprop"},
    "tca.train": {"progress": lambda: False},
    "tca.train_together": {"progress": lambda: False},
    "tca.losses.expansions.Seen": {"outputs": lambda: torch.ones(2, 2)},
    "tca.signals.diffusion.fields.Field": {"space": lambda: fields.Grid((4,)), "propagator": lambda: fields.Box(0.5)},
    "tca.signals.diffusion.fields.Graph": {"edges": lambda: ((0, 1, 1.0), (2, 3, 1.0), (1, 2, 1.0))},
    "tca.signals.diffusion.fields.Grid": {"shape": lambda: (4, 4)},
    "tca.losses.Admissibility": {"holds": lambda: True, "reason": lambda: "it does"},
    "tca.losses.Bregman": {"generator": losses.generators.SquaredNorm},
    "tca.losses.ExponentialFamily": {"family": losses.families.GaussianFamily},
    "tca.nets.CNN": CONV,
    "tca.nets.MLP": SIZED,
    "tca.nets.AlternatingNet": FLAT,
    "tca.nets.DualStream": FLAT,
    "tca.nets.DualStreamCNN": CONV,
    "tca.nets.DualStreamMLP": SIZED,
    "tca.nets.Feedforward": FLAT,
    "tca.nets.LocalNet": LOCAL,
    "tca.nets.Relayed": {"net": _streams},
    "tca.nets.StackedRNN": {"layers": lambda: [nets.LeakyLayer(4), 3]},
    "tca.nets.VectorCNN": CONV,
    "tca.nets.VectorLocalNet": LOCAL,
    "tca.nets.VectorMLP": SIZED,
    "tca.nets.VectorNet": FLAT,
    "tca.nets.from_module": {"cell": lambda: torch.nn.GRUCell(3, 4), "readout": lambda: torch.nn.Linear(4, 2)},
    "tca.nets.relayed": {"net": _streams},
    "tca.nets.wrap": {"model": lambda: torch.nn.Linear(3, 2)},
    "tca.cells.surrogate_gradients.spike": {"distance": lambda: torch.ones(2), "surrogate_gradient": Triangular},
    "tca.signals.Regularised": {"signal": signals.Direct, "regularisers": lambda: (tca.regularisers.Power(0.1),)},
    "tca.signals.Share": {"updates": lambda: 10},
    "tca.signals.TimeConstant": {"updates": lambda: 10.0},
    "tca.signals.decorrelation.averages.warn_if_fast": {"lam": lambda: 0.99},
    "tca.signals.decorrelation.observables.Polynomial": {"coefficients": lambda: [0.0, 1.0]},
    "tca.signals.decorrelation.score_sources.output_error": {
        "outputs": lambda: torch.zeros(5, 6, 2, dtype=torch.float64), "needed_by": lambda: "a test"
    },
    "tca.signals.feedback_weights.check_fraction": {"argument": lambda: "fraction", "value": lambda: 0.5},
    "tca.experiments.loggers.logged": {"loggers": lambda: (), "folder": lambda: None, "before": lambda: ()},
    "tca.experiments.loggers.loggers_of": {"loggers": lambda: ()},
    "tca.experiments.sweep.Swept": {"folder": lambda: FILE, "outcome": lambda: "open"},
    "tca.experiments.sweep.grid": {"axes": lambda: {"seeds.net": [0, 1]}},
    "tca.experiments.sweep.read_runs": {"target": lambda: f"{__file__}:swept"},
    "analysis.load": {"folder": lambda: tempfile.mkdtemp()},
    "analysis.load_curves": {"runs": lambda: []},
    "tca.experiments.sweep.sweep": {"folder": lambda: FILE, "runs": lambda: [], "progress": lambda: False},
    "tca.experiments.reinforcement.actor_critic.advantages": {
        "rewards": lambda: torch.ones(3, 2),
        "values": lambda: torch.ones(4, 2),
        "terminated": lambda: torch.zeros(3, 2, dtype=torch.bool),
        "discount": lambda: 0.9,
        "trace_decay": lambda: 0.9,
    },
    "tca.tape.weight_estimates.TypeMeans": {"members": lambda: torch.ones(2, 1), "weights": lambda: torch.ones(1, 1)},
    "tca.nets.masks.mask_of": {"described": lambda: {"sparse": {"density": 0.5}}},
    "tca.nets.masks.filled_mask": {"described": lambda: {"sparse": {"density": 0.5}}},
    "tca.nets.masks.torus_chance": {"side": lambda: 3},
    "tca.utils.noise.source": {"seed": lambda: torch.tensor(0)},
    "tca.experiments.config.schedules.schedule_of": {"values": lambda: {"kind": "cosine"}},
    "tca.experiments.config.callbacks.Callback": {"name": lambda: "alignment"},
    "tasks.describe": {"name": lambda: "delayed_xor"},
    "tasks.make": {"name": lambda: "delayed_xor"},
    "tasks.images.ImageTrials": {
        "pixels": lambda: _split().pixels, "chosen_N": lambda: torch.arange(4), "view": lambda: _split().view
    },
    "tasks.images.fetch": {"name": lambda: "digits"},
    "tasks.images.KnownSet": {
        "title": lambda: "Title",
        "hub": lambda: "hub",
        "train": lambda: 10,
        "test": lambda: 10,
        "shape": lambda: (1, 8, 8),
        "classes": lambda: 2,
        "lossless": lambda: True,
        "reference": lambda: "paper",
    },
    "analysis.alignment": {},
    "analysis.broadcasting": {
        "learner": lambda: tca.Learner(nets.MLP(3, [4], 2, dtype=torch.float64), tca.RULES["ebd"])
    },
    "analysis.check_stability": {"rules": lambda: "bptt"},
    "analysis.cca": {},
    "analysis.distances": {"activities": lambda: {"a": _activity(), "b": _activity()}},
    "analysis.dsa": {"x": _cube, "y": _cube},
    "analysis.fixed_points": {
        "inputs": lambda: [0.0, 0.0, 0.0], "starts": lambda: torch.zeros(2, 4, dtype=torch.float64)
    },
    "analysis.generalization_gap": {"task": lambda: tasks.make("flip_flop", bits=2)},
    "analysis.iterate": {"rate": lambda: 0.1, "rule": lambda: "bptt"},
    "analysis.linear_dynamics": {"activity": _cube},
    "analysis.lyapunov": {"inputs": lambda: torch.zeros(20, 1, 3)},
    "analysis.minimum": {"tolerance": lambda: 10.0},
    "analysis.noise_ceiling": {"repeats": lambda: torch.stack([_cube(), _cube() + 0.1 * _cube().flip(0)])},
    "analysis.permuted": {"order": lambda: torch.tensor([1, 0, 3, 2])},
    "analysis.rates": {"inputs": lambda: _batch().inputs},
    "analysis.reliability": {"repeats": lambda: torch.stack([_cube(), _cube() + 0.1 * _cube().flip(0)])},
    "analysis.sampled_states": {"inputs": lambda: _batch().inputs, "count": lambda: 3},
    **{f"analysis.{each}": {"trials": _batch} for each in ("density", "spectrum", "trace")},
    "analysis.update_jacobian": {"rule": lambda: "eprop"},
    "analysis.curvature.eigensolvers.Ends": {"tops": lambda: (_pair(),), "bottoms": lambda: (_pair(),)},
    "analysis.curvature.eigensolvers.Pair": {
        "value": lambda: 1.0, "vector": lambda: torch.ones(3), "residual": lambda: 0.0,
    },
    "analysis.figures.Series": {
        "panel": lambda: "panel", "label": lambda: "label", "x": lambda: [1.0], "y": lambda: [1.0]
    },
    "analysis.figures.save": {
        "figure": Figure, "path": lambda: FILE / "figure.svg", "x_name": lambda: "x", "y_name": lambda: "y"
    },
    "analysis.curvature.operators.Block": {"whole": _operator, "parameters": lambda: slice(0, 4)},
    "analysis.curvature.operators.BlockDiagonal": {"blocks": lambda: [_operator()]},
    "analysis.curvature.operators.Hessian": {**THETA, "losses": lambda: [_parabola]},
    "analysis.curvature.operators.Pullback": {
        **THETA, "functions": lambda: [torch.sin], "metrics": lambda: [lambda y: lambda v: v]
    },
    "analysis.curvature.operators.UpdateJacobian": {**THETA, "field": lambda: torch.sin},
    "analysis.generalization.conditions.Changed": {"options": lambda: {"delay": 300.0}},
    "analysis.generalization.conditions.changed_task": {
        "task": lambda: tasks.make("delayed_xor"), "options": lambda: {"delay": 300.0}
    },
    "analysis.load_recording": {"file": _recording},
    "analysis.psychometric": {**JUDGED, "lapse": lambda: 0.0},
    "analysis.psychometric_by": {**JUDGED, "by": lambda: "context"},
    "analysis.figures.psychometric_curves": {"curves": lambda: {"net": _curve()}},
    "tca.nets.CellLayer": {"cell": GRU},
    "analysis.statistics.mean": {"values": lambda: [1.0, 2.0, 4.0]},
    "analysis.statistics.paired_difference": {
        "first": lambda: {0: 1.0, 1: 2.0, 2: 4.0}, "second": lambda: {0: 1.5, 1: 2.0, 2: 3.0}
    },
    "analysis.statistics.rank_correlation.rank_correlation": {
        "x": lambda: [1.0, 2.0, 3.0, 4.0],
        "y": lambda: [1.0, 3.0, 2.0, 4.0],
        "seeds": lambda: [0, 0, 1, 1],
        "arms": lambda: ["a", "b", "a", "b"],
    },
    "analysis.statistics.bootstrap": {"values": lambda: [1.0, 2.0, 4.0], "statistic": lambda: np.mean},
    "analysis.statistics.holm": {"p": lambda: [0.01, 0.5]},
    "analysis.statistics.verdict": {"difference": lambda: analysis.statistics.mean([1.0, 2.0, 4.0])},
    "tasks.images": {"name": lambda: "digits"},
    "tasks.FixedTask": {"trials": lambda: tasks.make("delayed_xor").split(5, 1, seed=0)[0]},
    "tasks.from_arrays": {"inputs": lambda: np.zeros((5, 3, 2)), "targets": lambda: [0, 1, 1]},
    "tasks.from_dataset": {
        "dataset": lambda: torch.utils.data.TensorDataset(torch.zeros(4, 7, 2), torch.zeros(4, dtype=torch.int64))
    },
    "tasks.register": {"name": lambda: "delayed_xor_of_mine", "factory": lambda: "tasks.native.delayed_xor:DelayedXor"},
    "tca.Callback": {"name": lambda: "alignment"},
    "tca.signals.error_diffusion.PolicyRouting": {"components": lambda: 2},
    "tasks.sequential_images": {"name": lambda: "digits"},
}  # fmt: skip


def swept() -> list[tca.Run]:
    """Return the runs of a sweep file."""
    return [_run()]


def arguments(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments of a call that must succeed: what has no default, and what is named for the callable."""
    special = SPECIAL.get(name, {})
    found = {}
    for each in inspect.signature(call).parameters.values():
        if each.name in special:
            found[each.name] = special[each.name]()
        elif each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            found[each.name] = GOOD[each.name]()
    return found


def called(call: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Return what a call returns, with positional arguments where there is no other way."""
    names = inspect.signature(call).parameters
    alone = [value for name, value in values.items() if names[name].kind is inspect.Parameter.POSITIONAL_ONLY]
    return call(
        *alone,
        **{name: value for name, value in values.items() if names[name].kind is not inspect.Parameter.POSITIONAL_ONLY},
    )
