"""Files: no write follows a link, what is counted is on the disk before the count, and reading is bounded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import tca
from tca.experiments.config.run_name import name_of
from tca.experiments.records import files
from tca.experiments.records.files import (
    RecordError,
    append,
    locked,
    make_folder,
    read_bytes,
    tidy,
    write_whole,
)
from tca.experiments.training.train import train
from tca.utils.own_files import own_file
from tca.utils.text import in_a_line, printable
from tests.tca.experiments.records.test_records import SMALL, StopError, content, raise_at_step


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "file").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "victim"]


@pytest.mark.parametrize("make", [os.symlink, os.link, lambda there, here: os.mkfifo(here)])
@pytest.mark.parametrize("write", [lambda path: append(path, b"x"), lambda path: locked(path.parent)])
def test_nothing_is_opened_to_be_written_but_a_file_of_its_own(tmp_path: Path, make: Any, write: Any) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "in").mkdir()
    make(tmp_path / "victim", tmp_path / "in" / ".lock")
    with pytest.raises(OSError, match=r"symbolic link|hard link|no regular file|No such device"):
        write(tmp_path / "in" / ".lock")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    with pytest.raises(RecordError, match="symbolic link; name the folder that it leads to"):
        train(SMALL, tmp_path / "here", progress=False)
    assert not list((tmp_path / "there").iterdir())
    make_folder(tmp_path / "here" / "below")  # where the user has put a link above, it is followed
    assert (tmp_path / "there" / "below").is_dir()


def test_half_written_files_go_and_those_of_living_writers_stay(tmp_path: Path) -> None:
    (tmp_path / ".file.0.tmp").write_bytes(b"half")
    held = files._fresh(tmp_path / "file")
    write_whole(tmp_path / "file", b"whole")
    assert {each.name for each in tmp_path.iterdir()} == {"file", Path(held.name).name}
    held.close()
    tidy(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


class Disk:
    """Writes, syncs and renames in the order in which they are made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, str]] = []
        write_all, fsync, replace = files._write_all, os.fsync, os.replace

        def written(file: Any, text: bytes) -> None:
            self.done.append(("write", Path(file.name).name))
            write_all(file, text)

        def synced(number: int) -> None:
            self.done.append(("sync", os.readlink(f"/proc/self/fd/{number}")))
            fsync(number)

        def replaced(source: str, target: Path) -> None:
            self.done.append(("rename", str(target)))
            replace(source, target)

        monkeypatch.setattr(files, "_write_all", written)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "replace", replaced)


def test_lines_are_on_the_disk_before_the_checkpoint_that_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line is synced before anything else is written, every rename is of a synced file, then its folder is."""
    disk = Disk(monkeypatch)
    train(SMALL, tmp_path / "record", progress=False)
    done = disk.done
    assert ("sync", str(tmp_path)) in done  # where the record's folder is named
    lines = [place for place, each in enumerate(done) if each == ("write", "metrics.jsonl")]
    assert len(lines) == 4
    for place in lines:
        assert done[place + 1] == ("sync", str(tmp_path / "record" / "metrics.jsonl"))
    renames = [place for place, (kind, _) in enumerate(done) if kind == "rename"]
    assert len(renames) == 9
    for place in renames:
        name = Path(done[place][1]).name
        assert done[place - 1][0] == "sync"
        assert f".{name}." in done[place - 1][1]
        assert done[place + 1] == ("sync", str(tmp_path / "record"))


@pytest.mark.parametrize(("lost", "message"), [(1, "does not reach it: lines have been lost"), (0, None)])
def test_a_record_whose_lines_do_not_reach_its_checkpoint_is_damaged(
    tmp_path: Path, lost: int, message: str | None
) -> None:
    """And one that has a line more has lost nothing: it was measured and not counted."""
    train(SMALL, tmp_path / "whole", progress=False)
    with pytest.raises(StopError):
        train(SMALL, tmp_path / "cut", progress=False, observe=raise_at_step(6))
    path = tmp_path / "cut" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) - lost]) + ("" if lost else lines[-1]))
    if message is None:
        train(SMALL, tmp_path / "cut", progress=False)
        assert content(tmp_path / "cut") == content(tmp_path / "whole")
    else:
        with pytest.raises(RecordError, match=message):
            train(SMALL, tmp_path / "cut", progress=False)


def test_reading_is_of_regular_files_and_bounded(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_bytes(b"12345")
    for name, message in (("pipe", "no regular file"), ("zero", "no regular file"), ("large", "more than 4 bytes"),
                          ("none", "No such file"), (".", "directory|regular")):  # fmt: skip
        with pytest.raises(RecordError, match=message):
            read_bytes(tmp_path / name, 4)
    assert read_bytes(tmp_path / "large", 5) == b"12345"


def test_what_is_no_printable_character_is_written_out() -> None:
    text = "a\x1b[2Jb\r\u202ec\ud800\u0085\nd\te"
    assert printable(text) == "a\\x1b[2Jb\\r\\u202ec\\ud800\\x85\nd\te"
    assert in_a_line(text) == "a\\x1b[2Jb \\u202ec\\ud800 d e"
    assert in_a_line("ä" * 2000) == "ä" * 1000 + "..."


def test_a_resume_under_others_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another build of torch and another number of threads, both named; the record then holds both."""
    with pytest.raises(StopError):
        train(SMALL, tmp_path, progress=False, observe=raise_at_step(6))
    there = tca.experiments.records.versions.environment()
    other = {**there, "threads": 7, "versions": {**there["versions"], "torch": "9.9.9+cu999"}}
    monkeypatch.setattr("tca.experiments.records.record.environment", lambda passes: other)
    with pytest.warns(
        tca.records.ResumedElsewhereWarning, match=r"torch \S+ then, 9.9.9\+cu999 now; threads 1 then, 7 now"
    ):
        train(SMALL, tmp_path, progress=False)
    from tca.experiments.records.reader import look

    assert list(look(tmp_path).made_with) == [there, other]
    assert look(tmp_path).description["versions"]["torch"] == __import__("torch").__version__


def test_a_network_of_a_billion_cells_is_not_built_to_be_described_or_read(tmp_path: Path) -> None:
    """Its description costs nothing; a record that claims to be of one is read, and refused when it is to be built."""
    assert tca.NetworkConfig(size=10**9, cell_types=(0.5, 0.5), dale=(1, -1)).size == 10**9
    train(SMALL, tmp_path, progress=False)
    from tests.robustness.hostile_rows import edited

    def grow(its: dict[str, Any]) -> None:
        its["run"]["net"]["size"] = 10**9
        its["name"] = name_of(its["run"])

    edited("run.json", grow)(tmp_path, tmp_path, tmp_path)
    name = name_of(__import__("json").loads((tmp_path / "run.json").read_text())["run"])
    edited("result.json", lambda its: its.update(name=name))(tmp_path, tmp_path, tmp_path)
    result = tca.records.read(tmp_path)
    assert result.run.net.size == 10**9
    with pytest.raises(RecordError, match=r"a tensor of 1000000000.* elements would be more than"):
        _ = result.net


def test_own_file_needs_no_link() -> None:
    with pytest.raises(OSError, match="no regular file"):
        own_file("/dev/null", os.O_WRONLY)
