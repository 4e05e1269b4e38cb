"""The page on own tasks works as written, in its order."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tca.__main__ import main

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "own-task.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^    tca (train .*)$", TEXT, re.MULTILINE)


def test_the_page_on_own_tasks_is_complete() -> None:
    assert len(TEXT.splitlines()) < 100
    assert (len(BLOCKS), len(COMMANDS)) == (5, 2)


@pytest.mark.slow
def test_the_page_on_own_tasks_works_as_written(tmp_path: Path) -> None:
    """All its code in one process, which starts without anything imported."""
    script = tmp_path / "page.py"
    script.write_text("\n".join((*BLOCKS, "assert curve.slope.low > 0, curve.slope")))
    root = {**os.environ, "PYTHONPATH": str(PAGE.parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_work(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_tasks.py").write_text("\n".join((BLOCKS[0], BLOCKS[4].partition("tasks.register")[0])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setitem(sys.modules, "my_tasks", sys)  # so that the module of this folder is gone afterwards
    del sys.modules["my_tasks"]
    assert main([*command.split(), "--steps", "2", "--net.size", "4"]) == 0
