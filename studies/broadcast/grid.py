"""What the grid trains, as data: tasks, networks of every kind, and the rules that fit them.

Every kind of network has the true gradient as its own control, with the same loss. A cell of the grid is a task, a kind
of network and a rule; `cells` leaves out those that a rule cannot train, by its own check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tca.cli.compare.combinations import misfit
from tca.eligibilities import Instant
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Decorrelation, ErrorDiffusion
from tca.signals.decorrelation.averages import Share

__all__ = [
    "AT_ONCE",
    "BY_ROWS",
    "CONTROLS",
    "LABELS",
    "TASKS",
    "Cell",
    "GridTask",
    "Setting",
    "cells",
    "images",
    "renewing",
]

SQUARED = "squared error"
EXACT, FEEDFORWARD_EXACT = "BPTT", "BP"
CONTROLS = (EXACT, FEEDFORWARD_EXACT)
# Rules by their name in tables and figures, in the order of the figure's rows.
LABELS: dict[str, Rule] = {
    FEEDFORWARD_EXACT: RULES["backprop"],
    EXACT: RULES["bptt"],
    "e-prop": RULES["eprop"],
    "e-prop, no trace": RULES["three_factor"],
    "e-prop random": RULES["eprop_random"],
    "DFA": RULES["dfa"],
    "feedback alignment": RULES["feedback_alignment"],
    "diffusion": RULES["diffusion"],
    "EBD": RULES["ebd"],
    "SBD": RULES["sbd"],
    "SBD, no trace": Rule(Decorrelation(), Instant()),
    "SBD filtered": RULES["sbd_filtered"],
    "SBD lagged": RULES["sbd_lagged"],
    "GEVB": RULES["gevb"],
    "GEVB, trace": RULES["gevb_local"],
    "GEVB, network": RULES["gevb_network"],
    "ED": RULES["error_diffusion"],
    "ED, no trace": Rule(ErrorDiffusion(), Instant()),
}
RENEWED = 0.1  # share of the correlations of a decorrelating rule that the training renews
ADAM = {rate: Optimizer(lr=rate, clip=None) for rate in (1e-3, 3e-3, 1e-2)}


@dataclass(frozen=True)
class Kind:
    """A kind of network and the rules that it is trained with.

    Args:
        net: The network.
        rules: Names of the rules, the control first.
        optimizer: Optimizer with the rate that the search begins with.
        loss: Loss of the kind, ``None`` (default) for that of the task.
        expected: Training loss at which runs are compared where no rule solves the task; ``None`` (default) for that
            of the task.
    """

    net: NetworkConfig
    rules: tuple[str, ...]
    optimizer: Optimizer = ADAM[3e-3]
    loss: str | None = None
    expected: float | None = None


LAYERS: list[dict[str, Any]] = [{"conv": 8, "kernel": 3, "stride": 2}, {"dense": 32}]
# Of sigmoids at once: with the published 6 their slope is at most 1/12, and the true gradient fades over two layers.
NARROW = {"width": 2.0}
FEEDFORWARD: dict[str, Kind] = {
    "MLP": Kind(NetworkConfig("mlp", {"sizes": [32, 32]}), (FEEDFORWARD_EXACT, "DFA", "feedback alignment", "SBD")),
    f"MLP, {SQUARED}": Kind(
        NetworkConfig("mlp", {"sizes": [32, 32]}), (FEEDFORWARD_EXACT, "DFA", "EBD"), loss="mse", expected=0.3
    ),
    "CNN": Kind(NetworkConfig("cnn", {"layers": LAYERS}), (FEEDFORWARD_EXACT, "DFA", "feedback alignment", "SBD")),
    f"CNN, {SQUARED}": Kind(
        NetworkConfig("cnn", {"layers": LAYERS}), (FEEDFORWARD_EXACT, "DFA", "EBD"), loss="mse", expected=0.3
    ),
    "vector MLP": Kind(NetworkConfig("vector_mlp", {"sizes": [32]}), (FEEDFORWARD_EXACT, "DFA", "GEVB")),
    "vector CNN": Kind(
        NetworkConfig("vector_cnn", {"layers": [{"conv": 4, "kernel": 3, "stride": 2}, {"dense": 16}]}),
        (FEEDFORWARD_EXACT, "DFA", "GEVB"),
        ADAM[1e-2],
    ),
    "dual-stream MLP": Kind(
        NetworkConfig("dual_stream_mlp", {"sizes": [32, 32], **NARROW}), (FEEDFORWARD_EXACT, "DFA", "ED"), ADAM[1e-2]
    ),
    "dual-stream CNN": Kind(
        NetworkConfig("dual_stream_cnn", {"layers": LAYERS, **NARROW}), (FEEDFORWARD_EXACT, "DFA", "ED"), ADAM[1e-2]
    ),
}
TRACED = (EXACT, "e-prop", "e-prop random")
UNTRACED = ("e-prop, no trace", "DFA")
SBDS = ("SBD", "SBD, no trace", "SBD filtered", "SBD lagged")


def _recurrent(leak: float, tau: float) -> dict[str, Kind]:
    """Return the recurrent kinds whose cells keep a part of their state in a step.

    Args:
        leak: That part.
        tau: The time constant in ms of this leak, for the steps of the task.
    """
    return {
        "leaky RNN": Kind(NetworkConfig(size=36, tau=tau), (*TRACED, *UNTRACED, "diffusion", *SBDS)),
        "GRU": Kind(NetworkConfig("gru", size=24), (*TRACED, *UNTRACED, "SBD")),
        "vector RNN": Kind(
            NetworkConfig("vector_rnn", {"n_rec": 16, "integration_rate": round(1 - leak, 3)}),
            (*TRACED, "GEVB", "GEVB, trace", "GEVB, network"),
        ),
        "dual-stream RNN": Kind(
            NetworkConfig("dual_stream_rnn", {"n_rec": 36, "tau": tau}), (*TRACED, "ED", "ED, no trace"), ADAM[1e-2]
        ),
    }


SHORT, LONG = _recurrent(0.7, 60.0), _recurrent(0.82, 500.0)  # steps of 20 ms, and of 100 ms


@dataclass(frozen=True)
class GridTask:
    """A task of the grid.

    Args:
        title: What it is called.
        task: Name of the task.
        options: Its options.
        kinds: Kinds of networks.
        expected: Training loss at which runs are compared where no rule solves the task.
        n_train: Training trials.
        n_test: Test trials.
        updates: Updates of a training.
    """

    title: str
    task: str
    options: Mapping[str, Any] = field(hash=False)
    kinds: Mapping[str, Kind] = field(hash=False)
    expected: float
    n_train: int = 400
    n_test: int = 500
    updates: int = 300


def _with_ebd(expected: float) -> dict[str, Kind]:
    """Return the recurrent kinds and, for EBD, a leaky network with squared error and a control of its own."""
    leaky = SHORT["leaky RNN"]
    ebd = replace(leaky, rules=(EXACT, "DFA", "EBD"), loss="mse", expected=expected)
    return {**SHORT, f"leaky RNN, {SQUARED}": ebd}


def _native_ebd() -> dict[str, Kind]:
    """Return the recurrent kinds for a task whose own loss is the squared error."""
    leaky = SHORT["leaky RNN"]
    return {**SHORT, "leaky RNN": replace(leaky, rules=(*leaky.rules, "EBD"))}


AT_ONCE, BY_ROWS = "at once", "by rows"


def images(name: str, expected: tuple[float, float], squared: float, **sizes: int) -> tuple[GridTask, GridTask]:
    """Return a set of images at once, for feedforward networks, and by rows, for recurrent ones.

    Args:
        name: Name of the set.
        expected: Expected training loss at once and by rows.
        squared: The squared error by rows.
        sizes: Training and test images, updates; default those of `GridTask`.
    """
    options, title = {"name": name}, name.replace("_", " ")
    return (
        GridTask(f"{title} {AT_ONCE}", "images", options, FEEDFORWARD, expected[0], **sizes),
        GridTask(f"{title} {BY_ROWS}", "sequential_images", options, _with_ebd(squared), expected[1], **sizes),
    )


TASKS = (
    *images("digits", (0.5, 1.2), 0.5),
    GridTask(
        f"digits {BY_ROWS}, then blank", "sequential_images", {"name": "digits", "blank": 80.0},
        {"leaky RNN": SHORT["leaky RNN"]}, 1.5,
    ),
    GridTask("delayed match", "delayed_match", {"delay": 500.0}, LONG, 0.3, n_train=200, updates=400),
    GridTask(
        "pattern generation", "pattern_generation", {"dt": 20.0, "duration": 600.0, "frequencies": [2.0, 4.0, 6.0]},
        _native_ebd(), 0.25, n_train=100, n_test=200, updates=200,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What all cells have in common.

    Args:
        batch_size: Trials a batch.
        measured: Measurements during a training.
        longer: Times as many updates as the task has.
        budget: Learning rates tried for every cell.
        most: Rates tried where the best is still the largest or smallest.
    """

    batch_size: int = 32
    measured: int = 8
    longer: float = 1.0
    budget: int = 4
    most: int = 7


