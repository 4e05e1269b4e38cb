"""How well does every rule point along the true gradient as it learns, parameter by parameter, and what does it drop?

Every rule of recurrent networks trains the same network on the same trials (see `studies.every_rule`) and is
compared at each measurement with backpropagation through time: on its own way, with its feedback as it has become, and
on the way of backpropagation, where all rules see the same networks and feedback is what a learner would begin with.

    python -m studies.alignment_study --out runs/alignment
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from analysis.figures.curve_figures import alignment_by_parameter
from analysis.figures.plots import Series, save
from studies.every_rule import ALIGNED, COMMON, FULL, SEEDS, observe_all, observe_own, seeded
from studies.tables import Table, mean_and_spread
from studies.workloads import Learned, command, learn, options_of
from tca.experiments.config.run import Run

__all__ = ["OWN", "SHARED", "drawn", "main", "study", "table"]

OWN, SHARED = "own way", "way of BPTT"
DROPPED = "dropped"
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
            f"{OWN}: accuracy",
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


def table(found: Sequence[Series]) -> Table:
    """Return the table: means over training, mean and standard deviation over seeds.

    Args:
        found: What `study` has returned.
    """
    columns = {
        "cosine, w_rec": f"{OWN}: cosine/w_rec",
        "w_in": f"{OWN}: cosine/w_in",
        "b": f"{OWN}: cosine/b",
        "norm ratio, w_rec": f"{OWN}: ratio/w_rec",
        "dropped": f"{OWN}: {DROPPED}",
        "cosine, w_rec, way of BPTT": f"{SHARED}: cosine/w_rec",
        "dropped, way of BPTT": f"{SHARED}: {DROPPED}",
    }
    rules = list(dict.fromkeys(each.panel for each in found))
    rows = [
        (
            rule,
            *(mean_and_spread(_over_training(found, rule, label), 2) for label in columns.values()),
            mean_and_spread([fmean(each.y[-LAST:]) for each in _of(found, rule, f"{OWN}: accuracy")], 2),
        )
        for rule in rules
    ]
    return Table(("rule", *columns, "accuracy at the end"), tuple(rows))


def _of(found: Sequence[Series], rule: str, label: str) -> list[Series]:
    return [each for each in found if (each.panel, each.label) == (rule, label)]


def _over_training(found: Sequence[Series], rule: str, label: str) -> list[float]:
    """Return the mean over training for every seed, over the measurements that are finite."""
    kept = ([y for y in each.y if math.isfinite(y)] for each in _of(found, rule, label))
    return [sum(ys) / len(ys) for ys in kept if ys]


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
    print(table(found))
    table(found).write(options.out / "alignment_table")
    figure = alignment_by_parameter(drawn(found), "cosine with BPTT, or part of the signal")
    save(figure, found, options.out / "alignment", "updates", "value")
    return 0


if __name__ == "__main__":
    sys.exit(main())
