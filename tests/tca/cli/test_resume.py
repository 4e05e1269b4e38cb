"""Runs that go on, are read again or are trained anew from the shell; folders of every command."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tca
from tca.__main__ import main
from tca.experiments import records
from tca.experiments.records.files import locked
from tca.experiments.records.reader import read_description
from tca.experiments.sweep.jobs import threads
from tca.experiments.training.update import Updates

RUN = tca.Run("delayed_xor", net=tca.NetworkConfig(size=4), steps=4, n_train=6, n_test=5, evaluate_every=1)
OTHER = tca.Run("flip_flop", "eprop", net=tca.NetworkConfig(size=4), steps=2, n_train=6, n_test=5)
WORDS = [
    "train",
    "delayed_xor",
    "--net.size=4",
    "--steps=4",
    "--n_train=6",
    "--n_test=5",
    "--evaluate_every=1",
    "--quiet",
]


def interrupted(folder: Path) -> Path:
    """Return the record of a run that was interrupted at its third measurement."""
    seen = iter(range(3))

    def stop(*_: object) -> dict[str, float]:
        if next(seen) == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        tca.train(RUN, RUN.folder(folder), progress=False, observe=stop)
    return RUN.folder(folder)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 0
    return capsys.readouterr().out


def test_resume_trains_what_is_unfinished_to_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A record, or every record of a folder; finished runs say that they were read."""
    whole = tca.train(RUN, progress=False)
    record = interrupted(tmp_path / "one")
    text = shown(capsys, "resume", str(record), "--quiet")
    assert "completed after 4 updates" in text
    assert "finished before" not in text
    again = records.read(record)
    for one, other in zip(whole.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, other)
    record = interrupted(tmp_path / "several")
    tca.train(OTHER, OTHER.folder(tmp_path / "several"), progress=False)
    parts = shown(capsys, "resume", "--folder", str(tmp_path / "several"), "--quiet").split("\n\n")
    assert sorted((part.split(",")[0], "finished before" in part) for part in parts) == [
        ("delayed_xor", False),
        ("flip_flop", True),
    ]
    assert records.finished(record)


@pytest.mark.usefixtures("no_figures")
def test_resume_finishes_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tasks=delayed_xor", "--rules=bptt,eprop", "--seeds=1", "--net.size=4", "--steps=2", "--n_train=6",
             "--n_test=5", "--curvature_trials=5", "--workers=1", "--quiet"]  # fmt: skip
    before = shown(capsys, "compare", *words, f"--folder={tmp_path}")
    lost = next((tmp_path / "runs").iterdir())
    (lost / "result.json").unlink()
    for path in lost.iterdir():
        path.unlink()
    again = shown(capsys, "resume", str(tmp_path), "--workers=1", "--quiet")
    assert records.finished(lost)
    assert before.splitlines()[0] == again.splitlines()[0]
    assert "report.html" in again


def test_force_trains_anew_and_touches_no_other_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RUN.folder(tmp_path)
    words = [*WORDS, f"--folder={tmp_path}"]
    assert "finished before" not in shown(capsys, *words)
    first = os.stat(folder / "result.json").st_mtime_ns
    (folder / "notes.txt").write_text("mine")
    assert "finished before and read from its record; tca train --force trains it anew" in shown(capsys, *words)
    assert os.stat(folder / "result.json").st_mtime_ns == first
    assert "finished before" not in shown(capsys, *words, "--force")
    assert os.stat(folder / "result.json").st_mtime_ns != first
    assert (folder / "notes.txt").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "metrics.jsonl").write_text("damaged")
    assert main(words) == 2
    assert "edited" in capsys.readouterr().err
    assert "completed after 4 updates" in shown(capsys, *words, "--force")


def test_force_does_not_remove_a_record_in_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = interrupted(tmp_path)
    with locked(record):
        assert main([*WORDS, f"--folder={tmp_path}", "--force"]) == 2
    assert "in use" in capsys.readouterr().err
    assert (record / "checkpoint").exists()


