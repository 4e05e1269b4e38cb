"""The README: its example runs and draws, its links lead to files; every rule has a page, every limit a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import tca

README = Path(__file__).parents[2] / "README.md"
SMALLER = {  # the example at a size that a test can afford
    "n_train=500, n_test=500": "n_train=100, n_test=20",
    "task.n_in, 64,": "task.n_in, 8,",
    "epochs=40": "epochs=1",
    "step % 20 == 0": "step == 0",
    "range(0, 400, 20)": "[0]",
}


@pytest.fixture
def text() -> str:
    if not README.exists():
        pytest.skip("no README beside an installed package")
    return README.read_text(encoding="utf-8")


def example(text: str) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return block


def test_the_example_runs_and_draws(text, capsys, tmp_path, monkeypatch):
    code = example(text)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    for full, small in SMALLER.items():
        assert code.count(full) == 1, full
        code = code.replace(full, small)
    names: dict[str, object] = {}
    before = torch.random.get_rng_state()
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), names)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted({(each.label, each.seed) for each in names["curves"]}) == [
        (rule, seed) for rule in ("bptt", "eprop", "rflo") for seed in range(5)
    ]
    printed = capsys.readouterr().out
    assert all(rule in printed for rule in ("rflo", "eprop", "bptt"))
    assert names["mine"] not in tca.RULES.values()
    assert names["net"].w_rec.grad is not None


def test_the_comment_on_a_rule_is_what_it_prints(text):
    (printed,) = re.findall(r'# tca\.RULES\["rflo"\]: (.*)', example(text))
    assert printed == repr(tca.RULES["rflo"])


def test_the_readme_fits_on_a_page(text):
    assert len(text.splitlines()) <= 120


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
    pinned = re.findall(r"`((?:studies/)?tests/[\w/]+\.py)::(\w+)`", limits)
    assert len(pinned) > 100
    assert len(pinned) == limits.count(".py::")
    for file, test in pinned:
        assert f"def {test}(" in (README.parent / file).read_text(encoding="utf-8"), f"{file}::{test}"
