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
LONG_TEXT = 30  # characters
STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --soft: #505050; --line: #ddd; --strong: #666; --back: #fff;
  --panel: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --soft: #b0b0b0; --line: #3a3a3a; --strong: #999; --back: #16181b; --panel: #22252a; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 84rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.3; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.8rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.4rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap;
  vertical-align: top; }
thead th { border-bottom: 2px solid var(--strong); vertical-align: bottom; }
th.left, td.left { text-align: left; }
td.text { white-space: normal; min-width: 11rem; max-width: 34rem; }
th.first, td.first { position: sticky; left: 0; background: var(--back); padding-left: 0; }
tr.group th { text-align: left; font-weight: normal; padding: 1rem 0 0.3rem; border-bottom-color: var(--strong); }
tr.group span { position: sticky; left: 0; }
figure { margin: 1rem 0 2rem; overflow-x: auto; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { color: var(--soft); font-size: 0.9rem; max-width: 60rem; }
summary { cursor: pointer; }
pre { background: var(--panel); padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; }
@media (max-width: 600px) {
  body { margin: 1rem auto; } h1 { font-size: 1.25rem; }
  dl { display: block; } dd { margin: 0 0 0.5rem 1rem; }
  figure img { max-width: none; width: 44rem; }
  td.text { min-width: 9rem; }
  td.first, td.first.text { white-space: normal; min-width: 5.5rem; max-width: 7.5rem; }
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
    """Return a table; the first column and shared ones of a grouped table are headings of the groups."""
    hidden = {table.head[0], *table.shared} if table.grouped else set()
    places = [place for place, name in enumerate(table.head) if name not in hidden]
    longest = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    marks = {place: _mark(place == places[0], place < table.left, longest[place] > LONG_TEXT) for place in places}
    titles = {place: escape(table.meanings.get(table.head[place], "")) for place in places}
    head = "".join(f'<th{marks[at]} title="{titles[at]}">{escape(table.head[at])}</th>' for at in places)
    body, group = "", None
    for row in table.rows:
        if hidden and row[0] != group:
            shared = "".join(f" · {name} {row[table.head.index(name)]}" for name in table.shared)
            title = f"<b>{escape(row[0])}</b>{escape(shared)}"
            body += f'<tr class="group"><th colspan="{len(places)}"><span>{title}</span></th></tr>'
            group = row[0]
        body += f"<tr>{''.join(f'<td{marks[place]}>{escape(row[place])}</td>' for place in places)}</tr>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _mark(first: bool, text: bool, long: bool) -> str:
    """Return the classes of a cell: the first stays in view, texts are at the left and wrap if they are long."""
    kinds = [name for name, holds in (("first", first), ("left", text), ("text", text and long)) if holds]
    return f' class="{" ".join(kinds)}"' if kinds else ""


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
