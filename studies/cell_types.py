"""Do errors that return by cell type lie between e-prop and the true gradient in what they teach?

Delayed exclusive or and evidence accumulation, networks of rectified cells of which 80 % are excitatory, trained with
backpropagation through time, MDGL, e-prop and ModProp: with all synapses, with a tenth of them, where a cell has errors
of some cells only, and close to how the authors of ModProp trained. The published order is
BPTT > MDGL > e-prop.

    python -m studies.cell_types --out runs/cell_types
    python -m studies.cell_types --out runs/cell_types --cases sparse

By default the *shortened version* is run: every period lasts as many ms as published, a step 10 or 25 ms instead of 1,
and fewer updates are made. Where a case has several learning rates, each rule gets the one at which it did best on
seeds that are not reported, after half of the updates. ``--full`` runs the published sizes, on the library's own
versions of the tasks and, where the paper has spiking cells, on rate cells.

Papers: Liu, Smith, Mihalas, Shea-Brown and Sümbül (2021), PNAS 118:e2111821118 (evidence accumulation, spiking cells);
the same (2022), NeurIPS, arXiv:2206.01338 (delayed exclusive or, rate cells).
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch

from analysis.figures.curve_figures import learning_curves
from analysis.figures.plots import Series, save
from analysis.statistics.intervals import Estimate, paired_difference
from studies.cell_type_cases import CASES, Case, Published
from studies.cell_type_runs import LAST, runs_of
from studies.every_rule import seeded
from studies.solved import save_solved
from studies.tables import COMPARED, Table, differences, mean_and_spread
from studies.workloads import Learned, command, learn, options_of
from tca.experiments.config.run import Run
from tca.learner import Learner
from tca.rules import RULES
from tca.utils.checks import whole

__all__ = ["at_the_start", "chosen", "main", "order", "table"]

TUNED = (1000,)  # seeds on which rates are chosen
EXPECTED = ("bptt", "mdgl", "eprop")
BASELINE = "eprop"
LEARNT = 0.9
START = 64  # trials on which a rule is looked at before training
SEEDS, FULL_SEEDS = 5, 5
HEAD = (
    "rule",
    "rate",
    "accuracy",
    "loss",
    "cells reached, cosine with BPTT",
    "updates to 90 %, median (runs)",
    f"accuracy over training, minus e-prop, {COMPARED}",
    "authors: accuracy",
    "authors: loss",
)


def _at(run: Run, rate: float) -> Run:
    return replace(run, optimizer=replace(run.optimizer, lr=rate))


def chosen(case: Case, folder: Path, workers: int) -> dict[str, float]:
    """Return the learning rate of every rule: the best by mean accuracy over half of the updates, on other seeds.

    Args:
        case: The task.
        folder: Where the records are kept.
        workers: Processes that train at the same time.
    """
    if not case.rates:
        return dict.fromkeys(case.rules, case.short.optimizer.lr)
    short = replace(case.short, steps=case.short.steps // 2)
    tried = [(rule, rate) for rule in case.rules for rate in case.rates]
    runs = [seeded(replace(_at(short, rate), rule=rule), seed) for rule, rate in tried for seed in TUNED]
    scores: dict[tuple[str, float], float] = dict.fromkeys(tried, 0.0)
    for one in learn(runs, folder, workers):
        scores[str(one.run.rule), one.run.optimizer.lr] += _over_training(one)
    return {rule: max(case.rates, key=lambda rate: scores[rule, rate]) for rule in case.rules}


def _end(one: Learned, name: str) -> float:
    """Return the mean of the last measurements; NaN if one of them is."""
    return statistics.fmean(getattr(each, name) for each in one.metrics[-LAST:])


def _over_training(one: Learned) -> float:
    """Return the mean accuracy over training: high for what learns early."""
    return statistics.fmean(each.test_accuracy for each in one.metrics)


def _learnt(one: Learned) -> float:
    """Return the updates after which the accuracy stays at 90 % in the mean of three measurements; NaN if never."""
    scores = [each.test_accuracy for each in one.metrics]
    for place in range(len(scores) - 2):
        if statistics.fmean(scores[place : place + 3]) >= LEARNT:
            return one.metrics[place].step
    return math.nan


def table(case: Case, learned: Sequence[Learned]) -> Table:
    """Return the table of a task: what each rule reaches, how soon, and what the authors found.

    Args:
        case: The task.
        learned: The runs.
    """
    groups = _groups(learned)
    rows = []
    texts = differences([None if rule == BASELINE else _between(groups, rule, BASELINE) for rule in groups])
    for (rule, members), compared in zip(groups.items(), texts, strict=True):
        authors = case.authors.get(rule, Published("", ""))
        soon = [value for one in members if math.isfinite(value := _learnt(one))]
        rows.append(
            (
                rule,
                f"{members[0].run.optimizer.lr:g}",
                mean_and_spread([_end(one, "test_accuracy") for one in members]),
                mean_and_spread([_end(one, "test_loss") for one in members]),
                _told([each.run for each in members]),
                f"{statistics.median(soon):.0f} ({len(soon)} of {len(members)})" if soon else f"0 of {len(members)}",
                compared,
                authors.accuracy,
                authors.loss,
            )
        )
    return Table(HEAD, tuple(rows))


def at_the_start(run: Run) -> tuple[float, float]:
    """Return the share of cells with a learning signal, and the cosine of its recurrent gradient with that of BPTT.

    Both at the initial weights, over trials to train on. A cell without a signal keeps its synapses as they are.

    Args:
        run: The run, whose network is drawn anew.
    """
    task = run.make_task()
    batch = task.split(START, 1, seed=run.seeds.data)[0].batch()
    net = run.net.build(task.n_in, task.n_out, dt=task.dt, seed=run.seeds.net)
    own, true = (Learner(net, rule, seed=run.seeds.rule).grads(batch)[0] for rule in (run.the_rule, RULES["bptt"]))
    learning_signal = float((own["w_in"] != 0).any(1).double().mean())
    return learning_signal, float(torch.cosine_similarity(own["w_rec"].flatten(), true["w_rec"].flatten(), dim=0))


def _told(runs: Sequence[Run]) -> str:
    shares, cosines = zip(*map(at_the_start, runs), strict=True)
    return f"{statistics.fmean(shares):.2f}, {statistics.fmean(cosines):.2f}"


def _groups(learned: Sequence[Learned]) -> dict[str, list[Learned]]:
    groups: dict[str, list[Learned]] = {}
    for one in learned:
        groups.setdefault(str(one.run.rule), []).append(one)
    return groups


def _between(groups: Mapping[str, Sequence[Learned]], rule: str, other: str) -> Estimate:
    one, two = ({each.run.seeds.net: _over_training(each) for each in groups[name]} for name in (rule, other))
    return paired_difference(one, two)


def order(learned: Sequence[Learned]) -> str:
    """Return the rules from best to worst by mean accuracy over training, then both steps of the published order.

    Args:
        learned: The runs.
    """
    groups = _groups(learned)
    means = {rule: statistics.fmean(map(_over_training, members)) for rule, members in groups.items()}
    found = " > ".join(f"{rule} {means[rule]:.3f}" for rule in sorted(means, key=lambda rule: -means[rule]))
    pairs = list(pairwise(EXPECTED))
    texts = differences([_between(groups, one, other) for one, other in pairs])
    steps = [f"{one} minus {other} {text}" for (one, other), text in zip(pairs, texts, strict=True)]
    return "\n".join([f"{found}; published: {' > '.join(EXPECTED)}", *steps])


def _panel(case: Case, run: Run) -> str:
    return f"{case.name}, T = {run.make_task().split(1, 1, seed=0)[0].steps}"


def main(words: Sequence[str] | None = None, cases: Sequence[Case] = CASES) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        cases: The tasks.
    """
    parser = command(
        "cell_types",
        "Do errors that return by cell type teach more than e-prop?",
        f"the shortened version, steps of 10 or 25 ms, {SEEDS} seeds",
        f"the published sizes, steps of 1 ms, {FULL_SEEDS} seeds",
    )
    keys = [case.key for case in cases]
    parser.add_argument("--cases", nargs="+", choices=keys, default=keys, metavar="CASE", help=f"of {', '.join(keys)}")
    parser.add_argument("--seeds", type=int, help="so many seeds instead")
    options = options_of(parser, words)
    for case in (each for each in cases if each.key in options.cases):
        base, usual = (case.published, FULL_SEEDS) if options.full else (case.short, SEEDS)
        seeds = usual if options.seeds is None else whole("--seeds", options.seeds, 1)
        folder = options.out / "runs"
        rates = {} if options.full else chosen(case, folder, options.workers)
        own = [_at(replace(base, rule=rule), rates.get(rule, base.optimizer.lr)) for rule in case.rules]
        learned = learn([seeded(run, seed) for seed in range(seeds) for run in own], folder, options.workers)
        panel = _panel(case, base)
        print(f"{panel}, {'published sizes' if options.full else 'shortened version'}\n\n{table(case, learned)}\n")
        print(f"by accuracy over training: {order(learned)}\n")
        name = f"cell_types_{case.key}"
        table(case, learned).write(options.out / name)
        chance = {panel: base.make_task().chance}
        runs_of(learned, chance[panel]).write_csv(options.out / f"{name}_runs")
        series = [
            Series(
                panel, rule, one.run.seeds.net, [m.step for m in one.metrics], [m.test_accuracy for m in one.metrics]
            )
            for rule, members in _groups(learned).items()
            for one in members
        ]
        save(
            learning_curves(series, chance=chance), series, options.out / f"{name}_learning", "updates", "test_accuracy"
        )
        save_solved(series, chance, options.out / f"{name}_solved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
