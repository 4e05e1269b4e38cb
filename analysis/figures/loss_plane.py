"""The loss on a plane through a network, spanned by two eigenvectors of its Hessian.

    python -m analysis.figures.loss_plane RECORD --reach 0.5

The parameters are the recurrent weights unless others are asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from analysis.figures.command import around, command, options, recorded, surroundings
from analysis.figures.plots import SETTINGS, write
from analysis.landscape.planes import Landscape

__all__ = ["loss_plane", "main"]


def loss_plane(found: Landscape, title: str = "") -> Figure:
    """Return contours of the loss, the network at the cross, on a scale that is logarithmic where the loss allows it.

    Raises:
        ValueError: The landscape is a line.

    >>> import torch
    >>> axis, both = torch.tensor([-1.0, 0.0, 1.0]), torch.eye(2)
    >>> losses = 1 + axis[:, None] ** 2 + axis**2
    >>> bowl = Landscape(axis, axis, losses, both, torch.tensor([2.0, 2.0]), torch.zeros(2), 1.0)
    >>> len(loss_plane(bowl).axes)
    2
    """
    if not len(found.second):
        raise ValueError("landscape must have two dimensions, got a line")
    losses = found.losses.numpy().T
    positive = losses.min() > 0
    bounds = (losses.min(), losses.max())
    levels = np.geomspace(*bounds, 15) if positive and bounds[1] > 1.5 * bounds[0] else np.linspace(*bounds, 15)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        axes = figure.subplots()
        grid = (found.positions.numpy(), found.second.numpy(), losses)
        norm = LogNorm(*bounds) if positive else None
        filled = axes.contourf(*grid, levels=levels, cmap="cividis", norm=norm)
        axes.contour(*grid, levels=levels, colors="white", linewidths=0.5, alpha=0.6)
        for width, colour in ((4.5, "black"), (2.0, "white")):  # seen on any ground
            axes.plot(0, 0, marker="+", markersize=11, markeredgewidth=width, color=colour)
        axes.set_title(title)
        axes.set_xlabel(f"first direction (curvature {found.curvatures[0]:.3g})")
        axes.set_ylabel(f"second direction (curvature {found.curvatures[1]:.3g})")
        axes.set_aspect("equal")
        bar = figure.colorbar(filled, ax=axes, label="training loss", format="%.3g", shrink=0.8)
        bar.ax.minorticks_off()
        bar.set_ticks(levels[::2].tolist())
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Draw the loss on a plane through a recorded network; return its loss and curvatures.

    Raises:
        ValueError: There is no such network, or an option is not allowed.
    """
    parser = options("loss_plane", "Draw the loss on a plane through a recorded network.")
    parser.add_argument("record", type=Path, help="the record of a run")
    surroundings(parser, points=31)
    given = parser.parse_args(words)
    one = recorded([given.record])[0]
    found = around(one, given, dimensions=2)
    title = f"{one.run.task}, {one.run.rule}, seed {one.run.seeds.net}"
    rows = (
        (first, second, loss)
        for first, line in zip(found.positions.tolist(), found.losses.tolist(), strict=True)
        for second, loss in zip(found.second.tolist(), line, strict=True)
    )
    write(loss_plane(found, title), given.out, ("first", "second", "loss"), rows)
    return f"{title}: loss {found.loss:.6g}, curvatures {found.curvatures[0]:.4g} and {found.curvatures[1]:.4g}"


if __name__ == "__main__":
    sys.exit(command(main))
