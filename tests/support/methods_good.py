"""Objects whose public methods are tried, and arguments that the methods take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import tasks
import tca
from tasks.images import Noise
from tca import losses
from tca.experiments.sweep import Swept
from tests.support.arguments_good import FILE
from tests.support.arguments_good import _batch as batch
from tests.support.arguments_good import _learner as learner
from tests.support.arguments_good import _net as net
from tests.support.arguments_good import _operator as operator
from tests.support.arguments_good import _run as run


def _swept() -> Swept:
    """Return a run with a record."""
    folder = Path(tempfile.mkdtemp())
    return Swept.of(tca.train(run(), folder, progress=False), folder)


# Objects whose methods are tried, where the constructor with the arguments above makes none that is fit.
OBJECTS: Mapping[str, Callable[[], Any]] = {
    "tca.Batch": batch,
    "tca.Learner": learner,
    "tca.nets.CNN": net,  # of the methods that all networks share
    "tca.online.Stream": lambda: learner().stream(6),
    "tca.experiments.sweep.Swept": _swept,
    "tasks.images.Images": lambda: tasks.images("digits", validation=20),
}


def _images() -> Any:
    """Return images to train on."""
    return tasks.images("digits").split(8, 4, 0)[0]


SPLIT = {"n_train": lambda: 3, "n_test": lambda: 2, "seed": lambda: 0}
STREAM = {"batch_size": lambda: 2, "seed": lambda: 0, "start": lambda: 1}
NOISE = {"steps": lambda: 2, "trials": lambda: 3}
ON = {"device": lambda: "cpu", "dtype": lambda: torch.float32}
BATCH = {"batch": batch, "noise": lambda: None}
SCORED = {
    "outputs": lambda: torch.zeros(5, 6, 2),
    "targets": lambda: torch.zeros(5, 6, 2),
    "weights": lambda: torch.ones(5, 6),
}
INPUTS = {"inputs": lambda: batch().inputs, "noise": lambda: None}
UNDER = {"task": lambda: tasks.make("delayed_xor"), "test": lambda: tasks.make("delayed_xor").split(3, 3, 0)[1].batch()}
SEEN = {"task": lambda: tasks.images("digits"), "test": lambda: _images().batch()}
OF = {"operator": operator, "vectors": lambda: torch.eye(16, dtype=torch.float64)}
# Arguments of methods, by class and method.
METHODS: Mapping[str, Mapping[str, Callable[[], Any]]] = {
    "Batch.check": {"n_in": lambda: 3, "n_out": lambda: 2},
    "Batch.joined": {"parts": lambda: [batch(), batch()]},
    "Batch.select": {"trials": lambda: torch.tensor([0, 2])},
    "Batch.to": ON,
    "Learner.advance_": BATCH,
    "Learner.backward": BATCH,
    "Learner.grads": {**BATCH, "execution": lambda: "forward"},
    "RuleState.load_state_dict": {"state": lambda: learner().state_dict()},
    "Learner.signal": BATCH,
    "Learner.signals": BATCH,
    "Learner.stream": {"trials": lambda: 2, "steps": lambda: 3},
    "Learner.tape": {**BATCH, "workspace": lambda: None},
    "Stream.step": {
        "inputs": lambda: torch.ones(6, 3, dtype=torch.float64),
        "targets": lambda: torch.ones(6, 2, dtype=torch.float64),
        "weights": lambda: torch.ones(6, dtype=torch.float64),
        "loss": losses.MSE,
        "noise": lambda: None,
    },
    "NetworkConfig.build": {
        "n_in": lambda: 2, "n_out": lambda: 1, "dt": lambda: 20.0, "seed": lambda: 0, "device": lambda: "cpu",
        "dtype": lambda: torch.float32,
    },
    "NetworkConfig.in_form": {"form": lambda: "B", "anew": lambda: True},
    "Optimizer.build": {"net": net},
    "Rule.check_form": {"form": lambda: "A", "title": lambda: "a net"},
    "Network.stepper": {"trials": lambda: 2},
    "Run.folder": {"root": lambda: FILE},
    "Run.from_json": {"values": lambda: run().to_json(), "trusted": lambda: False},
    "Run.with_rule": {"rule": lambda: "eprop"},
    "Loss.mean": SCORED,
    "Loss.weighted": SCORED,
    "Admissibility.require": {"of": losses.MSE},
    "NumericModule.check": INPUTS,
    "Layered.draw_noise": NOISE,
    "RecurrentNetwork.draw_noise": NOISE,
    "StackedRNN.draw_noise": NOISE,
    "VectorRNN.draw_noise": NOISE,
    "Network.forward": INPUTS,
    "Network.functional": {**INPUTS, "parameters": lambda: {"b": torch.zeros(4, dtype=torch.float64)}},
    "Network.run": {**INPUTS, "workspace": lambda: None},
    "LeakyRNN.stepper": {"trials": lambda: 2},
    "CellRNN.stepper": {"trials": lambda: 2},
    "SpikingRNN.stepper": {"trials": lambda: 2},
    "CellRNN.from_torch": {"module": lambda: torch.nn.GRU(3, 4), "readout": lambda: torch.nn.Linear(4, 2)},
    "Relayed.forward": {"inputs": lambda: torch.ones(2, 3, 3)},
    "Field.run": {"like": lambda: torch.ones(2, 4), "at_sites": lambda: False},
    "Field.settle": {"release": lambda: torch.ones(2, 4)},
    "Graph.of_points": {"points": lambda: [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]], "reach": lambda: 1.5},
    "Task.accuracy": {"outputs": lambda: torch.zeros(28, 3, 2), "batch": UNDER["test"]},
    "Task.environments": {"count": lambda: 2, "seed": lambda: 0},
    "FixedTask.split": {**SPLIT, "n_train": lambda: 2},
    "FixedTask.stream": STREAM,
    "DrawnTask.split": SPLIT,
    "DrawnTask.stream": STREAM,
    "SequentialDigits.split": SPLIT,
    "SequentialDigits.stream": STREAM,
    "ImageTask.split": SPLIT,
    "ImageTask.split_in_three": {**SPLIT, "n_validation": lambda: 4},
    "ImageTask.stream": STREAM,
    "ImageTask.accuracy": {"outputs": lambda: torch.zeros(1, 8, 10), "batch": lambda: _images().batch()},
    "FixedTrials.batches": {**STREAM, "epochs": lambda: 2},
    "FixedTrials.pieces": {"batch_size": lambda: 2},
    "FixedTrials.subset": {"trials": lambda: [0, 1]},
    "TrialSet.to": ON,
    "ImageTrials.to": ON,
    "ImageTrials.show": {"chosen_B": lambda: torch.tensor([0, 1]), "source": lambda: torch.Generator().manual_seed(0)},
    "ImageTrials.under": {"changes": lambda: Noise(0.1), "seed": lambda: 0},
    "Ends.of": {**OF, "k": lambda: 1, "trace": lambda: 1.0},
    "Pair.of": OF,
    "Block.of": {"whole": operator, "name": lambda: "w_rec"},
    "BlockDiagonal.of": {"whole": operator},
    "Operator.product": {"vector": lambda: torch.ones(4, dtype=torch.float64)},
    **{f"{name}.at": {"step": lambda: 1, "steps": lambda: 4} for name in ("Cosine", "ExponentialDecay", "Piecewise")},
    **{f"{name}.batch": UNDER for name in ("Changed", "Clean", "FreshTrials", "InputNoise", "Longer")},
    "PixelNoise.batch": SEEN,
    "InputNoise.noisy": {"test": UNDER["test"]},
    "Swept.result": {"device": lambda: "cpu"},
}  # fmt: skip
