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


def formatted(table: TextTable, form: Format, notes: Sequence[str] = ()) -> str:
    """Return a table with its title and notes.

    Args:
        form: Format: ``text``, ``markdown``, ``latex`` (a ``table`` of the package booktabs) or ``html``.
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
    columns = "l" * table.left + "r" * (len(table.head) - table.left)
    lines, group = [], None
    for row in table.rows:
        if table.grouped and group is not None and row[0] != group:
            lines.append(r"\addlinespace")
        lines.append(f"{' & '.join(map(_tex, row))} \\\\")
        group = row[0]
    caption = " ".join([*([f"{table.title}."] if table.title else []), *notes])
    return "\n".join([
        r"\begin{table}", r"\centering", f"\\caption{{{_tex(caption)}}}",
        f"\\begin{{tabular}}{{{columns}}}", r"\toprule",
        f"{' & '.join(map(_tex, table.head))} \\\\", r"\midrule", *lines, r"\bottomrule", r"\end{tabular}",
        r"\end{table}",
    ])  # fmt: skip


def _tex(text: str) -> str:
    return "".join(LATEX.get(each, each) for each in text)


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
