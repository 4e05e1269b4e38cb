"""The rank of what local rules change in linear networks, and how often they learn a teacher.

A linear recurrent network learns the outputs of another one, with plain descent over all trials at once. Where the
feedback is fixed, the change of the recurrent weights is the feedback times a matrix with a row for each output: its
rank is at most the number of outputs, whatever the trace. BPTT changes all directions.

    python -m studies.student_teacher --out runs/student_teacher
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

import tca
from analysis.figures.plots import Series, dots, legend, panels, save
from analysis.ranks import ranks
from studies.tables import Table, mean_and_spread, rows_of, share
from studies.workloads import command, options_of, spread
from tca.losses import MSE
from tca.rules import RULES

__all__ = ["RULES_COMPARED", "Job", "Learnt", "Setting", "drawn", "main", "points", "tables", "work"]

SEEDS, FULL_SEEDS = 20, 100
RULES_COMPARED = {"BPTT": "bptt", "e-prop": "eprop", "e-prop, no trace": "three_factor", "RFLO": "rflo"}
FIXED, LEARNS = "fixed", "learns"
LOSS, RANK = "loss", "rank"  # columns of the file
DIVERGED = 1.0  # height at which students that diverged are drawn
BOUND = 1e6  # of weights, beyond which a training has diverged
TEACHER, FEEDBACK = 1_000_003, 2_000_003  # added to a seed, so that teacher, student and feedback are drawn apart


@dataclass(frozen=True)
class Setting:
    """What all trainings have in common.

    Args:
        cells: Cells of student and teacher N.
        inputs: Number of inputs.
        outputs: Number of outputs O.
        steps: Steps of a trial T.
        trials: Trials, all in every update.
        updates: Updates of plain descent.
        rate: Learning rate.
        radius: Spectral radius of the recurrent weights of student and teacher at the start.
        tau: Time constant in ms, of steps of 10; the leak is on the rate.
        learnt: Part of the first loss below which a student has learnt its teacher.
    """

    cells: int = 16
    inputs: int = 4
    outputs: int = 2
    steps: int = 20
    trials: int = 128
    updates: int = 500
    rate: float = 0.3
    radius: float = 0.8
    tau: float = 20.0
    learnt: float = 0.05


@dataclass(frozen=True)
class Job:
    """One student.

    Attributes:
        rule: Name in `RULES_COMPARED`.
        readout: Whether the readout is the teacher's and fixed, or learns from one of its own.
        seed: The seed.
    """

    rule: str
    readout: str
    seed: int

    def __str__(self) -> str:
        return f"{self.rule}, readout {self.readout}, seed {self.seed}"


@dataclass(frozen=True)
class Learnt:
    """What became of a student.

    Attributes:
        job: The student.
        loss: Its loss as a part of that at the start, infinite after divergence.
        rank: Rank of the change of its recurrent weights, -1 after divergence.
    """

    job: Job
    loss: float
    rank: int


def work(job: Job, setting: Setting) -> Learnt:
    """Train a student in float64.

    Args:
        job: The student.
        setting: What trainings have in common.
    """
    config = tca.NetworkConfig(size=setting.cells, form="B", activation="linear", tau=setting.tau)
    teacher, student = (
        config.build(setting.inputs, setting.outputs, dt=10.0, seed=seed).double()
        for seed in (job.seed + TEACHER, job.seed)
    )
    with torch.no_grad():
        for net in (teacher, student):
            recurrent = net.get_parameter("w_rec")
            recurrent.mul_(setting.radius / torch.linalg.eigvals(recurrent).abs().max())
        for name in ("w_in", "w_out") if job.readout == FIXED else ("w_in",):
            student.get_parameter(name).copy_(teacher.get_parameter(name))
    generator = torch.Generator().manual_seed(job.seed)
    shape = (setting.steps, setting.trials, setting.inputs)
    inputs = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    targets = teacher.run(inputs).outputs.detach()
    weights = torch.full(shape[:2], 1 / setting.steps, dtype=torch.float64, device="cpu")
    batch = tca.Batch(inputs, targets, weights, MSE())
    learner = tca.Learner(student, RULES[RULES_COMPARED[job.rule]], seed=job.seed + FEEDBACK)
    trained = ("w_rec",) if job.readout == FIXED else ("w_rec", "w_out")
    before, first = student.get_parameter("w_rec").detach().clone(), _loss(student, batch)
    for _ in range(setting.updates):
        grads, _ = learner.grads(batch)
        with torch.no_grad():
            for name in trained:
                student.get_parameter(name).sub_(grads[name], alpha=setting.rate)
        if not student.get_parameter("w_rec").abs().max() < BOUND:
            return Learnt(job, math.inf, -1)
    return Learnt(job, _loss(student, batch) / first, _rank(student.get_parameter("w_rec").detach() - before))


def _loss(net: tca.nets.Network, batch: tca.Batch) -> float:
    return float(batch.loss.mean(net.run(batch.inputs).outputs, batch.targets, batch.weights))


def _rank(change: Tensor) -> int:
    return ranks({"w_rec": change}, tolerance=1e-9)["w_rec"].rank


def tables(path: Path, learnt: float = Setting.learnt) -> dict[str, Callable[[], Table]]:
    """Return what makes the table of the page, by name; none where there is no file yet.

    Args:
        path: The file with a row a student.
        learnt: Part of the first loss below which a student has learnt its teacher.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    return {"student_teacher": partial(_table, rows, learnt)}


