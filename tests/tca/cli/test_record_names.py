"""Records by the beginning of their name or hash, in every command that reads one."""

from __future__ import annotations

from pathlib import Path

import pytest

import tca
from tca.__main__ import main

SIZES = {"net": tca.NetworkConfig(size=4), "steps": 2, "n_train": 4, "n_test": 4}
RUNS = [tca.Run("delayed_xor", rule, **SIZES) for rule in ("bptt", "eprop")]  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of the user, in which commands run, with two records in runs and an older one elsewhere."""
    monkeypatch.chdir(tmp_path)
    for run in RUNS:
        tca.train(run, run.folder("runs"), progress=False)
    tca.train(RUNS[0], tmp_path / "older" / RUNS[0].name, progress=False)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    status = main(words)
    shown = capsys.readouterr()
    return status, shown.out or shown.err


@pytest.mark.parametrize("command", ["show", "resume", "verify", "report", "runs"])
def test_every_command_takes_a_beginning(command: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = RUNS[1].folder("runs").name
    status, whole = answer(capsys, command, f"runs/{name}")
    assert status == 0
    for text in (f"runs/{name[:15]}", f"runs/{RUNS[1].name[:6]}", name, name[:15], RUNS[1].name[:6]):
        assert answer(capsys, command, text) == (0, whole), text
        assert answer(capsys, command, f"--folder={text}") == (0, whole), text


def test_beginnings_of_several_records_are_refused_by_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = answer(capsys, "show", "delayed")
    assert status == 2
    assert "delayed is the beginning of 2 records: " in text
    assert all(run.folder("runs").name in text for run in RUNS)


def test_a_path_has_precedence_and_others_are_not_records(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older record has its hash alone; a link and a folder without a run are no candidates."""
    assert answer(capsys, "show", f"older/{RUNS[0].name[:5]}")[1].startswith(f"run older/{RUNS[0].name}")
    (place / "runs" / "empty_folder").mkdir()
    (place / "runs" / "linked").symlink_to(RUNS[0].folder(place / "runs"))
    for text in ("empt", "linke", "none"):
        status, shown = answer(capsys, "show", text)
        assert status == 2
        assert f"{text} has no record of a run" in shown
    (place / "delayed_xor_eprop").mkdir()
    assert "delayed_xor_eprop has no record of a run" in answer(capsys, "show", "delayed_xor_eprop")[1]
