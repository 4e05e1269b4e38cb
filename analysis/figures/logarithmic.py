"""Logarithmic axes whose numbers can be read."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

__all__ = ["readable"]

FEW = 40  # times the smallest value, up to which three numbers a decade have room


def readable(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic, numbered 1, 2, 5 where it spans few decades; leave it if a value is not positive.

    Args:
        axes: Whose axis.
        which: ``"x"`` or ``"y"``.
        values: What is drawn along it, NaN left out.
    """
    known = [value for value in values if value == value]
    if not known or min(known) <= 0:
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(known) < FEW * min(known) else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
