"""Does curvature explain the gap? BPTT at eight step lengths at one training loss, with SAM as the opposite control.

Shorter steps come to rest in sharper places. If sharpness made networks generalize worse, the gap would grow as steps
get shorter; sharpness-aware minimisation, which seeks flat places, would shrink it. Arms are step lengths: the slope of
the gap against the logarithm of the largest eigenvalue is taken over the arms of a seed, and its interval over seeds.

    python -m studies.step_control --out runs/step_control
    python -m studies.step_control --out runs/step_control --data FOLDER    # sequential MNIST by rows
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.plots import Series, curves, legend, logarithmic, looks, panels, save, summary
from analysis.statistics.intervals import mean
from analysis.statistics.rank_correlation import rank_correlation
from studies.claims import Claim, claims
from studies.generalization.gap_measurements import Job, work
from studies.generalization.gap_plan import IMAGES, SETTINGS, Arm, Setting
from studies.generalization.gap_tables import runs_table
from studies.tables import COMPARED, Table, differences, mean_and_spread, rows_of
from studies.workloads import command, options_of, spread
from tca.experiments.config.step_controls import SAM

__all__ = ["IMAGE_LENGTHS", "LENGTHS", "Rows", "jobs", "main", "slopes", "tables"]

SEEDS, FULL_SEEDS = 20, 40
LENGTHS = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)  # times the rate of the setting
IMAGE_LENGTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0)  # short steps take most of the time
RADII: Sequence[float] = (0.05, 0.1)
IMAGE_RADII, IMAGE_UPHILL = RADII[:1], 5  # a larger radius takes more updates than all else, and this one most
STEP, UPHILL = "BPTT, step x ", "BPTT, uphill "
BASE = f"{STEP}1"
LOSS, IMAGE_LOSS = 0.1, 0.2
GAPS = {"clean gap": "test_gap", "noisy gap": "noisy_gap"}
DECAY = 1e-2  # of the authors' recipe for images
Rows = Sequence[Mapping[str, str]]
Numbers = dict[str, dict[int, float]]  # by arm and seed


def jobs(
    setting: Setting,
    seeds: int,
    folder: Path,
    lengths: Sequence[float] = LENGTHS,
    radii: Sequence[float] = RADII,
    uphill: int | None = None,
) -> list[Job]:
    """Return all runs, seed by seed; shorter steps may take proportionally more updates to reach the loss.

    Args:
        setting: Task, network and rate; runs are compared at the first of its losses.
        seeds: How many seeds.
        folder: Where records are kept.
        lengths: Lengths of the steps, times the rate of the setting; default eight from .1 to 2.
        radii: Radii of sharpness-aware minimisation at the rate of the setting, default .05 and .1.
        uphill: How many seeds train with it, ``None`` (default) for all.
    """
    arms = [Arm(f"{STEP}{length:g}", "bptt", lr=length) for length in lengths]
    arms += [Arm(f"{UPHILL}{radius:g}", "bptt", sam=SAM(radius)) for radius in radii]
    made = []
    for seed in range(seeds):
        for arm in arms if uphill is None or seed < uphill else arms[: len(lengths)]:
            steps = math.ceil(setting.steps / min(1.0, arm.lr))
            run = replace(setting.run(arm, seed), steps=steps, callbacks=())
            made.append(Job(setting, arm, run, folder))
    return made


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a run.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    made = {"arms": _arms, "claims": _claims, "slopes": _slopes}
    return {f"{path.stem}_{name}": partial(make, rows) for name, make in made.items()}


def _lengths(arms: Iterable[str]) -> dict[str, float]:
    """Return the arms of which only the length of the step differs, shortest first, with that length."""
    found = {arm: float(arm.removeprefix(STEP)) for arm in arms if arm.startswith(STEP)}
    return dict(sorted(found.items(), key=lambda each: each[1]))


def _uphill(arms: Iterable[str]) -> list[str]:
    return [arm for arm in arms if arm.startswith(UPHILL)]


def _numbers(rows: Rows, name: str) -> Numbers:
    """Return a number of every run by arm and seed, NaN where it did not reach the loss."""
    found: Numbers = {}
    for row in rows:
        found.setdefault(row["arm"], {})[int(row["seed"])] = float(row[name]) if row.get(name) else math.nan
    return found


def _arms(rows: Rows) -> Table:
    names = {"updates": "step", "log₁₀ λ₁": "log_lambda_1", "smallest": "lambda_min", **GAPS}
    columns = {heading: _numbers(rows, name) for heading, name in names.items()}
    made = []
    for arm, updates in columns["updates"].items():
        reached = sum(math.isfinite(each) for each in updates.values())
        cells = (mean_and_spread(list(column[arm].values()), 0 if heading == "updates" else 3)
                 for heading, column in columns.items())  # fmt: skip
        made.append((arm, str(len(updates)), f"{reached}/{len(updates)}", *cells))
    return Table(("arm", "seeds", "reached", *columns), tuple(made))


def _claims(rows: Rows) -> Table:
    """Return whether curvature differs between the ends and under SAM, and whether the gaps do."""
    stated = []
    for heading, name in {"log₁₀ λ₁": "log_lambda_1", **GAPS}.items():
        found = _numbers(rows, name)
        shortest, *_, longest = _lengths(found)
        pairs = [(shortest, longest), (shortest, BASE), *((BASE, arm) for arm in _uphill(found))]
        stated += [Claim(f"{heading}: {first} above {second}", found[first], found[second]) for first, second in pairs]
    return claims(stated)


def slopes(sharpness: Numbers, gap: Numbers) -> dict[int, float]:
    """Return the slope of a gap against the logarithm of the curvature over the step lengths of every seed.

    Args:
        sharpness: Logarithm of the largest eigenvalue, by arm and seed.
        gap: The gap.

    >>> arms = [f"BPTT, step x {length}" for length in (0.5, 1, 2)]
    >>> sharp = {arm: {0: float(place)} for place, arm in enumerate(arms)}
    >>> slopes(sharp, {arm: {0: 0.5 * place} for place, arm in enumerate(arms)})
    {0: 0.5}
    """
    found, arms = {}, _lengths(sharpness)
    for seed in sharpness[BASE]:
        points = [(sharpness[arm].get(seed, math.nan), gap[arm].get(seed, math.nan)) for arm in arms]
        kept = np.array([each for each in points if all(map(math.isfinite, each))])
        if len(kept) > 2 and np.ptp(kept[:, 0]) > 0:
            found[seed] = round(float(np.polyfit(kept[:, 0], kept[:, 1], 1)[0]), 12)
    return found


def _slopes(rows: Rows) -> Table:
    """Return how much every gap changes when the curvature grows tenfold, and the rank correlation over arms."""
    sharpness = _numbers(rows, "log_lambda_1")
    gaps = {heading: _numbers(rows, name) for heading, name in GAPS.items()}
    found = {heading: slopes(sharpness, gap) for heading, gap in gaps.items()}
    texts = differences([mean(list(each.values())) for each in found.values()])
    made = []
    for (heading, each), text in zip(found.items(), texts, strict=True):
        runs = [(arm, seed) for arm in _lengths(sharpness) for seed in sharpness[arm]]
        x, y = ([values[arm][seed] for arm, seed in runs] for values in (sharpness, gaps[heading]))
        correlation = rank_correlation(x, y, [seed for _, seed in runs], [arm for arm, _ in runs])
        made.append((heading, str(len(each)), text, str(correlation)))
    head = ("gap", "seeds", f"slope a decade of λ₁, {COMPARED}", "rank correlation over arms and seeds")
    return Table(head, tuple(made))


def draw(rows: Rows, path: Path) -> None:
    """Write curvature and gaps against the length of the step, with their numbers.

    Args:
        rows: The runs.
        path: Where to, without a suffix.
    """
    series = []
    for heading, name in {"largest eigenvalue": "lambda_1", **GAPS}.items():
        found = _numbers(rows, name)
        for label, arms in {"BPTT": _lengths(found), **{arm: {arm: 1.0} for arm in _uphill(found)}}.items():
            for seed in found[BASE]:
                points = [(length, found[arm].get(seed, math.nan)) for arm, length in arms.items()]
                kept = [point for point in points if math.isfinite(point[1])]
                if kept:
                    series.append(Series(heading, label, seed, [x for x, _ in kept], [y for _, y in kept]))
    save(over_lengths(series), series, path, "step_length", "value")


def over_lengths(series: Sequence[Series]) -> Figure:
    """Return curvature and gaps against the length of the step, a panel each.

    Args:
        series: Step lengths (x) and values (y) of every run.
    """
    figure, axes = panels(series, "length of the step, times that of the setting", "", shared=False)
    for name, each in axes.items():
        curves(each, series, name, markers=True)
        here = [one for one in series if one.panel == name]
        for arm in _uphill(looks(series)):  # a band over one position has no width
            found = [y for one in here if one.label == arm for y in one.y]
            if len(found) > 1:
                each.errorbar(1.0, float(np.mean(found)), float(np.std(found, ddof=1)), capsize=3, linewidth=1,
                              color=looks(series)[arm].colour)  # fmt: skip
        logarithmic(each, "x", [x for one in here for x in one.x])
        if name == "largest eigenvalue":
            logarithmic(each, "y", [y for one in here for y in one.y])
    legend(figure, summary(series))
    return figure


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: Task, network and rate, ``None`` (default) for those of the study.
    """
    question = "Does curvature explain the generalization gap of BPTT when only the length of its steps differs?"
    parser = command("step_control", question, f"digits by rows, {SEEDS} seeds", f"{FULL_SEEDS} seeds")
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}, or {FULL_SEEDS} with --full; "
                        f"of MNIST {IMAGE_UPHILL} with SAM")  # fmt: skip
    parser.add_argument("--data", type=Path, help="folder of image data: sequential MNIST by rows instead of digits")
    options = options_of(parser, words)
    chosen = setting or replace(SETTINGS["digits"], losses=(LOSS,))
    lengths, radii, uphill = LENGTHS, RADII, None
    if options.data is not None:
        os.environ["TCA_DATA"] = str(options.data)  # where the task looks, here and in worker processes
        chosen = replace(IMAGES, name="mnist", losses=(IMAGE_LOSS,), decay=DECAY, task_options={"name": "mnist"})
        lengths, radii, uphill = IMAGE_LENGTHS, IMAGE_RADII, IMAGE_UPHILL
    seeds = options.seeds or (SEEDS, FULL_SEEDS)[options.full]
    entries = spread(work, jobs(chosen, seeds, options.out / "runs", lengths, radii, uphill), options.workers)
    path = options.out / f"step_control_{chosen.name}"
    runs_table(entries).write_csv(path)
    for name, table in tables(path.with_suffix(".csv")).items():
        table().write(options.out / name)
        print(f"{table()}\n")
    draw(rows_of(path.with_suffix(".csv")), options.out / f"{path.name}_figure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
