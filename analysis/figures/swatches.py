"""Entries of legends for pages: the line and the marker of a look as a small SVG element."""

from __future__ import annotations

from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from analysis.figures.looks import COLOURS, Look

__all__ = ["swatch"]

WIDTH, HEIGHT, SIZE = 34, 12, 7.0


def swatch(look: Look) -> str:
    """Return the line and the marker of a look, in the CSS variable of its colour.

    >>> from analysis.figures.looks import looks_of
    >>> "var(--c1)" in swatch(looks_of(["eprop"])["eprop"])
    True
    """
    colour = f"var(--c{COLOURS.index(look.colour)})"
    dashes = " ".join(f"{1.8 * each:g}" for each in look.dash[1]) if isinstance(look.dash, tuple) else "none"
    return (
        f'<svg class="swatch" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f'<path d="M 0 {HEIGHT / 2:g} H {WIDTH}" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dashes}"/>'
        f'<path d="{_outline(look.marker)}" fill="{colour}"/></svg>'
    )


def _outline(marker: str) -> str:
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    parts = []
    for points, code in path.iter_segments(curves=False):
        if code == Path.CLOSEPOLY:
            parts.append("Z")
        else:
            x, y = WIDTH / 2 + SIZE * points[-2], HEIGHT / 2 - SIZE * points[-1]
            parts.append(f"{'M' if code == Path.MOVETO else 'L'} {x:.2f} {y:.2f}")
    return " ".join(parts)
