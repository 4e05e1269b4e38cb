"""Lists of many runs: rows, conditions, the index and its damage, hostile records, and the command."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import analysis
import tca
from tca.__main__ import main
from tca.experiments import records
from tca.experiments.records import run_index
from tca.experiments.records.run_filters import RunCondition
from tca.experiments.records.run_index import index_path, list_runs
from tca.experiments.records.run_rows import COLUMNS
from tca.experiments.records.sealed_json import sealed

NET = tca.NetworkConfig(size=4)
SMALL: dict[str, Any] = {"net": NET, "steps": 4, "n_train": 8, "n_test": 8, "evaluate_every": 2}
RUNS = [
    tca.Run("delayed_xor", "eprop", **SMALL),
    tca.Run("delayed_xor", "bptt", seeds=tca.Seeds(1, 2, 3, 4), **SMALL),
    tca.Run("flip_flop", tca.Rule(tca.signals.Random(2.0), tca.eligibilities.Leak()), **SMALL | {"steps": 2}),
]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the index."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TCA_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of three finished runs, one of them in a folder of its own, and an unfinished one."""
    root = tmp_path_factory.mktemp("runs")
    for run, place in zip(RUNS, (root, root, root / "pilot"), strict=True):
        tca.train(run, run.folder(place), progress=False)
    unfinished = root / "unfinished"
    with pytest.raises(ZeroDivisionError):
        tca.train(RUNS[0], unfinished, progress=False, observe=lambda learner, batch: {"bad": 1 / 0})
    (root / ".hidden").mkdir()
    (root / "notes.txt").write_text("")
    return root


def test_a_row_has_what_the_run_and_its_result_have(trained: Path) -> None:
    rows, count = list_runs(trained)
    assert count == len(rows) == 4
    by_name = {row["folder"]: row for row in rows}
    for run, place in zip(RUNS, ("", "", "pilot/"), strict=True):
        row = by_name[place + run.folder(trained).name]
        result = records.read(trained / row["folder"])
        assert (row["task"], row["network"], row["outcome"]) == (run.task, "leaky_rnn", "completed")
        assert row["rule"] == (run.rule if isinstance(run.rule, str) else "Random + Leak")
        seeds = tuple(row[f"seed_{each}"] for each in ("data", "net", "rule", "batches"))
        assert seeds == (run.seeds.data, run.seeds.net, run.seeds.rule, run.seeds.batches)
        assert row["steps"] == row["step"] == run.steps
        assert (row["train_loss"], row["test_accuracy"]) == (result.last.train_loss, result.last.test_accuracy)
        assert abs(time.time() - time.mktime(time.strptime(row["date"], "%Y-%m-%dT%H:%M:%SZ"))) < 2 * 86400
        assert json.loads(row["settings"])["net.size"] == 4
    assert (by_name["unfinished"]["outcome"], by_name["unfinished"]["rule"]) == ("unfinished", "eprop")


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        (["rule = eprop"], 2),
        (["rule = eprop", "outcome = completed"], 1),
        (["outcome != completed"], 1),
        (["steps < 4"], 1),
        (["net.size = 4"], 4),
        (["net.size > 4"], 0),
        (["optimizer.name = Adam", "seed_net >= 2"], 1),
        (["folder ~ PILOT"], 1),
        (["stop_loss = none"], 4),
        (["fresh = false"], 4),
        (["net.no_such_option = 3"], 0),
        (["rule = x' OR '1'='1"], 0),
    ],
)
def test_conditions(texts: list[str], count: int, trained: Path) -> None:
    rows, found = list_runs(trained, [RunCondition.of(each) for each in texts])
    assert len(rows) == found == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy", "where must be a condition such as net.size>=64"),
        ("test_acuracy > 1", "unknown column or setting 'test_acuracy', did you mean 'test_accuracy'"),
        ("nett.size = 3", "unknown column or setting 'nett', did you mean 'net'"),
        ("a\"b = 3", "where must be a condition such as net.size>=64"),
    ],
)  # fmt: skip
def test_conditions_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(">", r"\>")):
        RunCondition.of(text)


def test_sorting_puts_missing_values_last(trained: Path) -> None:
    for descending in (False, True):
        rows, _ = list_runs(trained, sort="test_loss", descending=descending)
        losses = [row["test_loss"] for row in rows]
        assert losses[-1] is None
        assert losses[:-1] == sorted(losses[:-1], reverse=descending)
    rows, count = list_runs(trained, sort="net.size", limit=2)
    assert (len(rows), count) == (2, 4)


