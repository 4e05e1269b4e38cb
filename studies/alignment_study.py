"""How well does every rule point along the true gradient as it learns, parameter by parameter, and what does it drop?

Every rule of recurrent networks trains the same network on the same trials (see `studies.every_rule`) and is
compared at each measurement with backpropagation through time: on its own way, with its feedback as it has become, and
on the way of backpropagation, where all rules see the same networks and feedback is what a learner would begin with.

    python -m studies.alignment_study --out runs/alignment
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from analysis.figures.plots import Series, save
from analysis.statistics.rank_correlation import rank_correlation
from studies.every_rule import ALIGNED, COMMON, FULL, SEEDS, observe_all, observe_own, seeded
from studies.study_figures import alignment_by_parameter
from studies.tables import Table, mean_and_spread, rows_of
from studies.workloads import Learned, command, learn, options_of
from tca.experiments.config.run import Run

__all__ = ["OWN", "SHARED", "drawn", "figure", "main", "runs_table", "study", "tables"]

OWN, SHARED = "own way", "way of BPTT"
DROPPED = "dropped"
ACCURACY = f"{OWN}: accuracy"
COLUMNS = {
    "cosine, w_rec": f"{OWN}: cosine/w_rec",
    "w_in": f"{OWN}: cosine/w_in",
    "b": f"{OWN}: cosine/b",
    "norm ratio, w_rec": f"{OWN}: ratio/w_rec",
    "dropped": f"{OWN}: {DROPPED}",
    "cosine, w_rec, way of BPTT": f"{SHARED}: cosine/w_rec",
    "dropped, way of BPTT": f"{SHARED}: {DROPPED}",
}
TRAINING, END = "accuracy over training", "accuracy at the end"
LAST = 5  # measurements over which the end of training is averaged
LINES = {f"{OWN}: cosine/{name}": f"cosine, {name}" for name in ("w_rec", "w_in", "b")}


def study(base: Run, rules: Sequence[str], seeds: int, folder: Path, workers: int) -> list[Series]:
    """Train every rule and return what was measured.

    Args:
        base: The run that rules have in common.
        rules: Names of the rules.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.

    Returns:
        Series whose panel is the rule and whose label is the way and what was measured, for example
        ``"own way: cosine/w_rec"``.
    """
    every = range(seeds)
    own = learn([seeded(base.with_rule(rule), seed) for seed in every for rule in rules], folder / "own", workers,
                observe_own)  # fmt: skip
    forms = dict.fromkeys(base.with_rule(rule).net.form for rule in rules)
    exact = [replace(base, rule="bptt", net=base.net.in_form(form)) for form in forms]
    shared = learn([seeded(run, seed) for run in exact for seed in every], folder / "shared", workers, observe_all)
    return [*_own(own), *(each for rule in rules for each in _shared(shared, rule, base.with_rule(rule).net.form))]


def _own(learned: Sequence[Learned]) -> Iterator[Series]:
    for one in learned:
        for name in one.metrics[0].observed:
            yield _series(one, str(one.run.rule), OWN, name, name)
        yield Series(
            str(one.run.rule),
            ACCURACY,
            one.run.seeds.net,
            [each.step for each in one.metrics],
            [each.test_accuracy for each in one.metrics],
        )


def _shared(learned: Sequence[Learned], rule: str, form: str) -> Iterator[Series]:
    for one in learned:
        if one.run.net.form == form:
            for name in one.metrics[0].observed:
                if name.startswith(f"{rule}/"):
                    yield _series(one, rule, SHARED, name, name.removeprefix(f"{rule}/"))


def _series(one: Learned, rule: str, way: str, key: str, name: str) -> Series:
    steps, numbers = [each.step for each in one.metrics], [each.observed[key] for each in one.metrics]
    return Series(rule, f"{way}: {name}", one.run.seeds.net, steps, numbers)


def drawn(found: Sequence[Series]) -> list[Series]:
    """Return what the figure shows: cosines on a rule's own way, and the part of the exact signal that it drops.

    Args:
        found: What `study` has returned.
    """
    lines = {**LINES, f"{OWN}: {DROPPED}": "dropped part of the signal"}
    return [replace(each, label=label) for name, label in lines.items() for each in found if each.label == name]


def figure(series: Sequence[Series]) -> Figure:
    """Return cosines and the dropped part over training, a panel a rule.

    Args:
        series: What `drawn` has returned.
    """
    return alignment_by_parameter(series, "cosine with BPTT, or part of the signal")


def runs_table(found: Sequence[Series]) -> Table:
    """Return a row a run: means over training, the accuracy over training and at its end; empty where there is none.

    Args:
        found: What `study` has returned.
    """
    runs = dict.fromkeys((each.panel, each.seed) for each in found)
    known = {(each.panel, each.seed, each.label): each.y for each in found}
    made = []
    for rule, seed in runs:
        means = [_mean(known.get((rule, seed, label), ())) for label in COLUMNS.values()]
        accuracy = known[rule, seed, ACCURACY]
        made.append((rule, str(seed), *map(_text, [*means, fmean(accuracy), fmean(accuracy[-LAST:])])))
    return Table(("rule", "seed", *COLUMNS, TRAINING, END), tuple(made))


def _mean(values: Sequence[float]) -> float:
    """Return the mean over the measurements that are finite, NaN without any."""
    kept = [value for value in values if math.isfinite(value)]
    return fmean(kept) if kept else math.nan


def _text(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a run.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {"alignment": partial(_by_rule, rows), "alignment_learning": partial(_learning, rows)}


def _by_rule(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return mean and standard deviation over seeds of every rule."""
    made = []
    for rule in dict.fromkeys(row["rule"] for row in rows):
        mine = [row for row in rows if row["rule"] == rule]
        cells = (mean_and_spread([float(row[name] or math.nan) for row in mine], 2) for name in (*COLUMNS, END))
        made.append((rule, str(len(mine)), *cells))
    return Table(("rule", "seeds", *COLUMNS, END), tuple(made))