def _table(rows: Sequence[dict[str, str]], learnt: float) -> Table:
    """Return rank, loss and the share of students that learnt, of every rule and readout."""
    made = []
    for readout, rule in dict.fromkeys((row["readout"], row["rule"]) for row in rows):
        here = [row for row in rows if (row["readout"], row["rule"]) == (readout, rule)]
        kept = [row for row in here if int(row["rank"]) >= 0]
        found = [int(row["rank"]) for row in kept]
        span = " to ".join(map(str, sorted({min(found), max(found)}))) if found else "-"
        losses = [float(row["loss"]) for row in kept]
        solved = share(sum(each < learnt for each in losses), len(here))
        diverged = f"{len(here) - len(kept)}/{len(here)}"
        made.append((f"readout {readout}, {rule}", str(len(here)), span, solved, diverged, mean_and_spread(losses)))
    head = ("readout, rule", "seeds", "rank of the change", "learnt [95 %]", "diverged", "loss, part of the first")
    return Table(head, tuple(made))


def points(rows: Sequence[Mapping[str, str]]) -> list[Series]:
    """Return the final loss of every student, NaN after divergence, and the rank of its change otherwise, by rule.

    Args:
        rows: A row a student.
    """
    places = {rule: place for place, rule in enumerate(dict.fromkeys(row["rule"] for row in rows))}
    seeds = 1 + max(int(row["seed"]) for row in rows)
    found = []
    for measure in (LOSS, RANK):
        for row in rows:
            value, seed = float(row[measure]), int(row["seed"])
            value = value if math.isfinite(value) else math.nan
            aside = 0.6 * (seed / seeds - 0.5)  # students side by side
            if value >= 0 or measure == LOSS:
                panel = f"readout {row['readout']}: {measure}"
                found.append(Series(panel, row["rule"], seed, [places[row["rule"]] + aside], [value]))
    return found


def drawn(series: Sequence[Series], learnt: float = Setting.learnt) -> Figure:
    """Return final loss and rank of the change, a point a student; those that diverged are above the line.

    Args:
        series: What `points` has returned.
        learnt: Part of the first loss below which a student has learnt its teacher, drawn as a line.
    """
    rules = list(dict.fromkeys(each.label for each in series))
    figure, axes = panels(series, "", "", shared=False, columns=2, size=(2.0, 0.3, 3.2, 2.7))
    lost = [replace(each, y=[y if math.isfinite(y) else DIVERGED for y in each.y]) for each in series]
    for panel, each in axes.items():
        dots(each, lost, panel)
        each.set_xticks(range(len(rules)), rules, rotation=20, ha="right", rotation_mode="anchor")
        if panel.endswith(LOSS):
            each.set_yscale("log")
            each.axhline(learnt, color="0.45", linestyle=":", linewidth=1.0)
            each.set_yticks([1e-4, 1e-3, 1e-2, 1e-1, DIVERGED], ["0.0001", "0.001", "0.01", "0.1", "diverged"])
            each.set_yticks([], minor=True)
            each.set_ylim(3e-5, 3 * DIVERGED)
            each.set_ylabel("loss, part of the first")
        else:
            each.yaxis.set_major_locator(MaxNLocator(integer=True))
            each.set_ylim(bottom=0)
            each.set_ylabel("rank of the change")
        each.set_title(panel.rpartition(":")[0])
    seeds = {each.seed for each in series}
    legend(figure, f"a point a student,\nn = {len(seeds)} of each rule;\ndotted: learnt below")
    return figure


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What trainings have in common, ``None`` (default) for those of the study.
    """
    question = "Which rank have the changes of local rules in linear networks, and how often do they learn?"
    parser = command(
        "student_teacher", question, f"{SEEDS} seeds, two minutes", f"{FULL_SEEDS} seeds, four times as long"
    )
    options = options_of(parser, words)
    setting = setting or Setting()
    setting = replace(setting, updates=4 * setting.updates) if options.full else setting
    seeds = range(FULL_SEEDS if options.full else SEEDS)
    jobs = [Job(rule, readout, seed) for seed in seeds for readout in (FIXED, LEARNS) for rule in RULES_COMPARED]
    found = spread(partial(work, setting=setting), jobs, options.workers)
    rows = ((one.job.readout, one.job.rule, str(one.job.seed), f"{one.loss:.6g}", str(one.rank)) for one in found)
    path = options.out / "student_teacher"
    Table(("readout", "rule", "seed", "loss", "rank"), tuple(rows)).write_csv(path)
    series = points(rows_of(path.with_suffix(".csv")))
    save(drawn(series, setting.learnt), series, options.out / "student_teacher_figure", "rule", "value")
    for table in tables(path.with_suffix(".csv"), setting.learnt).values():
        print(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