def write(folder: Path, run: tca.Run, **ending: Any) -> None:
    """Write a record without networks."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"title": "", "measure": "accuracy", "versions": {}, "commit": None, "threads": 1}
    (folder / "run.json").write_text(json.dumps(sealed(run.name, {"run": run.to_json(), **about})))
    if ending:
        last = {"step": 4, "elapsed": 1.0, "observed": {}}
        last |= dict.fromkeys(("train_loss", "train_accuracy", "test_loss", "test_accuracy"), 0.5)
        (folder / "result.json").write_text(json.dumps(sealed(run.name, {"last": last, "reason": ""} | ending)))


def aged(folder: Path, nanoseconds: int) -> None:
    """Set the time of a folder to long ago."""
    os.utime(folder, ns=(nanoseconds, nanoseconds))


def test_only_records_that_change_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    row_of = run_index.row_of
    monkeypatch.setattr(run_index, "row_of", lambda folder, place: (read.append(place), row_of(folder, place))[1])
    for name in ("a", "b"):
        write(tmp_path / name, RUNS[0])
        aged(tmp_path / name, 10**18)
    list_runs(tmp_path)
    list_runs(tmp_path)
    assert sorted(read) == ["a", "b"]
    write(tmp_path / "b", RUNS[0], outcome="completed")
    assert [row["outcome"] for row in list_runs(tmp_path)[0]] == ["unfinished", "completed"]
    list_runs(tmp_path)
    assert sorted(read) == ["a", "b", "b", "b"]  # it changed just now, and may again within the same tick
    aged(tmp_path / "b", 10**18 + 1)
    for _ in range(2):
        list_runs(tmp_path)
    assert sorted(read) == ["a", "b", "b", "b", "b"]
    for each in (tmp_path / "a").iterdir():
        each.unlink()
    (tmp_path / "a").rmdir()
    assert [row["folder"] for row in list_runs(tmp_path)[0]] == ["b"]
    list_runs(tmp_path, rebuild=True)
    assert len(read) == 6


def stored(path: Path) -> int | None:
    """Return how many runs the index on the disk has, ``None`` if it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as index:
            return int(index.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return None


@pytest.mark.parametrize("damage", ["text", "empty", "half", "other columns", "folder", "read-only"])
def test_a_damaged_index_is_made_anew(damage: str, tmp_path: Path, cache: Path) -> None:
    for number in range(40):
        write(tmp_path / f"run{number}", RUNS[0], outcome="completed")
    wanted = list_runs(tmp_path)
    path = index_path(tmp_path)
    assert path.is_relative_to(cache)
    content = path.read_bytes()
    if damage == "text":
        path.write_bytes(b"no database" * 1000)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "other columns":
        with sqlite3.connect(path) as index:
            index.execute("DROP TABLE runs")
            index.execute("CREATE TABLE runs (folder TEXT)")
        index.close()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.chmod(0o400)
        path.parent.chmod(0o500)
    assert list_runs(tmp_path) == wanted
    path.parent.chmod(0o700)
    assert stored(path) == (None if damage == "folder" else 40), "the index on the disk is not whole again"


def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TCA_CACHE", str(tmp_path / "file"))
    write(tmp_path / "runs" / "a", RUNS[0])
    assert list_runs(tmp_path / "runs")[1] == 1


def test_lists_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several processes or threads bring the index up to date, in small transactions."""
    monkeypatch.setattr(run_index, "AT_ONCE", 5)
    for number in range(30):
        write(tmp_path / f"run{number}", RUNS[0], outcome="completed")
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(list_runs(tmp_path)[1])) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == [30] * 4


def test_an_index_that_another_process_makes_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are not dropped between its last transaction and its answer."""
    connect, made = sqlite3.connect, []

    class Late(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                monkeypatch.setattr(sqlite3, "connect", connect)
                made.append(list_runs(tmp_path)[1])
            return super().execute(sql, *values)

    for number in range(3):
        write(tmp_path / f"run{number}", RUNS[0], outcome="completed")
    monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, factory=Late))
    with contextlib.closing(run_index._opened(index_path(tmp_path))) as index:
        assert made == [3]
        assert index.execute("SELECT count(*) FROM runs").fetchone() == (3,)


