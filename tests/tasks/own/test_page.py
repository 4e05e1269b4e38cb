"""The page on own tasks works as written, in one process, in its order."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "own-task.md"


def test_the_page_on_own_tasks_works_as_written(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 100
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    (tmp_path / "my_tasks.py").write_text("\n".join((blocks[0], blocks[4].partition("tasks.register")[0])))
    script = tmp_path / "page.py"
    script.write_text("\n".join((*blocks, "assert curve.slope.low > 0, curve.slope")))
    commands = [line.split() for line in re.findall(r"^    tca (train .*)$", text, re.MULTILINE)]
    assert len(commands) == 2
    root = {**os.environ, "PYTHONPATH": str(PAGE.parents[2]), "OMP_NUM_THREADS": "1"}
    for words in ([str(script)], *(["-m", "tca", *each, "--steps", "2", "--net.size", "4"] for each in commands)):
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, env=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
