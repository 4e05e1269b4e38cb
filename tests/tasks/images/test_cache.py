"""The cache of decoded images: an entry is whole or not there, whoever is killed and however many want it at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.images import cache
from tasks.images.cache import entry

ROOT = Path(__file__).parents[3]
CONTENT = b"0123456789" * 1000


def fill(folder: Path) -> dict[str, Any]:
    (folder / "content").write_bytes(CONTENT)
    return {"length": len(CONTENT)}


def never(_: Path) -> dict[str, Any]:
    raise AssertionError("the entry was there")


def test_an_entry_is_filled_once_and_read_without_writing(tmp_path: Path) -> None:
    made = entry(tmp_path, "set", {"size": 3}, fill)
    for lock in tmp_path.glob(".*"):
        lock.unlink()
    again = entry(tmp_path, "set", {"size": 3}, never)
    assert (again.folder, again.about) == (made.folder, {"length": len(CONTENT)})
    assert [each.name for each in tmp_path.iterdir()] == [made.folder.name], "a read-only cache will do"
    assert entry(tmp_path, "set", {"size": 4}, fill).folder != made.folder


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """A file of the user that it leads to would be created or opened for writing."""
    made = entry(tmp_path, "set", {}, fill)
    lock = tmp_path / f".{made.folder.name}.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "elsewhere")
    shutil.rmtree(made.folder)
    with pytest.raises(cache.CacheError, match=r"lock is a symbolic link; name another folder by cache_dir"):
        entry(tmp_path, "set", {}, never)
    assert not (tmp_path / "elsewhere").exists()


def test_an_entry_of_another_format_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where it was kept before nor under the name that it would have today."""
    with monkeypatch.context() as before:
        before.setattr(cache, "FORMAT", cache.FORMAT - 1)
        old = entry(tmp_path, "set", {}, lambda folder: {"made": "before"})
    new = entry(tmp_path, "set", {}, lambda folder: {"made": "now"})
    assert (new.about["made"], new.folder != old.folder) == ("now", True)
    shutil.rmtree(new.folder)
    shutil.copytree(old.folder, new.folder)
    assert entry(tmp_path, "set", {}, lambda folder: {"made": "anew"}).about["made"] == "anew"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "content").write_bytes(CONTENT[:-1]),
        lambda folder: (folder / "content").write_bytes(b"x" + CONTENT[1:]),
        lambda folder: (folder / "content").unlink(),
        lambda folder: (folder / "meta.json").write_text("{"),
        lambda folder: (folder / "meta.json").unlink(),
    ],
)
def test_a_damaged_entry_is_filled_again(tmp_path: Path, damage: Any) -> None:
    made = entry(tmp_path, "set", {}, fill)
    damage(made.folder)
    again = entry(tmp_path, "set", {}, fill)
    assert (again.folder / "content").read_bytes() == CONTENT
    entry(tmp_path, "set", {}, never)


def test_several_at_once_fill_it_once(tmp_path: Path) -> None:
    filled: list[Path] = []

    def slowly(folder: Path) -> dict[str, Any]:
        filled.append(folder)
        time.sleep(0.05)
        return fill(folder)

    threads = [threading.Thread(target=entry, args=(tmp_path, "set", {}, slowly)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(filled) == 1
    entry(tmp_path, "set", {}, never)


def test_others_wait_for_a_writer_and_take_over_when_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tasks.images.cache import entry\n"
        "def half(folder):\n"
        "    (folder / 'content').write_bytes(b'half'); print('half', flush=True); time.sleep(600)\n"
        f"entry(Path({str(tmp_path)!r}), 'set', {{}}, half)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "half\n"
        waiting = threading.Thread(target=entry, args=(tmp_path, "set", {}, fill), daemon=True)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive(), "one fills, the other waits"
        assert list(tmp_path.glob(".set-*.unfinished/content"))
    finally:
        writer.kill()
        writer.communicate()
    waiting.join(30)
    assert (entry(tmp_path, "set", {}, never).folder / "content").read_bytes() == CONTENT
    assert not list(tmp_path.glob(".set-*.unfinished")), "the next one sweeps up"
