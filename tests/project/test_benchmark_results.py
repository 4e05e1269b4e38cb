"""Saved results of benchmarks: their ratios, their verdicts, and the marks of rows older than their code."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import code_versions, result_figure, results
from benchmarks.results import Bound, Result, Row
from tools import pages

OWN = "benchmarks/timing.py"
PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what writes a module of a repository of its own."""
    monkeypatch.setattr(code_versions, "ROOT", tmp_path)
    (tmp_path / "tca").mkdir()
    return lambda text: (tmp_path / "tca/part.py").write_text(text) and None


def result(code: dict[str, str], bounds: tuple[Bound, ...] = ()) -> Result:
    rows = {
        "loop": Row({"N = 8": 0.5, "N = 16": 2.0}, {}),
        "ours": Row({"N = 8": 0.25, "N = 16": 1.8}, code),
        "peer": Row({"N = 16": 30.0}, {}),
    }
    kept = {"command": "python -m benchmarks.x", "date": "2026-01-02", "commit": "abc"}
    return Result("x", "Gradients", "loop", rows, list(bounds), machine={"cpu": "Abacus", "torch": "9"}, **kept)


def cells(text: str) -> list[list[str]]:
    return [[each.strip() for each in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_table_holds_ratios_only_and_its_origin() -> None:
    text = results.table(result({}))
    assert text.splitlines()[0] == (
        "Gradients; times as multiples of *loop*. Abacus; torch 9; 2026-01-02, commit abc: `python -m benchmarks.x`."
    )
    assert cells(text) == [
        ["", "N = 8", "N = 16"], ["---", "---:", "---:"],
        ["loop", "1.00", "1.00"], ["ours", "0.50", "0.90"], ["peer", "-", "15"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [
        (Bound("ours", "loop", 0.9), "at most 0.9 x loop: pass"),
        (Bound("ours", "loop", 0.8), "at most 0.8 x loop: **miss**"),
        (Bound("peer", "ours", 16, at_least=True), "at least 16 x ours: pass"),
        (Bound("loop", "ours", 2, at_least=True), "at least 2 x ours: **miss**"),
        (Bound("ours", "absent", 2), "at most 2 x absent: not measured"),
    ],
)
def test_a_target_is_judged_in_every_column(bound: Bound, verdict: str) -> None:
    rows = {row[0]: row[-1] for row in cells(results.table(result({}, (bound,))))[2:]}
    assert rows == {"loop": "", "ours": "", "peer": ""} | {bound.row: verdict}


def test_without_a_reference_a_table_holds_the_numbers_and_judges_them() -> None:
    rows = {"online": Row({"T = 10": 3.456, "T = 20": 6.5}, {}), "whole": Row({"T = 20": 138.0, "T = 30": 2e-7}, {})}
    bounds = [Bound("online", None, 6), Bound("whole", "online", 21), Bound("whole", None, 1e-7, at_least=True)]
    text = results.table(replace(result({}), reference=None, rows=rows, bounds=bounds, measure="megabytes"))
    assert text.startswith("Gradients; megabytes. Abacus;")
    assert cells(text) == [
        ["", "T = 10", "T = 20", "T = 30", "target"], ["---", "---:", "---:", "---:", "---"],
        ["online", "3.46", "6.50", "-", "at most 6: **miss**"],
        ["whole", "-", "138", "2e-07", "at most 21 x online: **miss**, at least 1e-07: pass"],
    ]  # fmt: skip


def test_a_row_is_marked_when_statements_change_and_not_comments(module: Callable[[str], None]) -> None:
    module('"""A part."""\n\n\ndef one() -> int:\n    """Return one."""\n    return 1\n')
    code = code_versions.digests([str(code_versions.ROOT / "tca/part.py")])
    module('"""Another\ntext."""\n\n# a comment\ndef one() -> int:\n    return 1\n')
    assert list(code) == ["tca/part.py"]
    assert code_versions.changed(code) == []
    module('"""A part."""\n\n\ndef one() -> int:\n    """Return one."""\n    return 2\n')
    assert code_versions.changed(code) == ["tca/part.py"]
    (code_versions.ROOT / "tca/part.py").unlink()
    assert code_versions.changed(code) == ["tca/part.py"]


def test_rows_of_changed_code_are_marked_and_all_rows_where_the_reference_changed() -> None:
    names = [row[0] for row in cells(results.table(result({OWN: "other"})))[2:]]
    assert names == ["loop", "ours\\*", "peer"]
    before = result({})
    before.rows["loop"].code[OWN] = "other"
    text = results.table(before)
    assert [row[0] for row in cells(text)[2:]] == ["loop\\*", "ours\\*", "peer\\*"]
    assert text.endswith("\\* Measured before the last change of the code that it executes.")


def test_code_is_that_which_ran(module: Callable[[str], None]) -> None:
    module("def called():\n    return 1\n\n\ndef idle():\n    return 2\n")
    (code_versions.ROOT / "tca/fast.cpp").write_text("int one();")
    (code_versions.ROOT / "tca/idle.py").write_text("def idle():\n    return 2\n")
    loaded = {}
    for name in ("part", "idle"):
        spec = importlib.util.spec_from_file_location(name, code_versions.ROOT / f"tca/{name}.py")
        assert spec is not None
        assert spec.loader is not None
        loaded[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded[name])
    before = sys.getprofile()
    assert list(code_versions.executed(loaded["part"].called)) == ["tca/fast.cpp", "tca/part.py"]
    assert sys.getprofile() is before


def test_a_measurement_is_saved_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    rows = results.measure({"N = 8": lambda: {"loop": lambda: sum(range(99)), "ours": int}}, 1, 0.01)
    assert all(row.seconds["N = 8"] > 0 for row in rows.values())
    measured = Result("x", "Gradients", "loop", rows, [Bound("ours", "loop", 2)])
    results.finish(measured, save=True)
    assert results.read(tmp_path / "results/x.json") == measured


def test_every_saved_result_has_its_table_in_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    saved = {f"benchmark_{path.stem}" for path in results.FOLDER.glob("*.json")}
    assert saved
    assert saved <= set(pages.TABLES)
    assert [name for name in saved if f"<!-- table {name} -->" not in text] == []


def test_the_figure_of_the_benchmarks_holds_the_saved_results() -> None:
    """Its numbers are the times of the files, by JSON alone, divided by those of the reference."""
    expected = {}
    for path in results.FOLDER.glob("*.json"):
        given = json.loads(path.read_text(encoding="utf-8"))
        if given["reference"] is None:
            continue
        seconds = {name: row["seconds"] for name, row in given["rows"].items()}
        for name, row in seconds.items():
            for column in row.keys() & seconds[given["reference"]].keys():
                expected[given["name"], name, column] = row[column] / seconds[given["reference"]][column]
    lines = (PAGE.parent / "figures/benchmarks.csv").read_text(encoding="utf-8").splitlines()
    found = {(row["benchmark"], row["row"], row["column"]): float(row["ratio"]) for row in csv.DictReader(lines)}
    assert found == pytest.approx(expected), "run: python -m tools.pages"


def test_the_figure_is_drawn_again_only_where_results_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_figure, "saved", lambda: [result({})])
    path = tmp_path / "figure"
    assert result_figure.draw(path)
    assert not result_figure.draw(path)
    assert path.with_suffix(".csv").read_text().splitlines()[1:3] == ["x,loop,N = 8,1.0", "x,loop,N = 16,1.0"]
    figure = result_figure.figure_of([result({})])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["ours", "peer"]
    assert sorted(x for line in axes.lines[:-1] for x in line.get_xdata()) == pytest.approx([0.5, 0.9, 15.0])


def test_marks_have_the_colour_of_the_rule_and_a_marker_for_the_size() -> None:
    """The rule is named by the column, the row or the benchmark; other marks are grey."""
    blue, black, green, grey = "#0072B2", "#000000", "#009E73", "0.5"
    given = [
        ("kernels", "ours", {"e-prop, N = 8": (blue, "o"), "BPTT, N = 8": (black, "o"), "BPTT, N = 9": (black, "s")}),
        ("updates", "tca three_factor, by hand", {"N = 8": (green, "o"), "N = 9": (green, "s")}),
        ("threads_eprop", "2 threads", {"N = 8": (blue, "o")}),
        ("startup", "import tca", {"time": (grey, "o")}),
    ]
    for name, row, looks in given:
        rows = {each: Row(dict.fromkeys(looks, 1.0), {}) for each in ("loop", row)}
        (axes,) = result_figure.figure_of([replace(result({}), name=name, rows=rows)]).axes
        assert [(line.get_color(), line.get_marker()) for line in axes.lines[:-1]] == list(looks.values()), name
