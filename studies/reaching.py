"""Does e-prop end as near to recorded neurons as BPTT, where both reach equally well?

Networks learn to reach for eight targets under BPTT and under e-prop from the same weights. Where their error crosses
.5, .2, .1 and .05 of that of the best constant answer, their activity in a trial of every target is compared with
motor cortex of a monkey that reaches for the same targets, with the other rule's, and with that before training.

    python -m studies.reaching --recording recording.npz --out runs/reaching
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import analysis
import tca
from analysis.figures.plots import Series, curves, legend, panels, save, summary
from analysis.representations.noise_ceiling import conditions_averaged
from analysis.representations.recordings import load_recording
from analysis.representations.similarity_distances import DISTANCES
from analysis.representations.similarity_study import THRESHOLDS, UNTRAINED, Sample, sample
from studies.claims import Claim, claims
from studies.tables import Table, mean_and_spread, rows_of
from studies.workloads import command, options_of, spread
from tasks.native.center_out_reach import CenterOutReach
from tca.experiments.config.run import Run

__all__ = ["BASE", "MEASURES", "Job", "compared", "drawn", "main", "probe_of", "tables", "work"]

SEEDS, FULL_SEEDS = 10, 30
RULES = {"BPTT": "bptt", "e-prop": "eprop"}
DYNAMICS = "DSA"
MEASURES: Mapping[str, Callable[[Tensor, Tensor], float]] = {
    "Procrustes": DISTANCES["procrustes"],
    "CKA": DISTANCES["cka_debiased"],
    "CCA": DISTANCES["cca"],
    DYNAMICS: analysis.dsa,
}
# From the target's onset on the times of the recording: the movement begins 800 ms into a trial and lasts 450.
BASE = Run(
    "center_out_reach",
    task_options={"fixation": 200.0, "delay": 450.0, "reaction": 150.0, "movement": 450.0, "hold": 0.0},
    net=tca.NetworkConfig(size=200, activation="rectified_tanh", leak="euler", gain_rec=1.5, learn_initial=True),
    optimizer=tca.Optimizer(lr=3e-4),
    batch_size=50,
    steps=2000,
    n_train=100,
    n_test=20,
    evaluate_every=10,
)
BEFORE, AFTER = 800.0, 400.0  # ms around the onset of the movement, as recorded
RECORDING, START, OTHER, ANOTHER = "recording", "own start", "BPTT of the same start", "BPTT of another start"
AVERAGED, HALF = "mean over targets", "half of the neurons"
HALVES = 20
# Updates to an error, Liu, Yang and Cueva (2025), arXiv:2506.06904: one seed, rate 3e-4, 200 cells.
PUBLISHED = {"BPTT": (64, 84, 111, 200), "e-prop": (150, 290, 431, 897)}
Rows = Sequence[Mapping[str, str]]
HEAD = ("rule", "error", "seed", "updates", "reached", "measure", "to", "distance")


@dataclass(frozen=True)
class Job:
    """A network.

    Attributes:
        rule: Name in `RULES`.
        seed: Seed of weights and batches.
    """

    rule: str
    seed: int

    def __str__(self) -> str:
        return f"{self.rule}, seed {self.seed}"


def probe_of(base: Run) -> Tensor:
    """Return the inputs of one trial of every target without noise, over the times of the recording, ``(T, C, I)``.

    Args:
        base: The run that networks have in common.
    """
    task = base.make_task()
    if not isinstance(task, CenterOutReach):
        raise TypeError(f"task must be center_out_reach, got {type(task).__name__}")
    trials = task.conditions()
    onset = round(float(trials.info["onset"][0]) / task.dt)
    first, last = onset - round(BEFORE / task.dt), onset + round(AFTER / task.dt)
    return trials.inputs[max(0, first) : last + 1]


def work(job: Job, base: Run, folder: Path) -> list[Sample]:
    """Return a network's activity before training and where it crossed each error; read if it is in the folder.

    Args:
        job: The network.
        base: The run that networks have in common.
        folder: Where activity is kept.
    """
    seeds = tca.Seeds(data=job.seed, net=job.seed, rule=job.seed, batches=job.seed)
    run = replace(base.with_rule(RULES[job.rule]), seeds=seeds)
    return sample(run, probe_of(base), folder=folder, progress=False)


def compared(samples: Sequence[Sample], recorded: Tensor | None) -> Iterator[tuple[str, ...]]:
    """Yield a row for every distance of the study, under `HEAD`.

    Args:
        samples: Activity of all networks.
        recorded: Activity of neurons, shape ``(T, C, N)``; ``None`` for none.
    """
    known = {(one.rule, one.threshold, one.seed): one.activity for one in samples}
    count = 1 + max(one.seed for one in samples)
    for one in samples:
        rule = next(name for name, value in RULES.items() if value == one.rule)
        others = {
            RECORDING: recorded,
            START: known[one.rule, UNTRAINED, one.seed] if one.threshold != UNTRAINED else None,
            OTHER: known.get(("bptt", one.threshold, one.seed)) if one.rule != "bptt" else None,
            ANOTHER: known.get(("bptt", one.threshold, (one.seed + 1) % count)) if count > 1 else None,
        }
        head = (rule, f"{one.threshold:g}", str(one.seed), str(one.step), f"{one.error:.4f}")
        for to, other in others.items():
            if other is None:
                continue
            for name, of in MEASURES.items():
                if name != DYNAMICS or to in (RECORDING, OTHER):  # its search takes most of the time
                    yield (*head, name, to, _text(of(one.activity, other)))
    if recorded is not None:
        yield from _references(recorded)


def _references(recorded: Tensor) -> Iterator[tuple[str, ...]]:
    """Yield distances of the recording from its mean over targets, and of halves of the neurons from each other."""
    for name, of in MEASURES.items():
        if name != DYNAMICS:  # the mean over targets has too few dimensions for a map of all others'
            found = of(conditions_averaged(recorded), recorded)
            yield (AVERAGED, "", "0", "", "", name, RECORDING, _text(found))
        for seed in range(HALVES):
            order = torch.randperm(recorded.shape[2], generator=torch.Generator().manual_seed(seed), device="cpu")
            one, two = (recorded[..., each] for each in order.tensor_split(2))
            yield (HALF, "", str(seed), "", "", name, RECORDING, _text(of(one, two)))


def _text(value: float) -> str:
    return f"{value:.5f}"


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a distance.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {
        "reaching_updates": partial(_updates, rows),
        "reaching_recording": partial(_to_recording, rows),
        "reaching_others": partial(_to_others, rows),
        "reaching_claims": partial(_claims, rows),
    }


def _of(rows: Rows, rule: str, error: float | None, to: str, measure: str) -> dict[int, float]:
    """Return distances by seed; of a reference if no error is given."""
    wanted = {"rule": rule, "error": "" if error is None else f"{error:g}", "to": to, "measure": measure}
    return {int(row["seed"]): float(row["distance"]) for row in rows if wanted.items() <= row.items()}


def _cells(rows: Rows, rule: str, error: float | None, to: str) -> tuple[str, ...]:
    found = [list(_of(rows, rule, error, to, measure).values()) for measure in MEASURES]
    return (str(max(map(len, found))), *map(mean_and_spread, found))


def _updates(rows: Rows) -> Table:
    made = []
    for rule, known in PUBLISHED.items():
        for error, published in zip(THRESHOLDS, known, strict=True):
            found = {row["seed"]: float(row["updates"]) for row in rows
                     if (row["rule"], row["error"]) == (rule, f"{error:g}")}  # fmt: skip
            made.append((f"{rule}, {error:g}", str(published), str(len(found)), mean_and_spread([*found.values()], 0)))
    return Table(("rule, error", "published", "seeds", "updates"), tuple(made))


def _to_recording(rows: Rows) -> Table:
    made = [(f"{rule}, {error:g}", *_cells(rows, rule, error, RECORDING)) for rule in RULES for error in THRESHOLDS]
    made.insert(0, ("untrained", *_cells(rows, "BPTT", UNTRAINED, RECORDING)))
    made += [(name, *_cells(rows, name, None, RECORDING)) for name in (AVERAGED, HALF)]
    return Table(("rule, error", "seeds", *MEASURES), tuple(made))


def _to_others(rows: Rows) -> Table:
    pairs = (("BPTT", START), ("e-prop", START), ("e-prop", OTHER), ("BPTT", ANOTHER), ("e-prop", ANOTHER))
    made = tuple((f"{rule} to {to}, {error:g}", *_cells(rows, rule, error, to))
                 for rule, to in pairs for error in THRESHOLDS)  # fmt: skip
    return Table(("from, to, error", "seeds", *MEASURES), made)


def _claims(rows: Rows) -> Table:
    """Return whether e-prop is farther from the neurons than BPTT, and what moves networks at all."""
    least = min(THRESHOLDS)
    stated = []
    for name in MEASURES:
        of = partial(_of, rows, measure=name)
        stated += [
            Claim(f"{name}, error {error:g}: e-prop farther from the recording than BPTT",
                  of("e-prop", error, RECORDING), of("BPTT", error, RECORDING)) for error in THRESHOLDS
        ]  # fmt: skip
        stated += [
            Claim(f"{name}, error {least:g}: untrained farther from the recording than {rule}",
                  of("BPTT", UNTRAINED, RECORDING), of(rule, least, RECORDING)) for rule in RULES
        ]  # fmt: skip
        if name == DYNAMICS:
            continue
        stated.append(Claim(f"{name}, error {least:g}: BPTT of another start farther from BPTT than e-prop of the same",
                            of("BPTT", least, ANOTHER), of("e-prop", least, OTHER)))  # fmt: skip
    return claims(stated)


def points(rows: Rows) -> list[Series]:
    """Return distances against errors: to the recording in one row of panels, to other networks in the next.

    Args:
        rows: The distances.
    """
    lines = {
        "to the recording": [(rule, RECORDING, rule) for rule in RULES],
        "to networks": [
            ("BPTT", START, "BPTT, to its start"),
            ("e-prop", START, "e-prop, to its start"),
            ("e-prop", OTHER, "e-prop, to BPTT of the same start"),
            ("BPTT", ANOTHER, "BPTT, to BPTT of another start"),
        ],
    }
    found = []
    for place, members in lines.items():
        for measure in MEASURES:
            panel = f"{measure}, {place}"
            for rule, to, label in members:
                values = {error: _of(rows, rule, error, to, measure) for error in THRESHOLDS}
                for seed in sorted({seed for each in values.values() for seed in each}):
                    here = [(error, each[seed]) for error, each in values.items() if seed in each]
                    xs, ys = zip(*here, strict=True)
                    found.append(Series(panel, label, seed, xs, ys))
            if place == "to the recording":
                levels = {"untrained": _of(rows, "BPTT", UNTRAINED, RECORDING, measure),
                          **{name: _of(rows, name, None, RECORDING, measure) for name in (AVERAGED, HALF)}}  # fmt: skip
                ends = [max(THRESHOLDS), min(THRESHOLDS)]
                found += [Series(panel, name, seed, ends, [value, value])
                          for name, each in levels.items() for seed, value in each.items()]  # fmt: skip
    return found


def drawn(series: Sequence[Series]) -> Figure:
    """Return distances against the error at which networks were compared, a measure a column.

    Args:
        series: What `points` has returned.
    """
    figure, axes = panels(series, "error", "distance", shared=False, columns=len(MEASURES), size=(2.6, 0.3, 2.7, 2.8))
    for panel, each in axes.items():
        curves(each, series, panel, bounded=True)
        each.set_xscale("log")
        each.set_xticks(THRESHOLDS, [f"{error:g}" for error in THRESHOLDS])
        each.set_xticks([], minor=True)
        each.set_xlim(THRESHOLDS[0] * 1.15, THRESHOLDS[-1] / 1.15)  # training goes to the right
        if not panel.endswith(RECORDING):
            each.set_ylim(bottom=0.0)
    nets = [each for each in series if each.label in RULES]
    legend(figure, f"{summary(nets, bounded=True)};\nhalves: {HALVES} divisions")
    return figure


def main(words: Sequence[str] | None = None, base: Run | None = None) -> int:
    """Run the study; activity that is kept is read.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        base: The run that networks have in common, ``None`` (default) for that of the study.
    """
    question = "Is e-prop as near to recorded neurons as BPTT where both reach equally well?"
    parser = command("reaching", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds")
    parser.add_argument("--recording", type=Path, help="file that analysis.load_recording reads; default none")
    parser.add_argument("--seeds", type=int, help=f"repetitions, default {SEEDS}, or {FULL_SEEDS} with --full")
    options = options_of(parser, words)
    base = base or BASE
    recorded = None if options.recording is None else load_recording(options.recording).activity
    if recorded is not None and recorded.shape[:2] != probe_of(base).shape[:2]:
        times, got = tuple(probe_of(base).shape[:2]), tuple(recorded.shape[:2])
        parser.error(f"--recording must have the steps and targets of the task, {times}, got {got}")
    seeds = options.seeds or (FULL_SEEDS if options.full else SEEDS)
    jobs = [Job(rule, seed) for seed in range(seeds) for rule in RULES]
    found = spread(partial(work, base=base, folder=options.out / "activity"), jobs, options.workers)
    path = options.out / "reaching_rows"
    Table(HEAD, tuple(compared([one for each in found for one in each], recorded))).write_csv(path)
    rows = rows_of(path.with_suffix(".csv"))
    series = points(rows)
    save(drawn(series), series, options.out / "reaching", "error", "distance")
    for table in tables(path.with_suffix(".csv")).values():
        print(f"{table()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
