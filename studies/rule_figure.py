"""The figure of a page about rules: accuracy, and beside it the cosine with the true gradient and the dropped part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from analysis.figures.curve_figures import perfect_controls
from analysis.figures.plots import CHANCE, Series, curves, legend, level, panels, summary

__all__ = ["COSINE", "DROPPED", "LEARNING", "page_figure", "panel_of"]

LEARNING, COSINE, DROPPED = "learning", "cosine with the gradient", "dropped part of the signal"
REFERENCE = 3.2  # width of the first line, that of the true gradient: rules that equal it lie on it
LEVELS = {COSINE: (0.0, 1.0), DROPPED: (0.0, 1.0)}


def panel_of(setting: str, measure: str) -> str:
    """Return the name of a panel.

    Args:
        setting: Task and network.
        measure: `LEARNING`, `COSINE` or `DROPPED`.
    """
    return f"{setting}: {measure}"


def page_figure(series: Sequence[Series]) -> Figure:
    """Return learning, alignment with the true gradient and the dropped part of the signal, a setting a row.

    Args:
        series: Updates made (x) and values (y) of every run; panels as `panel_of` names them, labels rules.

    >>> name = panel_of("delayed_xor", COSINE)
    >>> page_figure([Series(name, "eprop", seed, [0, 10], [0.9, 0.5]) for seed in (0, 1)]).axes[0].get_ylabel()
    'cosine with the gradient'
    """
    series = [replace(each, panel=panel_of(*_parts(each.panel))) for each in series]
    settings, found = ({_parts(each.panel)[place]: None for each in series} for place in (0, 1))
    measures = [each for each in (LEARNING, COSINE, DROPPED) if each in found]
    places = [(setting, measure) for setting in settings for measure in measures]
    grid = [Series(panel_of(*each), "", 0, [], []) for each in places]  # a setting may lack a measure of another
    columns = len(measures) if len(measures) > 1 else len(settings)
    figure, axes = panels([*grid, *series], "updates", "", shared=False, columns=columns, size=(2.2, 0.2, 3.2, 2.6))
    for (setting, measure), each in zip(places, axes.values(), strict=True):
        curves(each, series, panel_of(setting, measure), bounded=True)
        if not each.lines:
            each.remove()
            continue
        each.lines[0].set_linewidth(REFERENCE)
        each.set_title(setting if measure == LEARNING else "")
        each.set_ylabel(_learnt(setting) if measure == LEARNING else measure)
        for height in LEVELS.get(measure, ()):
            level(each, height)
        if measure == LEARNING:
            level(each, _chance(setting), CHANCE)
        low, high = each.dataLim.y0, each.dataLim.y1
        each.set_ylim(min(low, 0.0 if measure == COSINE else low) - 0.04, max(1.0, high) + 0.04)
    learning = [each for each in series if _parts(each.panel)[1] == LEARNING]
    legend(figure, "\n".join([summary(series, bounded=True), *perfect_controls(learning)]))
    return figure


def _parts(panel: str) -> tuple[str, str]:
    """Return the setting and the measure of a panel; one without a measure shows learning.

    >>> _parts("digits, perceptron: cosine with the gradient"), _parts("digits, perceptron")
    (('digits, perceptron', 'cosine with the gradient'), ('digits, perceptron', 'learning'))
    """
    setting, _, measure = panel.partition(": ")
    return setting, measure or LEARNING


def _learnt(setting: str) -> str:
    return "test R2" if setting.startswith("pattern") else "test accuracy"


def _chance(setting: str) -> float:
    """Return the accuracy of an answer that does not depend on the inputs; zero of patterns, whose measure is R2."""
    return 0.1 if setting.startswith("digits") else 0.0 if setting.startswith("pattern") else 0.5
