"""Values that papers leave open, chosen on images held out from the training split: ``... .vision.search``.

Every question has its candidates; all of a question are trained alike, in the panel of the study, and compared by their
accuracy on held-out images. Test images are not looked at.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from analysis.studies.tables import Table, mean_and_spread
from analysis.studies.vision.measuring import Entry, Job, work
from analysis.studies.vision.plan import LOGISTIC, PANELS, SINGLE, SQUARED, STREAMS, Arm, Panel
from analysis.studies.work import command, options_of, spread
from tca.eligibilities import Instant
from tca.expansions import Bartlett, Expansion, HiddenGates, InputGates, Plain, PredictionGates, ScorePowers
from tca.ingredients import Optimizer
from tca.rule import Rule
from tca.signals import Decorrelation, ErrorDiffusion
from tca.signals.decorrelation_averages import Normal
from tca.signals.decorrelation_sources import OutputError, Score

__all__ = ["QUESTIONS", "main", "on_held_out", "table"]

HELD_OUT = 200  # of the 1198 digits
SEEDS = 2

EXPANSIONS: dict[str, Expansion] = {
    "none": Plain(),
    "gates by the prediction": PredictionGates(),
    "gates by the two largest predictions": PredictionGates(top=2),
    "gates by the hidden layer, 4": HiddenGates(4),
    "gates by the hidden layer, 16": HiddenGates(16),
    "gates by the input, 16": InputGates(16),
    "Bartlett": Bartlett(),
    "powers of the score": ScorePowers(),
}


def _sgd(lr: float) -> Optimizer:
    return Optimizer("SGD", lr=lr, clip=None)


def _expansions() -> list[Arm]:
    return [
        Arm(f"expansion: {name}", Rule(Decorrelation(source=Score(each)), Instant()), SINGLE, share=0.3)
        for name, each in EXPANSIONS.items()
    ]


def _averages(loss: str) -> list[Arm]:
    """Return candidates for how fast R is averaged and how large it is at the start."""
    source = OutputError() if loss == SQUARED else Score()
    return [
        Arm(f"share {share:g}, start {start:g}", Rule(Decorrelation(start=Normal(start), source=source), Instant()),
            SINGLE, loss=loss, share=share)
        for share in (0.01, 0.05, 0.3)
        for start in (1e-3, 1e-2, 1e-1)
    ]  # fmt: skip


def _diffusion(lr: float, gate: bool = True, **options: Any) -> Arm:
    name = ", ".join([f"rate {lr:g}", *([] if gate else ["outputs not gated"]),
                      *(f"{key} {value}" for key, value in options.items())])  # fmt: skip
    rule = Rule(ErrorDiffusion(gate_outputs=gate), Instant())
    return Arm(name, rule, STREAMS, _sgd(lr), LOGISTIC, options=options)


def _recipes(lr: float) -> list[Arm]:
    """Return error diffusion with one thing changed at a time."""
    return [
        *(_diffusion(lr * factor) for factor in (1 / 3, 1, 3)),
        *(_diffusion(lr * factor, gate=False) for factor in (1 / 10, 1 / 3)),
        *(_diffusion(lr, width=width) for width in (1.0, 3.0, 10.0)),
        *(_diffusion(lr, asymmetry=pair) for pair in ([1.0, 1.0], [1.8, 0.2])),
    ]


def _rates(rule: str, optimizer: str, rates: Sequence[float]) -> list[Arm]:
    return [Arm(f"{optimizer}, rate {lr:g}", rule, STREAMS, Optimizer(optimizer, lr=lr, clip=None), LOGISTIC)
            for lr in rates]  # fmt: skip


NAMED = {each.name: each for each in PANELS}
# What is asked, in which panel, and what is tried.
QUESTIONS: Mapping[str, tuple[Panel, Sequence[Arm]]] = {
    "SBD, which expansion": (NAMED["distorted digits, MLP"], _expansions()),
    "SBD in a CNN": (NAMED["digits, CNN"], _averages("cross_entropy")),
    "EBD in a CNN": (NAMED["digits, CNN"], _averages(SQUARED)),
    "EBD in an MLP": (NAMED["distorted digits, MLP"], _averages(SQUARED)),
    "ED in an MLP": (NAMED["digits, dual-stream MLP"], _recipes(30.0)),
    "ED in a CNN": (NAMED["digits, dual-stream CNN"], [_diffusion(lr) for lr in (10.0, 30.0, 100.0, 300.0)]),
    "BP in two streams, MLP": (NAMED["digits, dual-stream MLP"], _rates("backprop", "Adam", (1e-3, 3e-3, 1e-2))),
    "BP in two streams, CNN": (NAMED["digits, dual-stream CNN"], _rates("backprop", "Adam", (1e-3, 3e-3, 1e-2))),
    "DFA in two streams, MLP": (NAMED["digits, dual-stream MLP"], _rates("dfa", "SGD", (10.0, 30.0, 60.0))),
    "DFA in two streams, CNN": (NAMED["digits, dual-stream CNN"], _rates("dfa", "SGD", (1.0, 3.0, 10.0, 30.0))),
}


def on_held_out(panel: Panel) -> Panel:
    """Return a panel whose second set are images held out from the training split.

    Args:
        panel: The panel.
    """
    held_out = {"validation": HELD_OUT, "test_on": "validation"}
    repeats = panel.task_options.get("repeat", False)
    return dataclasses.replace(
        panel,
        task_options={**panel.task_options, **held_out},
        n_train=panel.n_train if repeats else min(panel.n_train, 1198 - HELD_OUT),
        n_test=panel.n_test if repeats else HELD_OUT,
        every=panel.epochs,
        curvature_trials=0,
    )


def table(found: Mapping[str, Sequence[Entry]]) -> Table:
    """Return the table: every candidate of every question, and which is best.

    Args:
        found: The runs of each question.
    """
    rows = []
    for question, entries in found.items():
        arms = list(dict.fromkeys(each.arm.name for each in entries))
        reached = {name: [100 * each.last.test_accuracy for each in entries if each.arm.name == name] for name in arms}
        best = max(arms, key=lambda name: fmean(reached[name]))
        rows += [
            (question, entries[0].panel.name, name, f"{len(reached[name])}", mean_and_spread(reached[name], 1),
             "best" if name == best else "")
            for name in arms
        ]  # fmt: skip
    head = ("question", "images, network", "candidate", "seeds", "accuracy on held-out images, %", "")
    return Table(head, tuple(rows))


def main(words: Sequence[str] | None = None, questions: Mapping[str, tuple[Panel, Sequence[Arm]]] = QUESTIONS) -> int:
    """Search; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        questions: Panels and candidates by question, default all of this module.
    """
    parser = command("vision.search", "Which of the values that papers leave open?", f"{SEEDS} seeds", "10 seeds")
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}")
    parser.add_argument("--questions", nargs="+", choices=list(questions), metavar="QUESTION", help="default all")
    options = options_of(parser, words)
    seeds = options.seeds or (10 if options.full else SEEDS)
    jobs = [
        (question, Job(held, arm, held.run(arm, seed), options.out / "runs"))
        for question in options.questions or questions
        for panel, arms in [questions[question]]
        for held in [on_held_out(panel)]
        for arm in arms
        for seed in range(seeds)
    ]
    entries = spread(work, [job for _, job in jobs], options.workers)
    found: dict[str, list[Entry]] = {}
    for (question, _), entry in zip(jobs, entries, strict=True):
        found.setdefault(question, []).append(entry)
    made = table(found)
    made.write(options.out / "vision_search")
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
