"""Trajectories of the states of a network in its trials, and their fixed points.

    python -m analysis.figures.state_space RECORD --trials 60

The states of each trial's decision, or of the given steps, in the plane of their leading principal components; the
fixed and slow points under the mean input of these steps; and the eigenvalues of the Jacobian there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from analysis.dynamics.fixed_points import FixedPoints, fixed_points
from analysis.dynamics.state_map import state_map
from analysis.dynamics.visited_states import sampled_states
from analysis.figures.command import command, options, recorded, training_trials
from analysis.figures.looks import COLOURS
from analysis.figures.plots import SETTINGS, write
from tca.batch import Batch

__all__ = ["main", "plane", "state_space"]

# How each kind of point is drawn: marker, face, edge.
LOOKS = {
    "stable": ("o", "black", "black"),
    "marginal": ("s", "0.6", "black"),
    "unstable": ("o", "white", "black"),
    "slow": ("D", "0.6", "0.6"),
}


def plane(states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean of states, their two leading principal directions, and the variance each holds.

    Args:
        states: States, shape ``(..., N)``, at least two cells.

    Raises:
        ValueError: There are fewer than two cells.

    >>> mean, axes, held = plane(torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    >>> mean.tolist(), axes[0].abs().tolist(), held.tolist()
    ([2.0, 2.0], [1.0, 0.0], [1.0, 0.0])
    """
    flat = states.flatten(0, -2).double()
    if flat.shape[1] < 2:
        raise ValueError(f"states must be of at least two cells to lie in a plane, got {flat.shape[1]}")
    mean = flat.mean(0)
    _, sizes, directions = torch.linalg.svd(flat - mean, full_matrices=False)
    held = sizes.square() / sizes.square().sum()
    # The sign of a principal direction is arbitrary: the largest entry of each is made positive.
    signs = directions[:2].gather(1, directions[:2].abs().argmax(1, keepdim=True)).sign()
    return mean, directions[:2] * signs, held[:2]


def state_space(states: Tensor, points: FixedPoints, labels: Sequence[str], shown: Tensor | None = None) -> Figure:
    """Return trajectories with fixed points in the plane of their two leading components, and the eigenvalues there.

    Args:
        states: States of the trials, shape ``(T, B, N)``.
        labels: Label of each trial, such as its class; each has a colour, up to seven labels.
        shown: Steps of each trial to draw, boolean, shape ``(T, B)``; ``None`` (default) for all. Earlier steps are
            drawn thin, later ones not at all.

    >>> from analysis.dynamics.fixed_points import rest
    >>> still = rest(lambda h: 0.5 * h, lambda h: torch.eye(2).double().expand(len(h), 2, 2) / 2, torch.zeros(1, 2))
    >>> figure = state_space(torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(0)), still, ["a", "b", "a"])
    >>> len(figure.axes), len(figure.axes[0].lines)
    (2, 6)
    """
    shown = torch.ones(states.shape[:2], dtype=torch.bool, device="cpu") if shown is None else shown.cpu()
    drawn = shown.flip(0).cummax(0).values.flip(0)  # up to the last step that is shown
    mean, axes_2N, held = plane(states.cpu()[drawn])
    paths = ((states.double().cpu() - mean) @ axes_2N.mT).numpy()
    names = list(dict.fromkeys(labels))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(10.4, 4.3), layout="constrained")
        left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.15, 1)})
        for trial, label in enumerate(labels):
            colour = COLOURS[(1 + names.index(label)) % len(COLOURS)]
            first = labels.index(label) == trial
            before, path = (paths[steps[:, trial].numpy(), trial] for steps in (drawn, shown))
            left.plot(*before.T, color=colour, linewidth=0.6, alpha=0.35)
            left.plot(*path.T, color=colour, linewidth=1.6, alpha=0.8, label=label if first else None)
            left.scatter(*path[-1:].T, color=colour, s=12, linewidths=0, zorder=3)
        _points(left, ((points.states.cpu() - mean) @ axes_2N.mT).numpy(), points)
        left.set_xlabel(f"component 1 ({held[0]:.0%} of variance)")
        left.set_ylabel(f"component 2 ({held[1]:.0%})")
        left.set_aspect("equal", adjustable="datalim")
        left.legend(fontsize="small", loc="best", handlelength=1.6)
        _eigenvalues(right, points)
    return figure


