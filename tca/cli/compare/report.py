"""The report of a comparison: tables, figures with their data, and a self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from analysis.figures import save
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_files import csv_files
from tca.cli.compare.comparison_result import RUNS, ComparisonResult
from tca.cli.compare.comparison_table import notes, runs_table, tables
from tca.cli.compare.report_data import keys_of, page_data, score_bars
from tca.cli.compare.report_figures import ReportFigure, report_figures
from tca.cli.compare.report_page import anchor, data_element, definitions, figure, page, section
from tca.cli.table_formats import Format, formatted
from tca.cli.text_table import TextTable
from tca.experiments.records.files import explained, write_whole
from tca.experiments.records.versions import commit, versions
from tca.utils.text import in_a_line

__all__ = ["printed", "write_report"]

LISTED = 6  # entries that the title names


def write_report(result: ComparisonResult, folder: Path) -> list[TextTable]:
    """Write the CSV files, the figures and ``report.html``; return the tables.

    Raises:
        RecordError: The folder cannot be written.
    """
    made, drawings = tables(result), dict(report_figures(result))
    with explained(folder):
        for name, text in csv_files(result, folder / RUNS).items():
            write_whole(folder / name, text.encode())
        for name, drawing in drawings.items():
            save(drawing.draw(drawing.series), drawing.series, folder / name, *drawing.columns)
        write_whole(folder / "report.html", _page(result, made, drawings, folder / RUNS).encode())
    return made


def printed(result: ComparisonResult, made: Sequence[TextTable], folder: Path, form: Format = "text") -> str:
    """Return the tables for a terminal, with the path of the report and a line for each problem.

    Args:
        made: Its tables.
        folder: Its folder.
        form: Format; others than ``text`` (default) have the tables alone.
    """
    if form != "text":
        return "\n\n".join(formatted(table, form, list(notes(result)) if table is made[0] else ()) for table in made)
    shown = [table for table in made if "reason" not in table.head]
    text = [f"{table.title}\n\n{table}".rstrip() for table in shown]
    text.insert(1, "\n".join(notes(result)))
    problems = [f"left out: {each}" for each in result.outcomes.left_out]
    problems += [
        f"{one.outcome}: {one.entry} on {one.run.task}, seed {one.run.seeds.net}: {one.reason}"
        for one in result.measured
        if one.reason
    ]
    return "\n\n".join([*text, *problems, f"report: {in_a_line(folder / 'report.html')}"])


def _page(
    result: ComparisonResult, made: Sequence[TextTable], drawings: Mapping[str, ReportFigure], records: Path
) -> str:
    comparison, keys = result.comparison, keys_of(result)
    names = [each.name for each in comparison.entries]
    what = ", ".join(names) if len(names) <= LISTED else f"{len(names)} entries"
    title = f"{what} on {', '.join(comparison.tasks)}"
    configuration = json.dumps(comparison.to_json(), indent=2)
    made_with = {**versions(), "git commit": commit() or "not in a git checkout"}
    first, *others = made
    figures = "".join(figure(name, drawing, comparison.tasks) for name, drawing in drawings.items())
    tasks = "".join(f'<option value="{escape(each)}">{escape(each)}</option>' for each in comparison.tasks)
    contents = [first.title, *(each.heading for each in drawings.values()), *(each.title for each in others), "Runs"]
    links = "".join(f'<a href="#{anchor(each)}">{escape(each)}</a>' for each in contents)
    body = f"""<header><h1>Learning rules compared: {escape(title)}</h1>
<p>{escape(_summary(result))}</p>
<nav aria-label="contents">{links}</nav></header>
<div class="tools" role="search">
<input type="search" id="search" placeholder="filter rows ( / )" aria-label="filter rows by words">
<select id="task" aria-label="task"><option value="">all tasks</option>{tasks}</select>
<label><input type="checkbox" id="above"> hide rows at chance</label>
<button type="button" id="theme" data-theme="auto">theme: auto</button>
<output id="shown" aria-live="polite"></output>
</div>
<main>
{section(first, notes(result), keys=keys, bars=score_bars(result))}
{figures}
{"".join(section(table, keys=keys if table.title.startswith("Differences") else None) for table in others)}
{section(runs_table(result), keys=keys)}
<section><h2>Columns</h2>
{definitions(first.meanings)}</section>
<section><h2>To reproduce</h2>
<p>Save the configuration as <code>comparison.json</code>, then run</p>
<pre>tca compare --config comparison.json</pre>
<details><summary>Configuration</summary><pre>{escape(configuration)}</pre></details></section>
<section><h2>Made with</h2>
{definitions(made_with)}</section>
</main>
<dialog aria-labelledby="title"><header><h2 id="title"></h2>
<button type="button" id="previous" aria-label="previous">←</button>
<button type="button" id="next" aria-label="next">→</button>
<button type="button" id="close">close</button></header><div class="content"></div></dialog>
{data_element(page_data(result, first, records))}"""
    return page(title, body)


def _summary(result: ComparisonResult) -> str:
    comparison = result.comparison
    stop = "" if comparison.stop_loss is None else f", or until the training loss is {comparison.stop_loss:g}"
    problems = [
        (len(result.outcomes.left_out), "left out, since they do not fit a task"),
        (sum(one.ended and bool(one.reason) for one in result.measured), "diverged or could not be measured"),
        (len(result.failures), "failed"),
    ]
    said = "".join(f" {count} {what}." for count, what in problems if count)
    return (
        f"{_plural(len(comparison.entries), 'entry', 'entries')} on {_plural(len(comparison.tasks), 'task', 'tasks')}, "
        f"{_plural(comparison.seeds, 'seed', 'seeds')}, trained for {comparison.steps} updates{stop}, "
        f"{_trials(result)}.{said}"
    )


def _trials(result: ComparisonResult) -> str:
    """Return the trials or episodes trained and tested on."""
    comparison = result.comparison
    acting = [each for each in comparison.tasks if comparison.task(each).rewards_only]
    trials = "fresh trials in every batch" if comparison.fresh else f"{comparison.n_train} training trials"
    given = (
        f"on {trials} in batches of {comparison.batch_size}; tested on {comparison.n_test} other trials"
        f"{_noise(comparison)}"
    )
    lived = f"from rewards in {comparison.batch_size} environments side by side; tested in episodes of other seeds"
    if not acting:
        return given
    return lived if len(acting) == len(comparison.tasks) else f"{given}; in {', '.join(acting)} {lived}"


def _noise(comparison: Comparison) -> str:
    return "" if comparison.input_noise is None else f", and on these with input noise of {comparison.input_noise:g}"


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
