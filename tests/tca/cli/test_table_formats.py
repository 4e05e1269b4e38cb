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
    [("xor", "my_rule & co", "0.9 ±0.1"), ("xor", "a|b", "-"), ("copy", "50 % $x$", "-1.0")],
    ("A note.",),
    title="Results",
)


def test_markdown() -> None:
    assert formatted(TABLE, "markdown").splitlines() == [
        "### Results", "", "| task | entry | score |", "| --- | --- | ---: |", "| xor | my_rule &amp; co | 0.9 ±0.1 |",
        "| xor | a\\|b | - |", "| copy | 50 % $x$ | -1.0 |", "", "A note.",
    ]  # fmt: skip


def test_latex() -> None:
    assert formatted(TABLE, "latex", ["Before."]).splitlines() == [
        r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}", r"\caption{Results. Before. A note.}",
        r"\begin{tabular}{lr}", r"\toprule", r"entry & score \tabularnewline", r"\midrule",
        r"\multicolumn{2}{l}{\textbf{xor}} \tabularnewline", r"my\_rule \& co & 0.9 $\pm$0.1 \tabularnewline",
        r"a|b & - \tabularnewline", r"\addlinespace", r"\multicolumn{2}{l}{\textbf{copy}} \tabularnewline",
        r"50 \% \$x\$ & $-$1.0 \tabularnewline", r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip


LINE = 345.0  # points: a line of the class article at 10 points
LOOKS = {r"$\pm$": "±", "$-$": "−", r"\_": "_", r"$\cdot$": "·", r"\raggedright ": "", r"\%": "%"}


def points(text: str) -> float:
    """Return the width of a cell of LaTeX in Computer Modern of 8 points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    for mark, look in LOOKS.items():
        text = text.replace(mark, look)
    plain = re.sub("[±−·]", "+", text)  # signs of another font, none wider than a plus sign
    width, _, _ = text_to_path.get_text_width_height_descent(
        plain, FontProperties(family="cmr10", size=8), ismath=False
    )
    return float(width)


def test_tables_of_latex_are_no_wider_than_a_line_and_lose_no_cell() -> None:
    made = tables(synthetic(("bptt", "eprop with a long name", "poor"), TASKS, 5))
    assert len(made[0].head) > 12
    for table in made:
        text = formatted(table, "latex")
        parts = re.findall(r"\\begin\{tabular\}\{((?:[lr]|p\{[^}]*\})*)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
        assert text.count("begin{table}") == len(parts)
        assert len({columns.count("r") for columns, _ in parts}) <= 2, "parts of about one width"
        seen: dict[str, set[str]] = {}
        for columns, body in parts:
            kinds = re.findall(r"[lr]|p\{([^}]*)em\}", columns)
            lines = [line.removesuffix(r" \tabularnewline").split(" & ") for line in body.splitlines() if " & " in line]
            assert {len(line) for line in lines} == {len(kinds)}
            widths = [8 * float(kind) if kind else max(map(points, cells))
                      for kind, *cells in zip(kinds, *lines, strict=True)]  # fmt: skip
            assert sum(widths) + 8 * len(widths) <= LINE
            for heading, *cells in zip(*lines, strict=True):
                seen.setdefault(heading, set()).update(cells)
        shown = " ".join(" ".join(cells) for cells in seen.values())
        for place in table.places:
            assert table.head[place].replace("_", r"\_") in seen
            for row in table.rows:
                plain = row[place].replace("_", r"\_").replace("±", r"$\pm$")
                assert re.sub(r"(?<![\w.])-(?=\d)", "$-$", plain) in shown


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
        parts = [body for body in text.split(r"\begin{table}") if f"caption{{{made[0].title} (" in body]
        count = sum(len(re.findall(r"(?<!\\)&", body.partition("midrule")[2])) for body in parts)
        assert len(parts) > 1
        assert count == len(made[0].rows) * (len(made[0].places) - 1)
        assert not set("#%_$^~") & set(bare)
    if form == "html":
        elements = ("table", "caption", "thead", "tbody", "tr", "th", "td", "p")
        assert set(re.findall(r"</?(\w+)", text)) <= set(elements)
    assert ("report: " in text) == (form == "text")
