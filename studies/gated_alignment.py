"""How near local rules come to the gradient of gated cells, as their recurrent weights grow.

Networks at the start, before learning: the cosine of a rule's change of all weights but the readout with that of BPTT.
A cell without recurrent synapses learns exactly by e-prop, at any weights.

    python -m studies.gated_alignment --out runs/gated_alignment
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

import analysis
import tasks
import tca
from analysis.figures.plots import Series, curves, legend, panels, save, summary
from studies.tables import Table
from studies.workloads import command, options_of

__all__ = ["Setting", "cosines_of", "main", "measured"]

SEEDS, FULL_SEEDS = 5, 20
CELLS = {"GRU": "gru", "LSTM": "lstm", "MGU": "mgu", "MinGRU": "min_gru"}
RULES = ("snap1", "eprop", "three_factor")


@dataclass(frozen=True)
class Setting:
    """What all networks have in common.

    Args:
        cells: Number of cells N.
        trials: Number of trials.
        gains: Factors of the recurrent weights.
        seeds: Number of seeds of weights and trials.
    """

    cells: int = 32
    trials: int = 64
    gains: tuple[float, ...] = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
    seeds: int = SEEDS


def measured(setting: Setting) -> list[Series]:
    """Return the cosine of every rule against the gain, by cell and seed.

    Args:
        setting: What networks have in common.
    """
    task, found = tasks.make("delayed_xor"), list[Series]()
    for title, kind in CELLS.items():
        for seed in range(setting.seeds):
            trials = task.split(setting.trials, 2, seed=seed)[0]
            cosines: dict[str, list[float]] = {rule: [] for rule in RULES}
            for gain in setting.gains:
                config = tca.NetworkConfig(kind, size=setting.cells, gain_rec=gain)
                net = config.build(task.n_in, task.n_out, dt=task.dt, seed=seed)
                for rule, each in zip(RULES, analysis.alignment(net, trials, RULES).rules, strict=True):
                    cosines[rule].append(each.recurrent.cosine)
            found += [Series(title, rule, seed, list(setting.gains), each) for rule, each in cosines.items()]
    return found


def main(words: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """Run the study.

    Args:
        words: The words of the command line, ``None`` (default) for those of this process.
        setting: What networks have in common, ``None`` (default) for those of the study.
    """
    question = "How near do local rules come to the gradient of gated cells?"
    parser = command("gated_alignment", question, f"{SEEDS} seeds", f"{FULL_SEEDS} seeds")
    options = options_of(parser, words)
    setting = setting or Setting()
    series = measured(replace(setting, seeds=FULL_SEEDS) if options.full else setting)
    rows = [
        (one.panel, one.label, str(one.seed), f"{x:g}", f"{y:.4f}")
        for one in series
        for x, y in zip(one.x, one.y, strict=True)
    ]
    Table(("cell", "rule", "seed", "gain", "cosine"), tuple(rows)).write_csv(options.out / "gated_alignment_rows")
    save(cosines_of(series), series, options.out / "gated_alignment", "gain", "cosine")
    return 0


def cosines_of(series: Sequence[Series]) -> Figure:
    """Return the cosine of each rule against the factor of the recurrent weights, cell by cell.

    Args:
        series: Factors (x) and cosines (y) of every network.
    """
    figure, axes = panels(series, "factor of the recurrent weights", "cosine with BPTT")
    for panel, each in axes.items():
        curves(each, series, panel, bounded=True)
        each.set_ylim(-0.05, 1.05)
    legend(figure, summary(series, bounded=True))
    return figure


if __name__ == "__main__":
    sys.exit(main())
