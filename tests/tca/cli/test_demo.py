"""The demo: one command that ends with the path of a figure."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from tca.__main__ import main
from tca.cli import demo_command
from tca.cli.compare.combinations import misfits

TINY = {"seeds": 1, "steps": 2, "n_train": 8, "n_test": 20, "batch_size": 4, "evaluate_every": 1, "curvature_trials": 2}


def test_it_says_where_figure_and_report_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = dataclasses.replace(demo_command.comparison(), **TINY)
    monkeypatch.setattr(demo_command, "comparison", lambda: tiny)
    assert main(["demo", f"--folder={tmp_path}", "--workers=1", "--quiet"]) == 0
    shown = capsys.readouterr().out
    for kind in ("figure", "report"):
        (path,) = re.findall(rf"^{kind}: ([^,\n]*)", shown, re.MULTILINE)
        assert Path(path).stat().st_size > 1000
    assert all(name in shown for name in ("bptt", "eprop", "rflo", "chance"))
    (command,) = re.findall(r"tca (compare --config .*?),? with", shown)
    assert command.endswith(f"--rules {demo_command.NEXT}")


def test_the_next_comparison_leaves_out_no_rule() -> None:
    assert list(misfits(dataclasses.replace(demo_command.comparison(), rules=demo_command.NEXT, **TINY))) == []
