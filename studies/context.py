"""How many updates more does e-prop need than BPTT to integrate in context, in the published setting?

All 72 trials without noise, in the published inputs, are in every update; what counts is the cross-entropy over all
steps. Networks of both rules begin with the same weights.

    python -m studies.context --out runs/context

Paper: Liu, Yang and Cueva (2025), arXiv:2506.06904; inputs, sizes and the updates of its authors are from their public
code and result files.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from matplotlib.figure import Figure
from torch.nn import functional

import tca
from analysis.figures.plots import Series, counted, legend, level, logarithmic, looks, panels, save
from analysis.figures.series import by_label
from studies.claims import Claim, claims
from studies.tables import Table, mean_and_spread, rows_of
from studies.workloads import Learned, command, learn, options_of
from tasks.native.context_integration import ContextIntegration
from tca.batch import Batch
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics

__all__ = ["BASE", "PublishedTrials", "drawn", "main", "tables"]

SEEDS, FULL_SEEDS = 10, 30
RULES = {"BPTT": "bptt", "e-prop": "eprop"}
ERRORS = (1.0, 0.5, 0.2, 0.1)
CONDITIONS = 72
# Updates to a total error, one run of each rule, at the updates that were saved; the total holds a term of activity.
PUBLISHED = {"BPTT": (25, 84, 143, 211), "e-prop": (25, 104, 315, 456)}
AT_CHANCE = 20 / 113 * math.log(2)  # error of the right timing with an answer at chance
HEAD = ("rule", "seed", *(f"{each:g}" for each in ERRORS), "accuracy")


@dataclass(frozen=True)
class PublishedTrials(ContextIntegration):
    """Context integration with nine inputs of unit norm, every condition in turn, and all steps of equal weight.

    The inputs are fixation, the shares of dots to the left, to the right, red and green, two contexts, and the order of
    the coloured targets, which is always the same. What an option of the task says about noise has no effect.

    >>> batch = PublishedTrials().split(n_train=72, n_test=72, seed=0)[0].batch()
    >>> batch.inputs.shape, [round(each, 3) for each in batch.inputs[30, 0].tolist()]
    (torch.Size([113, 72, 9]), [0.485, 0.364, 0.121, 0.364, 0.121, 0.485, 0.0, 0.0, 0.485])
    """

    n_in: ClassVar[int] = 9

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        """Return the conditions in turn."""
        every = ContextIntegration(**{each.name: getattr(self, each.name) for each in fields(self)}).conditions()
        batch = every.select(torch.arange(trials, device="cpu") % every.trials)
        fixation, shown, context = batch.inputs[..., :1], batch.inputs[..., 1:3], batch.inputs[..., 3:]
        stimulus = (shown != 0).any(-1, keepdim=True)
        shares = torch.stack((1 - shown, 1 + shown), -1).flatten(-2) / 2 * stimulus
        order = torch.tensor([0.0, 1.0], device="cpu").expand(*context.shape)
        inputs = functional.normalize(torch.cat((fixation, shares, context * fixation, order), -1), dim=-1)
        return replace(batch, inputs=inputs, weights=torch.full_like(batch.weights, 1 / batch.steps))


BASE = Run(
    "studies.context:PublishedTrials",
    net=tca.NetworkConfig(
        size=400, tau=150.0, activation="rectified_tanh", leak="euler", gain_rec=1.5, learn_initial=True
    ),
    optimizer=tca.Optimizer(lr=3e-4, clip=None),
    batch_size=CONDITIONS,
    steps=1000,
    stop_loss=min(ERRORS),
    n_train=CONDITIONS,
    n_test=CONDITIONS,
    evaluate_every=5,
)


def _first(metrics: Sequence[Metrics], error: float) -> float:
    """Return the updates after which the training loss was at most an error first; NaN if never."""
    return next((float(each.step) for each in metrics if each.train_loss <= error), math.nan)


def runs_table(learned: Sequence[Learned]) -> Table:
    """Return a row a run: updates to every error, empty where it was not reached, and the accuracy at the end.

    Args:
        learned: The runs.
    """
    made = []
    for one in learned:
        rule = next(name for name, value in RULES.items() if value == one.run.rule)
        soon = [_first(one.metrics, error) for error in ERRORS]
        made.append((rule, str(one.run.seeds.net), *(f"{each:g}" if math.isfinite(each) else "" for each in soon),
                     f"{one.metrics[-1].train_accuracy:.4f}"))  # fmt: skip
    return Table(HEAD, tuple(made))


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a run.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {"context": partial(_updates, rows), "context_claims": partial(_claims, rows)}


def _of(rows: Sequence[Mapping[str, str]], rule: str, error: float) -> dict[int, float]:
    return {int(row["seed"]): float(row[f"{error:g}"] or math.nan) for row in rows if row["rule"] == rule}


def _updates(rows: Sequence[Mapping[str, str]]) -> Table:
    made = []
    for rule, known in PUBLISHED.items():
        for error, published in zip(ERRORS, known, strict=True):
            found = list(_of(rows, rule, error).values())
            reached = sum(map(math.isfinite, found))
            made.append((f"{rule}, {error:g}", str(published), str(len(found)), f"{reached}/{len(found)}",
                         mean_and_spread(found, 0)))  # fmt: skip
    return Table(("rule, error", "published, one run", "seeds", "reached", "updates"), tuple(made))


def _claims(rows: Sequence[Mapping[str, str]]) -> Table:
    stated = [Claim(f"error {error:g}: e-prop takes more updates than BPTT",
                    _of(rows, "e-prop", error), _of(rows, "BPTT", error)) for error in ERRORS]  # fmt: skip
    points = {rule: {int(row["seed"]): 100 * float(row["accuracy"]) for row in rows if row["rule"] == rule}
              for rule in RULES}  # fmt: skip
    stated.append(Claim("accuracy at the end, points: BPTT above e-prop", points["BPTT"], points["e-prop"]))
    return claims(stated, 0)


def drawn(series: Sequence[Series]) -> Figure:
    """Return the error of every run over updates.

    Args:
        series: Updates (x) and errors (y) of every run.
    """
    figure, axes = panels(series, "updates", "cross-entropy over all steps", size=(2.6, 0.0, 4.0, 3.9))
    for panel, each in axes.items():
        for label, runs in by_label(series, panel).items():
            look = looks(series)[label]
            for place, one in enumerate(runs):
                each.plot(one.x, one.y, color=look.colour, linestyle=look.dash, linewidth=1.0, alpha=0.8,
                          label=None if place else label, gid=f"run:{one.seed}:{label}")  # fmt: skip
        logarithmic(each, "y", [y for one in series for y in one.y])
        level(each, AT_CHANCE, "right timing,\nanswer at chance")
    legend(figure, f"{counted(series)} of each rule;\na run ends at an error of {min(ERRORS):g}")
    return figure


def main(words: Sequence[str] | None = None, base: Run | None = None) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        base: The run that networks have in common, ``None`` (default) for that of the study.
    """
    question = "How many updates more does e-prop need than BPTT to integrate in context?"
    parser = command("context", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds")
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}, or {FULL_SEEDS} with --full")
    options = options_of(parser, words)
    seeds = range(options.seeds or (FULL_SEEDS if options.full else SEEDS))
    runs = [replace((base or BASE).with_rule(rule), seeds=tca.Seeds(seed, seed, seed, seed))
            for seed in seeds for rule in RULES.values()]  # fmt: skip
    learned = learn(runs, options.out / "runs", options.workers)
    runs_table(learned).write_csv(options.out / "context_runs")
    names = {value: name for name, value in RULES.items()}
    series = [Series("context integration, 400 cells", names[str(one.run.rule)], one.run.seeds.net,
                     [each.step for each in one.metrics], [each.train_loss for each in one.metrics])
              for one in learned]  # fmt: skip
    save(drawn(series), series, options.out / "context", "updates", "cross_entropy")
    for table in tables(options.out / "context_runs.csv").values():
        print(f"{table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
