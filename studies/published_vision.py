"""Published tables of image classification beside our own numbers.

    python -m studies.published_vision list
    python -m studies.published_vision run 'ebd/mnist/MLP/*' --data DIR --out runs/published
    python -m studies.published_vision table --out runs/published

A cell is run whole unless it is shortened: fewer epochs or images, thinner networks, another set of images. What
was short about a run is said in the table.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch

from analysis.figures.plots import save
from studies.claims import Claim, claims
from studies.tables import Table, mean_and_spread, rows_of
from studies.vision.published import CELLS
from studies.vision.published_figure import drawn, points
from studies.vision.questions import count, folder, look_in, opened, rate
from studies.vision.vision_cells import Cell, Scale
from studies.workloads import spread
from tca.experiments.records.files import explained, write_whole
from tca.experiments.training.train import train

__all__ = ["Outcome", "chosen", "main", "order", "outcomes", "table", "tables"]

RESULT = "published.json"
ENOUGH = 5  # seeds, under which nothing is decided


@dataclass(frozen=True)
class Outcome:
    """What a run of a cell came to.

    Attributes:
        cell: Name of the cell.
        short: What was short about it, nothing if it was whole.
        seed: Its seed.
        accuracy: Test accuracy at the end, in percent.
        epochs: Epochs trained; 0 where a table does not say.
    """

    cell: str
    short: str
    seed: int
    accuracy: float
    epochs: int = 0


@dataclass(frozen=True)
class _Job:
    cell: Cell
    scale: Scale
    seed: int
    device: str

    def __str__(self) -> str:
        return f"{self.cell.name}, seed {self.seed}"


def chosen(patterns: Sequence[str], cells: dict[str, Cell] | None = None) -> list[Cell]:
    """Return the cells whose names match one of some patterns.

    Args:
        patterns: Names, where ``*`` stands for anything.
        cells: The cells, default all.

    Raises:
        ValueError: A pattern matches no cell.

    >>> [each.name for each in chosen(["ebd/cifar10/CNN/[DE]*"])]
    ['ebd/cifar10/CNN/DFA', 'ebd/cifar10/CNN/DFA + entropy', 'ebd/cifar10/CNN/EBD']
    """
    cells = CELLS if cells is None else cells
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in cells):
            raise ValueError(f"no cell is called {pattern!r}; 'list' names all of them")
    return [each for name, each in cells.items() if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _work(job: _Job, folder: Path) -> Outcome:
    run = job.cell.run(job.seed, job.scale, job.device)
    result = train(run, run.folder(folder), progress=False)
    epochs = result.step // run.evaluate_every
    found = Outcome(job.cell.name, job.scale.title, job.seed, 100 * result.last.test_accuracy, epochs)
    with explained(run.folder(folder)):
        write_whole(run.folder(folder) / RESULT, json.dumps(vars(found), indent=2).encode())
    return found


def outcomes(folder: Path) -> list[Outcome]:
    """Return what has been run, in the order of the cells.

    Args:
        folder: Where the records are kept.
    """
    found = [Outcome(**json.loads(path.read_text())) for path in sorted(folder.glob(f"*/{RESULT}"))]
    order = {name: place for place, name in enumerate(CELLS)}
    return sorted(found, key=lambda each: (order.get(each.cell, len(order)), each.short, each.seed))


def table(found: Sequence[Outcome]) -> Table:
    """Return the table: the published number and ours.

    Args:
        found: What has been run.
    """
    head = ("cell", "published, %", "ours, %", "seeds", "short")
    rows = []
    for name, short in dict.fromkeys((each.cell, each.short) for each in found):
        runs = [each for each in found if (each.cell, each.short) == (name, short)]
        ours = mean_and_spread([each.accuracy for each in runs], 1)
        rows.append((name, _published(name), ours, f"{len(runs)}", short))
    return Table(head, tuple(rows))


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes the tables of the page, by name.

    Args:
        path: The file with a row a run.
    """
    found = [Outcome(row["cell"], row["short"], int(row["seed"]), float(row["test_accuracy"])) for row in rows_of(path)]
    return {"published_vision": partial(table, found), "published_vision_claims": partial(order, found)}


