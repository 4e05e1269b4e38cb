"""Do errors that return by cell type lie between e-prop and the true gradient in what they teach?

Delayed exclusive or and evidence accumulation, networks of rectified cells of which 80 % are excitatory, trained with
backpropagation through time, MDGL, e-prop and ModProp. The published order is BPTT > MDGL > e-prop.

    python -m analysis.studies.cell_types --out runs/cell_types

By default the *shortened version* is run: every period lasts as many ms as published, a step 25 ms instead of 1, and
fewer updates are made. ``--full`` runs the published sizes, on the library's own versions of the tasks and, where the
paper has spiking cells, on rate cells.

Papers: Liu, Smith, Mihalas, Shea-Brown and Sümbül (2021), PNAS 118:e2111821118 (evidence accumulation, spiking cells);
the same (2022), NeurIPS, arXiv:2206.01338 (delayed exclusive or, rate cells).
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.figures.drawing import Series, save
from analysis.figures.learning_curves import learning_curves
from analysis.statistics import paired_difference
from analysis.studies.every_rule import seeded
from analysis.studies.tables import Table, difference, mean_and_spread
from analysis.studies.work import Learned, command, learn, options_of
from tca.ingredients import Leaky, Optimizer
from tca.run import Run

__all__ = ["CASES", "COMPARED", "Case", "main", "order", "table"]

COMPARED = ("bptt", "mdgl", "eprop", "modprop")
EXPECTED = "bptt > mdgl > eprop"
BASELINE = "eprop"
LAST = 10  # measurements over which the end of training is averaged, as published
LEARNT = 0.9
SEEDS, FULL_SEEDS = 5, 5
HEAD = (
    "rule",
    "accuracy",
    "loss",
    "updates to 90 %, median (runs)",
    "accuracy over training, minus e-prop, ± s.e.m. [95 %]",
    "authors: accuracy",
    "authors: loss",
)


@dataclass(frozen=True)
class Published:
    """What a paper's authors found, mean and standard deviation over their runs.

    Attributes:
        accuracy: Mean of the last ten evaluations.
        loss: The same of the loss.
    """

    accuracy: str
    loss: str


@dataclass(frozen=True)
class Case:
    """A task with its two configurations.

    Attributes:
        name: What the task is called.
        published: The sizes of the paper.
        short: The shortened version.
        authors: What the authors found by rule, in their own network.
    """

    name: str
    published: Run
    short: Run
    authors: Mapping[str, Published]


def _cells(size: int, tau: float) -> Leaky:
    return Leaky(size=size, activation="relu", tau=tau, autapses=False, types=(0.8, 0.2), dale=(1, -1))


XOR = {"pulse": 100.0, "delay": 700.0, "wait": 0.0, "decision": 100.0}
XOR_PUBLISHED = Run(
    "delayed_xor",
    task_options={"dt": 1.0, **XOR},
    net=_cells(120, 100.0),
    optimizer=Optimizer(lr=5e-4, options={"weight_decay": 5e-4}),
    batch_size=32,
    steps=3000,
    fresh=True,
    n_train=200,
    n_test=500,
    evaluate_every=20,
)
EVIDENCE = {"cues": 7, "cue": 100.0, "gap": 50.0, "delay": 800.0, "decision": 150.0}
EVIDENCE_PUBLISHED = Run(
    "evidence_accumulation",
    task_options={"dt": 1.0, **EVIDENCE},
    net=_cells(100, 200.0),
    optimizer=Optimizer(lr=2.5e-3),
    batch_size=64,
    steps=2000,
    fresh=True,
    n_train=200,
    n_test=500,
    evaluate_every=20,
)
CASES = (
    Case(
        "delayed exclusive or",
        XOR_PUBLISHED,
        replace(XOR_PUBLISHED, task_options={"dt": 25.0, **XOR}, steps=800),
        {"modprop": Published("1.000", "0.014 to 0.018")},
    ),
    Case(
        "evidence accumulation",
        EVIDENCE_PUBLISHED,
        replace(EVIDENCE_PUBLISHED, task_options={"dt": 25.0, **EVIDENCE}, optimizer=Optimizer(lr=1e-3), steps=500),
        {
            "bptt": Published("0.979 ± 0.004", "0.083 ± 0.011"),
            "mdgl": Published("0.902 ± 0.014", "0.243 ± 0.022"),
            "eprop": Published("0.753 ± 0.095", "0.489 ± 0.099"),
        },
    ),
)


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
    for rule, members in groups.items():
        authors = case.authors.get(rule, Published("", ""))
        soon = [value for one in members if math.isfinite(value := _learnt(one))]
        rows.append(
            (
                rule,
                mean_and_spread([_end(one, "test_accuracy") for one in members]),
                mean_and_spread([_end(one, "test_loss") for one in members]),
                f"{statistics.median(soon):.0f} ({len(soon)} of {len(members)})" if soon else f"0 of {len(members)}",
                _against_baseline(groups, rule),
                authors.accuracy,
                authors.loss,
            )
        )
    return Table(HEAD, tuple(rows))


def _groups(learned: Sequence[Learned]) -> dict[str, list[Learned]]:
    groups: dict[str, list[Learned]] = {}
    for one in learned:
        groups.setdefault(str(one.run.rule), []).append(one)
    return groups


def _against_baseline(groups: Mapping[str, Sequence[Learned]], rule: str) -> str:
    if rule == BASELINE:
        return ""
    one, other = ({each.run.seeds.net: _over_training(each) for each in groups[name]} for name in (rule, BASELINE))
    return difference(paired_difference(one, other))


def order(learned: Sequence[Learned]) -> str:
    """Return the rules from best to worst by mean accuracy over training, as one line.

    Args:
        learned: The runs.
    """
    means = {rule: statistics.fmean(map(_over_training, members)) for rule, members in _groups(learned).items()}
    return " > ".join(f"{rule} {means[rule]:.3f}" for rule in sorted(means, key=lambda rule: -means[rule]))


def _panel(case: Case, run: Run) -> str:
    task = run.make_task()
    steps = task.split(1, 1, seed=0)[0].steps
    return f"{case.name} (T = {steps}, N = {run.net.size})"


def main(words: Sequence[str] | None = None, cases: Sequence[Case] = CASES) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        cases: The tasks.
    """
    options = options_of(
        command(
            "cell_types",
            "Do errors that return by cell type teach more than e-prop?",
            f"the shortened version, steps of 25 ms, {SEEDS} seeds",
            f"the published sizes, steps of 1 ms, {FULL_SEEDS} seeds",
        ),
        words,
    )
    series = []
    chance = {}
    for case in cases:
        base, seeds = (case.published, FULL_SEEDS) if options.full else (case.short, SEEDS)
        runs = [seeded(replace(base, rule=rule), seed) for seed in range(seeds) for rule in COMPARED]
        learned = learn(runs, options.out / "runs", options.workers)
        panel = _panel(case, base)
        chance[panel] = base.make_task().chance
        print(f"{panel}, {'published sizes' if options.full else 'shortened version'}\n\n{table(case, learned)}\n")
        print(f"by accuracy over training: {order(learned)}; published: {EXPECTED}\n")
        table(case, learned).write(options.out / f"cell_types_{base.task}")
        series += [
            Series(
                panel, rule, one.run.seeds.net, [m.step for m in one.metrics], [m.test_accuracy for m in one.metrics]
            )
            for rule, members in _groups(learned).items()
            for one in members
        ]
    save(learning_curves(series, chance=chance), series, options.out / "cell_types", "updates", "test_accuracy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
