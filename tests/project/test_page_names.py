"""The files, functions, classes and attributes that the pages name in backticks exist."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tca.rules import RULES

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
OURS = ("analysis", "benchmarks", "tasks", "tca", "tests", "tools")
FOLDERS = (*OURS, "docs")
WRITTEN = {"report.md", "my_rules.py"}  # by a study, into a folder of its own; by the reader of a page
FILE = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w.*/-]*|[\w*-]+\.(?:py|md|yaml|toml)")
DATA = re.compile(r"[\w.-]+\.(?:json|jsonl|parquet|safetensors|csv|png|html)")  # files that are written elsewhere
NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(.*\))?")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def spans(page: Path) -> list[str]:
    """Return what stands in backticks within a line, outside of blocks of code."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return list(dict.fromkeys(re.findall(r"`([^`\n]+)`", text)))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = {each for each in spans(page) if FILE.fullmatch(each)} - WRITTEN
    assert [each for each in sorted(named) if not list(ROOT.glob(each))] == []


class Names:
    """What the sources define: names at the top of modules, members of classes, and classes' bases."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = defaultdict(set)
        self.bases: dict[str, set[str]] = defaultdict(set)
        for path in (path for folder in OURS for path in (ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            module = path.parent.name if path.stem == "__init__" else path.stem
            typed = [each for node in tree.body if isinstance(node, ast.If) for each in node.body]  # TYPE_CHECKING
            self.members[module].update(name for node in [*tree.body, *typed] for name in defined(node))
            for kind in (node for node in statements(tree) if isinstance(node, ast.ClassDef)):
                self.members[kind.name].update(name for node in statements(kind) for name in defined(node))
                self.bases[kind.name].update(re.findall(r"\w+", " ".join(map(ast.unparse, kind.bases))))

    def has(self, owner: str, name: str, seen: tuple[str, ...] = ()) -> bool:
        return name in self.members.get(owner, ()) or any(
            self.has(base, name, (*seen, owner)) for base in self.bases.get(owner, ()) if base not in (*seen, owner)
        )


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements within a statement, which alone define names: a tenth of the nodes of a tree."""
    for part in ("body", "orelse", "finalbody", "handlers"):
        within = getattr(node, part, ())
        for each in within if isinstance(within, list) else ():
            yield each
            yield from statements(each)


def defined(node: ast.AST) -> Iterator[str]:
    """Yield the names that a statement defines or imports, attributes of ``self`` included."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (each.asname or each.name for each in node.names)
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            parts = [each for each in ast.walk(target) if isinstance(each, (ast.Name, ast.Attribute))]
            yield from (each.id if isinstance(each, ast.Name) else each.attr for each in parts)


@pytest.fixture(scope="module")
def names() -> Names:
    return Names()


def exists(dotted: str, names: Names) -> bool:
    """Return whether an attribute of a class, of an object called by its class, or of a module exists."""
    *before, owner, name = dotted.split(".")
    if (before or [owner])[0] in OURS and (ROOT / dotted.replace(".", "/")).with_suffix(".py").exists():
        return True
    if (ROOT / dotted.replace(".", "/")).is_dir():
        return True
    if not before and owner in ("analysis", "tasks", "tca") and hasattr(importlib.import_module(owner), name):
        return True
    title = "".join(map(str.title, owner.split("_")))
    kinds = (owner, title, f"Image{title}")
    return any(names.has(each, name) for each in kinds) or hasattr(torch.Tensor, name) or importable(dotted)


def importable(dotted: str) -> bool:
    """Return whether a name that a package may import late can be imported."""
    try:
        return dotted.startswith(OURS) and pkgutil.resolve_name(dotted) is not None
    except (ImportError, AttributeError):
        return False


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_attribute_that_a_page_names_exists(page: Path, names: Names) -> None:
    plain = [each for each in spans(page) if not FILE.fullmatch(each) and not DATA.fullmatch(each)]
    dotted = {found.group(1) for each in plain if (found := NAME.fullmatch(each)) and "." in found.group(1)}
    ours = {each for each in dotted if not importlib.util.find_spec(each.split(".")[0])}
    ours |= {each for each in dotted if each.split(".")[0] in OURS}
    assert [each for each in sorted(ours) if not exists(each, names)] == []


@pytest.mark.parametrize("page", ["architecture", "glossary"])
def test_every_public_name_of_a_page_about_the_whole_can_be_imported(page: str) -> None:
    written = [NAME.fullmatch(each) for each in spans(ROOT / "docs" / f"{page}.md") if not FILE.fullmatch(each)]
    dotted = [each[1] for each in written if each and re.match(r"(tca|tasks|analysis)\.", each[1])]
    assert dotted
    assert [each for each in dotted if pkgutil.resolve_name(each) is None] == []


@pytest.mark.parametrize(("page", "least"), [("architecture", 40), ("glossary", 2)])
def test_every_single_name_of_a_page_about_the_whole_exists(page: str, least: int, names: Names) -> None:
    """Symbols of equations are short or end with the index of time."""
    known = {*names.members, *RULES, *dir(builtins)}.union(*names.members.values())
    text = spans(ROOT / "docs" / f"{page}.md")
    single = [each for each in text if re.fullmatch(r"(?!.*_t$)[A-Za-z_]\w{2,}", each)]
    assert len(single) >= least
    assert [each for each in single if each not in known] == []


def test_the_changelog_is_short_and_has_every_section_and_line_once() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert [line for line in lines if len(line) > 160] == []
    assert [line for line in lines if line.startswith("### ")] == ["### Added", "### Changed", "### Fixed"]
    entries = [line for line in lines[lines.index("### Added") :] if line and not line.startswith("### ")]
    assert [each for each in entries if not each.startswith("- ") or entries.count(each) > 1] == []
