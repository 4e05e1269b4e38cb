"""Lists of rules, tasks, networks, losses and figures, as an overview or by chapter in detail."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

import tasks
from tca.cli.command_parser import command_parser
from tca.cli.commands import CommandOutput
from tca.losses import LOSSES
from tca.nets import NETWORKS
from tca.rules import RULES
from tca.utils.names import lookup

__all__ = ["CHAPTERS", "act", "listing", "parser"]

WIDTH = 118


@dataclass(frozen=True)
class Chapter:
    """A chapter of the list.

    Args:
        title: Title.
        use: Usage in Python and on the command line.
        names: Function that returns the names.
        line: Function from a name to its description in one line.
        details: Function from a name to further lines.
    """

    title: str
    use: str
    names: Callable[[], list[str]]
    line: Callable[[str], str]
    details: Callable[[str], list[str]]


def parser() -> ArgumentParser:
    """Return the parser."""
    made = command_parser(f"tca list [{'|'.join(CHAPTERS)}]")
    made.add_argument(
        "chapter",
        nargs="?",
        metavar="KIND",
        help=f"One of {', '.join(CHAPTERS)}, in detail; by default all kinds, a line for each name.",
    )
    return made


def act(options: Namespace) -> CommandOutput:
    """List a chapter, or all."""
    return CommandOutput(listing(options.chapter))


def listing(chapter: str | None = None) -> str:
    """Return the list of a chapter, or the overview of all but the figures.

    Args:
        chapter: ``rules``, ``tasks``, ``nets``, ``losses`` or ``figures``; ``None`` (default) for the overview.

    Raises:
        ValueError: The chapter is unknown.

    >>> print(listing().splitlines()[0])
    Rules: --rule NAME, or tca.RULES["NAME"]
    """
    if chapter is not None:
        return _whole(lookup(CHAPTERS, chapter, "chapter"))
    overview = "\n\n".join(_short(each) for name, each in CHAPTERS.items() if name != "figures")
    return f"{overview}\n\nMore on each: tca list {{{','.join(CHAPTERS)}}}"


def _short(chapter: Chapter) -> str:
    names = chapter.names()
    width = max(map(len, names))
    return "\n".join([_head(chapter), *(f"  {name.ljust(width)}  {chapter.line(name)}" for name in names)])


def _whole(chapter: Chapter) -> str:
    entries = []
    for name in chapter.names():
        details = [_wrapped(each) for each in chapter.details(name) if each]
        entries.append("\n".join([f"  {name}", _wrapped(chapter.line(name)), *details]))
    return "\n\n".join([_head(chapter), *entries])


def _head(chapter: Chapter) -> str:
    return f"{chapter.title}: {chapter.use}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="      ", subsequent_indent="        ")


def _rule_details(name: str) -> list[str]:
    rule = RULES[name]
    form = f"; networks of form {rule.form}, as in its paper" if rule.form else ""
    reach = "reads no recurrent weights of other cells" if rule.local else "reads recurrent weights of other cells"
    return [rule.equations, f"{reach}{form}", rule.reference]


def _task_details(name: str) -> list[str]:
    if name in tasks.CONTROL:
        return ["mean return of test episodes; a run learns from rewards, by any rule that fits a network that acts"]
    if name not in tasks.NATIVE:
        return [f"differs from its description: {tasks.CAVEATS[name]}"] if name in tasks.CAVEATS else []
    task = tasks.make(name)
    options = ", ".join(f"{each} {_plain(getattr(task, each))}" for each in inspect.signature(type(task)).parameters)
    return [f"{task.measure}, {task.chance:.3g} by chance", f"--task_options.NAME VALUE: {options}"]


def _options(made: type) -> list[str]:
    parameters = inspect.signature(made).parameters.values()
    optional = [each for each in parameters if each.kind is each.KEYWORD_ONLY and each.default is not each.empty]
    shown = ", ".join(f"{each.name} {_plain(each.default)}" for each in optional)
    return [f"options and their defaults: {shown}"] if shown else []


def _described(made: type, module: str) -> str:
    return f"{_first_line(inspect.getdoc(made))} [{module}.{made.__name__}]"


def _plain(value: object) -> str:
    """Return a default value as written on the command line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return "none" if value is None else str(value)


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0].replace("`", "")


@functools.cache
def _figures() -> dict[str, str]:
    """Return figures and their first lines from the source: importing `analysis` takes longer than all the rest."""
    package = importlib.util.find_spec("analysis")
    assert package is not None
    assert package.submodule_search_locations
    folder, lines = Path(package.submodule_search_locations[0]), dict[str, str]()
    for each in _parsed(folder / "figures/__init__.py"):
        if isinstance(each, ast.ImportFrom) and str(each.module).startswith("analysis.figures"):
            public = {name.name for name in each.names} - {"save"}
            home = _parsed(folder.parent / f"{str(each.module).replace('.', '/')}.py")
            figures = [line for line in home if isinstance(line, ast.FunctionDef) and line.name in public]
            lines |= {figure.name: _first_line(ast.get_docstring(figure)) for figure in figures}
    return dict(sorted(lines.items()))


def _parsed(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_bytes()).body


CHAPTERS: dict[str, Chapter] = {
    "rules": Chapter(
        "Rules",
        '--rule NAME, or tca.RULES["NAME"]',
        lambda: list(RULES),
        lambda name: RULES[name].summary or repr(RULES[name]),
        _rule_details,
    ),
    "tasks": Chapter(
        "Tasks",
        '--task NAME, or tasks.make("NAME"); names in -v0 are environments of neurogym, with their options and dt, the '
        "time step in ms; any other id of gymnasium with discrete or real actions is a task, too",
        tasks.list,
        tasks.describe,
        _task_details,
    ),
    "nets": Chapter(
        "Networks",
        "--net NAME --net.OPTION VALUE, such as --net mlp --net.sizes [32], by default leaky_rnn; in Python the class",
        lambda: list(NETWORKS),
        lambda name: _described(NETWORKS[name], "tca.nets"),
        lambda name: _options(NETWORKS[name]),
    ),
    "losses": Chapter(
        "Losses",
        "that of the task, or --loss NAME; in Python, a batch takes any of tca.losses",
        lambda: list(LOSSES),
        lambda name: _described(type(LOSSES[name]), "tca.losses"),
        lambda name: [],
    ),
    "figures": Chapter(
        "Figures",
        "analysis.figures.NAME(...) in Python; some are in the report of tca compare",
        lambda: list(_figures()),
        lambda name: _figures()[name].removeprefix("Return "),
        lambda name: [],
    ),
}