def _learning(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return whether rules that point nearer to the gradient learn sooner: rank correlations over rules and seeds."""
    made = []
    for name in COLUMNS:
        x, y = ([float(row[each] or math.nan) for row in rows] for each in (name, TRAINING))
        seeds, rules = [row["seed"] for row in rows], [row["rule"] for row in rows]
        made.append((name, str(rank_correlation(x, y, seeds, rules))))
    return Table(("mean over training", f"rank correlation with the {TRAINING}"), tuple(made))


def main(words: Sequence[str] | None = None, base: Run | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        base: The run that rules have in common, ``None`` (default) for that of the study.
    """
    parser = command(
        "alignment",
        "How well does every rule point along the true gradient as it learns?",
        f"{COMMON.net.size} cells, {COMMON.steps} updates, {SEEDS} seeds",
        f"{FULL.net.size} cells, {FULL.steps} updates, {2 * SEEDS} seeds",
    )
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}, or {2 * SEEDS} with --full")
    parser.add_argument("--rules", nargs="+", choices=ALIGNED, default=ALIGNED, metavar="RULE",
                        help=f"some of {', '.join(ALIGNED)}, default all")  # fmt: skip
    options = options_of(parser, words)
    chosen, seeds = (FULL, 2 * SEEDS) if options.full else (COMMON, SEEDS)
    found = study(base or chosen, options.rules, options.seeds or seeds, options.out / "runs", options.workers)
    path = options.out / "alignment_runs"
    runs_table(found).write_csv(path)
    for table in tables(path.with_suffix(".csv")).values():
        print(f"{table()}\n")
    series = drawn(found)
    save(figure(series), series, options.out / "alignment", "updates", "value")
    return 0


if __name__ == "__main__":
    sys.exit(main())
