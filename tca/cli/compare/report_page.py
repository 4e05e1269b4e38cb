"""The HTML page of a comparison, which needs no other file: readable on narrow screens and in the dark."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from tca.cli.text_table import TextTable
from tca.experiments.records.files import read_bytes

__all__ = ["definitions", "figure", "page", "section"]

LARGEST_FIGURE = 1 << 28  # bytes
STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --soft: #505050; --line: #ddd; --strong: #666; --back: #fff;
  --panel: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --soft: #b0b0b0; --line: #3a3a3a; --strong: #999; --back: #16181b; --panel: #22252a; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 76rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.3; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { border-bottom: 2px solid var(--strong); vertical-align: bottom; }
th.left, td.left { text-align: left; }
td.text { white-space: normal; min-width: 12rem; max-width: 34rem; vertical-align: top; }
tr.first td { border-top: 2px solid var(--strong); }
figure { margin: 1rem 0 2rem; } figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { color: var(--soft); font-size: 0.9rem; max-width: 60rem; }
pre { background: var(--panel); padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; }
@media (max-width: 600px) {
  body { margin: 1rem auto; } h1 { font-size: 1.25rem; }
  dl { display: block; } dd { margin: 0 0 0.5rem 1rem; }
  td.text { min-width: 9rem; }
}
"""


def page(title: str, body: str) -> str:
    """Return a page.

    Args:
        title: Title as text.
        body: Content as HTML.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tca compare: {escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def section(table: TextTable, notes: Iterable[str] = ()) -> str:
    """Return a table with its title and notes.

    Args:
        table: The table.
        notes: Further notes, default none.
    """
    said = "".join(f'<p class="note">{escape(note)}</p>' for note in (*notes, *table.notes) if note)
    return f'<h2>{escape(table.title)}</h2>\n<div class="wide">{_html(table)}</div>\n{said}\n'


def _html(table: TextTable) -> str:
    """Return a table; columns of text are at the left, and those with long texts wrap."""
    longest = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    texts = ["left text" if length > 30 else "left" for length in longest[: table.left]]
    kinds = [*texts, *[""] * (len(table.head) - table.left)]
    marks = [f' class="{kind}"' if kind else "" for kind in kinds]
    head = "".join(
        f'<th{mark} title="{escape(table.meanings.get(name, ""))}">{escape(name)}</th>'
        for mark, name in zip(marks, table.head, strict=True)
    )
    body, group = "", ""
    for row in table.rows:
        cells = "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
        first = table.grouped and group and row[0] != group
        body += f'<tr class="first">{cells}</tr>' if first else f"<tr>{cells}</tr>"
        group = row[0]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure(path: Path, caption: str) -> str:
    """Return a figure with its caption.

    Args:
        path: The SVG file, which is included.
        caption: The caption.
    """
    data = base64.b64encode(read_bytes(path, LARGEST_FIGURE)).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def definitions(entries: Mapping[str, str]) -> str:
    """Return a list of names with their descriptions."""
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(each)}</dd>" for name, each in entries.items()) + "</dl>"
    )
