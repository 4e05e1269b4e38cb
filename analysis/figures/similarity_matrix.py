"""Distances between the activities of all recorded networks.

    python -m analysis.figures.similarity_matrix runs/compare --task context_decision

All networks see the same trials, those on which the first was trained.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from torch import Tensor

from analysis.dynamics.dsa import dsa
from analysis.figures.command import command, options, recorded, training_trials
from analysis.figures.plots import SETTINGS, write
from analysis.representations.activity import rates, rates_of_trials
from analysis.representations.dimension import participation_ratio
from analysis.representations.similarity_distances import DISTANCES, distances
from tca.utils.names import lookup

__all__ = ["main", "similarity_matrix"]


def similarity_matrix(table: Tensor, names: Sequence[str], title: str) -> Figure:
    """Return a table of distances as a map; lines part the groups of rows with the same name.

    Args:
        table: Distances, shape ``(A, A)``.
        names: Name of each row, equal names side by side.

    >>> import torch
    >>> len(similarity_matrix(torch.zeros(2, 2), ["bptt", "eprop"], "procrustes").axes)
    2
    """
    size = len(names)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(2.8 + 0.26 * max(size, 8), 1.8 + 0.26 * max(size, 8)), layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(table.numpy(), cmap="cividis_r", vmin=0.0)
        starts = [place for place in range(size) if place == 0 or names[place] != names[place - 1]]
        ends = [*starts[1:], size]
        middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        labels = [names[start] for start in starts]
        axes.set_xticks(middles, labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(middles, labels)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for start in starts[1:]:
            axes.axhline(start - 0.5, color="white", linewidth=1.6)
            axes.axvline(start - 0.5, color="white", linewidth=1.6)
        figure.colorbar(image, ax=axes, label=title, shrink=0.8)
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Draw the distances of recorded networks from each other; return their dimensions.

    Raises:
        ValueError: There are no such networks, or an option is not allowed.
    """
    parser = options("similarity_matrix", "Draw how far recorded networks are from each other.")
    parser.add_argument("records", type=Path, nargs="+", help="records of one task, or folders that hold them")
    parser.add_argument("--task", help="the task, where there are records of several")
    parser.add_argument("--distance", default="procrustes", help=f"dsa, or one of {', '.join(DISTANCES)}")
    parser.add_argument("--trials", type=int, default=50, help="training trials, at most, default 50")
    parser.add_argument("--delays", type=int, default=1, help="for dsa: samples joined, default 1")
    parser.add_argument("--rank", type=int, default=10, help="for dsa: components, default 10")
    given = parser.parse_args(words)
    lookup({**DISTANCES, "dsa": None}, given.distance, "distance")
    found = recorded(given.records, given.task, one_task=True)
    trials = training_trials(found[0], given.trials)
    nets = {f"{one.run.rule}, seed {one.run.seeds.net}": one.net for one in found}
    activities = {name: rates(net, trials) for name, net in nets.items()}
    if given.distance == "dsa":
        series: dict[str, Any] = {name: rates_of_trials(net, trials) for name, net in nets.items()}
        table = distances(series, partial(dsa, delays=given.delays, rank=given.rank))
    else:
        table = distances(activities, given.distance)
    rows = (
        (name, other, distance)
        for name, line in zip(activities, table.tolist(), strict=True)
        for other, distance in zip(activities, line, strict=True)
    )
    title = f"{given.distance} distance" if given.distance != "dsa" else "angle of the dynamics (rad)"
    figure = similarity_matrix(table, [str(one.run.rule) for one in found], title)
    write(figure, given.out, ("network", "other", given.distance), rows)
    return "\n".join(f"{name}  dimension {participation_ratio(each):.2f}" for name, each in activities.items())


if __name__ == "__main__":
    sys.exit(command(main))
