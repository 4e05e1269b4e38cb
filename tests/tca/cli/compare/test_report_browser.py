"""The page of a comparison in Chromium: sorting, filtering, details, keyboard, dark, narrow and in print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tca.cli.compare.report import write_report
from tests.support.browser import Browser, Page, browser
from tests.support.compared import synthetic
from tests.tca.cli.compare.test_report import HOSTILE, TASKS

pytestmark = pytest.mark.browser

NAMES = ("bptt", "eprop", "rflo", "poor")
SHOWN = "[...document.querySelectorAll({!r})].filter(e => e.offsetParent !== null)"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(synthetic(NAMES, TASKS, 3), folder)
    return folder / "report.html"


@pytest.fixture
def page(chromium: Browser, report: Path) -> Iterator[Page]:
    found = chromium.page()
    found.open(report)
    yield found
    assert found.errors == []
    assert set(found.requests) == {report.as_uri()}


def column(page: Page, number: int, table: str = "#results") -> list[str]:
    rows = SHOWN.format(f"{table} tbody:nth-of-type(1) tr:not(.group)")
    found: list[str] = page.evaluate(f"{rows}.map(row => row.cells[{number}].textContent.trim())")
    return found


def test_a_heading_sorts_up_down_and_back(page: Page) -> None:
    before = column(page, 3)
    heading = "#results thead th:nth-child(4) button"
    orders = []
    for state in ("ascending", "descending", "none"):
        page.click(heading)
        assert page.evaluate("document.querySelector('#results thead th:nth-child(4)').ariaSort") == state
        orders.append([float(each.split()[0]) for each in column(page, 3)])
    assert orders[0] == sorted(orders[0])
    assert orders[1] == orders[0][::-1]
    assert column(page, 3) == before
    page.click("#results thead th:nth-child(1) button")
    assert [each.split()[0] for each in column(page, 0)] == sorted(NAMES)
    assert page.evaluate("document.querySelector('#results tbody').rows[0].className") == "group"


def test_rows_are_filtered_by_words_task_and_chance(page: Page) -> None:
    count = len(page.evaluate(SHOWN.format("tr[data-key]") + ".map(row => row.dataset.key)"))
    page.press("/")
    page.type("eprop context")
    rows = page.evaluate(SHOWN.format("tr[data-key]") + ".map(row => row.textContent)")
    assert 0 < len(rows) < count
    assert all("eprop" in row for row in rows)
    assert "rows" in page.evaluate("document.getElementById('shown').textContent")
    page.evaluate("search.value = ''; search.dispatchEvent(new Event('input'))")
    page.click("#above")
    assert not [name for name in column(page, 0) if "poor" in name]
    page.evaluate("task.value = 'context_decision'; task.dispatchEvent(new Event('change'))")
    assert set(page.evaluate(SHOWN.format(".panel") + ".map(each => each.dataset.task)")) == {"context_decision"}
    groups = page.evaluate(SHOWN.format("#runs tbody") + ".map(each => each.dataset.task)")
    assert groups == ["context_decision"]


def test_a_row_opens_the_settings_and_the_curve_of_its_run(page: Page) -> None:
    page.click("#runs tbody tr[data-key='r1']")
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate("document.querySelector('dialog h2').textContent") == "eprop on perceptual_decision, seed 0"
    text = page.evaluate("document.querySelector('dialog .content').textContent")
    assert "optimizer.lr" in text
    assert re.search(r"tca show runs/\S+", text)
    curves = "document.querySelectorAll('dialog svg:first-of-type .curve')"
    assert page.evaluate(f"{curves}.length") == 2 * 3
    assert page.evaluate(f"[...{curves}].filter(each => !each.classList.contains('other')).length") == 2
    assert page.evaluate(f"{curves}[2].getAttribute('d').split('L').length") == 21
    page.press("ArrowRight")
    assert page.evaluate("document.querySelector('dialog h2').textContent") == "rflo on perceptual_decision, seed 0"
    page.press("Escape")
    assert not page.evaluate("document.querySelector('dialog').open")


def test_lines_and_points_open_their_entries_and_runs(page: Page) -> None:
    click = "document.querySelector({!r}).dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"
    page.evaluate(click.format('#gap-against-curvature [data-series="rflo"][data-seed="2"] *'))
    assert page.evaluate("document.querySelector('dialog h2').textContent") == "rflo on perceptual_decision, seed 2"
    page.click("#close")
    page.evaluate(
        click.format('#learning-curves [data-task="context_decision"] [data-series="eprop"]:not([data-seed])')
    )
    assert page.evaluate("document.querySelector('dialog h2').textContent") == "eprop on context_decision"


def test_a_key_of_a_legend_brings_its_series_forward_everywhere(page: Page) -> None:
    page.click(".key[data-series='rflo']")
    forward = page.evaluate("[...document.querySelectorAll('.panel .chosen')].map(each => each.dataset.series)")
    assert set(forward) == {"rflo"}
    assert page.evaluate("getComputedStyle(document.querySelector('.panel [data-series=bptt]')).opacity") == "0.12"
    assert len(page.evaluate("[...document.querySelectorAll('.key[aria-pressed=true]')].map(each => 1)")) == 6
    page.click(".key[data-series='rflo']")
    assert page.evaluate("getComputedStyle(document.querySelector('.panel [data-series=bptt]')).opacity") == "1"


def test_all_of_it_works_from_the_keyboard(page: Page, report: Path) -> None:
    page.evaluate("document.querySelector('#results .open').focus()")
    page.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "eprop"
    page.press("Enter")
    assert page.evaluate("document.querySelector('dialog').open")
    page.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "eprop"
    page.evaluate("document.querySelector('#results thead button').focus()")
    page.press("Enter")
    assert page.evaluate("document.querySelector('#results thead th').ariaSort") == "ascending"
    seen = set()
    page.open(report)
    for _ in range(40):
        page.press("Tab")
        seen.add(page.evaluate("document.activeElement.className || document.activeElement.id"))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
    assert {"search", "task", "above", "theme", "sort", "open"} <= seen


def luminance(colour: str) -> float:
    red, green, blue = (int(each) / 255 for each in re.findall(r"\d+", colour)[:3])
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(page: Page, selector: str, kind: str = "color") -> float:
    style = f"getComputedStyle(document.querySelector({selector!r}))"
    colours = page.evaluate(f"[{style}[{kind!r}], getComputedStyle(document.body).backgroundColor]")
    high, low = sorted(map(luminance, colours), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_are_readable(chromium: Browser, report: Path, scheme: str) -> None:
    page = chromium.page(scheme=scheme)
    page.open(report)
    for selector in ("body", ".note", "tr.low td:nth-child(4)", ".open", ".mark", "figcaption"):
        assert contrast(page, selector) > 4.5, selector
    assert contrast(page, ".panel svg text", "fill") > 7
    for series in ("bptt", "eprop", "rflo"):
        assert contrast(page, f"#learning-curves [data-series={series}] path", "stroke") > 3, series
        marker = f"#gap-against-curvature .panel [data-series={series}] use"
        assert page.evaluate(f"document.querySelectorAll('{marker}').length") > 0
        assert contrast(page, marker, "fill") > 3, series
    page.click("#theme")
    page.click("#theme")
    assert luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.05  # dark
    assert page.errors == []


def test_nothing_is_cut_off_at_400_pixels(chromium: Browser, report: Path) -> None:
    page = chromium.page(400)
    page.open(report)
    assert page.overflow == 0
    sizes = page.evaluate("[...document.querySelectorAll('.panel svg')].map(e => e.getBoundingClientRect().width)")
    assert all(300 < size <= 400 for size in sizes)
    text = page.evaluate(
        "(() => { const svg = document.querySelector('.panel svg'); const text = svg.querySelector('text');"
        "const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;"
        "return parseFloat(getComputedStyle(text).fontSize) * scale })()"
    )
    assert 9 < text < 15  # pixels, near that of the page
    page.click("#results .open")
    assert page.overflow == 0
    assert page.evaluate("document.querySelector('dialog').getBoundingClientRect().width") <= 400
    page.press("Escape")
    page.size(1300)
    wide = page.evaluate("[...document.querySelectorAll('.panel svg')].map(e => e.getBoundingClientRect().width)")
    assert max(wide) < 420
    assert page.errors == []


def test_print_shows_everything_without_tools(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.media("dark", "print")
    assert not page.evaluate("document.querySelector('.tools').offsetParent")
    assert page.evaluate("[...document.querySelectorAll('main details')].every(each => each.open)")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 29, 33)"  # light, whichever the screen
    assert page.evaluate("getComputedStyle(document.querySelector('.wide')).overflowX") == "visible"
    page.size(720)
    assert page.overflow == 0
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")


def test_hostile_names_are_shown_as_text(chromium: Browser, tmp_path: Path) -> None:
    write_report(synthetic(HOSTILE, TASKS, 1), tmp_path)
    page = chromium.page()
    page.open(tmp_path / "report.html")
    page.evaluate("window.alert = () => { throw Error('a script of a record ran') }")
    for place, name in enumerate(HOSTILE):
        page.evaluate(f"open('e{place}')")
        assert page.evaluate("document.querySelector('dialog h2').textContent") == f"{name} on {TASKS[0]}"
        page.evaluate(f"highlight(document.querySelectorAll('.key')[{place}].dataset.series)")
    assert page.evaluate("document.scripts.length") == 2
    assert page.errors == []
    assert page.requests == [(tmp_path / "report.html").as_uri()]
