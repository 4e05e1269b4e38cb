"""Calls that the pages write in backticks are of things that exist, with arguments that these take."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import analysis
import tasks
import tca
from tests.project.test_page_names import PAGES, name_of


def calls(page: Path) -> list[ast.Call]:
    """Return the calls in backticks, also those that go on in the next line of a paragraph."""
    text = re.sub(r"```.*?```|^    .*?$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(each.split()) for part in re.split(r"\n\s*\n", text) for each in re.findall(r"`([^`]+)`", part)]
    found: list[ast.Call] = []
    for span in spans:
        try:
            tree = ast.parse(span, mode="eval")
        except SyntaxError:  # an equation, a command, a path
            continue
        found += [each for each in ast.walk(tree) if isinstance(each, ast.Call)]
    return found


@functools.cache
def public() -> dict[str, list[Callable[..., Any]]]:
    """Return the classes, functions and methods of the packages by name."""
    found: defaultdict[str, list[Callable[..., Any]]] = defaultdict(list)
    for package in (tca, tasks, analysis):
        within = (each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))
        for module in (package.__name__, *(each for each in within if not each.endswith("__main__"))):
            for name, value in vars(importlib.import_module(module)).items():
                if inspect.isclass(value) or inspect.isfunction(value):
                    found[name].append(value)
                if inspect.isclass(value) and value.__module__ == module:
                    for method, of in inspect.getmembers(value, inspect.isfunction):
                        found[method].append(of)
    return found


def takes(call: Callable[..., Any], keywords: set[str]) -> bool:
    parameters = inspect.signature(call).parameters
    return keywords <= parameters.keys() or any(each.kind is each.VAR_KEYWORD for each in parameters.values())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_calls_name_what_there_is_with_arguments_that_it_takes(page: Path) -> None:
    wrong = []
    for call in calls(page):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        keywords = {each.arg for each in call.keywords if each.arg}
        ours = isinstance(call.func, ast.Name) or ast.unparse(call.func).startswith(("tca.", "tasks.", "analysis."))
        known = public().get(name, [])
        if known and keywords:
            wrong += [] if any(takes(each, keywords) for each in known) else [ast.unparse(call)]
        elif not known and ours and re.fullmatch(r"[A-Z]\w+", name):
            wrong.append(ast.unparse(call))
    assert wrong == []


def test_most_calls_are_looked_at() -> None:
    assert sum(len(calls(page)) for page in PAGES) > 250
