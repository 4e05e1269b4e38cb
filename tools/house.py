"""Count the house: sizes, words, names, and the files that one update enters.

    python -m tools.house [TREE]

measures this checkout, or another one with the same environment (``git worktree add ../old COMMIT``).
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.prose import PACKAGES, docstrings, sources, words

__all__ = ["names", "sizes", "terms", "vocabulary", "widest"]

Row = tuple[str, str]

ROOT = Path(__file__).parents[1]
WORDS = ("what", "told", "nothing", "whatever", "found")  # every occurrence, relative noun or not
TERMS = ("learning signal", "eligibility trace", "surrogate gradient")
TEXTS = (*PACKAGES, "studies", "benchmarks", "tests", "docs", "examples")
COMMANDS = {"import tca": "import tca", "tca --help": "['--help']", "tca list": "['list']"}
REPEATS = 3

# Updates by e-prop: the files entered by the first, which also checks and compiles, those entered by a later one, and
# those of it on the way to an operation on floating-point numbers.
TRACE = """
import json, sys, inspect, torch, tca
from pathlib import Path
from torch.utils._python_dispatch import TorchDispatchMode

FOLDER = Path(tca.__file__).parent
first, entered, computing = set(), set(), set()

def ours(frame):
    return Path(frame.f_code.co_filename).is_relative_to(FOLDER)

class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        value = call(*args, **(kwargs or {}))
        if isinstance(value, torch.Tensor) and value.is_floating_point() and "empty" not in str(call):
            frame = sys._getframe()
            while frame := frame.f_back:
                computing.update([frame.f_code.co_filename] if ours(frame) else [])
        return value

def enter_into(files):
    def enter(frame, event, _):
        if event == "call" and ours(frame):
            files.add(frame.f_code.co_filename)
    return enter

learner = tca.Learner(tca.nets.LeakyRNN(3, 8, 2), tca.RULES["eprop"])
draw = torch.Generator().manual_seed(0)
inputs, targets = torch.randn(5, 4, 3, generator=draw), torch.randn(5, 4, 2, generator=draw)
batch = tca.Batch(inputs, targets, torch.ones(5, 4), tca.losses.MSE())
for files in (first, entered):
    sys.setprofile(enter_into(files))
    learner.backward(batch)
    sys.setprofile(None)
with Watch():
    learner.backward(batch)

