"""The README says what is so: its example runs, and its tables name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import tasks
import tca

README = Path(__file__).parents[1] / "README.md"
SMALLER = {  # the example at a size that a test can afford
    "n_train=500, n_test=2000": "n_train=80, n_test=40",
    "128, task.n_out": "16, task.n_out",
    "epochs=20": "epochs=2",
}


@pytest.fixture
def text() -> str:
    if not README.exists():
        pytest.skip("no README beside an installed package")
    return README.read_text(encoding="utf-8")


def example(text: str) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block


def test_the_example_runs_and_has_about_twenty_lines(text, capsys):
    code = example(text)
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    for full, small in SMALLER.items():
        assert code.count(full) == 1, full
        code = code.replace(full, small)
    names: dict[str, object] = {}
    before = torch.random.get_rng_state()
    exec(compile(code, str(README), "exec"), names)
    assert torch.equal(before, torch.random.get_rng_state())
    printed = capsys.readouterr().out
    assert all(rule in printed for rule in ("rflo", "eprop", "bptt"))
    assert names["mine"] not in tca.RULES.values()
    assert names["net"].w_rec.grad is not None


def test_the_comment_on_a_rule_is_what_it_prints(text):
    (said,) = re.findall(r'tca\.RULES\["rflo"\] +# prints as (.*)', example(text))
    assert said == repr(tca.RULES["rflo"])


def table(text: str, heading: str) -> set[str]:
    (section,) = re.findall(rf"^## {heading}\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}


def test_the_families_of_rules_are_the_rules(text):
    (section,) = re.findall(r"^## Rules\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    listed = [
        name
        for line in re.findall(r"^- .*?(?=^- |^$)", section, re.DOTALL | re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    ]
    assert sorted(listed) == sorted(tca.RULES)


def test_the_table_of_tasks_is_the_native_tasks(text):
    assert table(text, "Tasks") == {name for name in tasks.list() if not name.endswith("-v0")}


def test_every_file_the_readme_links_exists(text):
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (README.parent / link).exists(), link


def test_every_rule_has_a_page():
    pages = [page.read_text(encoding="utf-8") for page in (README.parent / "docs" / "rules").glob("*.md")]
    titles = " ".join(page.splitlines()[0] for page in pages)
    for name in tca.RULES:
        assert re.search(rf"\b{name}\b", titles), name


def test_every_limit_names_a_test_that_exists():
    limits = (README.parent / "docs" / "limits.md").read_text(encoding="utf-8")
    pinned = re.findall(r"`(test_\w+\.py)::(\w+)`", limits)
    assert len(pinned) > 20
    root = README.parent
    files = {each.name: each for folder in ("tests", "studies") for each in (root / folder).rglob("test_*.py")}
    for file, test in pinned:
        assert f"def {test}(" in files[file].read_text(encoding="utf-8"), f"{file}::{test}"
