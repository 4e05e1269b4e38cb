"""Starting up: nothing is imported before it is used, and a public name has one home."""

from __future__ import annotations

import ast
import os
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


@pytest.mark.thirds
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
    tree = ast.parse(Path(tca.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
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


COMMANDS = [[sys.executable, "-m", "tca"], [str(Path(sys.executable).parent / "tca")]]
MESSAGE = "{} hides the package {} that tca uses: rename it"


@pytest.mark.parametrize("name", ["tasks", "analysis"])
@pytest.mark.parametrize("file", ["{}.py", "{}/__init__.py"])
@pytest.mark.parametrize("order", ["import tca", "import {0}\nimport tca", "import tca.rules"])
def test_a_module_of_the_user_that_hides_a_package_is_named(tmp_path: Path, name: str, file: str, order: str) -> None:
    hiding = tmp_path / file.format(name)
    hiding.parent.mkdir(exist_ok=True)
    hiding.write_text("mine = 1\n")
    script = tmp_path / "script.py"
    script.write_text(order.format(name) + "\nprint('imported')\n")
    done = subprocess.run([sys.executable, script], cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == f"ImportError: {MESSAGE.format(hiding, name)}"
    script.write_text(f"import {name}\nprint({name}.mine)\n")
    done = subprocess.run([sys.executable, script], cwd="/", capture_output=True, text=True)
    assert done.stdout == "1\n"  # without tca it is the user's own affair


@pytest.mark.parametrize("name", ["tasks", "analysis"])
@pytest.mark.parametrize("command", COMMANDS, ids=["module", "script"])
def test_the_command_names_a_hiding_module_in_one_line(tmp_path: Path, name: str, command: list[str]) -> None:
    (tmp_path / f"{name}.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*command, "list"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"tca: {MESSAGE.format(tmp_path / f'{name}.py', name)}\n"


def test_other_names_hide_nothing_and_a_mere_folder_is_named_where_it_does(tmp_path: Path) -> None:
    (tmp_path / "my_tasks.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text("import tca, my_tasks, tasks\nprint(len(tasks.list()) > 10)\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    (tmp_path / "tasks").mkdir()  # it hides packages of an editable installation only
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    named = done.stderr.endswith(f"ImportError: {MESSAGE.format(tmp_path / 'tasks', 'tasks')}\n")
    assert done.stdout == "True\n" or named, done.stderr
