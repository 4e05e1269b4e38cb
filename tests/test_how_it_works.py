"""The page that walks through e-prop quotes the reading copy as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def page() -> str:
    path = DOCS / "how-it-works.md"
    if not path.exists():
        pytest.skip("no pages beside an installed package")
    return path.read_text(encoding="utf-8")


def test_the_page_quotes_all_functions_of_the_reading_copy(page: str) -> None:
    copy = (DOCS / "eprop.py").read_text(encoding="utf-8")
    walk, _, library = page.partition("## The same batch in the library")
    blocks = re.findall(r"```python\n(.*?)```", walk, re.DOTALL)
    assert all(block in copy for block in blocks), [block for block in blocks if block not in copy]
    quoted = [name for block in blocks for name in re.findall(r"^def (\w+)", block, re.MULTILINE)]
    assert quoted == re.findall(r"^def (\w+)", copy, re.MULTILINE)
    assert "torch.testing.assert_close(change, net.get_parameter(name).grad" in library
