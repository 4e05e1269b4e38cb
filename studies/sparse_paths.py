"""How much of the online adaptation of RTRL a few random recurrent paths keep.

A network repeats an input of some steps ago while its weights change at every step; then the delay grows. The mean
error after that change is compared between RTRL, RTRL over a few recurrent paths (`Paths`) and none of them.

    python -m studies.sparse_paths --out runs/sparse_paths
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from matplotlib.figure import Figure

import tca
from analysis.figures.plots import Series, dots, legend, level, panels, save
from analysis.statistics.intervals import mean, paired_difference
from studies.tables import COMPARED, Table, differences, mean_and_spread, rows_of
from studies.workloads import command, options_of, spread
from tca.eligibilities import Eligibility, Leak, Paths, PopulationJacobian
from tca.losses import MSE
from tca.signals import Direct

__all__ = ["ARMS", "RATES", "Adapted", "Job", "Setting", "drawn", "main", "points", "tables", "work"]

SEEDS, FULL_SEEDS, HELD_OUT = 10, 30, 3
ALL, NONE = "all paths (RTRL)", "no path (e-prop)"
ARMS: dict[str, Callable[[int], Eligibility]] = {
    ALL: lambda seed: PopulationJacobian(),
    "16 inputs of each cell": lambda seed: Paths(16, "inputs", seed),
    "4 inputs of each cell": lambda seed: Paths(4, "inputs", seed),
    "1 input of each cell": lambda seed: Paths(1, "inputs", seed),
    "4 rows of the Jacobian": lambda seed: Paths(4, "rows", seed),
    "4 columns of the Jacobian": lambda seed: Paths(4, "columns", seed),
    NONE: lambda seed: Leak(),
}
RATES = (3e-4, 1e-3, 3e-3)
PUBLISHED = 0.84  # of the adaptation of RTRL, by 4 of 64 paths: Shalev-Merin (2026), arXiv:2603.15195, abstract
SEARCH = 1_000_003  # added to the seeds on which rates are chosen


@dataclass(frozen=True)
class Setting:
    """What all networks have in common.

    Args:
        cells: Number of cells N.
        tau: Time constant in ms, of steps of 10; the leak is on the rate.
        before: Delay of the answer in steps at first.
        after: Delay after the change.
        steps: Steps before the change, and after it.
    """

    cells: int = 64
    tau: float = 5.0
    before: int = 2
    after: int = 4
    steps: int = 1500


@dataclass(frozen=True)
class Job:
    """One network.

    Attributes:
        arm: Name in `ARMS`.
        rate: Learning rate of Adam.
        seed: Seed of weights, inputs and paths.
    """

    arm: str
    rate: float
    seed: int

    def __str__(self) -> str:
        return f"{self.arm}, rate {self.rate:g}, seed {self.seed}"


@dataclass(frozen=True)
class Adapted:
    """The errors of a network.

    Attributes:
        job: The network.
        before: Mean squared error over the last fifth of the steps before the change.
        after: Mean squared error over all steps after it.
        end: Mean squared error over the last fifth of these.
    """

    job: Job
    before: float
    after: float
    end: float


def work(job: Job, setting: Setting) -> Adapted:
    """Train a network online, a change of the weights at every step, and return its errors.

    Args:
        job: The network.
        setting: What networks have in common.
    """
    config = tca.NetworkConfig(size=setting.cells, form="B", tau=setting.tau)
    net = config.build(1, 1, dt=10.0, seed=job.seed)
    stream = tca.Learner(net, tca.Rule(Direct(), ARMS[job.arm](job.seed)), seed=job.seed).stream(1)
    optimizer, loss, weights = torch.optim.Adam(net.parameters(), lr=job.rate), MSE(), torch.ones(1, device="cpu")
    source = torch.Generator("cpu").manual_seed(job.seed)
    inputs = torch.randn(2 * setting.steps, 1, 1, generator=source, device="cpu", dtype=torch.float32).sign()
    errors = []
    for t, shown in enumerate(inputs):
        target = inputs[max(0, t - (setting.before if t < setting.steps else setting.after))]
        errors.append(float((stream.step(shown, target, weights, loss) - target).square()))
        optimizer.step()
        optimizer.zero_grad()
    last = setting.steps // 5
    parts = errors[setting.steps - last : setting.steps], errors[setting.steps :], errors[-last:]
    return Adapted(job, *map(fmean, parts))


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes the tables of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a network.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {"sparse_paths": partial(_errors, rows), "sparse_paths_claims": partial(_claims, rows)}


def _by_seed(rows: Sequence[Mapping[str, str]], arm: str) -> dict[int, float]:
    """Return the mean error after the change of an arm, by seed."""
    return {int(row["seed"]): float(row["after"]) for row in rows if row["arm"] == arm}


def _kept(rows: Sequence[Mapping[str, str]], arm: str) -> dict[int, float]:
    """Return the part of what RTRL gains over no path that an arm gains, by seed."""
    none, every, here = (_by_seed(rows, each) for each in (NONE, ALL, arm))
    return {seed: (none[seed] - here[seed]) / (none[seed] - every[seed]) for seed in here}


def _errors(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return rate, errors and the part of the adaptation that is kept, of every arm."""
    made = []
    for arm in dict.fromkeys(row["arm"] for row in rows):
        here = [row for row in rows if row["arm"] == arm]
        kept = mean(list(_kept(rows, arm).values()))
        errors = [mean_and_spread([float(row[name]) for row in here]) for name in ("before", "after", "end")]
        part = "by definition" if arm in (ALL, NONE) else f"{kept.value:.2f} [{kept.low:.2f}, {kept.high:.2f}]"
        made.append((arm, str(len(here)), here[0]["rate"], *errors, part))
    head = ("credit", "seeds", "rate", "error before", "error after", "at the end", "kept of RTRL's gain [95 %]")
    return Table(head, tuple(made))


