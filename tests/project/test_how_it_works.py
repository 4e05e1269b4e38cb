"""The page that walks through e-prop quotes the reading copy as it is, and names functions that the library calls."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

import tca
from tca.kernels import use

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| .*? \| `([\w/]+\.py)` \| (`.*?`) \| .* \|$", re.MULTILINE)
FILES_READ, LINES_READ, FILES_ENTERED = 7, 1100, 15


@pytest.fixture(scope="module", autouse=True)
def _operations_of_pytorch() -> Iterator[None]:
    """Choose the passes that the page follows."""
    before = use("eager")
    yield
    use(before)


@pytest.fixture(scope="module")
def page() -> str:
    path = ROOT / "docs" / "how-it-works.md"
    if not path.exists():
        pytest.skip("no pages beside an installed package")
    return path.read_text(encoding="utf-8")


def rows(table: str) -> list[tuple[str, list[str]]]:
    """Return the files of a table with the functions named there, in their order."""
    return [(file, re.findall(r"`([\w.]+)`", functions)) for file, functions in ROW.findall(table)]


def entered(run: Callable[[], Any]) -> list[tuple[str, str]]:
    """Return the functions of the library that a call enters, each with its file, in the order of their first calls."""
    called: dict[tuple[str, str], None] = {}
    package = Path(tca.__file__).parent

    def look(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(package):
            called.setdefault((str(path.relative_to(package.parent)), frame.f_code.co_qualname))

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
    return list(called)


@pytest.fixture(scope="module")
def backward() -> list[tuple[str, str]]:
    """What an update of e-prop enters; the first update of a learner also sees whose loss it is."""
    learner, batch = example()
    learner.backward(batch)
    return entered(lambda: learner.backward(batch))


def example() -> tuple[tca.Learner, tca.Batch]:
    net = tca.nets.LeakyRNN(3, 5, 2, readout_tau=50.0)
    batch = tca.Batch(torch.ones(4, 2, 3), torch.zeros(4, 2, 2), torch.ones(4, 2), tca.losses.MSE())
    return tca.Learner(net, tca.RULES["eprop"]), batch


def test_the_page_quotes_all_functions_of_the_reading_copy(page: str) -> None:
    copy = (ROOT / "docs" / "eprop.py").read_text(encoding="utf-8")
    walk, _, library = page.partition("## The same batch in the library")
    blocks = re.findall(r"```python\n(.*?)```", walk, re.DOTALL)
    assert all(block in copy for block in blocks), [block for block in blocks if block not in copy]
    quoted = [name for block in blocks for name in re.findall(r"^def (\w+)", block, re.MULTILINE)]
    assert quoted == re.findall(r"^def (\w+)", copy, re.MULTILINE)
    assert library.count("torch.testing.assert_close(change, net.get_parameter(name).grad") == 2
    parts = re.findall(r"^\| `(.*?)` \|", page, re.MULTILINE)
    assert [part for part in parts if part not in copy] == []


def test_every_function_that_the_page_names_is_called(page: str, backward: list[tuple[str, str]]) -> None:
    in_reverse, _, in_forward = page.partition('execution="forward")` differs')
    assert len(rows(in_reverse)) == 11
    assert len(rows(in_forward)) == 3
    learner, batch = example()
    forward = entered(lambda: learner.grads(batch, execution="forward"))
    for table, called in ((in_reverse, backward), (in_forward, forward)):
        named = [(file, name) for file, functions in rows(table) for name in functions]
        assert [each for each in named if each not in called] == []


def test_the_equations_are_met_in_the_order_of_the_page(page: str, backward: list[tuple[str, str]]) -> None:
    firsts = [(file, functions[0]) for file, functions in rows(page.partition("Four more carry the numbers")[0])]
    assert firsts == sorted(firsts, key=backward.index)


def test_every_file_that_the_page_names_exists(page: str) -> None:
    assert [file for file in re.findall(r"`([\w/]+\.py)`", page) if not (ROOT / file).exists()] == []


def test_the_equations_stand_in_few_lines_and_few_files_are_entered(page: str, backward: list[tuple[str, str]]) -> None:
    files = dict(rows(page.partition("Four more carry the numbers")[0]))
    lines = sum(len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files)
    assert len(files) == FILES_READ, sorted(files)
    assert lines <= LINES_READ
    update, _, _ = page.partition('execution="forward")` differs')
    _, _, update = update.partition("The equations stand in seven files")
    assert {file for file, _ in backward} == set(re.findall(r"`(tca/[\w/]+\.py)`", update))
    assert len({file for file, _ in backward}) <= FILES_ENTERED, backward
