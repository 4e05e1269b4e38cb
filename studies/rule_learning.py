"""Learning curves of every rule and its cosine with the true gradient: a figure for each page about rules.

    python -m studies.rule_learning --out docs/figures/rules

Tasks and networks are those of `studies.every_rule`; runs of `studies.alignment_study` are used again.
Beside the rules of a page stand the true gradient and the readout alone, in the same network.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from analysis.figures.plots import Series, save
from studies.every_rule import READOUT_ONLY, SEEDS, SETTINGS, SILENT, Setting, seeded
from studies.rule_figure import COSINE, DROPPED, LEARNING, page_figure, panel_of
from studies.workloads import Learned, learn
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tca.rule import Rule

__all__ = ["curves", "main", "pages_of", "trained"]

Pages = Mapping[str, Sequence[str]]
MEASURES: Mapping[str, Callable[[Metrics], float]] = {
    LEARNING: lambda each: each.test_accuracy,
    COSINE: lambda each: each.observed.get("cosine/recurrent", math.nan),
    DROPPED: lambda each: each.observed.get("dropped", math.nan),
}
REFERENCES = 2  # runs of a panel beside its rules: the true gradient and the readout alone
Panel = tuple[Setting, str, dict[str, Run]]  # a setting, what it is called, and the runs of a seed by label


def pages_of(folder: Path, settings: Sequence[Setting] = SETTINGS) -> dict[str, list[str]]:
    """Return which rules each page is about: those that its title names before the colon and that have a setting.

    Args:
        folder: The folder of the pages.
        settings: The settings, default all.
    """
    known = [rule for setting in settings for rule in setting.rules]
    pages = sorted(folder.glob("*.md"))
    titles = {page.stem: page.read_text(encoding="utf-8").splitlines()[0].split(":")[0] for page in pages}
    found = {page: [name for name in re.findall(r"\w+", title) if name in known] for page, title in titles.items()}
    return {page: rules for page, rules in found.items() if rules}


def panels_of(rules: Sequence[str], settings: Sequence[Setting]) -> list[Panel]:
    """Return the panels of a figure: one for every setting, and form of the network, that the rules belong to.

    Args:
        rules: Names of the rules.
        settings: The settings.
    """
    found: list[Panel] = []
    short = ", ".join(dict.fromkeys(each.short for each in settings if set(each.rules) & set(rules)))
    for setting in settings:
        made = {rule: setting.run(rule) for rule in rules if rule in setting.rules}
        for form in dict.fromkeys(run.net.form for run in made.values()):
            mine = {rule: run for rule, run in made.items() if run.net.form == form}
            net = next(iter(mine.values())).net
            others: dict[str, str | Rule] = {short: setting.exact, SILENT: READOUT_ONLY}
            runs = {label: replace(setting.run(rule), net=net) for label, rule in others.items()}
            runs |= {rule: run for rule, run in mine.items() if rule != setting.exact}
            for rule in mine:
                runs |= {label: setting.run(each) for label, each in setting.beside.get(rule, {}).items()}
            found.append((setting, f"{setting.title}, form {form}" if form else setting.title, runs))
    return found


def trained(pages: Pages, settings: Sequence[Setting], seeds: int, folder: Path, workers: int) -> dict[Run, Learned]:
    """Train all rules of some pages, and what stands beside them.

    Args:
        pages: Rules by page.
        settings: The settings.
        seeds: How many seeds.
        folder: Where records are kept.
        workers: Processes that train at the same time.
    """
    rules = list(dict.fromkeys(rule for page in pages.values() for rule in page))
    done: dict[Run, Learned] = {}
    for setting in settings:
        runs = [run for _, _, each in panels_of(rules, [setting]) for run in each.values()]
        jobs = [seeded(run, seed) for run in dict.fromkeys(runs) for seed in range(seeds)]
        done |= {one.run: one for one in learn(jobs, folder, workers, setting.observe)}
    return done


def curves(
    learned: Mapping[Run, Learned], rules: Sequence[str], settings: Sequence[Setting], seeds: int
) -> list[Series]:
    """Return what the figure of a page shows, over updates: test accuracy, cosine with BPTT, and the dropped part.

    Args:
        learned: What `trained` has returned.
        rules: Names of the rules.
        settings: The settings.
        seeds: How many seeds.
    """
    found = []
    for _, title, runs in panels_of(rules, settings):
        members = [(label, seed, learned[seeded(run, seed)]) for label, run in runs.items() for seed in range(seeds)]
        own = list(runs)[REFERENCES:] or list(runs)
        for measure, value in MEASURES.items():
            here = []
            for label, seed, one in members:
                points = [(each.step, y) for each in one.metrics if math.isfinite(y := value(each))]
                if points:  # signals of zero have no direction, traces that are drawn no exact signal
                    steps, values = zip(*points, strict=True)
                    here.append(Series(panel_of(title, measure), label, seed, steps, values))
            found += here if any(each.label in own for each in here) else []
    return found


def main(words: Sequence[str] | None = None, settings: Sequence[Setting] = SETTINGS, pages: Pages | None = None) -> int:
    """Train the rules and draw a figure for every page.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        settings: What the rules learn, default as in `studies.every_rule`.
        pages: Rules by page, ``None`` (default) for what the titles in ``--pages`` say.
    """
    parser = argparse.ArgumentParser(prog="python -m studies.rule_learning", description="Draw how rules learn.")
    parser.add_argument("--out", type=Path, default=Path("docs/figures/rules"), help="folder of the figures")
    parser.add_argument("--runs", type=Path, default=Path("runs/alignment/runs/own"), help="folder of the records")
    parser.add_argument("--pages", type=Path, default=Path("docs/rules"), help="folder of the pages")
    parser.add_argument("--only", nargs="+", metavar="PAGE", help="names of pages, default all")
    parser.add_argument("--workers", type=int, default=1, help="processes that train at the same time")
    options = parser.parse_args(words)
    torch.set_num_threads(1)  # networks of this size gain nothing from more, and lose on a busy machine
    pages = pages or pages_of(options.pages, settings)
    chosen = {page: rules for page, rules in pages.items() if options.only is None or page in options.only}
    learned = trained(chosen, settings, SEEDS, options.runs, options.workers)
    for page, rules in chosen.items():
        series = curves(learned, rules, settings, SEEDS)
        save(page_figure(series), series, options.out / page, "updates", "value")
    return 0


if __name__ == "__main__":
    sys.exit(main())
