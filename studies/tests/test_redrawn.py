"""Figures of the pages are drawn again from the numbers beside them."""

from __future__ import annotations

import csv
import html
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest

from analysis.figures.plots import summary
from studies.redrawn import DRAWINGS, main, read_series

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
DRAWN = [path for path in sorted(FIGURES.rglob("*.csv")) if read_series(path)]


def name_of(path: Path) -> str:
    return path.relative_to(FIGURES).with_suffix("").as_posix()


def test_every_file_of_series_is_of_a_known_kind_and_drawn() -> None:
    assert len(DRAWN) > 30
    for path in DRAWN:
        assert any(fnmatch(name_of(path), pattern) for pattern in DRAWINGS), path


def test_every_figure_is_there_as_png_svg_and_numbers() -> None:
    drawn = sorted(path for path in FIGURES.rglob("*") if path.suffix in {".png", ".svg"})
    assert len(drawn) > 100
    for path in drawn:
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG"), path
        assert "<svg" in path.with_suffix(".svg").read_text(encoding="utf-8"), path
        assert path.with_suffix(".csv").exists(), path


@pytest.mark.parametrize("path", [path for path in DRAWN if path.parent.name == "rules"], ids=name_of)
def test_a_drawing_names_all_labels_and_the_number_of_runs(path: Path) -> None:
    text, series = html.unescape(path.with_suffix(".svg").read_text(encoding="utf-8")), read_series(path)
    assert all(each.label in text for each in series)
    assert summary(series, bounded=True).split(",")[0] in text


def test_a_figure_is_drawn_from_its_numbers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FIGURES / "rules" / "kernl.csv"
    (tmp_path / "rules").mkdir()
    shutil.copy(source, tmp_path / "rules")
    (tmp_path / "rules" / "other.csv").write_text("a,b\n1,2\n")
    assert main(["--figures", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["kernl drawn", "other left: of another kind"]
    assert (tmp_path / "rules" / "kernl.svg").read_text() == source.with_suffix(".svg").read_text()
    with open(source, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["panel"].endswith("learning")]
    first = read_series(source)[0]
    assert [float(row["value"]) for row in rows if (row["label"], row["seed"]) == (first.label, "0")] == list(first.y)
