"""Copy symbols after a delay: one layer of LRU under online e-prop beside BPTT, and a leaky network that forgets.

The leak of an LRU is its Jacobian, so that its traces hold the whole gradient, in constant memory. Traces of a leaky
network decay within a time constant, whatever its recurrent synapses keep. Online, weights change at every step of the
answer; BPTT changes them at the end of a trial.

    python -m studies.copy_task --out runs/copy_task
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

import tasks
import tca
from analysis.figures.plots import Series, save
from studies.study_figures import over_epochs
from studies.tables import Table, mean_and_spread
from studies.workloads import command, options_of, spread

__all__ = ["ARMS", "Copied", "Job", "Setting", "curves_of", "main", "table", "train"]

SEEDS, FULL_SEEDS = 5, 20
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "LRU": ("lru", {"r_min": 0.9, "r_max": 0.999}),
    "leaky": ("leaky_rnn", {"tau": 100.0}),
}
ARMS = [(net, rule) for net in NETS for rule in ("bptt", "eprop")]
TITLES = {"bptt": "BPTT", "eprop": "e-prop online"}


@dataclass(frozen=True)
class Setting:
    """What all runs have in common.

    Args:
        cells: Number of cells N.
        symbols: Number of symbols.
        length: Symbols of a sequence.
        delay: Steps between sequence and answer.
        batches: Batches that a network learns from, of new trials each.
        trials: Trials of a batch.
        lr: Learning rate of Adam.
        every: Batches between two tests.
        tested: Test trials.
    """

    cells: int = 32
    symbols: int = 4
    length: int = 3
    delay: int = 20
    batches: int = 200
    trials: int = 16
    lr: float = 5e-3
    every: int = 20
    tested: int = 200

    @property
    def chance(self) -> float:
        """Loss of a network without memory."""
        return log(self.symbols)


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        net: Name of the network.
        rule: Name of the rule, e-prop online.
        seed: Seed of weights and trials.
    """

    net: str
    rule: str
    seed: int

    def __str__(self) -> str:
        """Return the run in words."""
        return f"{self.net}, {TITLES[self.rule]}, seed {self.seed}"


@dataclass(frozen=True)
class Copied:
    """The test loss of a run.

    Attributes:
        job: The run.
        batches: Batches until each test.
        losses: Loss of each test.
    """

    job: Job
    batches: tuple[int, ...]
    losses: tuple[float, ...]


def train(job: Job, setting: Setting) -> Copied:
    """Train a network and return its test losses.

    Args:
        job: The run.
        setting: What runs have in common.
    """
    task = tasks.make("copy_memory", symbols=setting.symbols, length=setting.length, delay=setting.delay)
    train_trials, test_trials = task.split(setting.trials * setting.batches, setting.tested, seed=job.seed)
    kind, options = NETS[job.net]
    config = tca.NetworkConfig(kind, size=setting.cells, **options)
    net = config.build(task.n_in, task.n_out, dt=task.dt, seed=job.seed)
    learner, optimizer = tca.Learner(net, tca.RULES[job.rule]), torch.optim.Adam(net.parameters(), lr=setting.lr)
    tests = test_trials.batch()
    batches, losses = [0], [_loss(net, tests)]
    for index, batch in enumerate(train_trials.batches(setting.trials, seed=job.seed, epochs=1), 1):
        if job.rule == "bptt":
            learner.backward(batch)
            _step(net, optimizer)
        else:
            _online(learner, batch, optimizer)
        if index % setting.every == 0:
            batches.append(index)
            losses.append(_loss(net, tests))
    return Copied(job, tuple(batches), tuple(losses))


def _online(learner: tca.Learner, batch: tca.Batch, optimizer: torch.optim.Optimizer) -> None:
    """Run a batch step by step and change the weights at every step that counts."""
    stream = learner.stream(batch.trials, batch.steps)
    for t in range(batch.steps):
        stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
        if batch.weights[t].any():
            _step(learner.net, optimizer)


def _step(net: tca.nets.Network, optimizer: torch.optim.Optimizer) -> None:
    optimizer.step()
    net.project_()
    optimizer.zero_grad()


def _loss(net: tca.nets.Network, batch: tca.Batch) -> float:
    return float(batch.loss.mean(net.run(batch.inputs).outputs, batch.targets, batch.weights))


def table(found: Sequence[Copied]) -> Table:
    """Return one row a run: network, rule, seed, last test loss.

    Args:
        found: The runs.
    """
    rows = ((each.job.net, TITLES[each.job.rule], str(each.job.seed), f"{each.losses[-1]:.5f}") for each in found)
    return Table(("network", "rule", "seed", "test loss"), tuple(rows))


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What runs have in common, ``None`` (default) for those of the study.
    """
    question = "Which networks keep symbols over a delay when they learn online?"
    parser = command("copy_task", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds, four times as long")
    options = options_of(parser, words)
    setting = setting or Setting()
    if options.full:
        setting = replace(setting, batches=4 * setting.batches)
    seeds = FULL_SEEDS if options.full else SEEDS
    jobs = [Job(net, rule, seed) for seed in range(seeds) for net, rule in ARMS]
    found = spread(partial(train, setting=setting), jobs, options.workers)
    table(found).write_csv(options.out / "copy_task_rows")
    for net, rule in ARMS:
        last = [each.losses[-1] for each in found if (each.job.net, each.job.rule) == (net, rule)]
        print(f"{net}, {TITLES[rule]}: {mean_and_spread(last, 4)}")
    draw(found, setting, options.out)
    return 0


def draw(found: Sequence[Copied], setting: Setting, folder: Path) -> None:
    """Write the learning curves, with their numbers.

    Args:
        found: The runs.
        setting: What runs have in common.
        folder: Where to.
    """
    series = [
        Series(
            f"copy after {setting.delay} steps", f"{each.job.net}, {TITLES[each.job.rule]}", each.job.seed,
            list(each.batches), list(each.losses),
        )
        for each in found
    ]  # fmt: skip
    save(curves_of(series, setting), series, folder / "copy_task", "batches", "test_loss")


def curves_of(series: Sequence[Series], setting: Setting) -> Figure:
    """Return the test losses against batches.

    Args:
        series: Batches (x) and losses (y) of every run.
        setting: What runs have in common.
    """
    lines = {setting.chance: "no memory"}
    figure = over_epochs(series, "test loss", lines=lines, limits=(0.0, 1.1 * setting.chance))
    figure.axes[0].set_xlabel("batches")
    return figure


if __name__ == "__main__":
    sys.exit(main())
