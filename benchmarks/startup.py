"""Start-up: processor time of commands and imports beside ``import torch``, each a process of its own, in turns.

Run ``python -m benchmarks.startup`` from the root. Modules are loaded from bytecode, as in an installed package, which
a first turn writes into a folder of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile

from benchmarks.code_versions import ROOT, digests
from benchmarks.results import Bound, Result, Row, add_options, finish
from benchmarks.timing import one_core

REFERENCE, COLUMN, MOST = "import torch", "processor time", 1.2
COMMANDS = {
    REFERENCE: ["-c", "import torch"],
    "import tca": ["-c", "import tca"],
    "tca --help": ["-m", "tca", "--help"],
    "tca list": ["-m", "tca", "list"],
    **{f"tca list {kind}": ["-m", "tca", "list", kind] for kind in ("rules", "tasks", "nets", "losses", "figures")},
    "tca train --help": ["-m", "tca", "train", "--help"],
    "import analysis": ["-c", "import analysis"],
}
BOUNDED = ("tca --help", *(name for name in COMMANDS if name.startswith("tca list")))


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Return the processor time of a process of Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=9)
    options = parser.parse_args()
    one_core()
    with tempfile.TemporaryDirectory() as folder:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = kept | {"PYTHONPYCACHEPREFIX": folder}
        for words in COMMANDS.values():
            seconds(words, environment)  # writes bytecode
        turns = [{name: seconds(words, environment) for name, words in COMMANDS.items()} for _ in range(options.rounds)]
    code = digests(str(ROOT / name) for name in ("tca/__init__.py", "tca/__main__.py", "tca/cli/list_command.py"))
    rows = {
        name: Row({COLUMN: min(turn[name] for turn in turns)}, {} if name == REFERENCE else code) for name in COMMANDS
    }
    bounds = [Bound(name, REFERENCE, MOST) for name in BOUNDED]
    finish(Result("startup", "Start-up, processes of their own", REFERENCE, rows, bounds), options.save)


if __name__ == "__main__":
    main()
