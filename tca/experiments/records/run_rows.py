"""A row for each record: settings, outcome and last measurement, without its networks.

Rows are read within bounds and without checksums of tensors, for lists of many runs;
`tca.experiments.records.reader.look` checks every file.
"""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tca.experiments.records.files import RecordError, opened
from tca.experiments.records.reader import finished, read_description
from tca.experiments.records.result import OUTCOMES, Metrics
from tca.experiments.records.sealed_json import parsed, read_json, unsealed
from tca.utils.text import in_a_line

__all__ = ["COLUMNS", "DAMAGED", "UNFINISHED", "flat_settings", "last_measurement", "row_of"]

UNFINISHED, DAMAGED = "unfinished", "damaged"
SEEDS = ("data", "net", "rule", "batches")
# Columns of a row, with their types; missing values are None.
COLUMNS: dict[str, type] = {
    "folder": str, "name": str, "date": str, "outcome": str, "task": str, "rule": str, "network": str, "loss": str,
    "optimizer": str, "lr": float, "batch_size": int, "steps": int, "step": int, "n_train": int, "n_test": int,
    **{f"seed_{each}": int for each in SEEDS}, "measure": str, "train_loss": float, "train_accuracy": float,
    "test_loss": float, "test_accuracy": float, "elapsed": float, "reason": str, "settings": str,
}  # fmt: skip
LAST_BYTES = 1 << 16  # of the measurements, which hold the last one
LONGEST = 300  # characters of a text
MOST_SETTINGS = 1 << 14  # characters of all settings


def row_of(folder: Path, place: str) -> dict[str, Any]:
    """Return the row of a record; that of a damaged one has the reason.

    Args:
        folder: The record.
        place: Its path in the list.
    """
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row["folder"] = place
    try:
        description = read_description(folder)
        row |= _described(description) | {"date": _date(folder, description)}
        row |= _ending(folder, description["name"]) if finished(folder) else _progress(folder)
    except (RecordError, ArithmeticError) as error:
        row |= {"outcome": DAMAGED, "reason": in_a_line(error, LONGEST)}
    return row


def _described(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of settings."""
    run = description["run"]
    net, optimizer, seeds = (each if isinstance(each, Mapping) else {} for each in map(run.get, PARTS))
    rule = run.get("rule")
    if isinstance(rule, Mapping):
        rule = rule.get("name") or " + ".join(_class(rule.get(each)) for each in ("signal", "eligibility"))
    loss = run.get("loss")
    text = {
        "name": description["name"],
        "task": run.get("task"),
        "rule": rule,
        "network": net.get("kind", "leaky_rnn"),
        "loss": _class(loss) if isinstance(loss, Mapping) else loss,
        "optimizer": optimizer.get("name"),
        "measure": description["measure"],
    }
    numbers = {name: run.get(name) for name in ("batch_size", "steps", "n_train", "n_test")}
    numbers |= {"lr": optimizer.get("lr"), **{f"seed_{name}": seeds.get(name) for name in SEEDS}}
    settings = json.dumps(flat_settings(run), separators=(",", ":"))
    return {
        **{name: None if each is None else in_a_line(each, LONGEST) for name, each in text.items()},
        **{name: _number(each, COLUMNS[name]) for name, each in numbers.items()},
        "settings": settings if len(settings) <= MOST_SETTINGS else "{}",
    }


PARTS = ("net", "optimizer", "seeds")


def _class(part: Any) -> str:
    name = part.get("class", "") if isinstance(part, Mapping) else part
    return str(name).rpartition(".")[2]


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings by names with dots; lists as JSON.

    Args:
        values: Value of ``Run.to_json``, or a part of it.
        prefix: Prefix of the names, default none.

    >>> flat_settings({"steps": 10, "net": {"tau": 100.0, "dale": [1, -1]}})
    {'steps': 10, 'net.tau': 100.0, 'net.dale': '[1, -1]'}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat_settings(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = json.dumps(value) if isinstance(value, list) else value
    return found


def _number(value: Any, kind: type) -> Any:
    """Return a finite number that a table can hold, else ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= 2**63 or not math.isfinite(value):
        return None
    return kind(value)


def _date(folder: Path, description: Mapping[str, Any]) -> str:
    """Return when the run began, in UTC; of older records when ``run.json`` was written."""
    given = description.get("date")
    try:
        moment = datetime.datetime.fromisoformat(given) if isinstance(given, str) else None
        if moment is None or moment.tzinfo is None:
            moment = datetime.datetime.fromtimestamp(os.lstat(folder / "run.json").st_mtime, datetime.UTC)
        return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OSError, ValueError, OverflowError):
        return "1970-01-01T00:00:00Z"


def _ending(folder: Path, name: str) -> dict[str, Any]:
    """Return the columns of a finished run."""
    path = folder / "result.json"
    try:
        ending = unsealed(read_json(path), name)
        if ending["outcome"] not in OUTCOMES:
            raise ValueError("it does not say how the run ended")
        reason = in_a_line(ending["reason"], LONGEST) or None
        return {**_measured(Metrics.from_json(ending["last"])), "outcome": ending["outcome"], "reason": reason}
    except (ValueError, LookupError, TypeError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error


def _progress(folder: Path) -> dict[str, Any]:
    """Return the columns of an unfinished run."""
    last = last_measurement(folder)
    return {"outcome": UNFINISHED, **({} if last is None else _measured(last))}


def _measured(last: Metrics) -> dict[str, Any]:
    return {name: _number(getattr(last, name), kind) for name, kind in COLUMNS.items() if hasattr(last, name)}


def last_measurement(folder: Path) -> Metrics | None:
    """Return the last measurement of a run in training, ``None`` before the first.

    Args:
        folder: The record.
    """
    try:
        with opened(folder / "metrics.jsonl") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_BYTES))
            lines = file.read(LAST_BYTES).splitlines(keepends=True)
    except RecordError:
        return None
    return next(_whole_lines(lines), None)


def _whole_lines(lines: list[bytes]) -> Iterator[Metrics]:
    """Yield measurements from the last; a line that is not whole is passed over."""
    for line in reversed(lines):
        try:
            if line.endswith(b"\n"):
                yield Metrics.from_json(parsed(line))
        except (ValueError, TypeError):
            continue
