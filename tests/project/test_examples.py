"""The examples run as a user runs them, print a result and write a figure; two are run in small every day."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(example: Path, folder: Path, *options: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(example), *options]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figure(example: Path, folder: Path) -> bytes:
    return (folder / f"{example.stem}.png").read_bytes()


def test_there_are_ten_and_each_is_alone() -> None:
    assert len(EXAMPLES) == 10
    for example in EXAMPLES:
        text = example.read_text(encoding="utf-8")
        assert f"python examples/{example.name} --updates" in text, example.name
        assert len(text.splitlines()) <= 70, example.name
        assert "from examples" not in text


def test_an_example_runs_in_small(tmp_path: Path) -> None:
    example = ROOT / "examples" / "online.py"
    printed = run(example, tmp_path, "--updates", "3")
    assert printed.endswith("wrote online.png\n")
    assert figure(example, tmp_path).startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_in_full(example: Path, tmp_path: Path) -> None:
    assert run(example, tmp_path).endswith(f"wrote {example.stem}.png\n")
    assert len(figure(example, tmp_path)) > 10_000
