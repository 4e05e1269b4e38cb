"""The page on rules of one's own: its files, code and commands run as they are written."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import tca
from tca.__main__ import main
from tca.experiments import records
from tca.rules import RULES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "own-rule.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_has_at_most_a_hundred_lines() -> None:
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 100


def test_the_recipe_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for block in (*blocks("python"), *blocks("yaml")):
        if named := re.match(r"# (\w+\.\w+)\n", block):
            (tmp_path / named[1]).write_text(block)
    names: dict[str, Any] = {}
    try:
        for block in blocks("python"):
            if not block.startswith("# my_rules.py"):
                exec(compile(block, str(PAGE), "exec"), names)
        printed = capsys.readouterr().out
        assert "signs: 10 checks passed" in printed
        assert "scale 0.5" in printed
        assert names["result"].run.rule == "signs"
        assert tca.check_rule(names["mine"])
        commands = [shlex.split(line) for line in blocks("sh")[0].splitlines()]
        assert len(commands) == 3
        scales = []
        for command in commands:
            assert command[0] == "tca"
            assert main([*command[1:], "--quiet"]) == 0
            (record,) = re.findall(r"record: (\S+)", capsys.readouterr().out)
            read = records.read(record)
            scales.append(read.run.the_rule.signal.scale)
            assert read.run.the_rule.eligibility == tca.eligibilities.Leak()
        assert scales == [0.5, 2.0, 1.0]
        assert main(["resume", str(names["run"].folder("runs")), "--quiet"]) == 0
    finally:
        RULES.pop("signs", None)
        sys.modules.pop("my_rules", None)


def test_the_entry_point_of_the_page_is_that_of_the_table() -> None:
    assert f'[project.entry-points."{RULES.group}"]' in PAGE.read_text(encoding="utf-8")  # type: ignore[attr-defined]
