"""Extension of Sphinx for the site: equations in MathML, made from the plain notation, and links out of ``docs/``.

MathML needs neither fonts nor scripts from the network, and every current browser draws it.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from tools import equations
from tools.equations import Run, runs

__all__ = ["Equations", "equation_lines", "inline_equation", "setup"]

NAME = re.compile(r"[a-zA-Z]+_[a-z]{2,}(?:_[a-z]+)*")  # w_rec is a parameter, not a symbol
SYMBOL = re.compile(
    r"(?:[A-Za-z]|[a-z]+bar|lambda|psi|eps|zeta|slope|gain|leak|score|err|pre)~?_[a-z]{1,2}(?:,[a-z])*(?:[+-]1)?"
)
EQUATION = re.compile(r" = | <- |\(x\)|\^|_\{| ~ | >= | <= ")
SHELL = re.compile(r"(?:make|tca|python|pip|dask|git|import|from|for|def|class|return|with|if|net|run|task)\b")
COPIES = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}
OUTSIDE = re.compile(r"\]\((?:\.\./)+(README|CONTRIBUTING|CHANGELOG)\.md(#[^)]*)?\)")


def inline_equation(text: str) -> list[Run]:
    r"""Return the pieces of a literal that is mathematics, an empty list if it is code.

    Args:
        text: Text of the literal.

    >>> inline_equation("D_t = leak")
    [(True, 'D_{t} = \\mathrm{leak}')]
    >>> inline_equation("w_rec"), inline_equation("steps = 200")
    ([], [])
    """
    if NAME.fullmatch(text) or not (EQUATION.search(text) or SYMBOL.fullmatch(text)):
        return []
    found = runs(text)
    if not found or not found[0][0]:
        return []
    relation = re.search(r"=|\\leftarrow", found[0][1])
    return found if len(found) == 1 or relation else []


def equation_lines(text: str) -> list[list[list[Run]]]:
    """Return lines, columns and pieces of a block of equations, an empty list if it is code.

    Args:
        text: Text of the block; columns are separated by two spaces or more.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    columns = [[runs(column) for column in re.split(r" {2,}", line.strip())] for line in lines]
    if any(SHELL.match(line.strip()) for line in lines) or any([] in line for line in columns):
        return []
    return columns if any(EQUATION.search(line) for line in lines) else []


class Equations(SphinxTransform):
    """Replace literals and indented blocks in the plain notation by equations."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Replace them in one document."""
        for literal in list(self.document.findall(nodes.literal)):
            if literal.astext() and (found := inline_equation(literal.astext())):
                literal.replace_self(_pieces(found))
        for block in list(self.document.findall(nodes.literal_block)):
            fenced = block.get("language") not in (None, "none", "default")
            if not fenced and (lines := equation_lines(block.astext())):
                block.replace_self(_table(lines))


def _pieces(found: list[Run]) -> list[nodes.Node]:
    """Return nodes of mathematics and text; long equations may break after a comma."""
    made: list[nodes.Node] = []
    for mathematics, text in found:
        if not mathematics:
            made.append(nodes.Text(text))
            continue
        for at, part in enumerate(_clauses(text)):
            made += ([nodes.Text(" ")] if at else []) + [nodes.math(part, part)]
    return made


def _clauses(text: str) -> list[str]:
    """Split LaTeX after the commas and semicolons outside of brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter in ",;" and depth <= 0 and text[at + 1 : at + 2] == " ":
            parts.append(text[start : at + 1])
            start = at + 2
    return [*parts, text[start:]]


def _table(lines: list[list[list[Run]]]) -> nodes.container:
    width = max(map(len, lines))
    box = nodes.container(classes=["equations", f"columns-{width}"])
    for line in lines:
        row = nodes.container(classes=["equations-row"])
        for column in line:
            row += nodes.container("", nodes.inline("", "", *_pieces(column)), classes=["equations-cell"])
        box += row
    return box


def _inline(self: Any, node: nodes.math) -> None:
    block = any("equations-cell" in each.get("classes", ()) for each in _parents(node))
    self.body.append(_mathml(node.astext(), displaystyle=block))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{_mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def _parents(node: nodes.Node) -> list[Any]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _mathml(text: str, *, block: bool = False, displaystyle: bool = False) -> str:
    made = re.sub(r"\n\s*", "", tex2mathml(text, as_block=block))
    return made.replace("<math ", '<math displaystyle="true" ', 1) if displaystyle else made


def _links(app: Sphinx, name: str, source: list[str]) -> None:
    """Point links to pages beside ``docs/`` at their copies on the site, and fill these."""
    up = "../" * name.count("/")
    beside = {copy: f"{page}.md" for page, copy in COPIES.items() if page != "README"}
    if name in beside:
        text = (Path(app.srcdir).parent / beside[name]).read_text(encoding="utf-8")
        source[0] = re.sub(r"\]\((?!\w+:)(docs/)?", lambda found: "](" if found[1] else "](../", text)
    source[0] = OUTSIDE.sub(lambda found: f"]({up}{COPIES[found[1]]}.md{found[2] or ''})", source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transform, the renderer and the links."""
    app.add_transform(Equations)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("source-read", _links)
    sources = b"".join(path.read_bytes() for path in (Path(__file__), Path(str(equations.__file__))))
    # Pages are read again, and their equations made anew, when this code has changed.
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": zlib.crc32(sources)}
