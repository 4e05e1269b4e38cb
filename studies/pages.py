"""Tables of the study pages, written from the CSV files of the repository: ``python -m studies.pages``.

A page names a table where it stands; all between the two marks is made from files with one row a seed:

    <!-- table: cell_types_sparse -->
    <!-- end -->
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from studies.page_tables import tables
from studies.tables import Table

__all__ = ["MARK", "main", "render"]

DOCS = Path(__file__).resolve().parents[1] / "docs"
MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(text: str, tables: Mapping[str, Callable[[], Table]]) -> str:
    r"""Return a page with every table that it names made anew.

    Args:
        text: The page.
        tables: What makes the tables, by name.

    Raises:
        KeyError: The page names a table that nothing makes.

    >>> page = "<!-- table: one -->\n<!-- end -->"
    >>> print(render(page, {"one": lambda: Table(("rule",), (("bptt",),))}))
    <!-- table: one -->
    | rule |
    | --- |
    | bptt |
    <!-- end -->
    """
    return MARK.sub(lambda found: f"{found[1]}{tables[found[2]]()}\n{found[3]}", text)


def main(words: Sequence[str] | None = None, docs: Path = DOCS) -> int:
    """Write the tables of the study pages from their files.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        docs: The folder of the pages.
    """
    parser = argparse.ArgumentParser(prog="python -m studies.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs from its files")
    options = parser.parse_args(words)
    made, changed = tables(docs), []
    for page in sorted((docs / "studies").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        new = render(text, made)
        if new != text:
            changed.append(page)
            if not options.check:
                page.write_text(new, encoding="utf-8")
    for page in changed:
        print(f"{page}: {'differs from its files' if options.check else 'written'}")
    return int(options.check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
