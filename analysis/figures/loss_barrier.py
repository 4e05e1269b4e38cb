"""The loss between the solutions of rules, with cells as they are and with cells matched.

    python -m analysis.figures.loss_barrier runs/compare --reference bptt

Every solution of the reference is joined with that of every other rule of the same seed, and with its own of another.
Networks of another kind or size than that of the reference have no straight line in common with it: they are named.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures.command import command, options, recorded, training_trials
from analysis.figures.plots import Series, curves, legend, panels, save, summary
from analysis.landscape.barrier import barrier
from tca.experiments.records.result import Result

__all__ = ["loss_barrier", "main"]

AS_THEY_ARE, MATCHED = "cells as they are", "cells matched"


def loss_barrier(series: Sequence[Series]) -> Figure:
    """Return the loss on the way from one solution to another: mean and standard deviation over pairs.

    Args:
        series: Positions (x) from 0, the reference, to 1 and losses (y) of every pair; panels are with and without
            matching, labels name both ends.

    >>> figure = loss_barrier([Series("cells matched", "bptt to eprop", 0, [0.0, 0.5, 1.0], [0.1, 0.4, 0.1])])
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.1, 0.4, 0.1])
    """
    figure, axes = panels(series, "position on the way", "training loss")
    for name, each in axes.items():
        curves(each, series, name)
    legend(figure, summary(series))
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Draw the loss between recorded networks; return the barriers.

    Raises:
        ValueError: There are no such networks, or they are of different kinds.
    """
    parser = options("loss_barrier", "Draw the loss between the solutions of a rule and those of others.")
    parser.add_argument("records", type=Path, nargs="+", help="records of one task, or folders that hold them")
    parser.add_argument("--reference", default="bptt", help="the rule from which to go, default bptt")
    parser.add_argument("--task", help="the task, where there are records of several")
    parser.add_argument("--match", default="weights", help="how cells are matched: weights (default) or activity")
    parser.add_argument("--points", type=int, default=25, help="positions, default 25")
    parser.add_argument("--trials", type=int, default=200, help="training trials, at most, default 200")
    given = parser.parse_args(words)
    found = recorded(given.records, given.task, one_task=True)
    pairs, apart = _pairs(found, given.reference)
    series, lines = [], [f"{rule}: left out, its network is of another kind or size" for rule in apart]
    for first, second in pairs:
        trials = training_trials(first, given.trials)
        label = f"{first.run.rule} to {second.run.rule}" + (", other seed" if first.run.rule == second.run.rule else "")
        for panel, match in ((AS_THEY_ARE, None), (MATCHED, given.match)):
            one = barrier(first.net, second.net, trials, match=match, points=given.points)
            series.append(Series(panel, label, first.run.seeds.net, one.positions.tolist(), one.losses.tolist()))
            heading = f"{label}  seed {first.run.seeds.net}  {panel}"
            lines.append(f"{heading}  barrier {one.height:.4f}  distance {one.distance:.2f}")
    save(loss_barrier(series), series, given.out, "position", "loss")
    return "\n".join(lines)


def _pairs(found: Sequence[Result], reference: str) -> tuple[list[tuple[Result, Result]], list[str]]:
    """Return each solution of the reference with those of other rules of its seed, and with its own of the next.

    The second value names the rules whose networks are of another kind.
    """
    own = [one for one in found if str(one.run.rule) == reference]
    if not own:
        raise ValueError(f"reference must be a rule of the records, got {reference!r} and {_rules(found)}")
    others = [one for one in found if one not in own]
    alike = [one for one in others if any(one.run.net == each.run.net for each in own)]
    pairs = [
        (first, second)
        for first in own
        for second in alike
        if second.run.seeds.net == first.run.seeds.net and second.run.net == first.run.net
    ]
    pairs += [(first, second) for first, second in _ring(own) if first.run.net == second.run.net]
    if not pairs:
        raise ValueError(
            f"records must hold two solutions of one kind of network to go between, got {_rules(found)} in "
            f"{len({repr(one.run.net) for one in found})} kinds of networks"
        )
    return pairs, sorted({str(one.run.rule) for one in others if one not in alike})


def _ring(own: Sequence[Result]) -> list[tuple[Result, Result]]:
    """Return each with the next, and the last with the first of more than two."""
    return [*pairwise(own), *([(own[-1], own[0])] if len(own) > 2 else [])]


def _rules(found: Sequence[Result]) -> str:
    return ", ".join(sorted({str(one.run.rule) for one in found}))


if __name__ == "__main__":
    sys.exit(command(main))
