"""What commands load: seconds of start-up are modules that were not needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from analysis import figures
from tca.cli.list_command import listing

HEAVY = {
    "IPython", "PIL", "analysis", "datasets", "distributed", "gymnasium", "matplotlib", "neurogym",
    "pandas", "pyarrow", "pyhessian", "scipy", "sklearn", "torch._dynamo", "torch._inductor", "torchvision",
    "tca.cli.compare", "tca.experiments",
}  # fmt: skip
LIGHT = {"jsonargparse", "numpy", "tasks", "torch"}
ALSO: dict[str, set[str]] = {"import tca": LIGHT, "--help": LIGHT, "list": set(), "list figures": set()}


@pytest.mark.thirds
@pytest.mark.parametrize("command", sorted(ALSO))
def test_a_command_loads_no_heavy_module(command: str) -> None:
    runs = "import tca" if command == "import tca" else f"from tca.__main__ import main; main({command.split()!r})"
    show = "print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; {runs}; {show}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "tca" in loaded
    assert sorted((HEAVY | ALSO[command]) & loaded) == []


@pytest.mark.slow
@pytest.mark.parametrize("command", [True, False])
def test_only_the_command_exempts_what_it_imports_from_collection(command: bool) -> None:
    start = "sys.argv[0] = 'tca'" if command else "pass"
    shown = "print(gc.isenabled(), gc.get_freeze_count())"
    code = f"import gc, sys; {start}; from tca.__main__ import main; main(['list', 'rules']); {shown}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    enabled, count = done.stdout.splitlines()[-1].split()
    assert enabled == "True", "the collector is on again"
    frozen, torch_alone = int(count), 100_000
    assert frozen > torch_alone if command else frozen == 0


def test_figures_are_listed_with_the_first_lines_of_their_functions() -> None:
    functions = {name: getattr(figures, name) for name in figures.__all__ if name not in ("Series", "save")}
    lines = listing("figures").splitlines()[2:]
    shown = dict(zip([each.strip() for each in lines[::3]], [each.strip() for each in lines[1::3]], strict=True))
    assert shown == {
        name: (each.__doc__ or "").splitlines()[0].removeprefix("Return ").replace("`", "")
        for name, each in functions.items()
    }
