"""The loss along the sharpest direction around networks trained by different rules.

    python -m analysis.figures.loss_line runs/compare --reach 0.5

The parameters are the recurrent weights unless others are asked for. The sign of a direction is arbitrary: the side on
which the loss rises less is drawn on the right.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor

from analysis.figures.command import around, command, options, recorded, surroundings
from analysis.figures.plots import Series, curves, legend, logarithmic, panels, save, summary

__all__ = ["loss_line", "main"]


def loss_line(series: Sequence[Series], direction: str = "the sharpest direction", log: bool = True) -> Figure:
    """Return the loss along a line through each network: mean and standard deviation over seeds.

    Args:
        series: Distances from the network (x) and losses (y) of every run; panels are tasks, labels rules.
        direction: Name of the direction of the line.
        log: Whether the vertical axis is logarithmic, default yes; no loss may be zero then.

    >>> figure = loss_line([Series("xor", "bptt", 0, [-1.0, 0.0, 1.0], [2.0, 1.0, 2.0])])
    >>> figure.axes[0].lines[0].get_ydata()
    array([2., 1., 2.])
    """
    figure, axes = panels(series, f"distance along {direction}", "training loss", shared=False)
    for name, each in axes.items():
        curves(each, series, name, geometric=log)
        if log:
            logarithmic(each, "y", [y for one in series if one.panel == name for y in one.y])
    legend(figure, summary(series, geometric=log))
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Draw the loss along a direction around recorded networks; return a line for each.

    Raises:
        ValueError: There is no such network, or an option is not allowed.
    """
    parser = options("loss_line", "Draw the loss along a direction around recorded networks.")
    parser.add_argument("records", type=Path, nargs="+", help="records, or folders that hold them")
    surroundings(parser, points=41)
    given = parser.parse_args(words)
    series, lines = [], []
    for one in recorded(given.records):
        found = around(one, given, dimensions=1)
        rule, seed = str(one.run.rule), one.run.seeds.net
        losses = _gentler_right(found.losses)
        series.append(Series(one.run.task, rule, seed, found.positions.tolist(), losses.tolist()))
        lines.append(f"{one.run.task}  {rule}  seed {seed}  loss {found.loss:.5f}  curvature {found.curvatures[0]:.4g}")
    direction = f"{'a' if given.directions == 'random' else 'the'} {given.directions} direction"
    figure = loss_line(series, direction, log=all(y > 0 for each in series for y in each.y))
    save(figure, series, given.out, "distance", "loss")
    return "\n".join(lines)


def _gentler_right(losses: Tensor) -> Tensor:
    """Return losses with the side on which they rise less on the right: the sign of a direction is arbitrary."""
    middle = len(losses) // 2
    return losses if losses[middle + 1 :].sum() <= losses[:middle].sum() else losses.flip(0)


if __name__ == "__main__":
    sys.exit(command(main))
