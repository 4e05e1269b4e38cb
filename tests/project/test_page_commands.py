"""Every `tca` command of a page runs, in the order of the page, in small and in an empty folder."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tca.__main__ import main
from tests.project.test_pages import DOCS, ROOT, SMALLER, name_of

COMMAND = re.compile(r"^ {4}tca ((?:.*\\\n)*.*)$", re.MULTILINE)
# Files that a page has saved: named by the first line of a block, or before it.
SAVED = re.compile(r"(?:```python\n# |`)(\w+\.(?:py|yaml))(?:`:\n\n```yaml)?\n(.*?)```", re.DOTALL)
ELSEWHERE = {"docs/how-to/own-rule.md", "docs/how-to/own-task.md"}  # tested with the modules that they have saved
SMALL = {
    "train": "--steps 2 --n_train 10 --n_test 10 --evaluate_every 1 --quiet",
    "compare": "--seeds 1 --steps 2 --n_train 10 --n_test 10 --evaluate_every 1 --curvature_trials 4 --quiet",
    "sweep": "--scheduler here --quiet",
    "resume": "--quiet",
    "verify": "--quiet",
}
PACKAGES = {"--rollout": "pygame", "tensorboard": "tensorboard"}  # of extras, by a word of a command
ABSENT = ("tcp://",)  # a machine that a test has not


def commands(page: Path) -> list[list[str]]:
    """Return the words of the commands of a page, without comments and redirections."""
    found = COMMAND.findall(page.read_text(encoding="utf-8"))
    words = [shlex.split(each.replace("\\\n", " "), comments=True) for each in found]
    return [each[: each.index(">")] if ">" in each else each for each in words]


PAGES = [page for page in [*DOCS, ROOT / "README.md"] if commands(page) and name_of(page) not in ELSEWHERE]


def prepared(folder: Path, page: Path) -> None:
    """Write the files that a page has saved, in small, and those of the repository that it uses."""
    shutil.copy(ROOT / "compare.yaml", folder)
    for name, text in SAVED.findall(page.read_text(encoding="utf-8")):
        for full, small in SMALLER.items():
            text = text.replace(full, small)
        (folder / name).write_text(f"{text}\ndef others():\n    return runs()\n" if name == "sizes.py" else text)


def record_in(word: str) -> str:
    """Return a path with NAME replaced by the name of a record that is there."""
    folder, _, name = word.rpartition("/")
    return (
        f"{folder}/{min(each.parent.name for each in Path(folder).glob('*/result.json'))}" if name == "NAME" else word
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_commands_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path, page)
    for words in commands(page):
        text = " ".join(words)
        missing = [name for word, name in PACKAGES.items() if word in text and not importlib.util.find_spec(name)]
        if missing or any(each in text for each in ABSENT):
            continue
        if "runs/compare" in words and not Path("runs/compare").exists():
            assert main(["compare", "--rules", "bptt,eprop", "--tasks", "delayed_xor", *SMALL["compare"].split()]) == 0
        if words[0] in ("runs", "show", "verify") and "NAME" in text and not list(Path("runs").glob("*/result.json")):
            assert main(["train", "delayed_xor", "--rule", "eprop", *SMALL["train"].split()]) == 0
        small = [] if "--dry-run" in words else SMALL.get(words[0], "").split()
        assert main([*map(record_in, words), *small]) == 0, (text, capsys.readouterr().err)


def test_most_pages_with_commands_are_tried() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 15
    assert all((ROOT / each).exists() for each in ELSEWHERE)
