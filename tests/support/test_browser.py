"""The driver of Chromium reports what a page does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, browser

pytestmark = pytest.mark.browser

PAGE = """<!DOCTYPE html><title>page</title><style>@media print { p { display: none } }</style>
<p>words</p><div style="width: 700px">wide</div><input><button onclick="document.title = 'clicked'">b</button>
<img src="missing.png"><script>console.warn("warned"); setTimeout(() => { throw Error("thrown") }, 0)</script>"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def test_errors_requests_and_width_are_seen(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    page = chromium.page(400)
    page.open(tmp_path / "page.html")
    assert [one for one in page.errors if "warned" in one]
    assert [one for one in page.errors if "Error: thrown" in one]
    assert [one for one in page.errors if "missing.png" in one]
    assert [url.rsplit("/", 1)[1] for url in page.requests] == ["page.html", "missing.png"]
    assert page.overflow > 300
    page.size(800)
    assert page.overflow == 0


def test_a_page_is_clicked_typed_into_and_printed(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE)
    page = chromium.page(scheme="dark")
    page.open(tmp_path / "page.html")
    page.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    page.type("ab")
    page.press("c")
    assert page.evaluate("document.querySelector('input').value") == "abc"
    page.press("Tab")
    page.press("Enter")
    assert page.evaluate("document.title") == "clicked"
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    page.media(kind="print")
    assert page.evaluate("getComputedStyle(document.querySelector('p')).display") == "none"
    assert page.pdf().startswith(b"%PDF")
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert chromium.page().errors == []