def _claims(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return differences of the error after the change from no path and from RTRL."""
    arms = [arm for arm in dict.fromkeys(row["arm"] for row in rows) if arm not in (ALL, NONE)]
    pairs = [(arm, other) for arm in arms for other in (NONE, ALL)]
    found = differences([paired_difference(_by_seed(rows, arm), _by_seed(rows, other)) for arm, other in pairs])
    made = zip((f"{arm} - {other}" for arm, other in pairs), found, strict=True)
    return Table(("error after the change", COMPARED), tuple(made))


def points(rows: Sequence[Mapping[str, str]]) -> list[Series]:
    """Return the error after the change and the part of RTRL's gain that is kept, a point a network.

    Args:
        rows: A row a network.
    """
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    seeds = 1 + max(int(row["seed"]) for row in rows)
    found = []
    for place, arm in enumerate(arms):
        for panel, values in (("error", _by_seed(rows, arm)), ("kept", _kept(rows, arm))):
            for seed, value in values.items():
                found.append(Series(panel, arm, seed, [place + 0.6 * (seed / seeds - 0.5)], [value]))
    return found


def drawn(series: Sequence[Series]) -> Figure:
    """Return errors after the change and what is kept of RTRL's gain, a point a network.

    Args:
        series: What `points` has returned.
    """
    arms = list(dict.fromkeys(each.label for each in series))
    figure, axes = panels(series, "", "", shared=False, columns=2, size=(2.2, 0.3, 3.4, 3.7))
    for panel, each in axes.items():
        dots(each, series, panel)
        each.set_xticks(range(len(arms)), arms, rotation=35, ha="right", rotation_mode="anchor")
        each.set_title("")
        each.set_ylabel("squared error after the change" if panel == "error" else "part of RTRL's gain kept")
    level(axes["kept"], PUBLISHED)
    axes["error"].set_ylim(bottom=0)
    seeds = {each.seed for each in series}
    legend(figure, f"a point a network,\nn = {len(seeds)} of each;\ndotted: published\nfor 4 of 64 paths")
    return figure


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What networks have in common, ``None`` (default) for those of the study.
    """
    question = "How much of the online adaptation of RTRL do a few random recurrent paths keep?"
    parser = command("sparse_paths", question, f"{SEEDS} seeds, half an hour of one core", f"{FULL_SEEDS} seeds")
    options = options_of(parser, words)
    setting = setting or Setting()
    run = partial(work, setting=setting)
    tried = [Job(arm, rate, SEARCH + seed) for arm in ARMS for rate in RATES for seed in range(HELD_OUT)]
    searched = spread(run, tried, options.workers)
    best = {
        arm: min(RATES, key=lambda rate: fmean(each.after for each in searched
                                               if (each.job.arm, each.job.rate) == (arm, rate)))
        for arm in ARMS
    }  # fmt: skip
    seeds = range(FULL_SEEDS if options.full else SEEDS)
    found = spread(run, [Job(arm, best[arm], seed) for arm in ARMS for seed in seeds], options.workers)
    for name, each in (("sparse_paths_rates", searched), ("sparse_paths", found)):
        rows = ((one.job.arm, f"{one.job.rate:g}", str(one.job.seed), *_numbers(one)) for one in each)
        Table(("arm", "rate", "seed", "before", "after", "end"), tuple(rows)).write_csv(options.out / name)
    path = options.out / "sparse_paths.csv"
    series = points(rows_of(path))
    save(drawn(series), series, options.out / "sparse_paths_figure", "credit", "value")
    for table in tables(path).values():
        print(table())
    return 0


def _numbers(one: Adapted) -> tuple[str, ...]:
    return tuple(f"{value:.6g}" for value in (one.before, one.after, one.end))


if __name__ == "__main__":
    sys.exit(main())
