"""Do spiking networks learn the published tasks, in the published units, as their authors found?

Cue accumulation, delayed match to sample and pattern generation with LIF and ALIF cells, steps of 1 ms, Poisson inputs
and a tenth of the synapses: backpropagation through time, e-prop with the few feedback weights that exist, and the same
released into a field that diffuses; and cue accumulation under Dale's principle with MDGL. The authors weighed firing
rates differently for different rules; here all rules stand at equal weight first, and then as published.

    python -m studies.published_spiking list
    python -m studies.published_spiking run delayed_match --short --out runs/published_spiking
    python -m studies.published_spiking run delayed_match --device cuda --seeds 20
    python -m studies.published_spiking table delayed_match --short --out runs/published_spiking

``--short`` is the *shortened version*: fewer updates, smaller batches and shorter trials; cells, synapses and steps of
time are the published ones.

Papers: Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), arXiv:2603.08949; Liu, Smith, Mihalas, Shea-Brown and
Sümbül (2021), PNAS 118:e2111821118.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import torch

from analysis.figures.curve_figures import learning_curves
from analysis.figures.plots import Series, save
from analysis.representations.activity import rates
from analysis.statistics.intervals import Estimate, paired_difference
from studies import spiking_fields
from studies.solved import save_solved
from studies.spiking_settings import SETTINGS, Arm, Setting
from studies.tables import COMPARED, Table, differences, mean_and_spread
from studies.workloads import Learned, learn
from tca.batch import Batch
from tca.experiments import records
from tca.experiments.records.result import Metrics
from tca.learner import Learner

__all__ = ["Outcome", "catalogue", "figure", "main", "observe", "order", "reached", "table"]

SEEDS, FULL_SEEDS = 3, 20
Outcome = Mapping[Arm, Sequence[Learned]]


def observe(learner: Learner, batch: Batch) -> Mapping[str, float]:
    """Return the mean firing rate of the cells in Hz, and cosines of fields with BPTT where feedback is sparse.

    Args:
        learner: The learner.
        batch: The trials.
    """
    rate = float(rates(learner.net, batch).mean()) * 1000 / float(learner.net.dt)  # type: ignore[arg-type]
    return {"rate": rate, **spiking_fields.cosines(learner, batch)}


def catalogue(settings: Mapping[str, Setting] = SETTINGS) -> Table:
    """Return the settings: what is trained, how, and what the authors found with every rule.

    Args:
        settings: The settings by name.
    """
    head = ("name", "task", "T", "updates", "batch", "Adam", "rule: c_reg, authors' loss, accuracy")
    rows = []
    for name, each in settings.items():
        steps = each.run.make_task().split(1, 1, seed=0)[0].steps
        numbers = (steps, each.run.steps, each.run.batch_size, each.run.optimizer.lr)
        found = "; ".join(
            f"{label}: {one.weight:g}, {one.loss}{', ' if one.accuracy else ''}{one.accuracy}"
            for label, one in each.authors.items()
        )
        rows.append((name, each.title, *map(str, numbers), found))
    return Table(head, tuple(rows))


def reached(setting: Setting, metrics: Metrics) -> tuple[float, float]:
    """Return loss and accuracy: over the test set, or the error of the trials trained on as a share of their power.

    Args:
        setting: Says which.
        metrics: What was measured.
    """
    if setting.memorised:
        return 1 - metrics.train_accuracy, metrics.test_accuracy
    return metrics.test_loss, metrics.test_accuracy


def table(setting: Setting, found: Outcome) -> Table:
    """Return what every rule has reached beside what its authors found.

    Args:
        setting: The setting.
        found: The runs of every line.
    """
    loss, accuracy = ("normalised error", "R2, new trials") if setting.memorised else ("loss", "accuracy")
    head = (
        "rule",
        "c_reg",
        "seeds",
        loss,
        accuracy,
        "rate (Hz)",
        f"{loss}, minus {setting.baseline}, {COMPARED}",
        "the same, mean over training",
        "authors: c_reg",
        "authors: as many updates",
        f"authors: {loss} at the end",
        "authors: accuracy",
        "authors: final logs, equal c_reg",
    )
    texts = differences([each for arm in found for each in _against_baseline(setting, arm, found)])
    pairs = zip(texts[::2], texts[1::2], strict=True)
    rows = (_row(setting, arm, runs, pair) for (arm, runs), pair in zip(found.items(), pairs, strict=True))
    return Table(head, tuple(rows))


def _against_baseline(setting: Setting, arm: Arm, found: Outcome) -> list[Estimate | None]:
    """Return the differences of the loss from the baseline at the end and in the mean over training."""
    baseline = next((each for other, each in found.items() if _pairs(setting, arm, other)), ())
    return [
        paired_difference(*(_by_seed(setting, each, number) for each in (found[arm], baseline))) if baseline else None
        for number in (_at_the_end, fmean)
    ]


def _row(setting: Setting, arm: Arm, runs: Sequence[Learned], compared: Sequence[str]) -> tuple[str, ...]:
    last = [each.metrics[-1] for each in runs]
    losses, accuracies = zip(*(reached(setting, each) for each in last), strict=True)
    authors = setting.authors.get(arm.label)
    published = ("", "", "", "")
    if authors is not None:
        curve = authors.curve.get(last[0].step)
        same = "-" if curve is None else f"{curve:.3f}"
        published = (f"{authors.weight:g}", same, authors.loss, authors.accuracy)
    return (
        arm.label,
        f"{arm.weight:g}",
        str(len(runs)),
        mean_and_spread(losses),
        mean_and_spread(accuracies),
        mean_and_spread([each.observed.get("rate", math.nan) for each in last], 1),
        *compared,
        *published,
        setting.logs.get(arm.label, "") if arm.weight == setting.weight else "",
    )


def order(setting: Setting, found: Outcome) -> str:
    """Return both steps of the published order at equal weight: differences of the loss, mean over training.

    Args:
        setting: The setting.
        found: The runs of every line.
    """
    equal = {arm.label: _by_seed(setting, runs, fmean) for arm, runs in found.items() if arm.weight == setting.weight}
    pairs = [(one, other) for one, other in pairwise(setting.order) if one in equal and other in equal]
    texts = differences([paired_difference(equal[one], equal[other]) for one, other in pairs])
    steps = [f"{one} minus {other}: {text}" for (one, other), text in zip(pairs, texts, strict=True)]
    return "\n".join([f"published order: {' > '.join(setting.order)}", *steps])


def _pairs(setting: Setting, arm: Arm, other: Arm) -> bool:
    """Return whether a line is compared with another: the baseline at the same weight, or as published where it is."""
    if arm.label == setting.baseline or other.label != setting.baseline:
        return False
    own = setting.authors[setting.baseline].weight
    return other.weight == (setting.weight if arm.weight == setting.weight else own)


def _by_seed(setting: Setting, runs: Sequence[Learned], number: Callable[[Sequence[float]], float]) -> dict[int, float]:
    return {each.run.seeds.net: number([reached(setting, one)[0] for one in each.metrics]) for each in runs}


def _at_the_end(losses: Sequence[float]) -> float:
    return losses[-1]


def figure(setting: Setting, found: Outcome, path: Path) -> None:
    """Draw what counts over training, at equal weight and as published side by side, and write it with its numbers.

    Args:
        setting: The setting.
        found: The runs of every line.
        path: Where to, without a suffix.
    """
    series = [
        Series(panel, arm.label, one.run.seeds.net, [each.step for each in one.metrics], _scores(setting, one))
        for arm, runs in found.items()
        for one in runs
        for panel in _panels(setting, arm)
    ]
    task = setting.run.make_task()
    chance = {each.panel: task.chance for each in series} if task.measure == "accuracy" else None
    drawn = learning_curves(series, task.measure, chance)
    if setting.memorised:
        drawn.axes[0].set_ylabel(f"{task.measure}, trials trained on")
    save(drawn, series, path, "updates", f"{'train' if setting.memorised else 'test'}_accuracy")
    save_solved(series, chance or {}, path.with_name(path.name.replace("learning", "solved")))
    fields = [
        each
        for arm, runs in found.items()
        if arm.weight == setting.weight
        for one in runs
        for each in spiking_fields.series_of(
            arm.label, one.run.seeds.net, [each.step for each in one.metrics], [each.observed for each in one.metrics]
        )
    ]
    if fields:
        save(spiking_fields.drawn(fields), fields, path.with_name(path.name.replace("learning", "fields")),
             "updates", "cosine")  # fmt: skip


def _scores(setting: Setting, one: Learned) -> list[float]:
    return [each.train_accuracy if setting.memorised else each.test_accuracy for each in one.metrics]


def _panels(setting: Setting, arm: Arm) -> list[str]:
    authors = setting.authors.get(arm.label)
    title = f"c_reg {setting.weight:g} for all" if setting.weight else "no term of firing rates"
    equal = [title] if arm.weight == setting.weight else []
    mixed = len({each.weight for each in setting.authors.values()}) > 1
    own = ["c_reg as published"] if mixed and authors is not None and authors.weight == arm.weight else []
    return equal + own


def main(words: Sequence[str] | None = None, settings: Mapping[str, Setting] = SETTINGS) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        settings: The settings by name.
    """
    options = _parser(settings).parse_args(words)
    if options.command == "list":
        print(catalogue(settings))
        return 0
    torch.set_num_threads(1)
    setting = settings[options.name]
    seeds = options.seeds or (SEEDS if options.short else FULL_SEEDS)
    found: dict[Arm, list[Learned]] = {}
    arms = setting.arms(tuple(options.rules or ()))
    for arm in (each for each in arms if not options.equal or each.weight == setting.weight):
        runs = setting.runs(arm, seeds, options.short, options.device)
        if options.command == "table":
            runs = [each for each in runs if records.finished(each.folder(options.out / "runs"))]
        if runs:
            found[arm] = learn(runs, options.out / "runs", options.workers, observe)
    if not found:
        print(f"no finished runs of {options.name} in {options.out}", file=sys.stderr)
        return 1
    print(
        f"{setting.title}, {'shortened version' if options.short else 'published sizes'}\n\n{table(setting, found)}\n"
    )
    print(order(setting, found))
    name = f"published_spiking_{options.name}{'_short' if options.short else ''}"
    table(setting, found).write(options.out / name)
    figure(setting, found, options.out / f"{name}_learning")
    return 0


def _parser(settings: Mapping[str, Setting]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studies.published_spiking",
        description="Do spiking networks learn the published tasks, in the published units, as their authors found?",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the settings, and what their authors found")
    for name, what in (("run", "train what is not trained yet"), ("table", "what there is, without training")):
        one = commands.add_parser(name, help=f"{what}; then write table and figure", description=what)
        one.add_argument("name", choices=list(settings), metavar="NAME", help=" or ".join(settings))
        one.add_argument("--short", action="store_true", help="the shortened version: shorter trials, fewer updates")
        one.add_argument("--seeds", type=_count, help=f"default {SEEDS} of the shortened version, else {FULL_SEEDS}")
        one.add_argument("--rules", nargs="+", metavar="RULE", help="some rules, default all")
        one.add_argument("--equal", action="store_true", help="all rules at equal c_reg alone, not also as published")
        one.add_argument("--device", default="cpu", help="where to train, default cpu")
        one.add_argument("--workers", type=_count, default=1, help="processes that train at the same time")
        one.add_argument("--out", type=Path, default=Path("runs") / "published_spiking", help="folder of the results")
    return parser


def _count(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or greater, got {word!r}")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
