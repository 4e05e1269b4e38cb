"""How every rule learns one quick task, a figure for each page about rules.

    python -m analysis.figures.rule_learning --out docs/figures/rules

Runs of `analysis.studies.alignment` are used again. Task and network are those of `analysis.studies.every_rule`; beside
the rules of a page stand backpropagation through time and the readout alone, in the same form of the network.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from analysis.figures.drawing import SETTINGS, Series
from analysis.figures.learning_curves import learning_curves
from analysis.studies.every_rule import COMMON, READOUT_ONLY, SEEDS, TEMPORAL, observe_own, seeded, with_rule
from analysis.studies.work import Learned, learn
from tca.result import Metrics
from tca.rule import Rule
from tca.run import Run

__all__ = ["main", "page_figure", "pages_of", "trained"]

LIMITS = (0.35, 1.03)  # of the accuracy, the same on all pages
EXACT, SILENT = "BPTT", "readout only"
Pages = Mapping[str, Sequence[str]]


def pages_of(folder: Path) -> dict[str, list[str]]:
    """Return which rules of recurrent networks each page is about: those that its title names before the colon.

    Args:
        folder: The folder of the pages.
    """
    pages = sorted(folder.glob("*.md"))
    titles = {page.stem: page.read_text(encoding="utf-8").splitlines()[0].split(":")[0] for page in pages}
    found = {page: [name for name in re.findall(r"\w+", title) if name in TEMPORAL] for page, title in titles.items()}
    return {page: rules for page, rules in found.items() if rules}


def trained(base: Run, seeds: int, folder: Path, workers: int, pages: Pages) -> list[Learned]:
    """Train all rules of some pages, and what stands beside them.

    Args:
        base: The run that rules have in common.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
        pages: Rules by page.
    """
    rules: dict[tuple[str | Rule, str], Run] = {}
    for rule in (rule for page in pages.values() for rule in page):
        run = with_rule(base, rule)
        for each in ("bptt", READOUT_ONLY, rule):
            rules[each, run.net.form] = replace(run, rule=each)
    return learn([seeded(run, seed) for run in rules.values() for seed in range(seeds)], folder, workers, observe_own)


def page_figure(learned: Sequence[Learned], rules: Sequence[str], base: Run) -> Figure:
    """Return the learning curves of the rules of a page, between those of BPTT and of the readout alone.

    Args:
        learned: What `trained` has returned.
        rules: Names of the rules.
        base: The run that rules have in common.
    """
    form = with_rule(base, rules[0]).net.form
    labels: dict[str | Rule, str] = {"bptt": EXACT, READOUT_ONLY: SILENT}
    labels |= {rule: rule for rule in rules if rule != "bptt"}
    panel = f"{base.task}, form {form}"
    series = [
        Series(panel, label, one.run.seeds.net, *_points(one.metrics))
        for rule, label in labels.items()
        for one in learned
        if (one.run.rule, one.run.net.form) == (rule, form)
    ]
    figure = learning_curves(series, chance={panel: base.make_task().chance})
    figure.axes[0].set_ylim(*LIMITS)
    figure.set_size_inches(5.6, 2.9)
    return figure


def _points(metrics: Sequence[Metrics]) -> tuple[list[float], list[float]]:
    return [each.step for each in metrics], [each.test_accuracy for each in metrics]


def main(words: Sequence[str] | None = None, base: Run | None = None,
         pages: Pages | None = None) -> int:  # fmt: skip
    """Train the rules and draw a figure for every page.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        base: The run that rules have in common, ``None`` (default) for the one of `analysis.studies.every_rule`.
        pages: Rules by page, ``None`` (default) for what the titles in ``--pages`` say.
    """
    parser = argparse.ArgumentParser(
        prog="python -m analysis.figures.rule_learning", description="Draw how rules learn."
    )
    parser.add_argument("--out", type=Path, default=Path("docs/figures/rules"), help="folder of the figures")
    parser.add_argument("--runs", type=Path, default=Path("runs/alignment/runs/own"), help="folder of the records")
    parser.add_argument("--pages", type=Path, default=Path("docs/rules"), help="folder of the pages")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at the same time")
    options = parser.parse_args(words)
    base, pages = base or COMMON, pages or pages_of(options.pages)
    learned = trained(base, SEEDS, options.runs, options.workers, pages)
    options.out.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(SETTINGS):
        for page, rules in pages.items():
            page_figure(learned, rules, base).savefig(options.out / f"{page}.svg", metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
