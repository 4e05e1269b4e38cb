"""The report of a comparison: table, figures with their data, and a self-contained HTML page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from analysis.figures import save
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_table import tabulate
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.report_figures import REPORT_FIGURES
from tca.cli.text_table import TextTable
from tca.experiments.config.recipes import in_words
from tca.experiments.records.files import explained, read_bytes, write_whole
from tca.experiments.records.versions import commit, versions

__all__ = ["write_report"]

LARGEST_FIGURE = 1 << 28  # bytes
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.5rem; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #444; vertical-align: bottom; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; white-space: nowrap; }
tr.first td { border-top: 2px solid #999; }
figure { margin: 1rem 0 2rem; } figure img { max-width: 100%; height: auto; }
figcaption, .note { color: #444; font-size: 0.9rem; }
pre { background: #f5f5f5; padding: 0.8rem; overflow-x: auto; font-size: 0.8rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
dt { font-weight: 600; } dd { margin: 0; }
"""


def write_report(comparison: Comparison, measured: Sequence[RunMeasurements], folder: Path) -> TextTable:
    """Write ``table.csv``, the figures and ``report.html``; return the table.

    Raises:
        RecordError: The folder cannot be written.
    """
    table, captions = tabulate(measured), {}
    with explained(folder):
        write_whole(folder / "table.csv", table.csv().encode())
        for name, draw in REPORT_FIGURES.items():
            drawing = draw(measured)
            save(drawing.figure, drawing.series, folder / name, *drawing.columns)
            captions[name] = drawing.caption
        write_whole(folder / "report.html", _page(comparison, table, captions, folder).encode())
    return table


def _page(comparison: Comparison, table: TextTable, captions: dict[str, str], folder: Path) -> str:
    """Return the HTML page, which includes the figures."""
    title = f"{', '.join(comparison.rules)} on {', '.join(comparison.tasks)}"
    configuration = json.dumps(comparison.to_json(), indent=2)
    made_with = {**versions(), "git commit": commit() or "not in a git checkout"}
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tca compare: {escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Learning rules compared: {escape(title)}</h1>
<p>{escape(_summary(comparison))}</p>
<h2>Results</h2>
<div class="wide">{_html_table(table)}</div>
{"".join(f'<p class="note">{escape(note)}</p>' for note in table.notes)}
<h2>Figures</h2>
{"".join(_figure(name, caption, folder) for name, caption in captions.items())}
<h2>What the columns mean</h2>
{_definitions(table.meanings)}
<h2>To reproduce</h2>
<p>Save the configuration as <code>comparison.json</code>, then run</p>
<pre>tca compare --config comparison.json</pre>
<pre>{escape(configuration)}</pre>
<h2>Made with</h2>
{_definitions(made_with)}
</body>
</html>
"""


def _summary(comparison: Comparison) -> str:
    stop = "" if comparison.stop_loss is None else f", or until the training loss is {comparison.stop_loss:g}"
    trials = "fresh trials in every batch" if comparison.fresh else f"{comparison.n_train} training trials"
    optimizers = dict.fromkeys(in_words(run.optimizer) for run in comparison.runs())
    trained = next(iter(optimizers)) if len(optimizers) == 1 else "the optimizer recommended for each rule"
    return (
        f"Networks of {comparison.net.title}, {comparison.seeds} for each "
        f"rule and task, trained with {trained} for {comparison.steps} updates{stop}, "
        f"on {trials} in batches of {comparison.batch_size}; tested on {comparison.n_test} other trials."
    )


def _html_table(table: TextTable) -> str:
    head = "".join(f'<th title="{escape(table.meanings.get(each, ""))}">{escape(each)}</th>' for each in table.head)
    body, task = "", ""
    for row in table.rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        body += f'<tr class="first">{cells}</tr>' if task and row[0] != task else f"<tr>{cells}</tr>"
        task = row[0]
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(name: str, caption: str, folder: Path) -> str:
    data = base64.b64encode(read_bytes(folder / f"{name}.svg", LARGEST_FIGURE)).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>\n"
    )


def _definitions(entries: Mapping[str, str]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(each)}</dd>" for name, each in entries.items()) + "</dl>"
    )
