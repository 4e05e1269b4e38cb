"""Write the tables of the pages that follow from the code.

    python -m tools.pages

rewrites every block between ``<!-- table NAME -->`` and ``<!-- end of table -->`` below ``docs/``.
A test demands that pages and code agree, so a table is never edited by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import analysis
import tasks
import tca
from benchmarks import launches, result_figure, results
from tca.nets import NETWORKS
from tca.rule import LEAKS, Rule

__all__ = ["TABLES", "rewritten"]

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def rules() -> str:
    """Return the table of the published rules."""
    pages = _pages()
    rows = [
        (
            f"[`{name}`]({pages[name]})",
            rule.summary,
            f"`{_cell(rule.signal.equation)}`",
            f"`{_cell(rule.eligibility.equation)}`",
            rule.reference,
        )
        for name, rule in tca.RULES.items()
    ]
    return _table(("name", "in a line", "learning signal", "eligibility trace", "source"), rows)


def needs() -> str:
    """Return the table of the requirements of every rule, from its parts."""
    pages = _pages()
    rows = [(f"[`{name}`]({pages[name]})", *_needs(rule)) for name, rule in tca.RULES.items()]
    return _table(("rule", "later errors", "weights of other cells", "while the trial runs", "also needs"), rows)


def exactness() -> str:
    """Return the table of exactness and cost of every page of rules: the first sentence of each section."""
    rows, pages = [], _pages()
    for page in dict.fromkeys(pages[name] for name in tca.RULES):
        text = (DOCS / "rules" / page).read_text(encoding="utf-8")
        names = ", ".join(f"`{name}`" for name in tca.RULES if pages[name] == page)
        rows.append((f"[{names}]({page})", _opening(text, "When (?:it is|they are) exact"), _opening(text, "Cost")))
    return _table(("rules", "exact", "cost"), rows)


def combinations() -> str:
    """Return which learning signals go with which eligibilities."""
    signals = _parts(tca.signals, tca.signals.Signal)
    eligibilities = _parts(tca.eligibilities, tca.eligibilities.Eligibility)
    groups: dict[tuple[bool, ...], list[str]] = {}
    for name, signal in signals.items():
        groups.setdefault(tuple(_fit(signal, each) for each in eligibilities.values()), []).append(name)
    rows = [
        (_names(names), _names(each for each, fits in zip(eligibilities, fit, strict=True) if fits))
        for fit, names in groups.items()
    ]
    return _table(("learning signals", "eligibilities they go with"), rows)


def task_names() -> str:
    """Return the table of the tasks; a native one is measured, an environment of neurogym by its name alone."""
    rows = [(f"`{name}`", _cell(tasks.describe(name)), _measured(name)) for name in tasks.list()]
    return _table(("name", "task", "measure, chance"), rows)


def networks() -> str:
    """Return the table of the networks."""
    rows = [(f"`{each.__name__}`", f"`{name}`", _cell(_summary(each))) for name, each in NETWORKS.items()]
    return _table(("class of `tca.nets`", "kind in runs", "network"), rows)


def measurements() -> str:
    """Return the table of the measurements."""
    rows = [(f"`{name}`", _cell(_summary(getattr(analysis, name)))) for name in analysis.__all__]
    return _table(("function of `analysis`", "result"), rows)


def launched() -> str:
    """Return the launches of every rule in every kind of network, as counted last."""
    return launches.launches_table(launches.saved())


def benchmark(path: Path) -> str:
    """Return the table of a benchmark's saved result, rows of older code marked."""
    return f"\n{results.table(results.read(path))}\n"


TABLES: dict[str, Callable[[], str]] = {
    "rules": rules,
    "needs": needs,
    "exactness": exactness,
    "combinations": combinations,
    "tasks": task_names,
    "networks": networks,
    "measurements": measurements,
    "launches": launched,
    **{f"benchmark_{path.stem}": partial(benchmark, path) for path in sorted(results.FOLDER.glob("*.json"))},
}


def rewritten(text: str) -> str:
    """Return a page with its tables made anew.

    Args:
        text: The page.

    >>> rewritten("no table here")
    'no table here'
    """
    return BLOCK.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def _pages() -> dict[str, str]:
    """Return the page of every rule, by the names before the colon of its title."""
    titles = {page.name: page.read_text(encoding="utf-8").partition("\n")[0] for page in (DOCS / "rules").glob("*.md")}
    return {name: page for page, title in titles.items() for name in re.findall(r"\w+", title.partition(":")[0])}


def _needs(rule: Rule) -> tuple[str, ...]:
    horizon = rule.signal.horizon
    later = "rest of the trial" if horizon is None else f"{horizon} step{'s' * (horizon > 1)}" if horizon else "none"
    if rule.signal.needs_reward:
        later = "one reward a trial"
    online = any(_streams(rule, kind) for kind in launches.KINDS)
    also = [
        f"leak on the {LEAKS[rule.form]}" if rule.form else "",
        "the trials of a batch together" if rule.couples_trials else "",
        "trials run again, with noise" if rule.eligibility.perturbs else "",
    ]
    reads = "no" if rule.local else "yes"
    return later, reads, "yes" if online else "no", ", ".join(filter(None, also))


def _streams(rule: Rule, kind: str) -> bool:
    """Return whether a rule runs online in a kind of network."""
    try:
        return bool(tca.Learner(launches.KINDS[kind](), rule).stream(1, steps=2))
    except ValueError:
        return False


def _opening(text: str, title: str) -> str:
    """Return the first sentence or item of a section, ``""`` without the section."""
    section = re.search(rf"^## {title}\n+(?:- )?(.*?)(?:\n\n|\n- |\Z)", text, re.MULTILINE | re.DOTALL)
    sentence = re.match(r"(.*?[.;:])(?:\s|$)(?![a-z(])", " ".join(section[1].split())) if section else None
    return _cell(sentence[1].rstrip(";:.") + ".") if sentence else ""


def _measured(name: str) -> str:
    if name not in tasks.NATIVE:
        return ""
    task = tasks.make(name)
    return f"{task.measure}, {task.chance:.3g}"


def _summary(of: object) -> str:
    """Return the summary of a docstring."""
    first = (inspect.getdoc(of) or "").partition("\n\n")[0]
    return " ".join(first.split()).removeprefix("Return ").replace("``", "`")


def _parts(module: ModuleType, kind: type) -> dict[str, Any]:
    """Return an instance of every concrete part that needs no arguments."""
    found = {}
    for name in module.__all__:
        part = getattr(module, name)
        if inspect.isclass(part) and issubclass(part, kind) and not inspect.isabstract(part):
            needed = [each for each in inspect.signature(part).parameters.values() if each.default is each.empty]
            if not needed:
                found[name] = part()
    return found


def _fit(signal: Any, eligibility: Any) -> bool:
    try:
        Rule(signal, eligibility)
    except ValueError:
        return False
    return True


def _names(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Rewrite every page below ``docs/`` whose tables differ from the code, and the figure of the benchmarks."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := rewritten(text)) != text:
            page.write_text(new, encoding="utf-8")
            print(f"wrote {page.relative_to(DOCS.parent)}")
    if result_figure.draw():
        print("wrote the figure of the benchmarks")


if __name__ == "__main__":
    main()