def _points(axes: Axes, places: NDArray[np.float64], points: FixedPoints) -> None:
    kinds = np.array(points.kinds())
    for kind, (marker, face, edge) in LOOKS.items():
        chosen = places[kinds == kind]
        if len(chosen):
            label = f"{kind} point" if kind == "slow" else f"{kind} fixed point"
            axes.scatter(chosen[:, 0], chosen[:, 1], marker=marker, s=46, facecolors=face, edgecolors=edge,
                         linewidths=1.3, zorder=4, label=label)  # fmt: skip


def _eigenvalues(axes: Axes, points: FixedPoints) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angle), np.sin(angle), color="0.45", linewidth=1.0, linestyle=":")
    kinds = np.array(points.kinds())
    for kind, (marker, face, edge) in LOOKS.items():
        values = points.eigenvalues.cpu().numpy()[kinds == kind].flatten()
        if len(values):
            axes.scatter(values.real, values.imag, marker=marker, s=14, facecolors=face, edgecolors=edge,
                         linewidths=0.7, alpha=0.7)  # fmt: skip
    axes.set_xlabel("real part of the eigenvalue")
    axes.set_ylabel("imaginary part")
    axes.set_aspect("equal", adjustable="datalim")


def main(words: Sequence[str] | None = None) -> str:
    """Find the fixed points of a recorded network and draw them; return their table.

    Raises:
        ValueError: There is no such network or step.
        TypeError: The network is not recurrent.
    """
    parser = options("state_space", "Draw the states of a network with its fixed points.")
    parser.add_argument("record", type=Path, help="the record of a run")
    parser.add_argument("--trials", type=int, default=40, help="trials drawn, default 40")
    parser.add_argument("--starts", type=int, default=200, help="states from which points are sought, default 200")
    parser.add_argument("--steps", type=int, nargs=2, metavar=("FROM", "TO"), help="steps drawn, default the decision")
    given = parser.parse_args(words)
    result = recorded([given.record])[0]
    batch = training_trials(result, given.trials)
    shown = batch.decision_steps if given.steps is None else _window(batch, *given.steps)
    starts = sampled_states(result.net, batch.inputs, given.starts, steps=shown)
    points = fixed_points(result.net, batch.inputs[shown].double().mean(0), starts)
    states = state_map(result.net).trajectory(batch.inputs)[1:]
    write(
        state_space(states, points, _labels(batch), shown),
        given.out,
        ("kind", "residual", "starts", "largest_modulus", "unstable_directions", "component_1", "component_2"),
        _rows(states, shown, points),
    )
    return str(points)


def _window(batch: Batch, start: int, stop: int) -> Tensor:
    if not 0 <= start < stop <= batch.steps:
        raise ValueError(
            f"steps must lie between 0 and {batch.steps}, the first before the last, got {start} to {stop}"
        )
    window = torch.zeros_like(batch.weights, dtype=torch.bool)
    window[start:stop] = True
    return window & batch.inside


def _labels(batch: Batch) -> list[str]:
    """Return each trial's class, or sign of its first target, at its last decision step."""
    counted = batch.decision_steps.to(torch.int64) * torch.arange(1, batch.steps + 1, device="cpu")[:, None]
    last = batch.targets[counted.argmax(0), torch.arange(batch.trials, device="cpu")]
    if last.ndim == 1:
        return [f"class {int(each)}" for each in last]
    return ["target > 0" if each > 0 else "target ≤ 0" for each in last[:, 0]]


def _rows(states: Tensor, shown: Tensor, points: FixedPoints) -> list[tuple[object, ...]]:
    mean, axes, _ = plane(states[shown.flip(0).cummax(0).values.flip(0)])
    places = (points.states.cpu() - mean) @ axes.mT
    columns = (points.residuals, points.found, points.radius, points.unstable_directions(), *places.mT)
    return list(zip(points.kinds(), *(column.tolist() for column in columns), strict=True))


if __name__ == "__main__":
    sys.exit(command(main))
