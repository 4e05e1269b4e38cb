"""What stands in the tables of the study pages, and from which files it is made; see `studies.pages`."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from analysis.statistics.intervals import paired_difference
from studies import (
    alignment_study,
    cell_type_runs,
    context,
    control,
    cosines,
    published_vision,
    reaching,
    recurrent_broadcasts,
    solved,
    sparse_paths,
    spiking_fields,
    step_control,
    student_teacher,
)
from studies.broadcast import grid_tables
from studies.claims import (
    Claim,
    Curves,
    Points,
    arms_of,
    at_end,
    by_arm,
    claims,
    curves,
    over_training,
)
from studies.generalization import gap_first_below, gap_page
from studies.tables import COMPARED, Table, differences, mean_and_spread, rows_of

__all__ = ["tables"]

LEARNT = 0.9
TWO_CLASSES = 0.5  # score of the best constant answer
ORDER = (("bptt", "mdgl"), ("mdgl", "eprop"))
CELL_TYPES = {
    "sparse": "sparse readout and synapses",
    "evidence": "all synapses",
    "xor": "exclusive or",
    "xor_published": "exclusive or, as published",
}
GEOMETRY = ("diffusion", "diffusion, shuffled once")  # the same field on sites that are not those of the wiring
SPIKING = {
    "delayed_match": ("c_reg 0.01 for all", "sparse e-prop", ("BPTT", "diffusion", "sparse e-prop")),
    "mdgl_accumulation": ("no term of firing rates", "e-prop", ("BPTT", "MDGL", "e-prop")),
    "cue_accumulation": ("c_reg 0.005 for all", "sparse e-prop", ("BPTT", "diffusion", "sparse e-prop")),
    "pattern_generation": ("c_reg 0.01 for all", "sparse e-prop", ("BPTT", "diffusion", "sparse e-prop")),
}


def tables(docs: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the study pages, by name.

    Args:
        docs: The folder of the pages.
    """
    figures, data = docs / "figures" / "studies", docs / "studies"
    made: dict[str, Callable[[], Table]] = {
        "cell_types_claims": partial(_cell_type_claims, figures),
        "published_spiking_claims": partial(_spiking_claims, figures),
        "published_spiking_delayed_match_published": partial(_as_published, figures),
        "at_once_or_by_rows": partial(_at_once, figures / "at_once_or_by_rows_accuracy.csv"),
        "recurrent_broadcasts": partial(_recurrent, data / "recurrent_broadcasts_runs.csv"),
        "control_returns": partial(_control_returns, data / "control_runs.csv"),
        "control_claims": partial(_control_claims, data / "control_runs.csv"),
        "vision_claims": partial(_vision_claims, figures),
        "scaling": partial(_scaling, figures),
    }
    made |= {f"cell_types_{case}": partial(_cell_types, figures, case) for case in CELL_TYPES}
    for case in (each for each in CELL_TYPES if each.startswith("xor")):
        made |= solved.tables(f"cell_types_{case}", figures / f"cell_types_{case}_learning.csv", ORDER, TWO_CLASSES)
    made |= {f"published_spiking_{name}": partial(_spiking, figures, name) for name in SPIKING}
    for name in SPIKING:
        path = figures / f"published_spiking_{name}_short_fields.csv"
        made |= spiking_fields.tables(f"published_spiking_{name}", path)
    made |= {f"sparse_feedback_{share}": partial(_sparse_feedback, figures, f"{share}% of the readout's synapses")
             for share in (3, 10)}  # fmt: skip
    made["sparse_feedback_claims"] = partial(_sparse_feedback_claims, figures)
    made |= {
        f"vision_{images}": partial(_vision, figures, images) for images in ("digits", "distorted_digits", "mnist")
    }
    return (
        made
        | cell_type_runs.tables("cell_types_xor_long", data / "cell_types_xor_long.csv")
        | gap_page.tables(data)
        | gap_first_below.tables(figures)
        | context.tables(data / "context.csv")
        | alignment_study.tables(data / "alignment.csv")
        | grid_tables.tables(data / "broadcast_runs.csv")
        | cosines.tables(data / "cosines.csv")
        | reaching.tables(data / "reaching.csv")
        | published_vision.tables(data / "published_vision.csv")
        | student_teacher.tables(data / "student_teacher.csv")
        | sparse_paths.tables(data / "sparse_paths.csv")
        | step_control.tables(data / "step_control_digits.csv")
        | step_control.tables(data / "step_control_mnist.csv")
    )


