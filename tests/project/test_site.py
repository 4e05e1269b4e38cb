"""The site in Chromium: no error, no request to the network, no page wider than its window, equations drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, browser

SITE = Path(__file__).parents[2] / "build" / "site"
PAGES = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html")) if SITE.exists() else []
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not PAGES, reason="no site: `make docs` builds it")]
VIEWS = [(1300, "light"), (1300, "dark"), (400, "light"), (400, "dark")]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def test_the_site_is_built() -> None:
    assert {"index.html", "start.html", "rules/choosing.html", "api/tca.html", "tutorials/index.html"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_without_errors_or_requests_and_fits(chromium: Browser, name: str) -> None:
    for width, scheme in VIEWS:
        page = chromium.page(width, scheme)
        page.open(SITE / name)
        assert page.errors == [], (width, scheme)
        assert [url for url in page.requests if not url.startswith("file://")] == []
        assert page.overflow <= 0, (width, scheme)
        broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        assert page.evaluate(broken) == []
        page.close()


def test_equations_are_drawn(chromium: Browser) -> None:
    page = chromium.page(1300)
    page.open(SITE / "rules" / "eprop.html")
    assert page.evaluate("document.querySelectorAll('math').length") > 10
    heights = page.evaluate("[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)")
    assert min(heights) > 5
    assert "W_o" not in page.evaluate("document.querySelector('.equations').innerText")


def test_the_search_finds_a_term_without_a_server(chromium: Browser) -> None:
    page = chromium.page(1300)
    page.open(f"{(SITE / 'search.html').as_uri()}?q=eligibility")
    page.wait("document.querySelectorAll('#search-results li a').length > 3")
    assert page.errors == []


def test_dark_text_is_light(chromium: Browser) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = chromium.page(1300, scheme)
        page.open(SITE / "rules" / "eprop.html")
        shown = page.evaluate(
            "[getComputedStyle(document.querySelector('math')).color, getComputedStyle(document.body).backgroundColor]"
        )
        colours[scheme] = [sum(int(each) for each in colour.strip("rgba()").split(",")[:3]) for colour in shown]
    assert colours["light"][0] < colours["light"][1]
    assert colours["dark"][0] > colours["dark"][1]
