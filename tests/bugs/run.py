"""Plants one bug at a time in a copy of the library and demands that a test notices each.

``python -m tests.bugs.run`` prints a table and exits with an error if a bug survives, if its text is no longer found
in the library (the list must follow the code), or if it merely crashes the library, which proves nothing of a test.
``python -m tests.bugs.run tape readout`` plants only the bugs whose file or title holds one of the words.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bugs.bug import Bug

TABLES = tuple(
    importlib.import_module(f"{__package__}.{path.stem}") for path in sorted(Path(__file__).parent.glob("planted_*.py"))
)
BUGS: list[Bug] = [bug for table in TABLES for bug in table.BUGS]
ROOT = Path(__file__).resolve().parents[2]
COPIED = ("analysis", "benchmarks", "studies", "tasks", "tca", "tests")
SETTINGS = ("pyproject.toml",)
AT_ONCE = 2
SECONDS_ALLOWED = 900  # on the clock, of machines that others use too
SECONDS_ALL_TESTS = 3600  # all tests that any bug names
NEEDED = ["matplotlib.pyplot", "neurogym", "numpy", "pytest", "scipy.stats", "sklearn.datasets", "torch"]
PROCESSES = multiprocessing.get_context("forkserver")  # its server imports what every test needs once
PROCESSES.set_forkserver_preload(NEEDED)
NOTICED = re.compile(r"^FAILED ((?:(?! - ).)+) - (?:assert|AssertionError|Failed: )", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of a bug: ``caught`` is what it should be."""

    bug: Bug
    verdict: str
    detail: str
    seconds: float


def plant(bug: Bug, folder: Path) -> str | None:
    """Copy the library into ``folder`` and change one place; return what went wrong, if anything did."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, copy_function=_link)  # with compiled files, which hold as times do
    for name in SETTINGS:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    target = folder / bug.file
    if not target.exists():
        return f"there is no {bug.file}"
    text = target.read_text()
    if text.count(bug.old) != bug.places:
        return f"{bug.old!r} occurs {text.count(bug.old)} times in {bug.file}, not {bug.places}"
    target.unlink()  # it may be the library's own file under a second name
    target.write_text(text.replace(bug.old, bug.new))
    return None


def _link(source: str, target: str) -> None:
    """Give a file a second name, or copy it to another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def run_tests(
    bug: Bug, folder: Path, seconds: float = SECONDS_ALLOWED, options: tuple[str, ...] = ()
) -> tuple[str, str]:
    """Return the verdict of the bug's tests on the copy, and the test that noticed it or the end of the output."""
    with tempfile.NamedTemporaryFile(prefix="pytest-", suffix=".txt") as output:
        process = PROCESSES.Process(target=_pytest, args=(folder, (*options, *bug.tests), output.name))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            process.join()
            return "too slow", f"no answer in {seconds:g} s"
        printed = Path(output.name).read_text(errors="replace")
    noticed = NOTICED.search(printed)
    if process.exitcode in (0, 5):  # passed, or none of them runs daily
        return "SURVIVED", "every test passed"
    if process.exitcode == 1 and noticed:
        return "caught", noticed.group(1)
    lines = printed.strip().splitlines()
    complaints = [line for line in lines if line.startswith(("FAILED", "ERROR"))] or lines[-1:]
    return "crashed", complaints[0][:200] if complaints else f"pytest ended with {process.exitcode} and printed nothing"


def _pytest(folder: Path, arguments: tuple[str, ...], output: str) -> None:
    """Run pytest on a copy, in a process that has imported what all tests need but nothing of the library."""
    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[name]
    os.chdir(folder)
    os.environ |= {"PYTHONPATH": str(folder), "COLUMNS": "1000", "TCA_KERNELS": "eager"}  # bugs of the equations
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # modules are compiled once, here, and copied
    sys.dont_write_bytecode = False
    sys.path.insert(0, str(folder))
    import pytest

    status = pytest.main(["-x", "-q", "--tb=line", "-p", "no:cacheprovider", *arguments])
    sys.stdout.flush()
    os._exit(status)


def try_bug(bug: Bug) -> Outcome:
    """Plant a bug in a folder of its own and see whether it is noticed."""
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="bug-") as name:
        folder = Path(name)
        problem = plant(bug, folder)
        verdict, detail = ("lost", problem) if problem else run_tests(bug, folder)
        if verdict == "SURVIVED":  # those of its tests that do not run daily
            slow = run_tests(bug, folder, options=("-m", "slow"))
            verdict, detail = slow if slow[0] == "caught" else (verdict, detail)
    return Outcome(bug, verdict, detail, time.perf_counter() - begun)


def healthy(chosen: list[Bug]) -> str | None:
    """Return what the tests of some bugs find wrong with the library before any is planted, if anything."""
    tests = tuple(sorted({test for bug in chosen for test in bug.tests}))
    verdict, detail = run_tests(Bug("none", "", "", "", tests=tests), ROOT, SECONDS_ALL_TESTS, ("-n", str(AT_ONCE)))
    return None if verdict == "SURVIVED" else f"the tests fail on the library as it is: {detail}"


def main(words: list[str]) -> int:
    """Try every bug, or those whose file or title holds one of the words; return the number of bad outcomes."""
    chosen = [bug for bug in BUGS if not words or any(word in f"{bug.file} {bug.title}" for word in words)]
    complaint = healthy(chosen) if chosen else f"no bug's file or title holds any of {words}"
    if complaint:
        print(complaint)
        return 1
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = []
        for outcome in pool.map(try_bug, chosen):
            outcomes.append(outcome)
            place = f"{outcome.bug.file}: {outcome.bug.title}"
            print(f"{outcome.verdict:9} {outcome.seconds:5.0f} s  {place:90} {outcome.detail}", flush=True)
    bad = [outcome for outcome in outcomes if outcome.verdict != "caught"]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} bugs caught")
    return len(bad)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
