"""Starting up: nothing is imported before it is used, and a public name has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tca

SLOW = ("analysis", "datasets", "matplotlib", "neurogym", "pandas", "pyhessian", "scipy.stats", "sklearn")
CORE = "tca.Rule, tca.RULES, tca.Learner, tca.Batch, tca.nets, tca.signals, tca.eligibilities, tca.losses"
HELP = "from tca.__main__ import main; assert main(['--help']) == 0"
LIST = "from tca.__main__ import main; assert main(['list']) == 0"


def imported(code: str) -> set[str]:
    """Return the modules that a fresh process has after some code."""
    show = f"import sys\n{code}\nprint('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].removeprefix("modules: ").split())


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import tca", (*SLOW, "tasks", "torch", "numpy", "pydantic_core", "jsonargparse")),
        (f"import tca; {CORE}", (*SLOW, "tasks", "tca.experiments", "jsonargparse")),
        (HELP, (*SLOW, "tasks", "torch", "numpy", "pydantic_core", "jsonargparse")),
        (LIST, (*SLOW, "tca.experiments")),
    ],
    ids=["import", "core", "help", "list"],
)
def test_modules_are_imported_when_they_are_used(code: str, absent: tuple[str, ...]) -> None:
    modules = imported(code)
    assert "tca" in modules
    assert modules.isdisjoint(absent), modules & set(absent)


def test_every_public_name_is_imported_from_where_type_checkers_see_it() -> None:
    (block,) = (node for node in ast.parse(Path(tca.__file__).read_text("utf-8")).body if isinstance(node, ast.If))
    homes = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        homes |= {each.name: node.module for each in node.names}
    assert sorted([*homes, "__version__"]) == sorted(tca.__all__) == dir(tca)
    for name, home in homes.items():
        assert getattr(tca, name) is getattr(sys.modules[home], name)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="module 'tca' has no attribute 'Lerner'"):
        _ = tca.Lerner  # type: ignore[attr-defined]
    assert not hasattr(tca, "__wrapped__")
