"""The list of planted bugs follows the code: every text is where it is said to be, and every test exists."""

from __future__ import annotations

import ast
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

from tests.bugs.bug import Bug
from tests.bugs.run import BUGS, NOTICED, ROOT, TABLES

FILES = sorted({bug.file for bug in BUGS})


@lru_cache(maxsize=2)
def statements(text: str) -> list[tuple[str, ast.stmt]]:
    """Statements of a module, each with its lines."""
    lines, found = text.splitlines(), ast.parse(text).body
    starts = [min(one.lineno for one in (each, *getattr(each, "decorator_list", ()))) for each in found]
    return [("\n".join(lines[start - 1 : each.end_lineno]), each) for start, each in zip(starts, found, strict=True)]


def same_meaning(text: str, other: str) -> bool:
    """Whether Python reads the same, whatever the layout."""
    one, two = statements(text), statements(other)
    return len(one) == len(two) and all(
        lines == changed or ast.dump(each) == ast.dump(made)
        for (lines, each), (changed, made) in zip(one, two, strict=True)
    )


def wrong_with(bug: Bug, text: str) -> str:
    """What keeps a bug from being planted in a file with this text; nothing if it is fit."""
    if text.count(bug.old) != bug.places:
        return f"its text occurs {text.count(bug.old)} times, not {bug.places}"
    planted = text.replace(bug.old, bug.new)
    if not bug.file.endswith(".py"):  # C++, whose layout is that of words
        return "it changes nothing but the layout" if planted.split() == text.split() else ""
    try:
        return "it changes nothing but the layout" if same_meaning(planted, text) else ""
    except SyntaxError as error:
        return f"it leaves no Python: {error}"


@pytest.mark.parametrize("file", FILES)
def test_every_bug_can_be_planted(file: str) -> None:
    """Its text is found exactly as often as it says, and what replaces it is other code that Python can read."""
    text = (ROOT / file).read_text()
    found = {bug.title: wrong_with(bug, text) for bug in BUGS if bug.file == file}
    assert not any(found.values()), {title: wrong for title, wrong in found.items() if wrong}


@pytest.mark.parametrize(
    ("bug", "wrong"),
    [
        (Bug("a.py", "gone", "z = 3", "z = 4", ()), "occurs 0 times"),
        (Bug("a.py", "everywhere", "x", "y", ()), "occurs 2 times"),
        (Bug("a.py", "layout", "x = 1", "x  =  1", ()), "nothing but the layout"),
        (Bug("a.py", "broken", "x = 1", "x = (", ()), "leaves no Python"),
        (Bug("a.py", "fit", "x = 1", "x = 2", ()), ""),
    ],
    ids=lambda each: each.title if isinstance(each, Bug) else "",
)
def test_what_cannot_be_planted_is_named(bug: Bug, wrong: str) -> None:
    """Lost, ambiguous, empty and unreadable changes are distinguished from those that are fit."""
    said = wrong_with(bug, "x = 1\ny = x + 1\n")
    assert wrong in said
    assert bool(wrong) == bool(said)


def test_every_bug_names_tests_that_exist() -> None:
    """Files of tests, or tests in them."""
    for bug in BUGS:
        assert bug.tests, bug
        for name in bug.tests:
            file, _, test = name.partition("::")
            assert (ROOT / file).exists(), (bug.title, file)
            function = test.partition("[")[0]
            assert f"def {function}(" in (ROOT / file).read_text() if test else Path(file).name.startswith("test_"), bug


def test_no_bug_is_listed_twice_and_no_table_is_forgotten() -> None:
    """Titles and changes distinguish bugs of a file, and every table in the folder is planted."""
    for of in (lambda bug: (bug.file, bug.title), lambda bug: (bug.file, bug.old, bug.new)):
        assert [each for each, count in Counter(map(of, BUGS)).items() if count > 1] == []
    folder = Path(__file__).parent
    assert {f"tests.bugs.{each.stem}" for each in folder.glob("planted_*.py")} == {each.__name__ for each in TABLES}


@pytest.mark.parametrize(
    ("line", "test"),
    [
        ("FAILED tests/test_a.py::test_b - assert 1 == 2", "tests/test_a.py::test_b"),
        ("FAILED tests/test_a.py::test_b[(7, 3)-x] - AssertionError: sites", "tests/test_a.py::test_b[(7, 3)-x]"),
        ("FAILED tests/test_a.py::test_b - Failed: DID NOT RAISE ValueError", "tests/test_a.py::test_b"),
        ("FAILED tests/test_a.py::test_b - Failed: trained again", "tests/test_a.py::test_b"),
        ("FAILED tests/test_a.py::test_b - ValueError: too few - assert nothing", None),
        ("ERROR tests/test_a.py - ImportError: no", None),
    ],
)
def test_only_a_test_that_disagrees_has_noticed(line: str, test: str | None) -> None:
    """A failed assertion names its test; an error in the library does not count."""
    found = NOTICED.search(f"....F\n{line}\n1 failed")
    assert (found.group(1) if found else None) == test