def order(found: Sequence[Outcome]) -> Table:
    """Return whether the rules of a network lie in the published order, where each has seeds enough.

    Args:
        found: What has been run.
    """
    runs: dict[tuple[str, str], dict[str, dict[int, float]]] = {}
    for each in found:
        if not math.isnan(_number(each.cell)):
            setting = each.cell.rpartition("/")[0], each.short
            runs.setdefault(setting, {}).setdefault(each.cell, {})[each.seed] = each.accuracy
    stated = []
    for (network, _), cells in runs.items():
        enough = sorted((cell for cell, its in cells.items() if len(its) >= ENOUGH), key=_number, reverse=True)
        for first, second in pairwise(enough):
            better, worse = (cell.rpartition("/")[2] for cell in (first, second))
            stated.append(Claim(f"{network}: {better} above {worse}", cells[first], cells[second]))
    return claims(stated, digits=1)


def _number(name: str) -> float:
    return CELLS[name].published if name in CELLS else math.nan


def _published(name: str) -> str:
    return "-" if math.isnan(_number(name)) else f"{_number(name):g}"


def _draw(found: Sequence[Outcome], path: Path) -> None:
    series = points((each.cell, _number(each.cell), each.seed, each.accuracy, each.short) for each in found)
    if series:
        save(drawn(series), series, path, "test_accuracy", "published")


def _listed() -> Table:
    rows = (
        (name, _published(name), each.kind, f"{each.epochs}", f"{each.batch_size}",
         "; ".join(part for part in (each.note, f"left out: no {each.lacking}" if each.lacking else "") if part))
        for name, each in CELLS.items()
    )  # fmt: skip
    return Table(("cell", "published, %", "network", "epochs", "batch", "note"), tuple(rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.published_vision", description="Published tables beside our own numbers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="name all cells")
    run = commands.add_parser("run", help="run some cells")
    run.add_argument("cells", nargs="+", help="names of cells, where * stands for anything")
    run.add_argument("--data", type=folder, help="folder of image data, default that of TCA_DATA")
    run.add_argument("--images", help="another set of images, by the name of its folder; all of it")
    run.add_argument("--epochs", type=count, help="so many epochs only")
    run.add_argument("--train", type=count, help="so many training images only")
    run.add_argument("--test", type=count, help="so many test images only")
    run.add_argument("--thin", type=count, default=1, help="divide all sizes and channels, default by 1")
    run.add_argument("--lr", type=rate, help="another learning rate")
    run.add_argument("--batch", type=count, help="another number of images a batch")
    run.add_argument("--seeds", type=count, default=1, help="repetitions, default 1")
    run.add_argument("--workers", type=count, default=1, help="processes that train at the same time")
    for each in (run, commands.add_parser("table", help="show what has been run")):
        each.add_argument("--out", type=Path, default=Path("runs/published_vision"), help="folder of records")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """List cells, run some, or show what has been run.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
    """
    parser = _parser()
    options = parser.parse_args(words)
    if options.command == "list":
        print(_listed())
        return 0
    if options.command == "run":
        try:
            jobs = _jobs(options)
        except (ValueError, TypeError) as error:
            parser.error(str(error))
        torch.set_num_threads(1)
        spread(partial(_work, folder=options.out), jobs, options.workers)
    found = outcomes(options.out)
    made = table(found)
    if options.out.exists():
        made.write(options.out / "published_vision")
        _draw(found, options.out / "published_vision_figure")
    print(made)
    return 0


def _jobs(options: argparse.Namespace) -> list[_Job]:
    """Return the runs, having built each and opened its images, so that what is wrong is said before any is trained."""
    look_in(options.data)
    scale = Scale(options.epochs, options.train, options.test, options.thin, options.lr, options.batch, options.images)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    jobs: list[_Job] = []
    for cell in chosen(options.cells):
        if cell.lacking:
            print(f"left out, as the library lacks {cell.lacking}: {cell.name}", file=sys.stderr)
            continue
        opened(cell.run(0, scale, device).task_options)
        fitted = cell.fitted(scale)
        jobs += [_Job(cell, fitted, seed, device) for seed in range(options.seeds)]
    return jobs


if __name__ == "__main__":
    sys.exit(main())
