"""Values that papers leave open, chosen on images held out from the training split: ``... .vision.search``.

Every question has its candidates; all of a question are trained alike, in the panel of the study, and compared by their
accuracy on held-out images. Test images are not looked at.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from studies.tables import Table, mean_and_spread
from studies.vision.vision_measurements import Entry, Job, work
from studies.vision.vision_plan import (
    ENTROPY,
    LOGISTIC,
    PANELS,
    SHARE_IN_MAPS,
    SINGLE,
    SQUARED,
    STREAMS,
    UNCENTRED,
    VECTORS,
    Arm,
    Panel,
    falling,
    fast_readout,
)
from studies.workloads import command, options_of, spread
from tca.eligibilities import Instant
from tca.experiments.config.components import Optimizer
from tca.experiments.records.reader import finished
from tca.losses.expansions import Bartlett, Expansion, HiddenGates, InputGates, Plain, PredictionGates, ScorePowers
from tca.rule import Rule
from tca.signals import Decorrelation, ErrorDiffusion
from tca.signals.decorrelation.averages import NormalStart
from tca.signals.decorrelation.score_sources import OutputError, Score

__all__ = ["QUESTIONS", "main", "on_held_out", "table"]

HELD_OUT = 302  # of the 1198 digits, so that the others make whole batches of 32
SEEDS, MOST = 3, 10

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


def _expansions() -> list[Arm]:
    return [
        Arm(f"expansion: {name}", Rule(Decorrelation(source=Score(each)), Instant()), SINGLE, fast_readout(10.0),
            share=0.3)
        for name, each in EXPANSIONS.items()
    ]  # fmt: skip


def _averages(loss: str, optimizer: Optimizer) -> list[Arm]:
    """Return candidates for how fast R is averaged and how large it is at the start."""
    source = OutputError() if loss == SQUARED else Score()
    return [
        Arm(f"share {share:g}, start {start:g}",
            Rule(Decorrelation(start=NormalStart(start), source=source), Instant()), SINGLE, optimizer, loss, share)
        for share in (0.01, 0.05, 0.3)
        for start in (1e-3, 1e-2)
    ]  # fmt: skip


def _by_layer(rule: str, loss: str, share: float | None = None) -> list[Arm]:
    """Return candidates for the rate of the hidden layers, and for that of the readout as a multiple of it."""
    return [
        Arm(f"rate {lr:g}, readout x {multiple:g}", rule, SINGLE,
            Optimizer(lr=lr, clip=None, lr_multipliers={"w_out": multiple, "b_out": multiple} if multiple != 1 else {}),
            loss, share=share)
        for lr, multiple in (*((1e-3, multiple) for multiple in (1, 3, 10, 30, 100)), (3e-4, 10), (1e-4, 30))
    ]  # fmt: skip


def _diffusion(lr: float, *, gate: bool = True, steady: bool = False, **options: Any) -> Arm:
    name = ", ".join([f"rate {lr:g}", *(["not falling"] if steady else []), *([] if gate else ["outputs not gated"]),
                      *(f"{key} {value}" for key, value in options.items())])  # fmt: skip
    rule = Rule(ErrorDiffusion(gate_outputs=gate), Instant())
    optimizer = dataclasses.replace(falling(lr), schedule=None) if steady else falling(lr)
    return Arm(name, rule, STREAMS, optimizer, LOGISTIC, options=options)


def _recipes(lr: float) -> list[Arm]:
    """Return error diffusion with one thing changed at a time."""
    return [
        *(_diffusion(lr * factor) for factor in (1 / 3, 1, 3)),
        _diffusion(lr, steady=True),
        _diffusion(lr, gate=False),
        _diffusion(lr, width=3.0),
        _diffusion(lr, asymmetry=[1.0, 1.0]),
    ]


def _rates(rule: str | Rule, rates: Sequence[float]) -> list[Arm]:
    return [Arm(f"rate {lr:g}", rule, STREAMS, falling(lr), LOGISTIC) for lr in rates]


def _adam(rule: str, rates: Sequence[float], loss: str = LOGISTIC, **options: Any) -> list[Arm]:
    return [
        Arm(f"Adam, rate {lr:g}", rule, (*STREAMS, *VECTORS), Optimizer(lr=lr, clip=None), loss, options=options)
        for lr in rates
    ]


WIDELY = (0.01, 0.1, 1.0, 3.0, 10.0, 100.0)
NAMED = {each.name: each for each in PANELS}
RULES_AND_LOSSES = (
    ("BP", "backprop", ENTROPY),
    ("FA", "feedback_alignment", ENTROPY),
    ("DFA", "dfa", ENTROPY),
    ("SBD", "sbd", ENTROPY),
    ("SBD + expansion", "sbd_expansion", ENTROPY),
    ("BP, squared error,", "backprop", SQUARED),
    ("DFA, squared error,", "dfa", SQUARED),
    ("EBD", "ebd", SQUARED),
)
IN_VECTORS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("BP", "backprop", {}),
    ("GEVB", "gevb", {}),
    ("GEVB, mixed signs", "gevb", {"signs": "mixed"}),
)
DECORRELATING = {"sbd", "sbd_expansion", "ebd"}
# What is asked, in which panel, and what is tried.
QUESTIONS: Mapping[str, tuple[Panel, Sequence[Arm]]] = {
    "ED in an MLP": (NAMED["digits, dual-stream MLP"], _recipes(15.0)),
    "ED in an MLP, not centred": (NAMED["digits, dual-stream MLP"], _rates(UNCENTRED, (0.5, 1.5, 5.0, 15.0))),
    "DFA in two streams, MLP": (NAMED["digits, dual-stream MLP"], _rates("dfa", (5.0, 15.0, 45.0, 135.0))),
    "BP in two streams, MLP": (NAMED["digits, dual-stream MLP"], _adam("backprop", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1))),
    "EBD in an MLP, averages": (
        NAMED["distorted digits, MLP"],
        _averages(SQUARED, fast_readout(3.0)),
    ),
    "SBD, which expansion": (NAMED["distorted digits, MLP"], _expansions()),
    "SBD in an MLP, averages": (NAMED["distorted digits, MLP"], _averages(ENTROPY, fast_readout(10.0))),
    "ED in a CNN": (NAMED["digits, dual-stream CNN"], _rates("error_diffusion", (10.0, 30.0, 100.0, 300.0, 1000.0))),
    "ED in a CNN, not centred": (NAMED["digits, dual-stream CNN"], _rates(UNCENTRED, WIDELY)),
    "DFA in two streams, CNN": (NAMED["digits, dual-stream CNN"], _rates("dfa", WIDELY)),
    "BP in two streams, CNN": (
        NAMED["digits, dual-stream CNN"],
        [*_adam("backprop", (1e-4, 1e-3, 3e-3, 1e-2, 1e-1)), *_rates("backprop", WIDELY)],
    ),
    **{
        f"{what} in vectors, {net}": (
            NAMED[f"digits, vector {net}"],
            _adam(rule, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), ENTROPY, **options),
        )
        for net in ("MLP", "CNN")
        for what, rule, options in IN_VECTORS
    },
    "SBD in a CNN, averages": (NAMED["digits, CNN"], _averages(ENTROPY, fast_readout(30.0))),
    "EBD in a CNN, averages": (NAMED["digits, CNN"], _averages(SQUARED, fast_readout(30.0))),
    **{
        f"{what} in {where}, rates": (NAMED[panel], _by_layer(rule, loss, share if rule in DECORRELATING else None))
        for where, panel, share in (("an MLP", "distorted digits, MLP", 0.3), ("a CNN", "digits, CNN", SHARE_IN_MAPS))
        for what, rule, loss in RULES_AND_LOSSES
    },
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
             "best" if name == best and len(arms) > 1 else "")
            for name in arms
        ]  # fmt: skip
    head = ("question", "images, network", "candidate", "seeds", "accuracy on held-out images, %", "")
    return Table(head, tuple(rows))


def _jobs(
    asked: Sequence[str], questions: Mapping[str, tuple[Panel, Sequence[Arm]]], seeds: int, folder: Path
) -> Iterator[tuple[str, Job]]:
    """Yield what is run for some questions."""
    for question in asked:
        panel, arms = questions[question]
        held = on_held_out(panel)
        for arm in arms:
            yield from ((question, Job(held, arm, held.run(arm, seed), folder)) for seed in range(seeds))


def main(words: Sequence[str] | None = None, questions: Mapping[str, tuple[Panel, Sequence[Arm]]] = QUESTIONS) -> int:
    """Search; finished runs are read from their records, and the table shows all that the folder holds.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        questions: Panels and candidates by question, default all of this module.
    """
    parser = command("vision.search", "Which of the values that papers leave open?", f"{SEEDS} seeds", f"{MOST} seeds")
    parser.add_argument("--seeds", type=int, help=f"repetitions, at most {MOST}, default {SEEDS}")
    parser.add_argument("--questions", nargs="+", choices=list(questions), metavar="QUESTION", help="default all")
    options = options_of(parser, words)
    seeds = options.seeds or (MOST if options.full else SEEDS)
    if not 1 <= seeds <= MOST:
        parser.error(f"--seeds must be a number from 1 to {MOST}, got {seeds}")
    asked = list(_jobs(options.questions or list(questions), questions, seeds, options.out / "runs"))
    spread(work, [job for _, job in asked], options.workers)
    found: dict[str, list[Entry]] = {}
    for question, job in _jobs(list(questions), questions, MOST, options.out / "runs"):
        if finished(job.run.folder(job.folder)):
            found.setdefault(question, []).append(work(job))
    made = table(found)
    made.write(options.out / "vision_search")
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