def test_hostile_records_are_damaged_rows_or_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Links, pipes, huge numbers and files, escapes, and names that are no text."""
    outside = tmp_path / "outside"
    write(outside / "record", RUNS[0], outcome="completed")
    root = tmp_path / "runs"
    write(root / "good", RUNS[0], outcome="completed")
    (root / "link").symlink_to(outside / "record")
    (root / "loop").symlink_to(root)
    write(root / "pipe", RUNS[0])
    os.mkfifo(root / "pipe" / "metrics.jsonl")
    (root / "huge").mkdir()
    with open(root / "huge" / "run.json", "wb") as file:
        file.truncate(1 << 30)
    write(root / "edited", RUNS[0])
    (root / "edited" / "run.json").write_text((root / "edited" / "run.json").read_text().replace("eprop", "bptt"))
    values = RUNS[0].to_json() | {"task": "\x1b[2Jtask", "batch_size": 1 << 63, "n_test": True, "net": [1]}
    about = {"title": "", "measure": "x", "versions": {}, "commit": None, "threads": 1, "date": "9999-99"}
    name = records.reader.name_of(values)
    (root / "odd").mkdir()
    (root / "odd" / "run.json").write_text(json.dumps(sealed(name, {"run": values, **about})))
    (root / "ended").mkdir()
    write(root / "ended", RUNS[0], outcome="won")
    os.mkdir(os.fsencode(root) + b"/na\xff\x1bme")
    rows, _ = list_runs(root)
    outcomes = {row["folder"]: row["outcome"] for row in rows}
    assert outcomes == {
        "good": "completed", "pipe": "unfinished", "huge": "damaged", "edited": "damaged", "odd": "unfinished",
        "ended": "damaged",
    }  # fmt: skip
    odd = next(row for row in rows if row["folder"] == "odd")
    assert (odd["batch_size"], odd["n_test"], odd["task"]) == (None, None, r"\x1b[2Jtask")
    assert main(["runs", str(root)]) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "damaged: huge: " in shown


def test_the_command(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(trained), "--rule", "eprop,bptt", "--sort", "test_loss", "--reverse"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:4] == ["date", "task", "rule", "network"]
    assert shown[-1] == "3 runs: 2 completed, 1 unfinished."
    assert main(["runs", f"--folder={trained}", "--format", "csv", "--limit=0", "--seed", "2"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(row) == list(COLUMNS)
    assert (row["rule"], int(row["seed_batches"])) == ("bptt", 4)
    assert float(row["test_loss"]) == records.read(RUNS[1].folder(trained)).last.test_loss
    assert main(["runs", str(trained), "--limit=1"]) == 0
    assert "4 runs, 1 shown (--limit 0 for all)" in capsys.readouterr().out
    assert main(["runs", str(RUNS[1].folder(trained))]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 run: 1 completed."
    assert main(["runs", str(trained), "--task=none_such"]) == 0
    assert capsys.readouterr().out.startswith("0 runs in ")
    for words, message in (
        ([str(trained), "--limit=-1"], "limit must be at least 0, got -1"),
        ([str(trained), "--sort=acc"], "unknown column or setting 'acc'"),
        ([str(trained / "nowhere")], "is no folder"),
        ([str(trained), "--format=html"], "unknown format 'html'"),
    ):
        assert main(["runs", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_setting_that_no_run_has_is_named(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for condition, hint in (("net.siz = 4", "'net.siz', did you mean 'net.size'?"), ("net.size = 5", "")):
        assert main(["runs", str(trained), "--where", condition]) == 0
        first, *others = capsys.readouterr().out.splitlines()
        assert first == f"0 runs in {trained}"
        assert [hint in each for each in others] == [True] * bool(hint)


def test_a_table_of_pandas_has_types_and_curves_on_demand(trained: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = analysis.load(trained)
    assert len(frame) == 4
    assert isinstance(frame["rule"].dtype, pandas.CategoricalDtype)
    assert str(frame["date"].dtype).startswith("datetime64[")
    assert (str(frame["step"].dtype), str(frame["seed_net"].dtype)) == ("Int64", "Int64")
    assert frame["test_loss"].dtype == float
    assert "net.size" not in frame  # the same in all
    assert frame["rule.signal.scale"].dropna().tolist() == [2.0]
    assert analysis.load(trained, ["rule = bptt", "seed_net = 2"])["seed_batches"].tolist() == [4]
    chosen = frame[frame["outcome"] == "completed"]
    curves = analysis.load_curves(chosen)
    assert len(curves) == 3 + 3 + 2
    for folder, its in curves.groupby("folder"):
        metrics = records.read(folder).metrics
        assert its["step"].tolist() == [each.step for each in metrics]
        assert its["test_loss"].tolist() == [each.test_loss for each in metrics]
    assert analysis.load_curves(RUNS[1].folder(trained))["step"].tolist() == [0, 2, 4]
    with pytest.raises(records.RecordError, match=r"metrics\.jsonl"):
        analysis.load_curves([trained / "nowhere"])
    assert analysis.load(trained / "pilot").shape[0] == 1
