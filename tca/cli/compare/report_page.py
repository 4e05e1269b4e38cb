"""The HTML page of a comparison, which needs no other file: its tables, figures and data.

Its style and its script are the files beside this one. Every name from a record is escaped, in the data too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from analysis.figures.inline_svg import inline_svg
from analysis.figures.looks import Look
from analysis.figures.plots import looks, multiples
from analysis.figures.swatches import swatch
from tca.cli.compare.report_figures import ReportFigure
from tca.cli.text_table import TextTable

__all__ = ["anchor", "data_element", "definitions", "figure", "page", "section"]

LONG_TEXT = 30  # characters
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # no request leaves the page
PANEL = (4.1, 3.1)  # inches
Keys = Mapping[tuple[str, ...], str]  # names of entries and runs in the data, by task, entry and seed


def page(title: str, body: str) -> str:
    """Return a page.

    Args:
        title: Title as text.
        body: Content as HTML.
    """
    style, script = (files("tca.cli.compare").joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>tca compare: {escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def data_element(values: Any) -> str:
    r"""Return values as an element that the script reads; no text in it can end the element.

    >>> data_element({"name": "</script>"})
    '<script type="application/json" id="data">{"name": "\\u003c/script\\u003e"}</script>'
    """
    text = json.dumps(values, separators=(", ", ": "), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="data">{text}</script>'


def anchor(title: str) -> str:
    """Return the name of a section of the page.

    >>> anchor("At equal training loss")
    'at-equal-training-loss'
    """
    return "".join(each if each.isalnum() else "-" for each in title.lower())


def section(
    table: TextTable, notes: Iterable[str] = (), *, keys: Keys | None = None, bars: Mapping[int, str] | None = None
) -> str:
    """Return a table with its title and notes.

    Args:
        notes: Further notes, default none.
        keys: Names in the data of the entries and runs that rows open, by task, entry and seed; default none.
        bars: Drawings beside the names of rows, as HTML, by their place; default none.
    """
    below = "".join(f'<p class="note">{escape(note)}</p>' for note in (*notes, *table.notes) if note)
    name = escape(table.title)
    wide = (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}">{_html(table, keys or {}, bars or {})}</div>'
    )
    return f'<section id="{anchor(table.title)}"><h2>{name}</h2>\n{wide}\n{below}</section>\n'


def _html(table: TextTable, keys: Keys, bars: Mapping[int, str]) -> str:
    """Return a table."""
    places = table.places
    longest = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
    marks = {place: _mark(place == places[0], place < table.left, longest[place] > LONG_TEXT) for place in places}
    head = "".join(
        f'<th scope="col"{marks[at]} title="{escape(table.meanings.get(table.head[at], ""))}">'
        f"{escape(table.head[at])}</th>"
        for at in places
    )
    if bars:
        first_head, rest = head.split("</th>", 1)
        head = f'{first_head}</th><th scope="col" class="plain">interval</th>{rest}'
    bodies: dict[str, list[str]] = {}
    for number, row in enumerate(table.rows):
        group, shared = table.heading(row)
        if group not in bodies:
            title = f"<b>{escape(group)}</b>{escape(shared)}"
            heading = f'<tr class="group"><th scope="colgroup" colspan="{len(places)}"><span>{title}</span></th></tr>'
            bodies[group] = [heading] if table.grouped else []
        key = next((found for size in (3, 2) if (found := keys.get(row[:size]))), "")
        mark = table.marked.get(number, "")
        first, *others = [escape(row[place]) for place in places]
        first = f'<button type="button" class="open">{first}</button>' if key else first
        first += f' <span class="mark">{escape(mark)}</span>' if mark else ""
        cells = [f"<td{marks[place]}>{cell}</td>" for place, cell in zip(places, [first, *others], strict=True)]
        if bars:
            cells.insert(1, f"<td>{bars.get(number, '')}</td>")
        opens = (f' data-key="{key}"' if key else "") + (' class="low"' if mark else "")
        bodies[group].append(f"<tr{opens}>{''.join(cells)}</tr>")
    filled = "".join(f'<tbody data-task="{escape(group)}">{"".join(lines)}</tbody>' for group, lines in bodies.items())
    return f"<table><thead><tr>{head}</tr></thead>{filled}</table>"


def _mark(first: bool, text: bool, long: bool) -> str:
    """Return the classes of a cell: the first stays in view, texts are at the left and wrap if they are long."""
    kinds = [name for name, holds in (("first", first), ("left", text), ("text", text and long)) if holds]
    return f' class="{" ".join(kinds)}"' if kinds else ""


def figure(name: str, drawing: ReportFigure, tasks: Sequence[str]) -> str:
    """Return a figure: a drawing for each panel, so that they find room side by side, with one legend and caption.

    Args:
        name: Prefix of names within it, unique on the page.
        tasks: Names of the tasks: that of a panel is the longest with which its name begins.
    """
    series = multiples(drawing.series)
    panels = dict.fromkeys(each.panel for each in series if len(each.x))
    drawn = []
    for place, panel in enumerate(panels):
        made = drawing.draw([each for each in series if each.panel == panel])
        made.legends.clear()
        width, height = PANEL
        made.set_size_inches(width, drawing.height or height)
        for axes in made.axes:
            axes.set_title("")
        svg = inline_svg(made, f"{name}-{place}-", f"{drawing.heading}, {panel}")
        task = max((each for each in tasks if panel.startswith(each)), key=len, default="")
        drawn.append(f'<div class="panel" data-task="{escape(task)}"><h3>{escape(panel)}</h3>{svg}</div>')
    used = {each.label for each in series if len(each.x)}
    labels = "".join(_key(label, look) for label, look in looks(series).items() if label in used)
    return (
        f'<figure id="{anchor(drawing.heading)}"><h2>{escape(drawing.heading)}</h2><div class="keys">{labels}</div>'
        f'<div class="panels">{"".join(drawn)}</div><figcaption>{escape(drawing.caption)}</figcaption></figure>\n'
    )


def _key(label: str, look: Look) -> str:
    return (
        f'<button type="button" class="key" data-series="{escape(label)}" aria-pressed="false">{swatch(look)}'
        f"{escape(label)}</button>"
    )


def definitions(entries: Mapping[str, str]) -> str:
    """Return a list of names with their descriptions."""
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(each)}</dd>" for name, each in entries.items()) + "</dl>"
    )
