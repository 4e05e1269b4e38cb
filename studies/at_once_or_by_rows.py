"""The same broadcast, the same images: shown at once to a feedforward network, or row by row to a recurrent one.

Row by row a rule must credit what happened steps ago. What a trace of the leak adds is seen by leaving it out: every
signal trains the recurrent network with the trace and without.

    python -m studies.at_once_or_by_rows --out runs/at_once_or_by_rows
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tasks
from analysis.figures.plots import Series, save
from analysis.statistics.intervals import Estimate, paired_difference
from studies.study_figures import over_epochs
from studies.tables import COMPARED, Table, differences, mean_and_spread
from studies.workloads import Learned, command, learn, options_of
from tca.eligibilities import Full, Instant, Leak
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.rule import Rule
from tca.signals import Decorrelation, Direct, Random
from tca.signals.decorrelation.averages import Share
from tca.signals.signal import Signal

__all__ = ["Setting", "draw", "main", "runs_of", "table"]

SEEDS, FULL_SEEDS = 5, 20
AT_ONCE = "at once"
TRACED, UNTRACED, EXACT = "trace of the leak", "no trace", "exact"
BPTT = "BPTT"
ROWS = {"by rows": 0.0, "by rows, then 80 ms blank": 80.0}  # time without input before the answer


@dataclass(frozen=True)
class Setting:
    """What all runs have in common.

    Args:
        cells: Hidden cells of either network.
        n_train: Training images.
        n_test: Test images.
        batch_size: Images a batch.
        epochs: How often all training images are shown.
        tau: Time constant of the recurrent cells in ms; a step takes 20.
    """

    cells: int = 64
    n_train: int = 1198
    n_test: int = 599
    batch_size: int = 32
    epochs: int = 12
    tau: float = 56.0

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return -(-self.n_train // self.batch_size)

    def signals(self) -> dict[str, Signal]:
        """Return the signals by name."""
        return {
            "own weights": Direct(),
            "random weights": Random(),
            "decorrelation": Decorrelation(average=Share(self.epochs * self.batches, 0.1)),
        }

    def run(self, rule: Rule, seed: int, blank: float | None) -> Run:
        """Return a run.

        Args:
            rule: The rule.
            seed: The seed.
            blank: Time without input before the answer in ms; ``None`` for images shown at once.
        """
        options: dict[str, Any] = {"name": "digits"}
        return Run(
            "images" if blank is None else "sequential_images",
            rule,
            task_options=options if blank is None else {**options, "blank": blank},
            net=NetworkConfig("mlp", {"sizes": [self.cells], "activation": "tanh"})
            if blank is None
            else NetworkConfig(size=self.cells, tau=self.tau),
            optimizer=Optimizer(lr=2e-3, clip=None),
            batch_size=self.batch_size,
            steps=self.epochs * self.batches,
            n_train=self.n_train,
            n_test=self.n_test,
            evaluate_every=2 * self.batches,
            seeds=Seeds(seed, seed, seed, seed),
        )


@dataclass(frozen=True)
class _Key:
    way: str
    signal: str
    trace: str


def runs_of(setting: Setting, seed: int) -> dict[_Key, Run]:
    """Return the runs of a seed by what they are.

    Args:
        setting: What they have in common.
        seed: The seed.
    """
    found: dict[_Key, Run] = {}
    for name, signal in setting.signals().items():
        found[_Key(AT_ONCE, name, UNTRACED)] = setting.run(Rule(signal, Instant()), seed, None)
        for way, blank in ROWS.items():
            found[_Key(way, name, UNTRACED)] = setting.run(Rule(signal, Instant()), seed, blank)
            found[_Key(way, name, TRACED)] = setting.run(Rule(signal, Leak()), seed, blank)
    for way, blank in ROWS.items():
        found[_Key(way, BPTT, EXACT)] = setting.run(Rule(Direct(), Full()), seed, blank)
    return found


Found = dict[_Key, list[Learned]]


def study(setting: Setting, seeds: int, folder: Path, workers: int) -> Found:
    """Train everything and return it, seed by seed.

    Args:
        setting: What runs have in common.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    every = [runs_of(setting, seed) for seed in range(seeds)]
    learned = iter(learn([run for runs in every for run in runs.values()], folder, workers))
    found: Found = {}
    for runs in every:
        for key in runs:
            found.setdefault(key, []).append(next(learned))
    return found


def table(found: Found) -> Table:
    """Return the table: test accuracy at the end, and what the trace adds, paired by seed.

    Args:
        found: What `study` has returned.
    """
    rows: list[tuple[str, str, str]] = []
    added: list[Estimate | None] = []
    for way, signal in dict.fromkeys((key.way, key.signal) for key in found):
        reached = {
            key.trace: _accuracies(runs) for key, runs in found.items() if (key.way, key.signal) == (way, signal)
        }
        both = TRACED in reached
        added.append(
            paired_difference(*(dict(enumerate(reached[each])) for each in (TRACED, UNTRACED))) if both else None
        )
        rows.append(
            (
                f"{way}, {signal}",
                mean_and_spread(reached.get(UNTRACED, reached.get(EXACT, [])), 3),
                mean_and_spread(reached[TRACED], 3) if both else "",
            )
        )
    head = ("images, signal", "without a trace", "with the trace", f"the trace adds, {COMPARED}")
    return Table(head, tuple((*row, text) for row, text in zip(rows, differences(added), strict=True)))


def _accuracies(runs: Sequence[Learned]) -> list[float]:
    return [each.metrics[-1].test_accuracy for each in runs]


def draw(found: Found, setting: Setting, folder: Path) -> None:
    """Write the learning curves, with their numbers.

    Args:
        found: What `study` has returned.
        setting: What runs have in common.
        folder: Where to.
    """
    series = [
        Series(
            key.way,
            key.signal + (f", {key.trace}" if key.trace == TRACED else ""),
            one.run.seeds.net,
            [each.step / setting.batches for each in one.metrics],
            [each.test_accuracy for each in one.metrics],
        )
        for key, runs in found.items()
        for one in runs
    ]
    chance = tasks.make("images", name="digits").chance
    drawn = over_epochs(series, "test accuracy", lines={chance: "chance"}, limits=(0.0, 1.02))
    save(drawn, series, folder / "at_once_or_by_rows_accuracy", "epochs", "test_accuracy")


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study; finished runs are read from their records.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What runs have in common, ``None`` (default) for those of the study.
    """
    question = "What does a trace add where images are shown row by row?"
    parser = command("at_once_or_by_rows", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds, five times as long")
    parser.add_argument("--seeds", type=int, help="so many seeds instead")
    options = options_of(parser, words)
    setting = setting or Setting()
    if options.full:
        setting = replace(setting, epochs=5 * setting.epochs)
    seeds = options.seeds or (FULL_SEEDS if options.full else SEEDS)
    found = study(setting, seeds, options.out / "runs", options.workers)
    made = table(found)
    made.write(options.out / "at_once_or_by_rows")
    draw(found, setting, options.out)
    print(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
