"""Students of linear teachers: ranks of their changes, divergence, and the files of the study."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from studies import student_teacher
from studies.student_teacher import FIXED, LEARNS, Job, Setting, points, tables, work

TINY = Setting(cells=6, inputs=3, outputs=2, steps=8, trials=8, updates=20, rate=0.1)


@pytest.mark.parametrize("outputs", [1, 3])
def test_fixed_feedback_changes_as_many_directions_as_there_are_outputs_and_bptt_all(outputs: int) -> None:
    setting = replace(TINY, outputs=outputs)
    for rule in ("RFLO", "e-prop", "e-prop, no trace"):
        assert work(Job(rule, FIXED, 0), setting).rank == outputs
    assert work(Job("BPTT", FIXED, 0), setting).rank == 6


def test_feedback_that_follows_a_readout_that_learns_changes_more() -> None:
    assert work(Job("RFLO", LEARNS, 0), TINY).rank == 2
    assert work(Job("e-prop", LEARNS, 0), TINY).rank > 2


def test_a_student_comes_nearer_to_its_teacher_and_too_long_steps_diverge() -> None:
    assert work(Job("BPTT", FIXED, 0), replace(TINY, updates=200)).loss < 0.5
    found = work(Job("BPTT", FIXED, 0), replace(TINY, updates=200, rate=1e4))
    assert (found.loss, found.rank) == (math.inf, -1)


def test_a_tiny_study_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(student_teacher, "SEEDS", 2)
    assert student_teacher.main([f"--out={tmp_path}"], TINY) == 0
    path = tmp_path / "student_teacher.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 16
    path.write_text(path.read_text() + "fixed,RFLO,2,inf,-1\nfixed,RFLO,3,0.01,2\n")
    made = {row[0]: row for row in tables(path)["student_teacher"]().rows}
    assert made["readout fixed, RFLO"][1:3] == ("4", "2")
    assert "/4 [" in made["readout fixed, RFLO"][3]
    assert made["readout fixed, RFLO"][4] == "1/4"
    assert tables(tmp_path / "absent.csv") == {}
    drawn = list(csv.DictReader((tmp_path / "student_teacher_figure.csv").read_text().splitlines()))
    assert len(drawn) == 32
    assert {row["value"] for row in drawn if "fixed: rank" in row["panel"] and row["label"] == "RFLO"} == {"2.0"}
    series = points(list(csv.DictReader(path.read_text().splitlines())))
    lost = [each for each in series if (each.label, each.seed) == ("RFLO", 2)]
    assert [each.panel for each in lost] == ["readout fixed: loss"]
    assert math.isnan(lost[0].y[0])
    (axes,) = (each for each in student_teacher.drawn(series).axes if each.get_title() == "readout fixed"
               and each.get_ylabel().startswith("loss"))  # fmt: skip
    heights = [float(point[1]) for each in axes.collections for point in each.get_offsets()]
    assert heights.count(student_teacher.DIVERGED) == 1
