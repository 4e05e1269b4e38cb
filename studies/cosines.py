"""How near approximations of RTRL come to it: cosines at 64 cells on four tasks, beside a published table.

Exact RTRL has the gradient of BPTT, from which the cosines are measured: of the change of all weights but the readout,
for one trial at a time and for the mean over a batch, at the start and after some updates of BPTT.

    python -m studies.cosines --out runs/cosines
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from matplotlib.figure import Figure

import analysis
import tasks
import tca
from analysis.figures.plots import Series, dots, legend, level, panels, save
from studies.claims import Claim, claims
from studies.tables import Table, mean_and_spread, rows_of
from studies.workloads import command, options_of, spread
from tasks.trials import FixedTrials
from tca.eligibilities import Leak
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Direct

__all__ = ["PUBLISHED", "TASKS", "Job", "Setting", "cosines_of", "main", "tables", "work"]

SEEDS, FULL_SEEDS = 10, 30
# RFLO has random feedback; the published table is about traces, and its feedback is not known.
ARMS: dict[str, Rule] = {
    "RFLO": RULES["rflo"],
    "RFLO, own weights": Rule(Direct(), Leak()),
    "SnAp-1": RULES["snap1"],
    "KF-RTRL": RULES["kf_rtrl"],
    "UORO": RULES["uoro"],
}
# Tasks of the published sizes; the published rotation is a fixed one of eight numbers, ours that of a point by angles.
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "adding": ("adding_problem", {"steps": 100}),
    "a^n b^n": ("anbn", {"longest": 16}),
    "copy": ("copy_memory", {"symbols": 8, "length": 5, "delay": 40}),
    "rotation": ("rotation", {"steps": 64}),
}
# Cosine to exact RTRL of 64 cells as its authors report it: Yi and Wang (2026), Certified low-rank real-time recurrent
# learning for dense recurrent neural networks, with their code, sonaradarcn/sketched-rtrl.
PUBLISHED = {
    "adding": {"RFLO": 0.622, "SnAp-1": 0.642, "KF-RTRL": 0.608, "UORO": 0.128},
    "a^n b^n": {"RFLO": 0.543, "SnAp-1": 0.435, "KF-RTRL": 0.463, "UORO": 0.083},
    "copy": {"RFLO": 0.413, "SnAp-1": 0.743, "KF-RTRL": 0.479, "UORO": 0.051},
    "rotation": {"RFLO": 0.244, "SnAp-1": 0.431, "KF-RTRL": 0.585, "UORO": 0.059},
}
START, LEARNT = "at the start", "after BPTT"
ONE, MEAN = "one trial", "batch"
REPORTED = "published"


@dataclass(frozen=True)
class Setting:
    """What all networks have in common.

    Args:
        cells: Number of cells N.
        tau: Time constant of the cells in ms, whose leak is on the rate: 0.9 in a step of 10, as in the published RFLO.
        trials: Trials that are looked at one by one, and the trials of a batch.
        updates: Updates of BPTT before the second measurement.
        rate: Learning rate of Adam in these.
    """

    cells: int = 64
    tau: float = 95.0
    trials: int = 8
    updates: int = 100
    rate: float = 3e-3


@dataclass(frozen=True)
class Job:
    """A network of a task.

    Attributes:
        task: Name in `TASKS`.
        seed: Seed of weights, trials and draws.
    """

    task: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task}, seed {self.seed}"


@dataclass(frozen=True)
class Measured:
    """The cosine of a rule in a network.

    Attributes:
        job: The network.
        rule: Name in `ARMS`.
        when: At the start or after updates of BPTT.
        of: The mean over single trials, or that of a batch.
        cosine: The cosine.
    """

    job: Job
    rule: str
    when: str
    of: str
    cosine: float


def work(job: Job, setting: Setting) -> list[Measured]:
    """Return the cosines of a network.

    Args:
        job: The network.
        setting: What networks have in common.
    """
    name, options = TASKS[job.task]
    task = tasks.make(name, **options)
    train, test = task.split(setting.trials * setting.updates, setting.trials, seed=job.seed)
    config = tca.NetworkConfig(size=setting.cells, form="B", tau=setting.tau)
    net = config.build(task.n_in, task.n_out, dt=task.dt, seed=job.seed)
    found = _measured(net, test, job, START)
    learner, optimizer = tca.Learner(net, RULES["bptt"]), torch.optim.Adam(net.parameters(), lr=setting.rate)
    for batch in train.batches(setting.trials, seed=job.seed, epochs=1):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    return found + _measured(net, test, job, LEARNT)


def _measured(net: tca.nets.Network, trials: FixedTrials, job: Job, when: str) -> list[Measured]:
    single = [cosines_of(net, trials.subset([index]), len(trials) * job.seed + index) for index in range(len(trials))]
    batch = cosines_of(net, trials, job.seed)
    return [
        Measured(job, rule, when, of, cosine)
        for rule in ARMS
        for of, cosine in ((ONE, fmean(each[rule] for each in single)), (MEAN, batch[rule]))
    ]


def cosines_of(net: tca.nets.Network, trials: FixedTrials, seed: int) -> dict[str, float]:
    """Return the cosine of every rule with BPTT on the same trials.

    Args:
        net: The network.
        trials: The trials.
        seed: Seed of feedback weights and draws.
    """
    found = analysis.alignment(net, trials, list(ARMS.values()), seed=seed).rules
    return {name: each.recurrent.cosine for name, each in zip(ARMS, found, strict=True)}


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes the tables of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row for every cosine.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {"cosines": partial(_table, rows), "cosines_claims": partial(_claims, rows)}


def _table(rows: Sequence[dict[str, str]]) -> Table:
    """Return published and measured cosines, mean and standard deviation over seeds."""

    def cell(task: str, rule: str, when: str, of: str) -> tuple[str, int]:
        here = [float(row["cosine"]) for row in rows
                if (row["task"], row["rule"], row["when"], row["of"]) == (task, rule, when, of)]  # fmt: skip
        return mean_and_spread(here), len(here)

    made = []
    for task, rule in dict.fromkeys((row["task"], row["rule"]) for row in rows):
        known = PUBLISHED[task].get(rule.split(",")[0])
        ours = [cell(task, rule, when, of) for when in (START, LEARNT) for of in (ONE, MEAN)]
        made.append(
            (f"{task}, {rule}", "-" if known is None else f"{known:.3f}", str(ours[0][1]), *(text for text, _ in ours))
        )
    head = ("task, rule", "published", "seeds", *(f"{when}, {of}" for when in (START, LEARNT) for of in (ONE, MEAN)))
    return Table(head, tuple(made))


def _claims(rows: Sequence[dict[str, str]]) -> Table:
    """Return whether single trials have the published order, RFLO with the readout's own weights."""

    def arm(task: str, rule: str, when: str) -> dict[int, float]:
        name = "RFLO, own weights" if rule == "RFLO" else rule
        return {int(row["seed"]): float(row["cosine"]) for row in rows
                if (row["task"], row["rule"], row["when"], row["of"]) == (task, name, when, ONE)}  # fmt: skip

    stated = []
    for when in (START, LEARNT):
        for task in dict.fromkeys(row["task"] for row in rows):
            order = sorted(PUBLISHED[task], key=lambda rule: -PUBLISHED[task][rule])
            stated += [
                Claim(f"{task}, {when}: {first} above {second}", arm(task, first, when), arm(task, second, when))
                for first, second in pairwise(order)
            ]
    return claims(stated)