from tca.tape.tape import Tape
public = lambda kind: [name for name in dir(kind) if not name.startswith("_")]
fields = [name for name in Tape.__dataclass_fields__ if not name.startswith("_")]
members = [len(public(tca.signals.Signal)), len(public(tca.eligibilities.Eligibility)), len(fields)]
print(json.dumps([sorted(first), sorted(entered), sorted(computing), members]))
"""


def sizes(tree: Path) -> list[Row]:
    """Return files and lines of each package.

    Args:
        tree: Root of the repository.
    """
    counted = {folder: [_lines(path) for path in sources(tree, (folder,))] for folder in (*PACKAGES, "studies")}
    rows = [(f"files, lines of {name}", _count(each)) for name, each in counted.items() if each]
    together = [each for name in PACKAGES for each in counted[name]]
    return [*rows, ("files, lines of the three packages", _count(together))]


def vocabulary(tree: Path) -> list[Row]:
    """Return the worst words per 1,000 words of the packages' docstrings.

    Args:
        tree: Root of the repository.
    """
    text = " ".join(
        each.text for path in sources(tree) for each in docstrings(path.read_text(encoding="utf-8"))
    ).lower()
    total = words(text)
    counts = Counter(re.findall(r"[a-z]+", text))
    return [("words of docstrings", f"{total:,}")] + [
        (f"'{each}' per 1,000 words", f"{1000 * counts[each] / total:.2f} ({counts[each]})") for each in WORDS
    ]


def terms(tree: Path) -> list[Row]:
    """Return how often sources, tests and pages use the terms of the field.

    Args:
        tree: Root of the repository.
    """
    pages = [path for folder in TEXTS for path in (tree / folder).rglob("*.md")]
    texts = [path.read_text(encoding="utf-8") for path in [*sources(tree, TEXTS), *pages, *tree.glob("*.md")]]
    text = " ".join(" ".join(texts).lower().split())
    return [(f"'{each}' in the project", str(text.count(each))) for each in TERMS]


def names(tree: Path) -> list[Row]:
    """Return names that occur twice in the packages, and module names that end in -ing.

    Args:
        tree: Root of the repository.
    """
    paths = sources(tree)
    files = _twice(path.name for path in paths if not path.name.startswith("__"))
    kinds = _twice(kind.name for path in paths for kind in _parse(path).body if isinstance(kind, ast.ClassDef))
    verbs = sorted({path.stem for path in paths if path.stem.endswith("ing")})
    return [
        ("file names twice", _listed(files)),
        ("class names twice", _listed([each for each in kinds if not each.startswith("_")])),
        ("modules in -ing", _listed(verbs)),
    ]


def widest(tree: Path) -> Row:
    """Return the public callable of the packages with the most parameters.

    Args:
        tree: Root of the repository.
    """
    count, name = max(each for path in sources(tree) for each in _signatures(_parse(path).body))
    return "widest signature", f"{count} parameters of {name}"


def _signatures(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[int, str]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _signatures(node.body, node.name)
            if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
                fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
                yield sum("ClassVar" not in ast.unparse(each.annotation) for each in fields), node.name
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name == "__init__"):
            own = node.args
            yield len(own.posonlyargs + own.args + own.kwonlyargs) - bool(owner), f"{owner or node.name}.{node.name}"


def update(tree: Path) -> list[Row]:
    """Return what one update by e-prop enters and the sizes of the parts, from a process that runs the tree.

    Args:
        tree: Root of the repository.
    """
    answer = subprocess.run([sys.executable, "-c", TRACE], cwd=tree, capture_output=True, text=True, check=True).stdout
    first, entered, computing, (signal, eligibility, tape) = json.loads(answer)
    return [
        ("files, lines entered by a first backward of e-prop", _count(map(_lines, map(Path, first)))),
        ("files, lines entered by a later one", _count(map(_lines, map(Path, entered)))),
        ("files, lines of these on the way to an operation", _count(map(_lines, map(Path, computing)))),
        ("public members of Signal, of Eligibility", f"{signal}, {eligibility}"),
        ("public fields of Tape", str(tape)),
    ]


def imports(tree: Path) -> list[Row]:
    """Return CPU times of an import and of two commands over that of ``import torch``, the least of three processes.

    Args:
        tree: Root of the repository.
    """
    torch = _seconds(tree, "import torch")
    rows = []
    for name, code in COMMANDS.items():
        run = code if code.startswith("import") else f"from tca.__main__ import main; main({code})"
        rows.append((f"CPU time of `{name}` / `import torch`", f"{_seconds(tree, run) / torch:.2f}"))
    return [*rows, ("CPU time of `import torch`", f"{torch:.2f} s")]


def _seconds(tree: Path, code: str) -> float:
    timed = f"import atexit, sys, time; atexit.register(lambda: print(time.process_time(), file=sys.stderr)); {code}"
    runs = [
        subprocess.run([sys.executable, "-c", timed], cwd=tree, capture_output=True, text=True) for _ in range(REPEATS)
    ]
    return min(float(run.stderr.split()[-1]) for run in runs)


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _count(lines: Iterable[int]) -> str:
    every = list(lines)
    return f"{len(every):,}, {sum(every):,}"


def _twice(every: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(every).items() if count > 1)


def _listed(every: list[str]) -> str:
    return f"{len(every)}: {', '.join(every)}" if every else "0"


TABLES: tuple[Callable[[Path], list[Row]], ...] = (
    sizes,
    vocabulary,
    terms,
    names,
    lambda tree: [widest(tree)],
    update,
    imports,
)


def main() -> None:
    """Print the table of a checkout."""
    parser = argparse.ArgumentParser(description="Count sizes, words, names, and files entered by one update.")
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="root of a checkout (default: this one)")
    tree = parser.parse_args().tree.resolve()
    for row in (row for table in TABLES for row in table(tree)):
        print("{:50} {}".format(*row), flush=True)


if __name__ == "__main__":
    main()
