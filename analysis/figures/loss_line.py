"""The loss along the sharpest direction around networks that different rules have found.

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

from analysis.figures.command import command, options, recorded, training_trials
from analysis.figures.drawing import Series, band, legend, looks, panels, save
from analysis.figures.logarithmic import readable
from analysis.landscape.planes import landscape

__all__ = ["loss_line", "main"]


def loss_line(series: Sequence[Series], direction: str = "the sharpest direction", log: bool = True) -> Figure:
    """Return the loss along a line through each network: mean and standard deviation over seeds.

    Args:
        series: Distances from the network (x) and losses (y) of every run; panels are tasks, labels rules.
        direction: What the line follows.
        log: Whether the vertical axis is logarithmic, default yes; no loss may be zero then.

    >>> figure = loss_line([Series("xor", "bptt", 0, [-1.0, 0.0, 1.0], [2.0, 1.0, 2.0])])
    >>> figure.axes[0].lines[0].get_ydata()
    array([2., 1., 2.])
    """
    figure, axes = panels(series, f"distance along {direction}", "training loss", shared=False)
    for name, each in axes.items():
        for label, look in looks(series).items():
            members = [one for one in series if (one.panel, one.label) == (name, label)]
            if members:
                band(each, look, label, members, geometric=log)
        if log:
            readable(each, "y", [y for one in series if one.panel == name for y in one.y])
    legend(figure)
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Draw the loss along a direction around recorded networks; return a line for each.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.

    Raises:
        ValueError: There is no such network, or an option is not allowed.
    """
    parser = options("loss_line", "Draw the loss along a direction around recorded networks.")
    parser.add_argument("records", type=Path, nargs="+", help="records, or folders that hold them")
    parser.add_argument("--directions", default="sharpest", help="sharpest (default), flattest or random")
    parser.add_argument(
        "--parameters", nargs="+", default=["w_rec"], help="parameters that vary, default w_rec; or all"
    )
    parser.add_argument("--reach", type=float, default=1.0, help="how far to either side, default 1")
    parser.add_argument("--points", type=int, default=41, help="positions, odd, default 41")
    parser.add_argument("--trials", type=int, default=200, help="training trials, at most, default 200")
    parser.add_argument("--normalise", action="store_true", help="measure distance in units of each cell's weights")
    given = parser.parse_args(words)
    names = "all" if given.parameters == ["all"] else given.parameters
    series, lines = [], []
    for one in recorded(given.records):
        found = landscape(
            one.net,
            training_trials(one, given.trials),
            names,
            directions=given.directions,
            reach=given.reach,
            points=given.points,
            normalise=given.normalise,
        )
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