@dataclass(frozen=True)
class Cell:
    """A cell of the grid: a rule in a kind of network on a task.

    Attributes:
        task: The task.
        network: Name of the kind.
        kind: The kind.
        rule: Name of the rule.
    """

    task: GridTask
    network: str
    kind: Kind = field(hash=False)
    rule: str

    @property
    def control(self) -> str:
        """Name of the true gradient in this kind of network."""
        return self.kind.rules[0]

    @property
    def expected(self) -> float:
        """Training loss at which runs are compared where no rule solves the task."""
        return self.kind.expected or self.task.expected

    def __str__(self) -> str:
        return f"{self.task.title}, {self.network}, {self.rule}"

    def run(self, setting: Setting, seed: int, rate: float | None = None, loss: float | None = None) -> Run:
        """Return a training.

        Args:
            setting: What cells have in common.
            seed: The seed.
            rate: Learning rate, ``None`` (default) for the one that the search begins with.
            loss: Training loss at which the network is saved, ``None`` (default) for none, as in the search.
        """
        task, first = self.task, self.kind.optimizer
        updates = max(1, round(setting.longer * task.updates))
        options = {} if self.kind.loss is None else {"loss": self.kind.loss}
        return Run(
            task.task,
            renewing(LABELS[self.rule], updates),
            task_options={**task.options, **options},
            net=self.kind.net,
            optimizer=replace(first, lr=rate or first.lr),
            batch_size=min(setting.batch_size, task.n_train),
            steps=updates,
            n_train=task.n_train,
            n_test=task.n_test,
            evaluate_every=updates if loss is None else max(1, updates // setting.measured),
            snapshot_losses=() if loss is None else (loss,),
            seeds=Seeds(seed, seed, seed, seed),
        )


def renewing(rule: Rule, updates: int) -> Rule:
    """Return a rule whose correlations, if it has any, renew a tenth of themselves in a training.

    Args:
        rule: The rule.
        updates: Updates of the training.
    """
    if not isinstance(rule.signal, Decorrelation):
        return rule
    return replace(rule, signal=dataclasses.replace(rule.signal, average=Share(updates, RENEWED)))


def cells(setting: Setting, grid: tuple[GridTask, ...] = TASKS) -> Iterator[tuple[Cell, str]]:
    """Yield every cell, with the reason for which its rule cannot train its network, ``""`` if it can.

    Args:
        setting: What cells have in common.
        grid: The tasks, default all.
    """
    for task in grid:
        for network, kind in task.kinds.items():
            for rule in kind.rules:
                cell = Cell(task, network, kind, rule)
                run = cell.run(setting, 0)
                yield cell, misfit(replace(run, n_train=run.batch_size, n_test=1))
