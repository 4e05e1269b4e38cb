"""The trainings of the grid: a rate for every cell from held-out trials, runs, and what is measured of them.

The search comes first, with a seed that the runs leave out. It also decides the training loss at which the rules of a
network are compared, `matched_losses`.

Records are kept by `tca.train` in folders named by the run, with the measurements beside them; what is there is read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from studies.broadcast.grid import Cell, Setting
from studies.workloads import spread
from tca.cli.compare.learning_rates import Search
from tca.cli.compare.measurements import MeasurementSettings, align, measure
from tca.cli.compare.task_facts import task_facts
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.result import DIVERGED, Result
from tca.experiments.sweep.swept_run import Swept
from tca.experiments.training.train import train

__all__ = ["COLUMNS", "SEARCHED", "Job", "Searched", "matched_losses", "rates_of", "runs_of", "search", "work"]

HOW = MeasurementSettings(input_noise=0.2, curvature_trials=100, curvature_probes=8)
MATCHED = ("train_loss", "test_accuracy", "accuracy_gap", "loss_gap", "noisy_accuracy_gap", "noisy_loss_gap",
           "largest", "smallest", "trace")  # fmt: skip
COLUMNS = ("task", "network", "rule", "control", "rate", "seed", "outcome", "test_accuracy", "train_loss",
           "cosine_start", "cosine", "cosine_end", "milliseconds", "loss", "updates", "seconds",
           *(f"matched_{name}" for name in MATCHED))  # fmt: skip
Row = dict[str, str | float]
SEARCHED = 0  # seed of the search
SLACK = 1.25  # of the loss that the search ends with, for seeds that learn less


@dataclass(frozen=True)
class Searched:
    """The rates that were tried for a cell on held-out training trials.

    Attributes:
        cell: The cell.
        tried: Rate, held-out score and loss, and loss of the other training trials at the end, lowest rate first.
        best: The best rate.
    """

    cell: Cell
    tried: tuple[tuple[float, float, float, float], ...]
    best: float

    @property
    def ended(self) -> tuple[float, float]:
        """Held-out score and training loss at the end, with the best rate."""
        return next((score, train) for rate, score, _, train in self.tried if rate == self.best)


@dataclass(frozen=True)
class Job:
    """A training of a cell.

    Attributes:
        cell: The cell.
        rate: Learning rate.
        seed: The seed.
        loss: Training loss at which runs are compared.
    """

    cell: Cell
    rate: float
    seed: int
    loss: float

    def __str__(self) -> str:
        return f"{self.cell}, seed {self.seed}"


def search(cell: Cell, setting: Setting, folder: Path) -> Searched:
    """Try the rates of a cell and return the best: `tca.cli.compare.learning_rates.Search`.

    Args:
        cell: The cell.
        setting: What cells have in common; ``budget`` rates are tried.
        folder: Where records are kept.
    """
    looked, ended = Search(cell.run(setting, SEARCHED), setting.budget), dict[float, float]()
    while not looked.done:
        run = looked.next_run()
        at = run.folder(folder)
        result = train(run, at, progress=False)
        ended[run.optimizer.lr] = result.last.train_loss
        looked.add(Swept.of(result, at))
    best = max(looked.rates, key=lambda each: each.merit)
    return Searched(cell, tuple((each.lr, each.score, each.loss, ended[each.lr]) for each in looked.rates), best.lr)


def matched_losses(searched: Sequence[Searched], setting: Setting) -> list[float]:
    """Return the training loss at which the runs of every cell are compared: one for all rules of a network.

    A rule solves the task if its held-out score in the search is at least half way from chance to 1. The loss is the
    largest that these rules end with, at their best rates, times 1.25, rounded up to two digits; without such a rule,
    the expected one.

    Args:
        searched: All cells of the networks and their rates.
        setting: What cells have in common.
    """
    largest: dict[tuple[str, str], float] = {}
    for each in searched:
        score, loss = each.ended
        if score >= (1 + task_facts(each.cell.run(setting, SEARCHED)).chance) / 2:
            place = each.cell.task.title, each.cell.network
            largest[place] = max(largest.get(place, 0.0), loss)
    found = (largest.get((each.cell.task.title, each.cell.network)) for each in searched)
    return [each.cell.expected if loss is None else _rounded_up(SLACK * loss)
            for each, loss in zip(searched, found, strict=True)]  # fmt: skip


def _rounded_up(value: float) -> float:
    """Return a positive number rounded up to two significant digits.

    >>> _rounded_up(0.0303), _rounded_up(1.2), _rounded_up(12.1)
    (0.031, 1.2, 13.0)
    """
    digits = 1 - math.floor(math.log10(value))
    scale = 10.0**digits
    return math.ceil(round(value * scale, 9)) / scale


def work(job: Job, setting: Setting, folder: Path) -> Row:
    """Train a run, or read its record, and return its row.

    Args:
        job: The run.
        setting: What cells have in common.
        folder: Where records are kept.
    """
    run = job.cell.run(setting, job.seed, job.rate, job.loss)
    at = run.folder(folder)
    result = train(run, at, progress=False, observe=align)
    path = at / "measured.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("how") != asdict(HOW):
        known = {"how": asdict(HOW), "row": _measured(result)}
        with explained(at):
            write_whole(path, json.dumps(known, indent=1).encode())
    cell = job.cell
    named: Row = {"task": cell.task.title, "network": cell.network, "rule": cell.rule, "control": cell.control,
                  "rate": job.rate, "seed": float(job.seed), "outcome": result.outcome,
                  "loss": job.loss}  # fmt: skip
    return {**named, **known["row"]}


def _measured(result: Result) -> dict[str, float]:
    """Return the numbers of a run: at its end, of its alignment, and where its training loss crosses the given one.

    ``updates`` are those to the crossing and ``seconds`` their time. Numbers that are missing or not finite are left
    out.
    """
    cosines = [value for each in result.metrics if math.isfinite(value := each.observed.get("cosine", math.nan))]
    milliseconds = 1e3 * result.seconds_per_step
    found = {"milliseconds": milliseconds}
    if cosines:
        found |= {"cosine_start": cosines[0], "cosine": fmean(cosines), "cosine_end": cosines[-1]}
    if result.outcome != DIVERGED:
        found |= {"test_accuracy": result.last.test_accuracy, "train_loss": result.last.train_loss}
    for crossing in result.crossings:
        values = measure(result.run, crossing.net, HOW, graded=False).values
        updates = float(crossing.metrics.step)
        found |= {"updates": updates, "seconds": updates * milliseconds / 1e3}
        found |= {f"matched_{name}": values[name] for name in MATCHED if name in values}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def rates_of(cells: Sequence[Cell], setting: Setting, folder: Path, workers: int) -> list[Searched]:
    """Return the rates of all cells.

    Args:
        cells: The cells.
        setting: What cells have in common.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    return spread(partial(search, setting=setting, folder=folder), cells, workers)


def runs_of(
    searched: Sequence[Searched], setting: Setting, seeds: int, folder: Path, workers: int
) -> list[Mapping[str, str | float]]:
    """Return the rows of all runs, seed by seed, so that what is done of them is a whole number of seeds.

    Args:
        searched: The cells and their rates.
        setting: What cells have in common.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    first = SEARCHED + 1
    jobs = [Job(each.cell, each.best, seed, loss)
            for seed in range(first, first + seeds)
            for each, loss in zip(searched, matched_losses(searched, setting), strict=True)]  # fmt: skip
    return list(spread(partial(work, setting=setting, folder=folder), jobs, workers))
