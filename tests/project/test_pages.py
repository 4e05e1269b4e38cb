"""The pages say what is so: their code runs, their commands work on what `make compare` writes, their tables follow."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from analysis.figures.command import command
from tca.__main__ import main as tca_main
from tools import pages

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
FILES = {"docs/how-to/own-rule.md"}  # pages with a module to save, which `test_own_rule_page.py` saves and runs
CODE = [
    page
    for page in DOCS
    if "```python" in page.read_text(encoding="utf-8") and page.relative_to(ROOT).as_posix() not in FILES
]
SMALLER = {  # sizes that a test can afford; each must stand in some page
    "n_train=200, n_test=200": "n_train=20, n_test=20",
    "n_train=40, n_test=200": "n_train=8, n_test=24",
    "n_train=640, n_test=500": "n_train=64, n_test=50",
    "trials.inputs, 200,": "trials.inputs, 10,",
    "steps=300, evaluate_every=30, n_train=500, n_test=500": "steps=4, evaluate_every=2, n_train=10, n_test=10",
    "steps=200, evaluate_every=50": "steps=4, evaluate_every=2",
    'options={"trials": 200}': 'options={"trials": 20}',
    "components=20": "components=4",
    "steps=500": "steps=2",
    "NetworkConfig(size=32)": "NetworkConfig(size=4)",
    '"net.size": [32, 64]': '"net.size": [4, 6]',
    "workers=4": "workers=1",
    "select(slice(0, 4))": "select(slice(0, 1))",
    'tasks.make("flip_flop", bits=2)': 'tasks.make("flip_flop", bits=2, duration=240)',
    "dimensions=2, normalise=True": "dimensions=2, normalise=True, points=5",
}
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("[0-9]*.md"))
CELL = re.compile(r"```\{code-cell\} python\n(.*?)```", re.DOTALL)
RECORD_COMMAND = re.compile(r"^ {4}(python -m analysis\.figures\.\w+ runs/compare.*?)(?: +#.*)?$", re.MULTILINE)
MODULE = re.compile(r"python -m ((?:analysis|benchmarks|studies|tasks|tests|tools)[\w.]*)((?: [^\n`#)]*)?)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def test_every_smaller_size_stands_in_a_page() -> None:
    everything = "".join(map(blocks, CODE))
    assert [full for full in SMALLER if full not in everything] == []


@pytest.mark.thirds
@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("page", CODE, ids=name_of)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks(page)
    for full, small in SMALLER.items():
        code = code.replace(full, small)
    monkeypatch.chdir(tmp_path)
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sizes of a test warn where those of the page do not
        exec(compile(code, str(page), "exec", dont_inherit=True), {"__name__": "page"})
    assert torch.equal(state, torch.random.get_rng_state())


def test_ten_tutorials_are_listed_and_compile() -> None:
    index = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    assert len(TUTORIALS) == 10
    for page in TUTORIALS:
        text = page.read_text(encoding="utf-8")
        assert f"\n{page.stem}\n" in index
        assert text.startswith("---\nfile_format: mystnb\n")
        assert "**Question.**" in text
        assert "## What this shows, and its limits" in text
        code = "\n".join(CELL.findall(text))
        assert ("%matplotlib inline\n" in code) == ("igure" in code), "figures of the library need it to be shown"
        compile(code.replace("%matplotlib inline\n", ""), str(page), "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_a_tutorial_runs_in_a_kernel(page: Path, tmp_path: Path) -> None:
    """Cells run as `make docs` runs them: in a kernel of their own, in which a warning is no error."""
    nbformat = pytest.importorskip("nbformat", reason="`make docs` installs it")
    nbclient = pytest.importorskip("nbclient", reason="`make docs` installs it")
    notebook = nbformat.v4.new_notebook()
    cells = CELL.findall(page.read_text(encoding="utf-8"))
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert shown or page.stem.startswith("10")


@pytest.mark.parametrize("page", DOCS, ids=name_of)
def test_tables_made_from_the_code_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert pages.rewritten(text) == text, "run `make pages`"


@pytest.mark.parametrize("page", [*DOCS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in [*DOCS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        named = re.findall(r"(?:`|^ {4})make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, (name_of(page), set(named) - targets)


def modules() -> dict[str, set[str]]:
    """Return the modules that pages run, each with the word after it if any and the flags that it is given there."""
    found: dict[str, set[str]] = {}
    for page in [*DOCS, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ").replace("`python -m\n", "`python -m ")
        for module, words in MODULE.findall(text):
            command = " ".join([module.rstrip("."), *re.findall(r"^ *([a-z]+)\b", words)])
            found.setdefault(command, set()).update(re.findall(r"(?<!\S)--[a-z][\w-]*", words))
    return found


def test_every_module_that_a_page_runs_exists() -> None:
    for module in {each.split()[0] for each in modules()}:
        found = importlib.util.find_spec(module)
        assert found is not None, module
        if found.submodule_search_locations:
            assert importlib.util.find_spec(f"{module}.__main__") is not None, module


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(modules()))
def test_every_flag_that_a_page_gives_is_known(command: str) -> None:
    flags = modules()[command]
    if not flags:
        return
    says = subprocess.run([sys.executable, "-m", *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True)
    assert says.returncode == 0, says.stderr
    assert [flag for flag in flags if flag not in says.stdout] == []


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make compare` writes: its tasks and rules, in small."""
    folder = tmp_path_factory.mktemp("compared") / "runs" / "compare"
    small = "--seeds 2 --steps 2 --n_train 10 --n_test 10 --evaluate_every 1 --net.size 6 --workers 1 --quiet"
    assert tca_main(["compare", "--config", str(ROOT / "compare.yaml"), "--folder", str(folder), *small.split()]) == 0
    return folder


def record_commands() -> list[str]:
    return sorted({found for page in DOCS for found in RECORD_COMMAND.findall(page.read_text(encoding="utf-8"))})


@pytest.mark.slow
@pytest.mark.parametrize("words", record_commands())
def test_commands_work_on_what_make_compare_writes(
    words: str, compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, *arguments = shlex.split(words.removeprefix("python -m "))
    record = min(compared.rglob("result.json")).parent
    arguments = [
        str({"runs/compare/runs/<record>": record, "runs/compare": compared}.get(each, each)) for each in arguments
    ]
    small = {
        "loss_line": ["--trials", "6"],
        "loss_plane": ["--trials", "6", "--points", "3"],
        "loss_barrier": ["--trials", "6"],
    }
    arguments += [*small.get(module.rpartition(".")[2], []), "--out", str(tmp_path / "figure")]
    assert command(importlib.import_module(module).main, arguments) == 0, capsys.readouterr().err
