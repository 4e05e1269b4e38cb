"""What commands load: seconds of start-up are modules that were not needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "IPython", "PIL", "analysis", "datasets", "distributed", "gymnasium", "matplotlib", "neurogym",
    "pandas", "pyarrow", "pyhessian", "scipy", "sklearn", "torch._dynamo", "torch._inductor", "torchvision",
    "tca.cli.compare", "tca.experiments",
}  # fmt: skip
LIGHT = {"jsonargparse", "numpy", "tasks", "torch"}
ALSO: dict[str, set[str]] = {"import tca": LIGHT, "--help": LIGHT, "list": set()}


@pytest.mark.parametrize("command", sorted(ALSO))
def test_a_command_loads_no_heavy_module(command: str) -> None:
    runs = "import tca" if command == "import tca" else f"from tca.__main__ import main; main([{command!r}])"
    show = "print('loaded', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; {runs}; {show}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "tca" in loaded
    assert sorted((HEAVY | ALSO[command]) & loaded) == []


def test_the_collector_is_on_again_after_a_command() -> None:
    code = "import gc; from tca.__main__ import main; main(['list', 'rules']); print(gc.isenabled())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "True"
