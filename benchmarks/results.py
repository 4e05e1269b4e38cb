"""Results of benchmarks: a question's numbers with the machine, the versions and the code, and their table.

A benchmark measures all contestants in one run (`measure`), prints the table and, with ``--save``, writes it below
``benchmarks/results/``. The tables of ``docs/benchmarks.md`` are made from these files, and a row is marked whose code
has changed since, so that no number there is silently older than its code.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from benchmarks.code_versions import ROOT, changed, executed
from benchmarks.timing import Clock, race

__all__ = ["Bound", "Result", "Row", "add_options", "finish", "machine", "measure", "table"]

FOLDER = Path(__file__).parent / "results"
OLDER = "\\*"
Works = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Row:
    """The numbers of a contestant.

    Attributes:
        seconds: Times, or what else the result measures, by column; a column that it did not run is absent.
        code: Digests of the files that it executed, by path.
    """

    seconds: dict[str, float]
    code: dict[str, str]


@dataclass(frozen=True)
class Bound:
    """A ratio to another row that no column may exceed, or, with ``at_least``, that all must reach.

    A bound ``against`` no row is one on the numbers themselves.
    """

    row: str
    against: str | None
    ratio: float
    at_least: bool = False


@dataclass(frozen=True)
class Result:
    """The numbers of one run that answer a question.

    Attributes:
        name: Name of the file, and of the table in a page: ``benchmark_NAME``.
        question: What was measured, in a line.
        reference: The row whose number is 1 in each column; ``None`` for numbers as they are.
        rows: By contestant.
        bounds: Targets, judged in the table.
        machine: The processor and the versions.
        command: The command, without ``--save``.
        date: The day.
        commit: The commit that the tree was at.
        measure: What the rows hold, with its unit where there is no reference.
    """

    name: str
    question: str
    reference: str | None
    rows: dict[str, Row]
    bounds: list[Bound] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=lambda: machine())
    command: str = field(default_factory=lambda: _command())
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    commit: str = field(default_factory=lambda: _commit())
    measure: str = "times"

    @property
    def columns(self) -> list[str]:
        """The columns of all rows, in the order in which they were measured."""
        return list(dict.fromkeys(column for row in self.rows.values() for column in row.seconds))

    def multiples(self, row: str, of: str | None) -> dict[str, float]:
        """Return a row's numbers over those of another by column, where both are there; its own if ``of`` is ``None``.

        Args:
            row: Name of the row.
            of: Name of the other.
        """
        own, other = (self.rows[name].seconds if name in self.rows else {} for name in (row, of))
        return {column: each / other.get(column, 1.0) for column, each in own.items() if of is None or column in other}


def add_options(parser: argparse.ArgumentParser, rounds: int = 5, longest: float = 30.0) -> None:
    """Add the options that benchmarks share."""
    parser.add_argument("--rounds", type=int, default=rounds, help="of which the fastest counts (default: %(default)s)")
    parser.add_argument(
        "--longest", type=float, default=longest, help="seconds of a contestant in all (default: %(default)s)"
    )
    parser.add_argument("--save", action="store_true", help="write the result below benchmarks/results/")


def measure(
    columns: Mapping[str, Callable[[], Works]], rounds: int, longest: float, clock: Clock = time.process_time
) -> dict[str, Row]:
    """Time contestants, all of a column in turns.

    Args:
        columns: What makes the contestants of a column, by its name; contestants are run once before they are timed.
        rounds: Number of rounds.
        longest: Seconds that one contestant may spend in a column.
        clock: The clock, by default that of the process.
    """
    rows: dict[str, Row] = {}
    for column, make in columns.items():
        works = make()
        for name, work in works.items():
            work()
            rows.setdefault(name, Row({}, {})).code.update(executed(work))
        for name, seconds in race(works, rounds, longest, clock).items():
            rows[name].seconds[column] = seconds
    return rows


def finish(result: Result, save: bool) -> None:
    """Print a result's table and write its file if asked to."""
    print(f"{table(result)}\n", flush=True)
    if save:
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps(asdict(result), indent=1) + "\n"
        (FOLDER / f"{result.name}.json").write_text(text, encoding="utf-8")


def read(path: Path) -> Result:
    """Return the result that a file holds."""
    given = json.loads(path.read_text(encoding="utf-8"))
    rows = {name: Row(**row) for name, row in given.pop("rows").items()}
    return Result(rows=rows, bounds=[Bound(**each) for each in given.pop("bounds")], **given)


def table(result: Result) -> str:
    """Return a result as a table of Markdown, below a line that says where the numbers come from."""
    columns, older = result.columns, _older(result)
    judged = bool(result.bounds)
    lines = [_origin(result), "", _line(["", *columns, *["target"] * judged])]
    lines.append(_line(["---", *["---:"] * len(columns), *["---"] * judged]))
    for name in result.rows:
        multiples = result.multiples(name, result.reference)
        ratios = [_number(multiples[column]) if column in multiples else "-" for column in columns]
        verdicts = [", ".join(_verdict(result, each) for each in result.bounds if each.row == name)] * judged
        lines.append(_line([f"{name}{OLDER if name in older else ''}", *ratios, *verdicts]))
    if older:
        lines += ["", f"{OLDER} Measured before the last change of the code that it executes."]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Return the processor and the versions of what runs here, those of loaded peers included."""
    peers = ("jax", "braintrace", "norse", "snntorch", "pyhessian", "curvlinops-for-pytorch", "numba")
    loaded = [name for name in peers if name.partition("-")[0] in sys.modules]
    return {
        "cpu": f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: importlib.metadata.version(name) for name in loaded},
    }


def _processor() -> str:
    """Return the processor's own name, with family and model, since hypervisors shorten the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    known = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return (
        f"{known.get('model name', platform.machine())} (family {known.get('cpu family')}, model {known.get('model')})"
    )


def _command() -> str:
    spec = sys.modules["__main__"].__spec__
    name = spec.name.removesuffix(".__main__") if spec else Path(sys.argv[0]).stem
    own = sys.argv[0] if sys.argv[0].startswith("benchmarks.") else name
    return " ".join(["python -m", own, *(word for word in sys.argv[1:] if word != "--save")])


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def _older(result: Result) -> dict[str, list[str]]:
    """Return the changed files of every row that is older than its code or than that of the reference."""
    code = {name: changed(row.code) for name, row in result.rows.items()}
    reference = code[result.reference] if result.reference else []
    both = {name: sorted({*own, *reference}) for name, own in code.items()}
    return {name: files for name, files in both.items() if files}


def _origin(result: Result) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.machine.items() if name != "cpu")
    unit = f" as multiples of *{result.reference}*" if result.reference else ""
    return (
        f"{result.question}; {result.measure}{unit}. "
        f"{result.machine['cpu']}; {versions}; {result.date}, commit {result.commit}: `{result.command}`."
    )


def _number(number: float) -> str:
    if 0 < number < 0.005:
        return f"{number:.0e}"
    return f"{number:.2f}" if number < 10 else f"{number:.0f}"


def _verdict(result: Result, bound: Bound) -> str:
    ratios = result.multiples(bound.row, bound.against).values()
    within = all(ratio >= bound.ratio if bound.at_least else ratio <= bound.ratio for ratio in ratios)
    verdict = ("pass" if within else "**miss**") if ratios else "not measured"
    against = f" x {bound.against}" if bound.against else ""
    return f"at {'least' if bound.at_least else 'most'} {bound.ratio:g}{against}: {verdict}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
