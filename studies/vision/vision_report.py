"""The study's table and figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import tasks
from analysis.figures.plots import Series, save
from studies.study_figures import over_epochs
from studies.tables import Table, mean_and_spread
from studies.vision.vision_measurements import Entry
from studies.vision.vision_plan import BASELINE

__all__ = ["draw", "table"]

HEAD = (
    "images, network",
    "rule",
    "seeds",
    "test accuracy, %",
    "gap, points",
    "angle with BP at the start, degrees",
    "at the end",
    "curvature at the end",
    "time of an epoch, BP = 1",
)


def table(entries: Sequence[Entry]) -> Table:
    """Return the table: mean and standard deviation over seeds, one row for each arm of a panel.

    Args:
        entries: The runs.
    """
    rows: list[tuple[str, ...]] = []
    for panel in dict.fromkeys(each.panel for each in entries):
        here = [each for each in entries if each.panel == panel]
        baseline = [each.seconds_an_epoch for each in here if each.arm.name == BASELINE]
        arms = dict.fromkeys(each.arm for each in here)
        rows += [_row([each for each in here if each.arm == arm], baseline) for arm in arms]
    return Table(HEAD, tuple(rows))


def _row(runs: Sequence[Entry], baseline: Sequence[float]) -> tuple[str, ...]:
    one = runs[0]
    diverged = sum(each.outcome == "diverged" for each in runs)
    return (
        one.panel.name,
        one.arm.name,
        f"{len(runs)}" + (f" ({diverged} diverged)" if diverged else ""),
        mean_and_spread([100 * each.last.test_accuracy for each in runs], 1),
        mean_and_spread([100 * each.gap for each in runs], 1),
        _angles(runs, lambda found: found[0]),
        _angles(runs, lambda found: found[-1]),
        mean_and_spread([each.curvature for each in runs], 1),
        f"{min(each.seconds_an_epoch for each in runs) / min(baseline):.1f}" if baseline else "-",
    )


def _angles(runs: Sequence[Entry], pick: Callable[[list[float]], float]) -> str:
    """Return the mean angles of all layers, from the inputs upwards."""
    means = []
    for layer in range(1, runs[0].layers + 1):
        found = [angle for each in runs if math.isfinite(angle := pick(each.angle(layer)[1]))]
        means.append(f"{fmean(found):.0f}" if found else "-")
    return " / ".join(means)


def draw(entries: Sequence[Entry], folder: Path) -> list[str]:
    """Write the figures of every set of images, with their numbers; return their names.

    Args:
        entries: The runs.
        folder: Where to.
    """
    names = []
    for images in dict.fromkeys(each.panel.images for each in entries):
        here = [each for each in entries if each.panel.images == images]
        stem = f"vision_{images.lower().replace(' ', '_')}"
        accuracy = [
            Series(each.panel.net, each.arm.name, each.seed, [each.epoch(one) for one in each.metrics],
                   [one.test_accuracy for one in each.metrics])
            for each in here
        ]  # fmt: skip
        chance = tasks.make("images", **here[0].panel.task_options).chance
        drawn = over_epochs(accuracy, "test accuracy", lines={chance: "chance"}, limits=(0.0, 1.02))
        save(drawn, accuracy, folder / f"{stem}_accuracy", "epochs", "test_accuracy")
        names.append(f"{stem}_accuracy")
        for layers in dict.fromkeys(each.layers for each in here):
            angle = [
                Series(f"{each.panel.net}, layer {layer}", each.arm.name, each.seed, *each.angle(layer))
                for each in here
                if each.layers == layers  # BP too, at zero, so that rules look the same in all figures
                for layer in range(1, layers + 1)
            ]
            names.append(f"{stem}_angle_{layers}_layers")
            drawn = over_epochs(angle, "angle with BP, degrees", columns=layers, lines={90.0: "unrelated"},
                                limits=(0.0, None))  # fmt: skip
            save(drawn, angle, folder / names[-1], "epochs", "angle_degrees")
    return names