def test_the_folder_of_every_command_is_called_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = RUN.folder(tmp_path)
    tca.train(RUN, record, progress=False)
    for command, folder in (("show", record), ("report", tmp_path), ("resume", tmp_path)):
        assert shown(capsys, command, f"--folder={folder}") == shown(capsys, command, str(folder))
        assert main([command, str(folder), f"--folder={folder}"]) == 2
        assert "exactly one FOLDER is required" in capsys.readouterr().err
    (tmp_path / "few.py").write_text("import tca\ndef runs():\n    return []\n")
    for option in ("--folder", "--out"):
        shown(capsys, "sweep", str(tmp_path / "few.py"), option, str(tmp_path / option), "--scheduler=here", "--quiet")
        assert (tmp_path / option / "few.csv").exists()


MODULE = """
from dataclasses import dataclass
from tca.signals import Random

@dataclass(frozen=True)
class Own(Random):
    pass
"""


def test_resume_imports_modules_of_a_record_only_with_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_resumed.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_resumed  # type: ignore[import-not-found]

    run = tca.Run("delayed_xor", tca.Rule(own_resumed.Own(), tca.eligibilities.Leak()), net=RUN.net, steps=1, n_train=4)
    tca.train(run, tmp_path / "record", progress=False)
    monkeypatch.delitem(sys.modules, "own_resumed")
    assert main(["resume", str(tmp_path / "record")]) == 2
    assert "'own_resumed.Own' is not imported, as a record names it" in capsys.readouterr().err
    assert "finished before" in shown(capsys, "resume", str(tmp_path / "record"), "--trust")
    monkeypatch.delitem(sys.modules, "own_resumed")
    known = tca.Run("delayed_xor", net=RUN.net, steps=1, n_train=4)
    tca.train(known, tmp_path / "z", progress=False)
    assert main(["resume", str(tmp_path)]) == 1
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith(f"not resumed: the record in {tmp_path / 'record'} cannot be read: class")
    assert "finished before" in second


@pytest.mark.parametrize(
    ("rule", "kind"), [("backprop", "mlp"), ("bptt", "mlp"), ("rflo", "leaky_rnn"), ("eprop", "mlp")]
)
def test_images_at_once_have_a_perceptron(rule: str, kind: str) -> None:
    """Not a recurrent network of one step; rules that are defined on leaky cells keep them, and so do sequences."""
    run = tca.Run("images", rule)
    assert run.net.kind == kind
    assert run.net.size == 128 if kind == "leaky_rnn" else run.net.sizes == [128]
    assert tca.Run("sequential_images", rule).net.kind == "leaky_rnn"
    assert tca.Run("images", rule, net=tca.NetworkConfig()).net.kind == "leaky_rnn"
    assert tca.Run.from_json(run.to_json()) == run


def threads_seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that every update adds its number of threads to."""
    seen, make = list[int](), Updates.make

    def noted(*given: Any) -> str:
        seen.append(torch.get_num_threads())
        return make(*given)

    monkeypatch.setattr(Updates, "make", noted)
    return seen


@pytest.mark.parametrize(("options", "number"), [([], 1), (["--threads=2"], 2)])
def test_training_sets_and_records_its_threads(
    options: list[str], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = torch.get_num_threads(), threads_seen(monkeypatch)
    assert main([*WORDS, *options, "--folder", str(tmp_path)]) == 0
    assert seen == [number] * 4
    assert torch.get_num_threads() == before
    assert read_description(RUN.folder(tmp_path))["threads"] == number


def test_a_resume_takes_the_threads_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with threads(2):
        record = interrupted(tmp_path)
    seen = threads_seen(monkeypatch)
    assert main(["resume", str(record), "--quiet"]) == 0  # without the warning of another number
    assert set(seen) == {2}


def test_a_number_of_threads_that_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "--threads=0", "--folder", str(tmp_path)]) == 2
    assert "threads must be at least 1, got 0" in capsys.readouterr().err
