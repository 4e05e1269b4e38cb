"""Figures as SVG elements within a page: colours as CSS variables, names of drawn groups as data, nothing else named.

A page defines ``--c0`` to ``--c8``, the colours of `analysis.figures.looks.COLOURS`, and ``--grid`` and ``--soft``.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from analysis.figures.looks import COLOURS
from analysis.figures.plots import rendered

__all__ = ["inline_svg"]

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
GREYS = {"#ebebeb": "grid", "#737373": "soft", "#595959": "soft", "#999999": "soft"}
VARIABLES = {colour.lower(): f"c{place}" for place, colour in enumerate(COLOURS)} | GREYS


def inline_svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as an SVG element for a page, without its background.

    Groups of a label have the attribute ``data-series``, those of a run ``data-seed`` too, see
    `analysis.figures.plots.curves`.

    Args:
        name: Prefix of names within the element, unique on the page.
        title: Description for readers that do not see the figure.

    >>> from analysis.figures import Series, learning_curves
    >>> drawn = inline_svg(learning_curves([Series("xor", "bptt", 0, [0, 1], [0.5, 1.0])]), "a", "curve")
    >>> 'data-series="bptt"' in drawn, 'fill="var(--c0)"' in drawn, "#000000" in drawn
    (True, True, False)
    """
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    root = ElementTree.fromstring(rendered(figure, "svg"))
    for each in [one for one in root if one.tag == f"{SVG}metadata" or one.find(f"{SVG}style") is not None]:
        root.remove(each)
    for each in root.iter():
        each.tag = each.tag.removeprefix(SVG)
        _rename(each, name)
        for attribute, kept in (("style", _themed), *((each, _rounded) for each in ("d", "x", "y", "transform"))):
            if attribute in each.attrib:
                each.set(attribute, kept(each.attrib[attribute]))
        each.text, each.tail = (text if text and text.strip() else None for text in (each.text, each.tail))
    width, height = root.get("viewBox", "").split()[2:]
    root.attrib = {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": title}
    root.set("fill", "var(--c0)")  # matplotlib leaves out the fill of black markers
    return ElementTree.tostring(root, encoding="unicode")


def _rename(element: ElementTree.Element, prefix: str) -> None:
    """Prefix names and references to them, and turn those of series into data."""
    attributes = element.attrib
    named = attributes.pop("id", "")
    kind, _, label = named.partition(":")
    if kind == "series":
        attributes["data-series"] = label
    elif kind == "run":
        attributes["data-seed"], _, attributes["data-series"] = label.partition(":")
    elif named and element.tag in ("path", "clipPath", "image"):
        attributes["id"] = prefix + named
    if LINK in attributes:
        attributes["href"] = re.sub("^#", f"#{prefix}", attributes.pop(LINK))
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{prefix}")


def _themed(style: str) -> str:
    """Return a style in the colours and the font of the page."""
    plain = re.sub(r"font-family: [^;]*;? ?", "", style)
    return re.sub("|".join(VARIABLES), lambda found: f"var(--{VARIABLES[found[0]]})", plain)


def _rounded(path: str) -> str:
    return " ".join(re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}", path).split())
