"""The study's command: ``python -m studies.broadcast``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from studies.broadcast.grid import TASKS, Cell, GridTask, Setting, cells, images
from studies.broadcast.grid_figure import draw
from studies.broadcast.grid_runs import COLUMNS, rates_of, runs_of
from studies.broadcast.grid_tables import tables
from studies.tables import Table, rows_of
from studies.vision.questions import folder, look_in, opened
from studies.workloads import command, options_of
from tca.experiments.training.training_loop import TrainingLoop
from tca.utils.names import lookup

__all__ = ["main"]

SEEDS, FULL_SEEDS = 10, 20
LONGER, MORE_RATES, MOST_RATES = 4.0, 7, 10  # of the full study
TIMED = 20  # updates that `--plan` times of every cell
MEASURING = 1.4  # time of a run with its measurements as a multiple of its updates, and seconds beside it
BESIDE = 0.6
SETS = {name: images(name, (0.5, 1.0), 0.5, n_train=2000, n_test=2000, updates=1000)
        for name in ("mnist", "fashion_mnist")}  # fmt: skip


def main(words: Sequence[str] | None = None, grid: tuple[GridTask, ...] = TASKS, setting: Setting | None = None) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        grid: The tasks, default all.
        setting: What cells have in common, ``None`` (default) for those of the study.
    """
    question = "Which broadcast rules keep up with the gradient in feedforward and in recurrent networks?"
    parser = command("broadcast", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds, four times as long, more rates")
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}, or {FULL_SEEDS} with --full")
    parser.add_argument("--plan", action="store_true", help="train nothing; list the cells and estimate the time")
    parser.add_argument("--tasks", nargs="+", help=f"some of {'; '.join(task.title for task in grid)}; default all")
    parser.add_argument("--data", type=folder, help=f"folder of image data: adds {' and '.join(SETS)}")
    options = options_of(parser, words)
    if options.data is not None:
        look_in(options.data)
        grid = (*grid, *(task for tasks in SETS.values() for task in tasks))
    try:
        known = {task.title: task for task in grid}
        grid = tuple(lookup(known, name, "task") for name in options.tasks or known)
        for name in dict.fromkeys(task.options["name"] for task in grid if "name" in task.options):
            opened({"name": name})  # a set that is not there is no fault of the rules
    except ValueError as error:
        parser.error(str(error))
    setting = setting or Setting()
    setting = replace(setting, longer=LONGER, budget=MORE_RATES, most=MOST_RATES) if options.full else setting
    seeds = options.seeds or (FULL_SEEDS if options.full else SEEDS)
    found = list(cells(setting, grid))
    for cell, reason in found:
        if reason:
            print(f"left out: {cell}: {reason}", file=sys.stderr)
    fitting = [cell for cell, reason in found if not reason]
    if not fitting:
        parser.error("no cell is left")
    if options.plan:
        print(_plan(fitting, setting, seeds))
        return 0
    searched = rates_of(fitting, setting, options.out / "rates", options.workers)
    tried = [
        (each.cell.task.title, each.cell.network, each.cell.rule, *map(repr, one), str(one[0] == each.best))
        for each in searched
        for one in each.tried
    ]
    head = ("task", "network", "rule", "rate", "held_out_score", "held_out_loss", "train_loss", "chosen")
    Table(head, tuple(tried)).write_csv(options.out / "broadcast_rates")
    rows = runs_of(searched, setting, seeds, options.out / "runs", options.workers)
    made = Table(COLUMNS, tuple(tuple(_cell(row.get(name, "")) for name in COLUMNS) for row in rows))
    made.write_csv(options.out / "broadcast_runs")
    report(options.out)
    return 0


def report(folder: Path) -> None:
    """Write the tables and the figure of a folder with the file of the runs.

    Args:
        folder: The folder.
    """
    path = folder / "broadcast_runs.csv"
    for name, table in tables(path).items():
        table().write(folder / name)
    draw(rows_of(path), folder / "broadcast_grid")


def _cell(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _plan(fitting: Sequence[Cell], setting: Setting, seeds: int) -> Table:
    """Return runs and estimated minutes of one core, by task and network, from a few updates of every cell."""
    trainings, total, rows = seeds + setting.budget, 0.0, []
    for task, network in dict.fromkeys((cell.task.title, cell.network) for cell in fitting):
        here = [cell for cell in fitting if (cell.task.title, cell.network) == (task, network)]
        minutes = sum(trainings * _seconds(cell, setting) for cell in here) / 60
        total += minutes
        rows.append((f"{task}, {network}", ", ".join(cell.rule for cell in here), str(trainings * len(here)),
                     f"{minutes:.1f}"))  # fmt: skip
    rows.append(("all", f"{len(fitting)} cells", str(trainings * len(fitting)), f"{total:.1f}"))
    return Table(("task, network", "rules", "trainings", "minutes of one core"), tuple(rows))


def _seconds(cell: Cell, setting: Setting) -> float:
    """Return the estimated time of a training with its measurements."""
    run = cell.run(setting, 0)
    loop = TrainingLoop(replace(run, n_train=run.batch_size, n_test=1))
    loop.update()
    start = time.process_time()
    for _ in range(TIMED):
        loop.update()
    return BESIDE + MEASURING * run.steps * (time.process_time() - start) / TIMED


if __name__ == "__main__":
    sys.exit(main())
