"""Readable names of the folders of runs: deterministic, safe, and older ones by the hash alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import tca
from tca.experiments import records
from tca.experiments.sweep import sweep
from tca.signals import Random
from tests.tasks.own import user_tasks

SMALL = tca.Run("delayed_xor", "eprop", net=tca.NetworkConfig(size=4), steps=2, n_train=4, n_test=4)
PARTS = {"signal": Random(2.0), "eligibility": tca.eligibilities.Diagonal()}


@pytest.mark.parametrize(
    ("run", "start"),
    [
        (SMALL, "delayed_xor_eprop_s0_"),
        (tca.Run("flip_flop", "rflo", seeds=tca.Seeds(1, 7, 1, 1)), "flip_flop_rflo_s7_"),
        (tca.Run("PerceptualDecisionMaking-v0"), "PerceptualDecisionMaking-v0_bptt_s0_"),
        (tca.Run("delayed_xor", tca.Rule(**PARTS)), "delayed_xor_Random-Diagonal_s0_"),
        (tca.Run("delayed_xor", tca.Rule(**PARTS, name="../../é a\n/b")), "delayed_xor_a-b_s0_"),
        (tca.Run("delayed_xor", tca.Rule(**PARTS, name="правило")), "delayed_xor_own_s0_"),
        (tca.Run("delayed_xor", tca.Rule(**PARTS, name="x" * 300 + "end")), f"delayed_xor_{'x' * 37}end_s0_"),
    ],
)
def test_folders_are_named_after_task_rule_and_seed(run: tca.Run, start: str) -> None:
    folder = run.folder("place")
    assert folder == Path("place") / f"{start}{run.name}"
    assert tca.Run.from_json(json.loads(json.dumps(run.to_json()))).folder("place") == folder
    assert start == f"{run.label}_"


def test_progress_names_the_run_in_few_words(capsys: pytest.CaptureFixture[str]) -> None:
    tca.train(dataclasses.replace(SMALL, rule=tca.Rule(**PARTS)), progress=True)
    assert capsys.readouterr().err.lstrip().startswith("delayed_xor_Random-Diagonal_s0:")


@pytest.mark.slow
def test_a_task_of_the_user_has_one_folder_registered_or_not() -> None:
    """Two processes find the same folder, whatever they have registered."""
    path = f"{user_tasks.__name__}:Doubled"
    plain = tca.Run(path)
    script = f"import tasks, tca; tasks.register('short', {path!r}); print(tca.Run('short').folder('place'))"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == str(plain.folder("place"))
    assert plain.folder("place").name == f"tests.tasks.own.user_tasks-Doubled_bptt_s0_{plain.name}"


def interrupt(*_: object) -> dict[str, float]:
    raise KeyboardInterrupt


def test_an_older_record_is_found_by_its_hash(tmp_path: Path) -> None:
    """A finished record is read and an unfinished one goes on where it is; a readable name has precedence."""
    older = tmp_path / SMALL.name
    tca.train(SMALL, older, progress=False)
    before = {each.name: each.stat().st_mtime_ns for each in older.iterdir()}
    assert SMALL.folder(tmp_path) == older
    assert tca.train(SMALL, SMALL.folder(tmp_path), progress=False).outcome == "completed"
    assert {each.name: each.stat().st_mtime_ns for each in older.iterdir()} == before
    shutil.rmtree(older)
    with pytest.raises(KeyboardInterrupt):
        tca.train(SMALL, older, progress=False, observe=interrupt)
    assert not records.finished(older)
    list(sweep([SMALL], tmp_path, "here", progress=False))
    assert [each.name for each in tmp_path.iterdir()] == [SMALL.name]
    assert records.finished(older)
    new = tmp_path / f"delayed_xor_eprop_s0_{SMALL.name}"
    new.mkdir()
    assert SMALL.folder(tmp_path) == new
