"""The runs command: a list of runs, filtered and sorted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from jsonargparse import ArgumentParser, Namespace

from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.cli.parsers import add_folder, given_folder
from tca.cli.record_names import RECORDS
from tca.cli.text_table import TextTable, csv_text
from tca.experiments.records.run_filters import RunCondition
from tca.experiments.records.run_index import Row, list_runs, setting_names
from tca.experiments.records.run_rows import COLUMNS, DAMAGED, SEEDS
from tca.utils.names import lookup, unknown
from tca.utils.text import in_a_line

__all__ = ["act", "parser"]

SHOWN = ("date", "task", "rule", "network", "seeds", "lr", "outcome", "step", "test_loss", "test_accuracy", "folder")
TEXTS = 5  # columns of text before the numbers
SAME = ("task", "rule", "network", "outcome", "optimizer")  # options that compare a column with a text
LIMIT = 50
FORMATS = ("table", "csv")


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser("tca runs [FOLDER] [options]")
    add_folder(made, "Folder of records, also in folders within it, by default runs.")
    for name in SAME:
        made.add_argument(f"--{name}", metavar="NAME", help=f"Runs with this {name} only; several, comma-separated.")
    made.add_argument("--seed", type=Optional[int], help="Runs with this seed of the network only.")  # noqa: UP045
    made.add_argument("--lr", type=Optional[float], help="Runs with this learning rate only.")  # noqa: UP045
    made.add_argument(
        "--where",
        action="append",
        metavar="CONDITION",
        help="Condition such as 'test_accuracy > 0.9', 'net.size = 64', 'date >= 2026-11' or 'folder ~ pilot', with a "
        f"setting of runs or one of: {', '.join(COLUMNS)}. May be repeated.",
    )
    made.add_argument("--sort", default="date", metavar="COLUMN", help="Column or setting to sort by.")
    made.add_argument("--reverse", action="store_true", help="Show the largest first.")
    made.add_argument("--limit", type=int, default=LIMIT, help="Largest number of runs shown; 0 for all.")
    made.add_argument("--format", default="table", help="table, or csv with all columns.")
    made.add_argument("--rebuild", action="store_true", help="Read all records again, also those in the index.")
    return made


def act(options: Namespace) -> CommandOutput:
    """List the runs."""
    lookup(dict.fromkeys(FORMATS), options.format, "format")
    if options.limit < 0:
        raise ValueError(f"limit must be at least 0, got {options.limit}")
    folder = RECORDS if options.path is options.folder is None else given_folder(options)
    rows, count = list_runs(
        folder,
        _conditions(options),
        sort=options.sort,
        descending=options.reverse,
        limit=options.limit or None,
        rebuild=options.rebuild,
    )
    status = int(any(row["outcome"] == DAMAGED for row in rows))
    if options.format == "csv":
        return CommandOutput(csv_text([*COLUMNS], ([*_spelled(row).values()] for row in rows)).rstrip(), status)
    if rows:
        return CommandOutput(str(_table(rows, count)), status)
    return CommandOutput(
        "\n".join([f"{count} runs in {in_a_line(folder)}", *_without(folder, _conditions(options))]), status
    )


def _without(folder: Path, conditions: list[RunCondition]) -> Iterator[str]:
    """Yield a line for each condition on a setting that no run has."""
    named = [each.name for each in conditions if each.name not in COLUMNS]
    known = dict.fromkeys(setting_names(folder) if named else ())
    for name in named:
        if known and name not in known:
            yield f"no run has the setting: {unknown(name, known, 'setting')}"


def _conditions(options: Namespace) -> list[RunCondition]:
    found = [RunCondition.of(each) for each in options.where or ()]
    given = {name: getattr(options, name) for name in SAME if getattr(options, name)}
    found += [RunCondition(name, "in", tuple(text.split(","))) for name, text in given.items()]
    if options.seed is not None:
        found.append(RunCondition("seed_net", "=", options.seed))
    if options.lr is not None:
        found.append(RunCondition("lr", "=", options.lr))
    return found


def _spelled(row: Row) -> Row:
    """Return a row with text made safe to print and nothing for missing values."""
    return {name: "" if each is None else in_a_line(each) if isinstance(each, str) else each
            for name, each in row.items()}  # fmt: skip


def _table(rows: list[Row], count: int) -> TextTable:
    outcomes = Counter(row["outcome"] for row in rows)
    shown_of = f", {len(rows)} shown (--limit 0 for all)" if len(rows) < count else ""
    ends = ", ".join(f"{number} {name}" for name, number in outcomes.items())
    notes = [f"{count} {'run' if count == 1 else 'runs'}{shown_of}: {ends}."]
    notes += [f"{DAMAGED}: {in_a_line(row['folder'])}: {in_a_line(row['reason'])}"
              for row in rows if row["outcome"] == DAMAGED]  # fmt: skip
    shown = [(*_cells(row), in_a_line(row["folder"])) for row in rows]
    head = tuple(name.replace("_", " ") for name in SHOWN)
    return TextTable(head, shown, notes, left=TEXTS, grouped=False)


def _cells(row: Row) -> tuple[str, ...]:
    seeds = dict.fromkeys(row[f"seed_{each}"] for each in SEEDS)
    values: dict[str, Any] = {**_spelled(row), "seeds": ",".join("" if each is None else str(each) for each in seeds)}
    values["date"] = values["date"].replace("T", " ").removesuffix("Z")[:16]
    return tuple(f"{each:.4g}" if isinstance(each := values[name], float) else str(each) for name in SHOWN[:-1])
