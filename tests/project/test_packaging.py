"""The package declares what it imports, ships its types, and has one version."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

import tca

ROOT = Path(__file__).parents[2]
PACKAGES = ("tca", "tasks", "analysis")
COMES_WITH = {"gymnasium": "neurogym", "loguru": "neurogym", "pyarrow": "datasets", "pydantic-core": "pydantic"}
NEVER_IMPORTED = {"docstring-parser": "jsonargparse imports it", "pytest": "neurogym imports it"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    file = ROOT / "pyproject.toml"
    if not file.exists():
        pytest.skip("no pyproject.toml beside an installed package")
    loaded: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return loaded


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def declared(requirements: list[str]) -> set[str]:
    return {normal(each.split(">")[0].split("[")[0]) for each in requirements}


def imported() -> dict[str, str]:
    """Return the distributions that the packages import, each with a file that does."""
    found: dict[str, str] = {}
    names = packages_distributions()
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                modules = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    modules = [node.module]
                for top in {each.split(".")[0] for each in modules} - set(PACKAGES) - set(sys.stdlib_module_names):
                    found.setdefault(normal(names.get(top, [top])[0]), str(file.relative_to(ROOT)))
    return found


def test_what_is_imported_is_declared_and_what_is_declared_is_imported(project: dict[str, Any]) -> None:
    core = declared(project["project"]["dependencies"])
    extras = project["project"]["optional-dependencies"]
    optional = set().union(*(declared(each) for name, each in extras.items() if name not in ("dev", "docs", "peers")))
    used = {COMES_WITH.get(name, name): file for name, file in imported().items()}
    assert not {name: file for name, file in used.items() if name not in core | optional}
    assert core - set(used) == set(NEVER_IMPORTED)


def test_every_dependency_says_what_needs_it(project: dict[str, Any]) -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    extras = [f"{name} = [" for name in project["project"]["optional-dependencies"]]
    for each in [*(f'    "{each}"' for each in project["project"]["dependencies"]), *extras]:
        (line,) = (line for line in lines if line.startswith(each))
        assert "  # " in line, line


def test_every_version_is_pinned(project: dict[str, Any]) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pinned = {normal(each.split("==")[0]) for each in pins}
    wanted = declared(project["project"]["dependencies"])
    for each in project["project"]["optional-dependencies"].values():
        wanted |= declared(each)
    assert wanted <= pinned


def test_types_are_shipped_and_the_version_has_one_source(project: dict[str, Any]) -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in PACKAGES)
    shipped = dict(project["tool"]["setuptools"]["package-data"])
    assert shipped.pop("*") == ["py.typed"]
    files = [(package, name) for package, names in shipped.items() for name in names]
    assert [each for each in files if not list((ROOT / each[0].replace(".", "/")).glob(each[1]))] == []
    assert ("tca.cli", "references.bib") in files
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tca.__version__"}
    assert tca.__version__.count(".") == 2
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == tca.__version__
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in project["project"]["authors"]]


def test_every_file_that_is_no_module_is_in_the_wheel(project: dict[str, Any]) -> None:
    """The source of compiled passes and the style of pages, which setuptools leaves out unless they are declared."""
    declared_files = project["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if not path.is_file() or path.suffix in (".py", ".pyc"):
                continue
            patterns = declared_files["*"] + declared_files.get(".".join(path.parent.relative_to(ROOT).parts), [])
            assert any(path.match(pattern) for pattern in patterns), path


def test_hooks_before_a_commit_are_the_lines_of_make_lint(project: dict[str, Any]) -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert recipe is not None
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [each["repo"] for each in hooks] == ["local"]  # others would be fetched
    entries = [each["entry"] for each in hooks[0]["hooks"]]
    assert entries == [line.strip().replace("$(PY)", ".venv/bin/python") for line in recipe[1].splitlines()]


def test_the_page_about_the_architecture_shows_the_layers_of_the_import_contract(project: dict[str, Any]) -> None:
    (contract,) = (each for each in project["tool"]["importlinter"]["contracts"] if each.get("containers") == ["tca"])
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert shown is not None
    assert shown[1].splitlines() == contract["layers"]


def test_the_workflow_tests_every_python_that_is_named(project: dict[str, Any]) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    assert job["steps"][-1] == {"run": ".ci/run"}
    named = [each.split(" :: ")[-1] for each in project["project"]["classifiers"] if " :: 3." in each]
    assert job["strategy"]["matrix"]["python"] == named == ["3.11", "3.12", "3.13"]
