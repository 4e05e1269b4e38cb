"""Distances of the activity of networks trained by different rules to each other and to a recording, at equal error.

    python -m analysis.figures.similarity_at_error --rules bptt eprop --seeds 3 --recorded cells.npy --probe inputs.npy

``cells.npy`` holds activity of shape (time, conditions, cells), or (repeats, time, conditions, cells), which gives a
noise ceiling; ``inputs.npy`` the inputs under which the networks are compared with it, (time, conditions, inputs).
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from analysis.figures.command import command, options
from analysis.figures.plots import Series, curves, legend, panels, save, summary
from analysis.representations.noise_ceiling import conditions_averaged, noise_ceiling
from analysis.representations.recordings import load_recording
from analysis.representations.similarity_distances import DISTANCES, Distance
from analysis.representations.similarity_study import PUBLISHED, THRESHOLDS, UNTRAINED, distances_at, sample
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.utils.names import lookup

__all__ = ["main", "similarity_at_error"]

PANELS = {
    "to_recorded": "to the recording",
    "to_reference": "to {reference}, same seed",
    "to_other_seeds": "to {reference}, other seeds",
}
Rows = Sequence[Mapping[str, float | str]]


def similarity_at_error(
    series: Sequence[Series], lines: Mapping[str, float] | None = None, name: str = "procrustes"
) -> Figure:
    """Return distances against the error at which networks were compared: mean and standard deviation over seeds.

    Args:
        series: Errors (x) and distances (y) of every run; panels name the other activity, labels are rules.
        lines: Distances to draw as dotted lines in the panel of the recording, by name, such as a noise ceiling.

    >>> figure = similarity_at_error([Series("to the recording", "bptt", 0, [0.5, 0.1], [0.4, 0.3])])
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.3, 0.4])
    """
    figure, axes = panels(series, "normalised error", f"{name} distance")
    for panel, each in axes.items():
        curves(each, series, panel, markers=True)
        each.set_xscale("log")
        ticks = sorted({x for one in series for x in one.x})
        each.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        each.set_xticks([], minor=True)
        each.set_xlim(ticks[-1] * 1.25, ticks[0] / 1.25)
        for text, height in (lines or {}).items() if panel == PANELS["to_recorded"] else ():
            each.axhline(height, color="0.45", linestyle=":", linewidth=1.0)
            each.annotate(text, (0, height), xycoords=("axes fraction", "data"), xytext=(4, 2),
                          textcoords="offset points", fontsize="small", color="0.35")  # fmt: skip
    legend(figure, summary(series))
    return figure


def main(words: Sequence[str] | None = None) -> str:
    """Train, compare and draw; return the tables.

    Raises:
        ValueError: An option is not allowed, or arrays do not fit.
        OSError: A file cannot be read or written.
    """
    parser = options("similarity_at_error", "Compare the activity of networks at equal error.")
    parser.add_argument("--task", default="pattern_generation", help="name of the task, default pattern_generation")
    parser.add_argument("--task-options", type=json.loads, default={}, help="options of the task, JSON, default none")
    parser.add_argument("--rules", nargs="+", default=["bptt", "eprop"], help="the reference first, default bptt eprop")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each rule, default 3")
    parser.add_argument("--size", type=int, default=200, help="cells of a network, default 200")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam, default 1e-3")
    parser.add_argument("--steps", type=int, default=1000, help="updates at most, default 1000")
    parser.add_argument("--every", type=int, default=10, help="updates between two measurements, default 10")
    parser.add_argument("--thresholds", type=float, nargs="+", default=list(THRESHOLDS), help="errors to compare at")
    parser.add_argument("--distance", default="procrustes", help=f"one of {', '.join(DISTANCES)}")
    parser.add_argument("--recorded", type=Path, help="recorded activity, .npy")
    parser.add_argument("--probe", type=Path, help="inputs under which to compare, .npy; default 50 test trials")
    parser.add_argument("--runs", type=Path, help="folder in which to keep activity, so that it is not made twice")
    given = parser.parse_args(words)
    measure = lookup(DISTANCES, given.distance, "distance")
    base = Run(
        given.task,
        task_options=given.task_options,
        net=NetworkConfig(size=given.size, activation="rectified_tanh", leak="euler", gain_rec=1.5, learn_initial=True),
        optimizer=Optimizer(lr=given.lr),
        batch_size=100,
        steps=given.steps,
        evaluate_every=given.every,
    )
    probe, repeats = _probe(base, given.probe), _array(given.recorded)
    recorded = None if repeats is None else repeats.mean(0)
    if recorded is not None and recorded.shape[:2] != probe.shape[:2]:
        raise ValueError(
            f"recorded activity must have the times and conditions of the probe, {tuple(probe.shape[:2])}, "
            f"got {tuple(recorded.shape[:2])}"
        )
    samples = [
        one
        for rule in given.rules
        for seed in range(given.seeds)
        for one in sample(_run(base, rule, seed), probe, given.thresholds, given.runs)
    ]
    rows = distances_at(samples, recorded, given.rules[0], measure)
    lines = _lines(recorded, repeats, rows, measure, given.distance)
    series = _series(rows, given.rules[0])
    if not series:
        raise ValueError(f"no pair of runs has met any of the errors {given.thresholds}: train longer")
    save(similarity_at_error(series, lines, given.distance), series, given.out, "error", "distance")
    return "\n\n".join([_table(rows, given.rules, given.thresholds), *_described(lines), _published()])


def _run(base: Run, rule: str, seed: int) -> Run:
    return dataclasses.replace(base.with_rule(rule), seeds=Seeds(data=0, net=seed, rule=seed, batches=seed))


def _probe(run: Run, path: Path | None) -> Tensor:
    """Return the inputs under which networks are compared, float64, shape ``(T, C, I)``."""
    if path is not None:
        return torch.from_numpy(np.load(path, allow_pickle=False)).double()
    return run.make_task().split(1, 50, seed=run.seeds.data)[1].batch().inputs.double()


def _array(path: Path | None) -> Tensor | None:
    """Return recorded activity, shape ``(K, T, C, N)``."""
    if path is None:
        return None
    if path.suffix in (".npz", ".mat"):
        return load_recording(path).activity[None]
    values = torch.from_numpy(np.load(path, allow_pickle=False)).double()
    if values.ndim not in (3, 4):
        raise ValueError(
            f"{path} must have shape (time, conditions, cells), repeats before it if any, got {values.shape}"
        )
    return values if values.ndim == 4 else values[None]


def _lines(
    recorded: Tensor | None, repeats: Tensor | None, rows: Rows, measure: Distance, name: str
) -> dict[str, float]:
    if recorded is None or repeats is None:
        return {}
    untrained = [float(each["to_recorded"]) for each in rows if each["threshold"] == UNTRAINED]
    trivial = measure(conditions_averaged(recorded), recorded)
    lines = {"untrained": statistics.fmean(untrained), "mean of conditions": trivial}
    if len(repeats) > 1 and name in ("procrustes", "cka_angle"):
        lines["noise ceiling"] = noise_ceiling(repeats, measure).truth
    return lines


def _series(rows: Rows, reference: str) -> list[Series]:
    found = []
    for column, panel in PANELS.items():
        for rule, seed in dict.fromkeys((str(each["rule"]), int(each["seed"])) for each in rows):
            points = [
                (float(each["threshold"]), float(each[column]))
                for each in rows
                if (each["rule"], each["seed"]) == (rule, seed)
                and each["threshold"] != UNTRAINED
                and math.isfinite(float(each[column]))
            ]
            if points:
                xs, ys = [x for x, _ in points], [y for _, y in points]
                found.append(Series(panel.format(reference=reference), rule, seed, xs, ys))
    return found


def _table(rows: Rows, rules: Sequence[str], thresholds: Sequence[float]) -> str:
    head = ("rule", "error <=", "seeds", "updates", "error", *PANELS)
    body = [head]
    for rule in rules:
        for threshold in (UNTRAINED, *sorted(thresholds, reverse=True)):
            members = [each for each in rows if (each["rule"], each["threshold"]) == (rule, threshold)]
            shown = "untrained" if threshold == UNTRAINED else f"{threshold:g}"
            steps, errors = ([float(each[name]) for each in members] for name in ("step", "error"))
            cells = [_spread([float(each[column]) for each in members]) for column in PANELS]
            body.append((rule, shown, str(len(members)), _spread(steps, 0), _spread(errors), *cells))
    return _aligned(body)


def _described(lines: Mapping[str, float]) -> list[str]:
    return ["\n".join(f"{name}: {value:.4f} from the recording" for name, value in lines.items())] if lines else []


def _published() -> str:
    body = [("published: motor cortex", *(f"<= {each:g}" for each in THRESHOLDS))]
    body += [(name, *(f"{value:.3f}" for value in values)) for name, values in PUBLISHED.items()]
    return _aligned(body)


def _aligned(body: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in body)


def _spread(values: Sequence[float], digits: int = 3) -> str:
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return "-"
    spread = f" +- {statistics.stdev(kept):.{digits}f}" if len(kept) > 1 else ""
    return f"{statistics.fmean(kept):.{digits}f}{spread}"


if __name__ == "__main__":
    sys.exit(command(main))
