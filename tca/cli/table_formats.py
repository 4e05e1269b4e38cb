"""Tables in Markdown, LaTeX and HTML, for papers and pages; every cell is escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Literal, get_args

from tca.cli.text_table import TextTable

__all__ = ["FORMATS", "Format", "formatted"]

Format = Literal["text", "markdown", "latex", "html"]
FORMATS: tuple[Format, ...] = get_args(Format)
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$",
    "−": "$-$", "λ": r"$\lambda$", "·": r"$\cdot$", "×": r"$\times$",
}  # fmt: skip
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
PAGE, GAP, WRAPPED = 80, 2, 30  # characters of a line in small print, between columns, and of a text that is wrapped


def formatted(table: TextTable, form: Format, notes: Sequence[str] = ()) -> str:
    """Return a table with its title and notes.

    Args:
        form: Format: ``text``, ``markdown``, ``latex`` (a ``table`` of the package booktabs, or
            several with a part of the columns each, as wide as a page allows) or ``html``.
        notes: Further notes, before those of the table; default none.

    >>> print(formatted(TextTable(("rule", "loss"), [("my_rule", "0.1")], left=1), "markdown"))
    | rule | loss |
    | --- | ---: |
    | my_rule | 0.1 |
    """
    return MADE[form](table, [note for note in (*notes, *table.notes) if note])


def _text(table: TextTable, notes: Sequence[str]) -> str:
    return "\n".join([*([table.title, ""] if table.title else []), str(table).rstrip()])


def _markdown(table: TextTable, notes: Sequence[str]) -> str:
    marks = ["---" if place < table.left else "---:" for place in range(len(table.head))]
    lines = [
        f"| {' | '.join(cells)} |"
        for cells in ([*map(_plain, table.head)], marks, *(map(_plain, row) for row in table.rows))
    ]
    title = [f"### {_plain(table.title)}", ""] if table.title else []
    return "\n".join([*title, *lines, *(f"\n{_plain(note)}" for note in notes)])


def _plain(text: str) -> str:
    """Return text in which no character formats: backslashes, pipes, stars, brackets, and underscores around words."""
    marked = re.sub(r"([\\`*|\[\]~#]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", text)
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _latex(table: TextTable, notes: Sequence[str]) -> str:
    """Return tables of columns that fit the width of a page; each begins with the first column."""
    parts, title = _parts(table), table.title
    made = []
    for number, places in enumerate(parts, 1):
        name = f"{title} ({number} of {len(parts)})" if len(parts) > 1 else title
        caption = " ".join([*([f"{name}."] if title else []), *(notes if number == 1 else ())])
        made.append("\n".join([
            r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}", f"\\caption{{{_tex(caption)}}}",
            f"\\begin{{tabular}}{{{''.join(_column(table, place) for place in places)}}}", r"\toprule",
            _line([_tex(table.head[place]) for place in places]), r"\midrule", *_lines(table, places),
            r"\bottomrule", r"\end{tabular}", r"\end{table}",
        ]))  # fmt: skip
    return "\n\n".join(made)


def _parts(table: TextTable) -> list[list[int]]:
    """Return the columns of each table: as few tables as fit the page, about equally wide."""
    count = len(_filled(table, PAGE))
    return next(parts for width in range(1, PAGE + 1) if len(parts := _filled(table, width)) == count)


def _filled(table: TextTable, width: int) -> list[list[int]]:
    """Return the columns of tables up to a width, each with the first column and at least one more."""
    first, *others = table.places
    parts = [[first]]
    for place in others:
        if len(parts[-1]) > 1 and sum(_width(table, each) for each in (*parts[-1], place)) > width:
            parts.append([first])
        parts[-1].append(place)
    return parts


def _width(table: TextTable, place: int) -> int:
    """Return the width of a column with its gap, in characters."""
    longest = max(len(cells[place]) for cells in (table.head, *table.rows))
    return GAP + (min(longest, WRAPPED) if place < table.left else longest)


def _column(table: TextTable, place: int) -> str:
    if place >= table.left:
        return "r"
    width = _width(table, place) - GAP
    return f"p{{{width / 2:g}em}}" if width == WRAPPED else "l"


def _lines(table: TextTable, places: Sequence[int]) -> list[str]:
    """Return the rows, below a line for each group."""
    lines: list[str] = []
    before = ("", "")
    for row in table.rows:
        heading = table.heading(row)
        if heading != before:
            space = [r"\addlinespace"] if lines else []
            group, shared = map(_tex, heading)
            lines += [*space, f"\\multicolumn{{{len(places)}}}{{l}}{{\\textbf{{{group}}}{shared}}} \\tabularnewline"]
            before = heading
        looks = [r"\raggedright " if _column(table, place)[0] == "p" else "" for place in places]
        lines.append(_line([look + _tex(row[place]) for look, place in zip(looks, places, strict=True)]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\tabularnewline"


def _tex(text: str) -> str:
    return "".join(LATEX.get(each, each) for each in MINUS.sub("−", text))


def _html(table: TextTable, notes: Sequence[str]) -> str:
    def line(kind: str, cells: Sequence[str]) -> str:
        looks = ["" if place < table.left else ' style="text-align: right"' for place in range(len(cells))]
        return "".join(f"<{kind}{look}>{escape(cell)}</{kind}>" for cell, look in zip(cells, looks, strict=True))

    rows = "\n".join(f"<tr>{line('td', row)}</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    below = "".join(f"\n<p>{escape(note)}</p>" for note in notes)
    return (
        f"<table>{caption}\n<thead><tr>{line('th', table.head)}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>{below}"
    )


MADE: Mapping[Format, Callable[[TextTable, Sequence[str]], str]] = {
    "text": _text, "markdown": _markdown, "latex": _latex, "html": _html,
}  # fmt: skip
