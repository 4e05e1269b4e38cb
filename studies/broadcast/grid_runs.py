"""The trainings of the grid: a rate for every cell from held-out trials, runs, and what is measured of them.

The search comes first, with a seed that the runs leave out. It also decides the training loss at which the rules of a
network are compared, `matched_losses`.

Seeds of leaky networks are trained together, several networks a pass; the time of an update is taken beside, alone.
Records are kept by `tca.train` in folders named by the run, with the measurements beside them; what is there is read.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from studies.broadcast.grid import Cell, Setting
from studies.workloads import spread
from tca.cli.compare.learning_rates import Search, TriedRate
from tca.cli.compare.measurements import MeasurementSettings, align, measure
from tca.cli.compare.task_facts import task_facts
from tca.experiments.config.run import Run
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.result import DIVERGED, Result
from tca.experiments.sweep.swept_run import Swept
from tca.experiments.together.compatibility import refusal
from tca.experiments.together.train_together import train_together
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop

__all__ = [
    "COLUMNS",
    "SEARCHED",
    "Job",
    "Searched",
    "best_of",
    "matched_losses",
    "may_rise",
    "rates_of",
    "runs_of",
    "search",
    "update_time",
    "work",
]

HOW = MeasurementSettings(input_noise=0.2, curvature_trials=100, curvature_probes=8)
MATCHED = ("train_loss", "test_accuracy", "accuracy_gap", "loss_gap", "noisy_accuracy_gap", "noisy_loss_gap",
           "largest", "smallest", "trace")  # fmt: skip
COLUMNS = ("task", "network", "rule", "control", "rate", "seed", "outcome", "test_accuracy", "train_loss",
           "cosine_start", "cosine", "cosine_end", "milliseconds", "loss", "updates", "seconds",
           *(f"matched_{name}" for name in MATCHED))  # fmt: skip
Row = dict[str, str | float]
SEARCHED = 0  # seed of the search
BLOCKS, BLOCK = 3, 10  # of updates that are timed
HIGHEST = 1.0  # score of a task
SLACK = 1.25  # of the loss that the search ends with, for seeds that learn less


@dataclass(frozen=True)
class Searched:
    """The rates that were tried for a cell on held-out training trials.

    Attributes:
        cell: The cell.
        tried: Rate, held-out score and loss, and loss of the other training trials at the end, lowest rate first.
        best: The best rate.
        milliseconds: Processor time of an update by itself, see `update_time`.
    """

    cell: Cell
    tried: tuple[tuple[float, float, float, float], ...]
    best: float
    milliseconds: float = math.nan

    @property
    def ended(self) -> tuple[float, float]:
        """Held-out score and training loss at the end, with the best rate."""
        return next((score, train) for rate, score, _, train in self.tried if rate == self.best)


@dataclass(frozen=True)
class Job:
    """Trainings of a cell.

    Attributes:
        searched: The cell and its rates.
        seeds: The seeds.
        loss: Training loss at which runs are compared.
    """

    searched: Searched
    seeds: tuple[int, ...]
    loss: float

    def __str__(self) -> str:
        return f"{self.searched.cell}, seed {', '.join(map(str, self.seeds))}"


def search(cell: Cell, setting: Setting, folder: Path) -> Searched:
    """Try the rates of a cell and return the best: `tca.cli.compare.learning_rates.Search`, and on past an edge.

    Args:
        cell: The cell.
        setting: What cells have in common; ``budget`` rates are tried, and further ones, up to ``most``, as long as the
            best is the largest or smallest and its score can rise.
        folder: Where records are kept.
    """
    looked, ended = Search(cell.run(setting, SEARCHED), setting.budget), dict[float, float]()
    while len(looked.rates) < setting.budget or (may_rise(looked.rates) and len(looked.rates) < setting.most):
        run = looked.next_run()
        at = run.folder(folder)
        result = train(run, at, progress=False)
        ended[run.optimizer.lr] = result.last.train_loss
        looked.add(Swept.of(result, at))
    best = best_of(looked.rates).lr
    tried = tuple((each.lr, each.score, each.loss, ended[each.lr]) for each in looked.rates)
    run = cell.run(setting, SEARCHED, best)
    timed = _kept(run.folder(folder) / "timed.json", lambda: update_time(run), [BLOCKS, BLOCK])
    return Searched(cell, tried, best, timed)


def best_of(rates: Sequence[TriedRate]) -> TriedRate:
    """Return the best of the rates that were tried.

    Args:
        rates: The rates.
    """
    return max(rates, key=lambda each: each.merit)


def may_rise(rates: Sequence[TriedRate]) -> bool:
    """Return whether the best rate is the largest or smallest that was tried, with a score that can still rise.

    Args:
        rates: The rates, lowest first.
    """
    best = best_of(rates)
    return best.score != HIGHEST and best.lr in (rates[0].lr, rates[-1].lr)


def update_time(run: Run) -> float:
    """Return the processor time of an update in ms, by itself, without drawing trials: the least of blocks of updates.

    Args:
        run: A run.
    """
    loop = TrainingLoop(replace(run, n_train=run.batch_size, n_test=1))
    (batch,) = loop.train_set.batches(run.batch_size, SEARCHED, epochs=1)
    times = []
    for _ in range(BLOCKS + 1):  # the first warms up
        begun = time.process_time()
        for step in range(BLOCK):
            loop.updates.make(batch, step)
        times.append((time.process_time() - begun) / BLOCK)
    return 1e3 * min(times[1:])


def _kept(path: Path, make: Callable[[], Any], how: object) -> Any:
    """Return a value kept in a file; it is made and written if there is none of the same settings."""
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("how") != how:
        known = {"how": how, "value": make()}
        with explained(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(known, indent=1).encode())
    return known["value"]


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


def work(job: Job, setting: Setting, folder: Path) -> list[Row]:
    """Train runs, or read their records, and return their rows.

    Args:
        job: The runs.
        setting: What cells have in common.
        folder: Where records are kept.
    """
    searched, cell = job.searched, job.searched.cell
    runs = [cell.run(setting, seed, searched.best, job.loss) for seed in job.seeds]
    if len(runs) > 1:
        results = train_together(runs, folder, at_once=len(runs), progress=False, observe=align)
    else:
        results = [train(run, run.folder(folder), progress=False, observe=align) for run in runs]
    rows: list[Row] = []
    for seed, result in zip(job.seeds, results, strict=True):
        found = _kept(result.run.folder(folder) / "measured.json", partial(_measured, result), asdict(HOW))
        if "updates" in found:
            found["seconds"] = found["updates"] * searched.milliseconds / 1e3
        rows.append({"task": cell.task.title, "network": cell.network, "rule": cell.rule, "control": cell.control,
                     "rate": searched.best, "seed": float(seed), "outcome": result.outcome, "loss": job.loss,
                     "milliseconds": searched.milliseconds, **found})  # fmt: skip
    return rows


def _measured(result: Result) -> dict[str, float]:
    """Return the numbers of a run: at its end, of its alignment, and where its training loss crosses the given one.

    ``updates`` are those to the crossing. Numbers that are missing or not finite are left out.
    """
    cosines = [value for each in result.metrics if math.isfinite(value := each.observed.get("cosine", math.nan))]
    found: dict[str, float] = {}
    if cosines:
        found |= {"cosine_start": cosines[0], "cosine": fmean(cosines), "cosine_end": cosines[-1]}
    if result.outcome != DIVERGED:
        found |= {"test_accuracy": result.last.test_accuracy, "train_loss": result.last.train_loss}
    for crossing in result.crossings:
        values = measure(result.run, crossing.net, HOW, graded=False).values
        found["updates"] = float(crossing.metrics.step)
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
    """Return the rows of all runs.

    Args:
        searched: The cells and their rates.
        setting: What cells have in common.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    numbers = tuple(range(SEARCHED + 1, SEARCHED + 1 + seeds))
    jobs = [Job(each, chunk, loss)
            for each, loss in zip(searched, matched_losses(searched, setting), strict=True)
            for chunk in ([(seed,) for seed in numbers] if refusal(each.cell.run(setting, SEARCHED)) else [numbers])
            ]  # fmt: skip
    return [row for rows in spread(partial(work, setting=setting, folder=folder), jobs, workers) for row in rows]
