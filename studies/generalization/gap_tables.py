"""The study's tables: every arm at every loss, differences paired by seed, correlations, and what reproduces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analysis.generalization.matched_loss import Matched
from analysis.statistics.intervals import Estimate, holm, paired_difference, verdict
from analysis.statistics.rank_correlation import Correlation, rank_correlation
from studies.generalization.gap_measurements import Entry
from studies.generalization.gap_plan import (
    BPTT,
    EARLY,
    LONG_DIFFUSION,
    LONG_SBD,
    MATCHED,
    MDGL,
    MODPROP,
    SLOW,
    THREE,
    Setting,
)
from studies.generalization.reference import REFERENCE, REFERENCE_CORRELATION, Reference
from studies.tables import Table

__all__ = ["CLAIMS", "Claim", "at", "claims_table", "correlations", "correlations_table", "results_table", "runs_table"]


@dataclass(frozen=True)
class Column:
    """A column of the table of results.

    Args:
        heading: What stands above it.
        name: Which number, ``{}`` standing for the main condition of the setting.
        digits: Significant digits.
        reference: The same number of the reference.
    """

    heading: str
    name: str
    digits: int
    reference: Callable[[Reference], float | tuple[float, float]] | None


COLUMNS = (
    Column("updates", "step", 4, lambda one: one.step),
    Column("training loss", "train_loss", 3, None),
    Column("training accuracy", "train_accuracy", 3, None),
    Column("gap, clean", "test_gap", 3, lambda one: one.test_gap),
    Column("gap, {}", "{}_gap", 3, lambda one: one.noisy_gap),
    Column("lambda_1", "lambda_1", 3, lambda one: one.lambda_1),
    Column("rho", "rho", 2, lambda one: one.rho),
    Column("lambda_1 eta rho / 2", "ratio", 2, lambda one: one.ratio),
)


def at(entries: Iterable[Entry], setting: Setting, arm: str, loss: float) -> Matched:
    """Return what was measured of an arm at a loss.

    Args:
        entries: The runs of the study.
        setting: The setting; training sets of other sizes than its own are left out.
        arm: Name of the arm.
        loss: The loss.
    """
    return Matched(
        loss,
        {
            one.seed: one.rows[loss]
            for one in entries
            if (one.setting, one.arm, one.run.n_train) == (setting.name, arm, setting.n_train)
        },
    )


def results_table(entries: Sequence[Entry], setting: Setting) -> Table:
    """Return every arm at every loss: mean with its 95 % interval; in brackets the reference, if there is one.

    Args:
        entries: The runs of the study.
        setting: The setting.
    """
    arms = list(dict.fromkeys(one.arm for one in entries if one.setting == setting.name))
    condition = setting.main_condition
    head = ("loss, arm", "reached", *(column.heading.format(condition) for column in COLUMNS))
    rows = []
    for loss in setting.losses:
        for arm in arms:
            found, known = at(entries, setting, arm, loss), _reference(setting, arm, loss)
            reached = f"{found.reached}/{found.asked}" + (f" ({known.reached}/10)" if known else "")
            rows.append((f"{loss:g}, {arm}", reached, *(_cell(each, found, known, condition) for each in COLUMNS)))
    return Table(head, tuple(rows))


def runs_table(entries: Sequence[Entry]) -> Table:
    """Return every run at every loss, one row each, empty where it never reached the loss.

    Args:
        entries: The runs of the study.
    """
    names = sorted({name for one in entries for row in one.rows.values() for name in row or ()})
    rows = [
        (one.setting, one.arm, str(one.run.n_train), str(one.seed), f"{loss:g}",
         *("" if row is None or name not in row else repr(row[name]) for name in names))
        for one in entries for loss, row in one.rows.items()
    ]  # fmt: skip
    return Table(("setting", "arm", "n_train", "seed", "loss", *names), tuple(rows))


def _reference(setting: Setting, arm: str, loss: float) -> Reference | None:
    return REFERENCE.get((loss, arm)) if setting.name == "digits" else None


def _cell(column: Column, found: Matched, known: Reference | None, condition: str) -> str:
    estimate = found.estimate(column.name.format(condition))
    text = _interval(estimate, column.digits)
    if known is None or column.reference is None:
        return text
    given = column.reference(known)
    return f"{text} ({given[0]:g} ± {given[1]:g})" if isinstance(given, tuple) else f"{text} ({given:g})"


def _interval(estimate: Estimate, digits: int) -> str:
    if math.isnan(estimate.value):
        return "-"
    value, low, high = (f"{each:.{digits}g}" for each in (estimate.value, estimate.low, estimate.high))
    return value if math.isnan(estimate.low) else f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class Claim:
    """A statement about two arms: that a number of the first is larger, or smaller, than that of the second.

    Args:
        text: The statement.
        first: Name of the first arm.
        second: Name of the second.
        name: Which number, ``{}`` standing for the main condition of the setting.
        sign: 1 if it should be larger, -1 if smaller.
        source: Where the statement comes from, or what the reference found.
    """

    text: str
    first: str
    second: str
    name: str
    sign: int
    source: str

    def difference(self, entries: Sequence[Entry], setting: Setting, loss: float) -> Estimate:
        """Return the first less the second, paired by seed.

        Args:
            entries: The runs of the study.
            setting: The setting.
            loss: The loss at which they are compared.
        """
        name = self.name.format(setting.main_condition)
        first, second = (at(entries, setting, arm, loss).column(name) for arm in (self.first, self.second))
        return paired_difference(first, second)


def _generalizes(text: str, first: str, second: str, sign: int, source: str) -> tuple[Claim, Claim]:
    """Return a statement about gaps twice: of the gap to clean test trials, and to those of the main condition."""
    return tuple(Claim(f"{text}, {label}", first, second, name, sign, source)
                 for label, name in (("clean", "test_gap"), ("noisy", "{}_gap")))  # type: ignore[return-value]  # fmt: skip


CLAIMS = (
    Claim("three-factor is sharper than BPTT", THREE, BPTT, "log_lambda_1", 1, "paper; reference yes"),
    Claim("MDGL is sharper than BPTT", MDGL, BPTT, "log_lambda_1", 1, "paper; reference yes"),
    Claim("three-factor is sharper than MDGL", THREE, MDGL, "log_lambda_1", 1, "reference yes"),
    *_generalizes("three-factor generalizes worse than BPTT", THREE, BPTT, 1, "paper; reference yes"),
    *_generalizes("MDGL generalizes worse than BPTT", MDGL, BPTT, 1, "paper; reference no"),
    Claim("a smaller step makes BPTT sharper", SLOW, BPTT, "log_lambda_1", 1, "theorem; reference yes"),
    *_generalizes("a smaller step makes BPTT generalize worse", SLOW, BPTT, 1, "reference yes"),
    Claim("at matched step length BPTT is sharper than BPTT", MATCHED, BPTT, "log_lambda_1", 1, "theorem"),
    Claim("three-factor is sharper than BPTT at its step length", THREE, MATCHED, "log_lambda_1", 1,
          "theorem: no difference"),
    *_generalizes("three-factor generalizes worse than BPTT at its step length", THREE, MATCHED, 1,
                  "if direction matters beyond length"),
    *(
        claim
        for arm, source in ((MODPROP, "paper"), (LONG_DIFFUSION, "new"), (LONG_SBD, "new"))
        for claim in (
            Claim(f"{arm} is sharper than BPTT", arm, BPTT, "log_lambda_1", 1, source),
            *_generalizes(f"{arm} generalizes worse than BPTT", arm, BPTT, 1, source),
        )
    ),
    Claim("large early steps make three-factor flatter", EARLY, THREE, "log_lambda_1", -1, "remedy; reference yes"),
    *_generalizes("large early steps make three-factor generalize better", EARLY, THREE, -1, "remedy; reference no"),
)  # fmt: skip


def claims_table(entries: Sequence[Entry], setting: Setting) -> Table:
    """Return which statements reproduce at which loss: losses, difference with its interval, p values, verdict.

    Differences of ``lambda_1`` are those of its decimal logarithm. A pair counts where both runs reached the loss; the
    losses are the means of both arms over these pairs. P values are corrected for all rows of the table by Holm's
    method, and the corrected ones decide.

    Args:
        entries: The runs of the study.
        setting: The setting.
    """
    arms = {one.arm for one in entries if one.setting == setting.name}
    asked = [(claim, loss) for claim in CLAIMS if {claim.first, claim.second} <= arms for loss in setting.losses]
    found = [claim.difference(entries, setting, loss) for claim, loss in asked]
    rows = [
        (claim.text, claim.source, f"{loss:g}", f"{each.count}/{each.asked}",
         _losses_of(claim, entries, setting, loss), _interval(each, 2), _p(each.p), _p(corrected),
         _reference_difference(claim, setting, loss), verdict(each, corrected, claim.sign))
        for (claim, loss), each, corrected in zip(asked, found, holm([each.p for each in found]), strict=True)
    ]  # fmt: skip
    head = ("claim", "source", "loss", "pairs", "measured at", "difference", "p", "p, Holm", "reference", "verdict")
    return Table(head, tuple(rows))


def _losses_of(claim: Claim, entries: Sequence[Entry], setting: Setting, loss: float) -> str:
    """Return the mean training losses at which the pairs of a claim were measured, first and second arm."""
    first, second = (at(entries, setting, arm, loss).column("train_loss") for arm in (claim.first, claim.second))
    both = [seed for seed in first if math.isfinite(first[seed]) and math.isfinite(second.get(seed, math.nan))]
    if not both:
        return "-"
    return " / ".join(f"{sum(each[seed] for seed in both) / len(both):.3g}" for each in (first, second))


def _p(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2g}"


def _reference_difference(claim: Claim, setting: Setting, loss: float) -> str:
    first, second = (_reference(setting, arm, loss) for arm in (claim.first, claim.second))
    if first is None or second is None:
        return "-"
    if claim.name == "log_lambda_1":
        return f"{math.log10(first.lambda_1[0] / second.lambda_1[0]):.2g}"
    gaps = [each.test_gap if claim.name == "test_gap" else each.noisy_gap for each in (first, second)]
    return f"{gaps[0][0] - gaps[1][0]:.2g}"


def correlations(
    entries: Sequence[Entry], setting: Setting, arms: Sequence[str], loss: float, gap: str
) -> tuple[Correlation, Correlation]:
    """Return the rank correlation of ``lambda_1`` and a gap over runs: pooled, and partial within arms.

    Args:
        entries: The runs of the study.
        setting: The setting.
        arms: Names of the arms that count.
        loss: The loss at which runs are compared.
        gap: Name of the gap.
    """
    runs = [(arm, seed, row) for arm in arms for seed, row in at(entries, setting, arm, loss).rows.items()]
    x, y = ([math.nan if row is None else row.get(name, math.nan) for *_, row in runs] for name in ("lambda_1", gap))
    seeds = [seed for _, seed, _ in runs]
    named = [arm for arm, *_ in runs]
    return rank_correlation(x, y, seeds, named), rank_correlation(x, y, seeds, named, within=True)


def correlations_table(entries: Sequence[Entry], setting: Setting, arms: Sequence[str]) -> Table:
    """Return rank correlations of curvature and gaps at every loss.

    Args:
        entries: The runs of the study.
        setting: The setting.
        arms: Names of the arms that count.
    """
    rows = []
    for loss in setting.losses:
        for place, name in enumerate((setting.main_condition, "test")):
            pooled, within = correlations(entries, setting, arms, loss, f"{name}_gap")
            known = f"{REFERENCE_CORRELATION[loss][place]:g}" if _reference(setting, BPTT, loss) else "-"
            label = "clean" if name == "test" else name
            rows.append((f"{loss:g}", label, str(pooled), str(within), known))
    return Table(("loss", "gap", "pooled", "within arms", "reference (pooled, Pearson of log)"), tuple(rows))
