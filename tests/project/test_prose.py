"""Words and names that the check of prose refuses, and the counts of the house, on a tree of three small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools import house
from tools.words import complaints

FREE: dict[str, Any] = {
    "worn": {"told": 3, "hears?": 2},
    "rare": {"what": 10_000.0},
    "plain": [],
    "nouns": ["wiring"],
    "names": {"verbs": 0, "repeats": 1, "repeated_classes": 0},
}
SOURCE = '''"""Return what a cell is told."""

class Cell:
    """A cell that hears what it hears."""  # told

    def run(self, a, b, *, c):
        raise ValueError(f"no cell {a} was told of {b}")


def _hidden(a, b, c, d, e):
    return "told"
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("tca/cell.py", "tasks/cell.py", "analysis/nets/wiring.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(SOURCE if name == "tca/cell.py" else '"""A learning\nsignal."""\n')
    return tmp_path


def test_a_tree_below_its_ceilings_passes(tree: Path) -> None:
    assert complaints(tree, FREE) == []


@pytest.mark.parametrize(
    ("pattern", "places"),
    [("told", ("tca/cell.py:1", "tca/cell.py:7", "tca/cell.py:4")), ("hears?", ("tca/cell.py:4",))],
)
def test_a_worn_word_above_its_ceiling_is_shown_with_its_places(
    tree: Path, pattern: str, places: tuple[str, ...]
) -> None:
    (said,) = complaints(tree, FREE | {"worn": FREE["worn"] | {pattern: FREE["worn"][pattern] - 1}})
    assert said.startswith(f"'{pattern}': ")
    assert all(f"{place}: " in said for place in places)


@pytest.mark.parametrize(("ceiling", "passes"), [(1200.0, True), (1199.0, False)])
def test_a_ceiling_counts_occurrences_in_ten_thousand_words(tree: Path, ceiling: float, passes: bool) -> None:
    """Three of 25: docstrings 6 + 7 + 3 + 3, the comment 1, the message 2 + 3; a string of one word is no prose."""
    assert (complaints(tree, FREE | {"rare": {"told": ceiling}, "worn": {}}) == []) == passes


def test_a_plain_folder_takes_rare_words_and_no_worn_ones(tree: Path) -> None:
    assert complaints(tree, FREE | {"plain": ["tasks"]}) == []
    said = complaints(tree, FREE | {"plain": ["tca", "gone"]})
    assert len(said) == 1 + 3 + 2
    assert "no folder gone" in said[0]
    assert not any("what" in each for each in said)


def test_verbs_and_repeats_among_modules_are_counted(tree: Path) -> None:
    assert "wiring" in complaints(tree, FREE | {"nouns": []})[0]
    assert "cell.py" in complaints(tree, FREE | {"names": FREE["names"] | {"repeats": 0}})[0]
    (tree / "tasks" / "cell.py").write_text("class Cell: ...\nclass _Cell: ...\nclass _Cell: ...\n")
    assert complaints(tree, FREE) == ["1 repeated_classes, at most 0 are allowed: Cell"]


def test_the_house_counts_lines_words_terms_and_names(tree: Path) -> None:
    assert dict(house.sizes(tree))["files, lines of the three packages"] == "3, 15"
    assert dict(house.vocabulary(tree))["'told' per 1,000 words"] == "52.63 (1)"
    assert dict(house.terms(tree))["'learning signal' in the project"] == "2"
    assert house.names(tree) == [
        ("file names twice", "1: cell.py"),
        ("class names twice", "0"),
        ("modules in -ing", "1: wiring"),
    ]
    assert house.widest(tree) == ("widest signature", "3 parameters of Cell.run")


@pytest.mark.slow
def test_one_update_enters_more_files_than_compute() -> None:
    root = Path(house.__file__).parents[1]
    rows = dict(house.update(root))
    entered, computing = (int(each.split(",")[0]) for each in list(rows.values())[:2])
    assert 3 < computing < entered < 40


def test_the_command_is_part_of_lint() -> None:
    assert "-m tools.words" in (Path(house.__file__).parents[1] / "Makefile").read_text()
