"""The page of a comparison: what it holds, how names from records are embedded, and its size."""

from __future__ import annotations

import csv
import dataclasses
import importlib.resources
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from analysis.figures.looks import COLOURS, looks_of
from tca.cli.compare.comparison_table import runs_table, tables
from tca.cli.compare.estimates import at_chance
from tca.cli.compare.report import write_report
from tca.cli.compare.report_data import score_bars
from tca.cli.compare.report_figures import report_figures
from tca.cli.compare.report_page import figure
from tca.cli.compare.task_facts import TaskFacts
from tests.support.compared import synthetic

HOSTILE = (
    'bptt</script><script>alert("a")</script>', '"><img src=x onerror=alert(1)>', "$\\frac{1}$ & <b>", "</style><!--",
    "]]></svg>&lt;", "' onclick='alert(1)",
)  # fmt: skip
TASKS = ("perceptual_decision", "context_decision")
NAMES = ("bptt", "eprop", "poor")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    write_report(synthetic(NAMES, TASKS, 3), folder)
    return folder


class Page(HTMLParser):
    """Collects elements, attributes, and the texts of cells and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "input"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", text))
        if "td" in self.open:
            self.rows[-1][-1] += text


def page_of(folder: Path) -> Page:
    page = Page((folder / "report.html").read_text())
    assert page.open == []
    return page


def data_of(page: Page) -> dict[str, dict[str, dict[str, object]]]:
    """Return what the script of a page reads."""
    place = next(at for at, (tag, values) in enumerate(page.elements) if values.get("id") == "data")
    count = sum(tag == "script" for tag, _ in page.elements[:place])
    texts = [text for tag, text in page.texts if tag == "script"]
    found: dict[str, dict[str, dict[str, object]]] = json.loads(texts[count])
    return found


def test_names_from_records_are_text_wherever_they_stand(tmp_path: Path) -> None:
    result = synthetic(HOSTILE, TASKS[:1], 2)
    write_report(result, tmp_path)
    text, page = (tmp_path / "report.html").read_text(), page_of(tmp_path)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 2
    assert tags.count("style") == 1
    assert "img" not in tags
    assert not [name for _, values in page.elements for name in values if name.startswith("on")]
    assert not [value for _, values in page.elements for name, value in values.items() if name in ("src", "action")]
    assert all(
        (value or "#").startswith("#") for _, values in page.elements for n, value in values.items() if n == "href"
    )
    assert 'alert("a")' not in re.sub(r"<td.*?</td>|<script.*?</script>", "", text)
    data = data_of(page)
    assert {entry["entry"] for entry in data["entries"].values()} == set(HOSTILE)
    series = {values["data-series"] for tag, values in page.elements if tag == "g" and "data-series" in values}
    assert series == {" ".join(each.split()) for each in HOSTILE}
    with open(tmp_path / "learning_curves.csv", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == set(HOSTILE)


def test_every_row_is_on_the_page_and_opens_its_entry_or_run(written: Path) -> None:
    result = synthetic(NAMES, TASKS, 3)
    made = tables(result)
    assert [table.title for table in made] == [
        "Results", "At equal training loss", "Differences", "Differences at equal loss", "Entries"
    ]  # fmt: skip
    page = page_of(written)
    shown = [row for row in page.rows if row]
    expected = [row for table in (*made, runs_table(result)) for row in table.rows]
    assert len(shown) == len(expected)
    results = shown[: len(made[0].rows)]
    assert [row[0] for row in results] == ["bptt ", "eprop ", "poor at chance"] * 2 or [row[0] for row in results] == [
        "bptt",
        "eprop",
        "poor at chance",
    ] * 2
    assert [row[2] for row in results] == ["3", "3", "3, 3 at chance"] * 2
    data = data_of(page)
    keys = [values["data-key"] for tag, values in page.elements if tag == "tr" and "data-key" in values]
    assert set(keys) == {*data["entries"], *data["runs"]}
    for run, one in zip(data["runs"].values(), result.measured, strict=True):
        owner = data["entries"][str(run["owner"])]
        assert (owner["task"], owner["entry"], run["seed"]) == (one.run.task, one.entry, one.run.seeds.net)
        assert run["record"] == one.run.folder("runs").name
        assert run["updates"] == [each.step for each in one.metrics]
        assert run["score"] == pytest.approx([each.test_accuracy for each in one.metrics], rel=1e-4)
        assert owner["settings"]["rule"] == one.run.rule  # type: ignore[index]


def test_figures_hold_a_panel_for_each_task_and_name_n(written: Path) -> None:
    page = page_of(written)
    panels = [values["data-task"] for _, values in page.elements if values.get("class") == "panel"]
    assert panels == [*TASKS] * 6
    assert len({values["id"] for _, values in page.elements if "id" in values}) == sum(
        "id" in values for _, values in page.elements
    )
    texts = [text for tag, text in page.texts if tag == "figcaption"]
    assert len(texts) == 6
    assert sum("n = 3 runs" in text for text in texts) == 3
    text = (written / "report.html").read_text()
    drawn = "".join(re.findall(r'<div class="panel".*?</div>', text))
    assert not re.findall(r"#[0-9a-f]{6}\b", drawn)  # colours are variables of the page
    assert {f"var(--c{place})" for place in (0, 1, 2)} <= set(re.findall(r"var\(--c\d\)", drawn))


def test_an_entry_has_one_look_on_the_page() -> None:
    """In panels and figures without some of the others, too: names that are no rules take the colours that are free."""
    result = synthetic(("first", "second", "third", "fourth"), TASKS, 1)
    kept = {TASKS[0]: ("first", "third", "fourth"), TASKS[1]: ("second", "third", "fourth")}
    measured = [one for one in result.measured if one.entry in kept[one.run.task]]
    drawings = dict(report_figures(dataclasses.replace(result, measured=measured)))
    names = list(dict.fromkeys(one.entry for one in measured))
    wanted = {name: {f"--c{COLOURS.index(look.colour)}"} for name, look in looks_of(names).items()}
    for name, absent in (("learning_curves", set()), ("differences_from_reference", {"first", "second"})):
        colours: dict[str, set[str]] = {}
        text = figure(name, drawings[name], TASKS)
        for entry, drawn in re.findall(r'data-series="([^"]*)"[^>]*>(.*?)</(?:g|button)>', text, re.DOTALL):
            colours.setdefault(entry, set()).update(re.findall(r"var\((--c\d)\)", drawn))
        assert colours == {entry: each for entry, each in wanted.items() if entry not in absent}


def test_the_page_defines_every_colour_of_rules() -> None:
    style = (importlib.resources.files("tca.cli.compare") / "report.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--c(\d): light-dark\((#[0-9a-f]{6})", style))
    assert light == {str(place): colour.lower() for place, colour in enumerate(COLOURS)}


def test_runs_that_part_have_the_fraction_that_solved_the_task() -> None:
    result = synthetic(NAMES, TASKS[:1], 2)
    assert "fraction_solved" not in dict(report_figures(result))
    one = result.measured[0]
    unsolved = tuple(dataclasses.replace(each, test_accuracy=0.6) for each in one.metrics)
    parted = dataclasses.replace(result, measured=[dataclasses.replace(one, metrics=unsolved), *result.measured[1:]])
    figure = dict(report_figures(parted))["fraction_solved"]
    lines = {line.get_label(): line.get_ydata().tolist() for line in figure.draw(figure.series).axes[0].lines}
    scores = [each.test_accuracy for each in result.measured[3].metrics]
    assert lines["bptt"] == [0.5 if score >= 0.75 else 0.0 for score in scores]
    assert lines["poor"] == [0.0] * len(scores)
    assert "n = 2 runs" in figure.caption


def test_at_chance_means_hardly_above_the_best_constant_answer() -> None:
    result = synthetic(("bptt", "poor"), TASKS[:1], 1)
    good, poor = result.measured
    assert not at_chance(good)
    assert at_chance(poor)
    for score, expected in ((0.5316, True), (0.5317, False), (float("nan"), False)):  # 2 sqrt(.25 / 1000) = .0316
        poor.values["test_accuracy"] = score  # type: ignore[index]
        assert at_chance(poor) == expected
    assert tables(result)[0].marked == {}


def test_returns_have_no_tick_of_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    result = synthetic(NAMES, TASKS[:1], 3)
    assert all('class="chance"' in drawn for drawn in score_bars(result).values())
    monkeypatch.setattr("tca.cli.compare.report_data.task_facts", lambda run: TaskFacts("return", "-", math.nan))
    bars = score_bars(result)
    assert len(bars) == 3
    assert not [drawn for drawn in bars.values() if 'class="chance"' in drawn]
    places = [float(each) for drawn in bars.values() for each in re.findall(r'cx="([^"]*)"', drawn)]
    assert all(4 < place < 124 for place in places)
    assert places[0] > places[2]


@pytest.mark.slow
def test_forty_runs_stay_below_a_megabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And therefore two hundred below five, since a page grows in proportion to its runs."""
    monkeypatch.setattr("tca.cli.compare.report.save", lambda *_: None)  # the files beside the page
    names = [f"rule {place}" for place in range(10)]
    write_report(synthetic(names, TASKS, 2, measurements=201), tmp_path)
    page = page_of(tmp_path)
    assert len(data_of(page)["runs"]) == 40
    assert (tmp_path / "report.html").stat().st_size < 1e6
    headings = [text for tag, text in page.texts if tag == "h3"]
    assert "perceptual_decision (1 of 2)" in headings