def _cell_types(figures: Path, case: str) -> Table:
    found = curves(figures / f"cell_types_{case}_learning.csv")
    (panel,) = {panel for panel, _ in found}
    end, training = (arms_of(found, panel, number) for number in (at_end(10), over_training))
    table = by_arm({"accuracy, last ten measurements": end, "accuracy over training": training},
                   {"accuracy over training, minus eprop": (training, "eprop")})  # fmt: skip
    soon = [_soon(found[panel, label]) for label in end]
    head = (*table.head[:4], "updates to 90 %, median (runs)", *table.head[4:])
    return Table(head, tuple((*row[:4], text, *row[4:]) for row, text in zip(table.rows, soon, strict=True)))


def _soon(runs: Mapping[int, Points]) -> str:
    """Return the median of the updates after which the mean of three measurements is 90 %, and in how many runs."""
    reached = [
        next((x for place, (x, _) in enumerate(points[:-2])
              if fmean(y for _, y in points[place : place + 3]) >= LEARNT), math.nan)
        for points in runs.values()
    ]  # fmt: skip
    kept = [each for each in reached if math.isfinite(each)]
    return f"{statistics.median(kept):.0f} ({len(kept)} of {len(runs)})" if kept else f"0 of {len(runs)}"


def _cell_type_claims(figures: Path) -> Table:
    stated = []
    for case, title in CELL_TYPES.items():
        found = curves(figures / f"cell_types_{case}_learning.csv")
        (panel,) = {panel for panel, _ in found}
        arms = arms_of(found, panel, over_training)
        stated += [Claim(f"{title}: {first} above {second}", arms[first], arms[second])
                   for first, second in ORDER]  # fmt: skip
    return claims(stated)


def _spiking(figures: Path, name: str) -> Table:
    panel, baseline, _ = SPIKING[name]
    found = curves(figures / f"published_spiking_{name}_short_learning.csv")
    end, training = (arms_of(found, panel, number) for number in (at_end(), over_training))
    what = "R2 of the trials trained on" if name == "pattern_generation" else "accuracy"
    return by_arm({f"{what} at the end": end, f"{what} over training": training},
                  {f"at the end, minus {baseline}": (end, baseline),
                   f"over training, minus {baseline}": (training, baseline)})  # fmt: skip


def _as_published(figures: Path) -> Table:
    found = curves(figures / "published_spiking_delayed_match_short_learning.csv")
    arms = arms_of(found, "c_reg as published", at_end())
    return by_arm({"accuracy at the end": arms}, {"at the end, minus sparse e-prop": (arms, "sparse e-prop")})


def _spiking_claims(figures: Path) -> Table:
    stated = []
    for name, (panel, _, order) in SPIKING.items():
        arms = arms_of(curves(figures / f"published_spiking_{name}_short_learning.csv"), panel, over_training)
        pairs = [*pairwise(order), *([GEOMETRY] if set(GEOMETRY) <= set(arms) else [])]
        stated += [Claim(f"{name}: {first} above {second}", arms[first], arms[second]) for first, second in pairs]
    return claims(stated)


def _sparse_feedback(figures: Path, panel: str) -> Table:
    found = arms_of(curves(figures / "sparse_feedback_difference.csv"), panel, lambda points: points[0][0])
    zero = {label: dict.fromkeys(runs, 0.0) for label, runs in found.items()}
    texts = differences([paired_difference(found[label], zero[label]) for label in found])
    rows = tuple((label, str(len(found[label])), text) for label, text in zip(found, texts, strict=True))
    return Table(("rule", "seeds", f"final accuracy, minus sparse e-prop, {COMPARED}"), rows)


