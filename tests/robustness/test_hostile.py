"""A part of the table of damaged and hostile records; `make test-hostile` tries all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.robustness.hostile import attempt, prepare
from tests.robustness.hostile_rows import ROWS, Row


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("hostile") / "prepared")


@pytest.mark.thirds
@pytest.mark.parametrize("row", ROWS[::11], ids=lambda row: row.name)
def test_a_spoilt_record_is_one_line_and_everything_else_goes_on(prepared: Path, row: Row) -> None:
    assert attempt(row, prepared).complaints == ()


def test_the_table_is_large_and_says_everything_once() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 130
