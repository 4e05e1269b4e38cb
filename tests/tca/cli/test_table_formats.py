"""Tables in Markdown, LaTeX and HTML, with cells of any content."""

from __future__ import annotations

import re

import pytest

from tca.cli.compare.comparison_table import tables
from tca.cli.compare.report import printed
from tca.cli.table_formats import FORMATS, formatted
from tca.cli.text_table import TextTable
from tests.support.compared import synthetic
from tests.tca.cli.compare.test_report import HOSTILE, TASKS

TABLE = TextTable(
    ("task", "entry", "score"),
    [("xor", "my_rule & co", "0.9 ±0.1"), ("xor", "a|b", "-"), ("copy", "50 % $x$", "1.0")],
    ("A note.",),
    title="Results",
)


def test_markdown() -> None:
    assert formatted(TABLE, "markdown").splitlines() == [
        "### Results", "", "| task | entry | score |", "| --- | --- | ---: |", "| xor | my_rule &amp; co | 0.9 ±0.1 |",
        "| xor | a\\|b | - |", "| copy | 50 % $x$ | 1.0 |", "", "A note.",
    ]  # fmt: skip


def test_latex() -> None:
    assert formatted(TABLE, "latex", ["Before."]).splitlines() == [
        r"\begin{table}", r"\centering", r"\caption{Results. Before. A note.}", r"\begin{tabular}{llr}", r"\toprule",
        r"task & entry & score \\", r"\midrule", r"xor & my\_rule \& co & 0.9 $\pm$0.1 \\", r"xor & a|b & - \\",
        r"\addlinespace", r"copy & 50 \% \$x\$ & 1.0 \\", r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip


def test_html() -> None:
    text = formatted(TABLE, "html")
    assert "<caption>Results</caption>" in text
    assert '<td>my_rule &amp; co</td><td style="text-align: right">0.9 ±0.1</td>' in text


@pytest.mark.parametrize("form", FORMATS)
def test_tables_of_a_comparison_keep_their_cells_whatever_its_names(form: str, tmp_path) -> None:
    result = synthetic(HOSTILE, TASKS, 1)
    made = tables(result)
    text = printed(result, made, tmp_path, form)  # type: ignore[arg-type]
    if form == "markdown":
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert len(rows) == sum(2 + len(table.rows) for table in made)
        assert {len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows[: 2 + len(made[0].rows)]} == {len(made[0].head)}
        assert "<" not in text
    if form == "latex":
        bare = re.sub(r"\\[a-zA-Z]+(\{\})?|\\[&%#_${}]|\$[^$]*\$", "", text.replace(r"\\", ""))
        body = re.findall(r"midrule.*?bottomrule", text, re.DOTALL)[0]
        assert len(re.findall(r"(?<!\\)&", body)) == len(made[0].rows) * (len(made[0].head) - 1)
        assert not set("#%_$^~") & set(bare)
    if form == "html":
        elements = ("table", "caption", "thead", "tbody", "tr", "th", "td", "p")
        assert set(re.findall(r"</?(\w+)", text)) <= set(elements)
    assert ("report: " in text) == (form == "text")
