"""Records of runs as tables of pandas: a row for each run, and learning curves on demand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tca.experiments.records.files import RecordError, read_bytes
from tca.experiments.records.reader import LARGEST_METRICS, measured
from tca.experiments.records.run_filters import RunCondition
from tca.experiments.records.run_index import list_runs
from tca.experiments.records.run_rows import COLUMNS
from tca.utils.checks import Folder, checked
from tca.utils.names import shorten
from tca.utils.tables import pandas_library
from tca.utils.text import in_a_line

if TYPE_CHECKING:
    from pandas import DataFrame
else:
    DataFrame = Any  # annotations are read when arguments are checked

__all__ = ["load", "load_curves"]

INTEGERS = [name for name, kind in COLUMNS.items() if kind is int]
GROUPS = ("outcome", "task", "rule", "network", "loss", "optimizer", "measure")  # columns of few values


@checked
def load(folder: Folder, where: str | Sequence[str] = ()) -> DataFrame:
    """Return a table with a row for each run below a folder, unfinished and damaged ones included.

    Columns: ``folder``, the path of the record; ``date``, when it began; ``outcome``, ``task``, ``rule``, ``network``
    and ``optimizer`` as categories; sizes, seeds and ``step`` as integers that may be missing; the last measurement;
    and every setting that differs between runs, by its name with dots, such as ``net.size``.

    Args:
        folder: Folder of records, also of comparisons, or a record.
        where: Conditions that all hold, such as ``"test_accuracy > 0.9"`` or ``"net.size = 64"``, default none.

    Raises:
        RecordError: The folder cannot be read.
        ValueError: A condition is none, or a column is unknown.
        ImportError: pandas is not installed.

    >>> import tempfile, tca
    >>> run = tca.Run("delayed_xor", net=tca.NetworkConfig(size=4), steps=2, n_train=8, n_test=8)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     _ = tca.train(run, run.folder(place), progress=False)
    ...     load(place)[["task", "rule", "step"]].values.tolist()
    [['delayed_xor', 'bptt', 2]]
    """
    pandas = pandas_library()
    texts = [where] if isinstance(where, str) else where
    rows, _ = list_runs(folder, [RunCondition.of(each) for each in texts])
    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    settings = _varying([json.loads(each or "{}") for each in frame.pop("settings")])
    frame["folder"] = [str(Path(folder) / each) for each in frame["folder"]]
    frame["date"] = pandas.to_datetime(frame["date"], utc=True)
    frame = frame.astype(dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys(GROUPS, "category"))
    frame = frame.astype({name: float for name, kind in COLUMNS.items() if kind is float})
    others = pandas.DataFrame(
        {name: values for name, values in settings.items() if name not in frame}, index=frame.index
    )
    return pandas.concat([frame, others.convert_dtypes()], axis=1)


def _varying(settings: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings that differ between runs, by name."""
    names = dict.fromkeys(name for each in settings for name in each)
    columns = {name: [each.get(name) for each in settings] for name in names}
    return {name: values for name, values in columns.items() if len(set(map(repr, values))) > 1}


@checked
def load_curves(runs: Any) -> DataFrame:
    """Return the measurements of runs: a row for each, with the folder of its record.

    Args:
        runs: Table of `load`, or a part of it; or folders of records.

    Raises:
        RecordError: A record has no measurements, or damaged ones.
        ImportError: pandas is not installed.

    >>> import tempfile, tca
    >>> run = tca.Run("delayed_xor", net=tca.NetworkConfig(size=4), steps=2, n_train=8, n_test=8)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     _ = tca.train(run, run.folder(place), progress=False)
    ...     load_curves(load(place))["step"].tolist()
    [0, 2]
    """
    pandas = pandas_library()
    folders = runs["folder"].tolist() if isinstance(runs, pandas.DataFrame) and "folder" in runs else runs
    folders = [folders] if isinstance(folders, str | Path) else folders
    if not isinstance(folders, list | tuple) or not all(isinstance(each, str | Path) for each in folders):
        raise TypeError(f"runs must be a table of analysis.load, a folder or a list of folders, got {shorten(runs)}")
    found = []
    for folder in map(str, folders):
        for each in _measurements(Path(folder)):
            values = each.to_json()
            observed = {f"observed.{name}": value for name, value in values.pop("observed").items()}
            found.append({"folder": folder, **values, **observed})
    first = ["folder", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "elapsed"]
    frame = pandas.DataFrame(found, columns=list(dict.fromkeys([*first, *(name for each in found for name in each)])))
    return frame.astype({name: float for name in frame.columns[2:]} | {"step": int})


def _measurements(folder: Path) -> Any:
    """Return the measurements of a record; the last line of one in training may not be whole."""
    path = folder / "metrics.jsonl"
    content = read_bytes(path, LARGEST_METRICS)
    try:
        return measured(content[: content.rfind(b"\n") + 1])
    except (ValueError, TypeError, MemoryError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error) or 'out of memory'}") from error