def _column(rows: list[dict[str, str]], name: str, *groups: str) -> dict[tuple[str, ...], dict[int, float]]:
    """Return a column by the values of some others and by seed."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    for row in rows:
        found.setdefault(tuple(row[each] for each in groups), {})[int(row["seed"])] = float(row[name])
    return found


def _sparse_feedback_claims(figures: Path) -> Table:
    found = curves(figures / "sparse_feedback_difference.csv")
    panel = "3% of the readout's synapses"
    arms = arms_of(found, panel, lambda points: points[0][0]) | {"sparse e-prop": dict.fromkeys(range(6), 0.0)}
    order = (("diffusion", "sparse e-prop"), ("diffusion, shuffled once", "sparse e-prop"),
             ("dense random", "sparse e-prop"), ("diffusion", "diffusion, shuffled once"))  # fmt: skip
    return claims([Claim(f"{first} above {second}", arms[first], arms[second]) for first, second in order])


def _at_once(path: Path) -> Table:
    found = {key: {seed: points[-1][1] for seed, points in runs.items()} for key, runs in curves(path).items()}
    traced = ", trace of the leak"
    keys = [key for key in found if not key[1].endswith(traced)]
    with_it = {key: found.get((key[0], key[1] + traced)) for key in keys}
    asked = [None if other is None else paired_difference(other, found[key]) for key, other in with_it.items()]
    rows = tuple(
        (f"{way}, {signal}", str(len(found[way, signal])), mean_and_spread(list(found[way, signal].values())),
         mean_and_spread(list(found.get((way, signal + traced), {}).values())), text)
        for (way, signal), text in zip(keys, differences(asked), strict=True)
    )  # fmt: skip
    return Table(("images, signal", "seeds", "without a trace", "with the trace", f"the trace adds, {COMPARED}"), rows)


def _recurrent(path: Path) -> Table:
    return recurrent_broadcasts.table(_column(rows_of(path), "test_accuracy", "network", "rule", "rate"))


def _control_returns(path: Path) -> Table:
    rows, groups = rows_of(path), ("environment", "rule", "rate")
    return control.returns_table(
        *(_column(rows, f"return_{when}", *groups) for when in ("over_training", "at_the_end"))
    )


def _control_claims(path: Path) -> Table:
    return control.claims_table(_column(rows_of(path), "return_over_training", "environment", "rule", "rate"))


def _vision(figures: Path, images: str) -> Table:
    found = curves(figures / f"vision_{images}_accuracy.csv")
    angles: Curves = {}
    for path in sorted(figures.glob(f"vision_{images}_angle_*_layers.csv")):
        angles |= curves(path)
    rows = []
    for (net, rule), runs in found.items():
        layers = [by_seed for (panel, label), by_seed in angles.items()
                  if label == rule and panel.startswith(f"{net}, layer ")]  # fmt: skip
        ends = [" / ".join(f"{fmean(points[place][1] for points in by_seed.values()):.0f}" for by_seed in layers) or "-"
                for place in (0, -1)]  # fmt: skip
        rows.append(
            (net, rule, str(len(runs)), mean_and_spread([100 * each[-1][1] for each in runs.values()], 1), *ends)
        )
    head = ("network", "rule", "seeds", "test accuracy, %", "angle with BP at the start, degrees", "at the end")
    return Table(head, tuple(rows))


def _vision_claims(figures: Path) -> Table:
    asked = {
        "digits": (
            ("MLP", "BP", "DFA"), ("MLP", "DFA", "SBD"), ("MLP", "EBD", "DFA, squared error"), ("CNN", "BP", "DFA"),
            ("CNN", "DFA", "SBD"), ("CNN", "EBD", "DFA, squared error"), ("vector MLP", "BP", "GEVB"),
            ("vector CNN", "BP", "GEVB"), ("dual-stream MLP", "ED", "ED, not centred"),
            ("dual-stream MLP", "DFA", "ED"), ("dual-stream CNN", "ED", "BP"),
        ),
        "distorted_digits": (("MLP", "BP", "DFA"), ("MLP", "DFA", "SBD"), ("MLP", "DFA, squared error", "EBD")),
        "mnist": (("MLP", "BP", "DFA"), ("vector MLP", "GEVB", "GEVB, mixed signs"), ("dual-stream MLP", "ED", "DFA")),
    }  # fmt: skip
    stated = []
    for images, pairs in asked.items():
        found = curves(figures / f"vision_{images}_accuracy.csv")
        for net, first, second in pairs:
            one, two = ({seed: 100 * points[-1][1] for seed, points in found[net, each].items()}
                        for each in (first, second))  # fmt: skip
            stated.append(Claim(f"{images.replace('_', ' ')}, {net}: {first} above {second}", one, two))
    return claims(stated, 1)


def _scaling(figures: Path) -> Table:
    measured = importlib.import_module("benchmarks.scaling")  # which is no part of the packages
    found = {(each.name, each.along): each for each in measured.earlier(figures, [])}
    rows = []
    for key, theory in measured.THEORY.items():
        cells = []
        for along, letter in (("cells", "N"), ("steps", "T")):
            grown = found[measured.name_of(*key), along]
            cells += [f"{grown.exponent:.2f}", f"{grown.theory}",
                      f"{1e3 * grown.seconds[-1]:.0f} ({letter} = {grown.sizes[-1]})"]  # fmt: skip
        rows.append((measured.name_of(*key), *cells, theory.because))
    head = ("rule", "N exponent, measured", "theory", "ms at the largest N", "T exponent, measured", "theory",
            "ms at the largest T", "the theory")  # fmt: skip
    return Table(head, tuple(rows))