def points(rows: Sequence[Mapping[str, str]]) -> list[Series]:
    """Return the cosines of single trials and those published, a task a panel.

    Args:
        rows: A row for every cosine.
    """
    places, aside = {rule: place for place, rule in enumerate(ARMS)}, {START: -0.15, LEARNT: 0.15}
    own = [Series(row["task"], row["when"], int(row["seed"]), [places[row["rule"]] + aside[row["when"]]],
                  [float(row["cosine"])]) for row in rows if row["of"] == ONE]  # fmt: skip
    return own + [
        Series(task, REPORTED, 0, [places["RFLO, own weights" if rule == "RFLO" else rule]], [cosine])
        for task, known in PUBLISHED.items()
        for rule, cosine in known.items()
    ]


def drawn(series: Sequence[Series]) -> Figure:
    """Return the cosines by rule, every network a point, a task a panel.

    Args:
        series: What `points` has returned.
    """
    figure, axes = panels(series, "", "cosine with exact RTRL, one trial", size=(1.8, 0.6, 2.7, 3.2))
    for name, each in axes.items():
        level(each, 0.0)
        dots(each, series, name)
        each.set_xticks(range(len(ARMS)), ARMS, rotation=45, ha="right", rotation_mode="anchor")
        each.set_ylim(-0.25, 1.03)
    seeds = {each.seed for each in series if each.label != REPORTED}
    legend(figure, f"a point a network,\nn = {len(seeds)} of each task")
    return figure


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What networks have in common, ``None`` (default) for those of the study.
    """
    question = "How near do approximations of RTRL come to it?"
    parser = command("cosines", question, f"{SEEDS} seeds, two minutes of one core", f"{FULL_SEEDS} seeds, 256 cells")
    options = options_of(parser, words)
    setting = setting or Setting()
    setting = replace(setting, cells=4 * setting.cells) if options.full else setting
    jobs = [Job(task, seed) for seed in range(FULL_SEEDS if options.full else SEEDS) for task in TASKS]
    found = [one for each in spread(partial(work, setting=setting), jobs, options.workers) for one in each]
    rows = tuple((one.job.task, one.rule, str(one.job.seed), one.when, one.of, f"{one.cosine:.5f}") for one in found)
    path = options.out / "cosines_rows"
    Table(("task", "rule", "seed", "when", "of", "cosine"), rows).write_csv(path)
    series = points(rows_of(path.with_suffix(".csv")))
    save(drawn(series), series, options.out / "cosines", "rule", "cosine")
    for table in tables(path.with_suffix(".csv")).values():
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
