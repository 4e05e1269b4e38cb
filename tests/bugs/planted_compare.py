"""Bugs of comparisons: held-out trials, common losses, paired differences, what is left out."""

from __future__ import annotations

from tests.bugs.bug import Bug

COMPARE = "tca/cli/compare/"
RATES, LOSSES, STATISTICS, ENTRIES = (
    (f"tests/tca/cli/compare/test_{name}.py",) for name in ("learning_rates", "common_loss", "estimates", "entries")
)

REPORT = tuple(
    f"tests/tca/cli/compare/test_report.py::test_{name}"
    for name in (
        "at_chance_means_hardly_above_the_best_constant_answer",
        "names_from_records_are_text_wherever_they_stand",
        "every_row_is_on_the_page_and_opens_its_entry_or_run",
        "an_entry_has_one_look_on_the_page",
    )
)
TABLES = ("tests/tca/cli/test_table_formats.py",)

BUGS = [
    Bug(COMPARE + "report_figures.py", "looks chosen in each panel anew", "among=entries", "among=()", REPORT[3:]),
    Bug(
        "tca/cli/compare/choices.py",
        "a threshold of flat choices",
        "near = levels[0] - span <= found",
        "near = levels[0] - span >= found",
        ("tests/tca/cli/compare/test_estimates.py",),
    ),
    Bug(
        "tca/cli/compare/comparison_table.py",
        "reasons of one entry under another",
        "(one.run.task, one.entry, one.unfitted), [])",
        '(one.run.task, "", one.unfitted), [])',
        ("tests/tca/cli/compare/test_estimates.py",),
    ),
    Bug(COMPARE + "estimates.py", "one standard error instead of two", "room = 2 * math.sqrt(chance", "room = math.sqrt(chance",
        REPORT[:1]),
    Bug(COMPARE + "report_page.py", "names that end the data", 'for sign in "<>&":', 'for sign in "&":', REPORT[1:2]),
    Bug(COMPARE + "report_data.py", "runs of another entry", '"owner": keys[one.run.task, one.entry],',
        '"owner": next(iter(entries)),', REPORT[2:3]),
    Bug("tca/cli/table_formats.py", "tables wider than a page", "(*parts[-1], place)) > width", "parts[-1]) > width", TABLES),
    Bug("tca/cli/table_formats.py", "later columns without their entry", "            parts.append([first])\n",
        "            parts.append([])\n", TABLES),
    Bug("tca/cli/table_formats.py", "names that are formulas", '"$": r"\\$", ', "", TABLES),
    Bug(
        "tca/experiments/training/training_loop.py",
        "rates tuned on the trials that are trained on",
        "train_set.subset(kept)",
        "train_set",
        RATES,
    ),
    Bug(COMPARE + "learning_rates.py", "rates tuned on test trials", "held_out=max(1, run.n_train // HELD_OUT)",
        "held_out=0", RATES),
    Bug(COMPARE + "learning_rates.py", "the better side left behind", "return best + 1", "return best - 1", RATES),
    Bug(COMPARE + "learning_rates.py", "the higher of two losses chosen", "-self.loss if", "self.loss if", RATES),
    Bug(COMPARE + "comparison.py", "tuned rates forgotten", "chosen = lr or entry.lr", "chosen = entry.lr", RATES),
    Bug(COMPARE + "common_loss.py", "the lowest loss of all, which others never reach", "1.001 * max(low for",
        "1.001 * min(low for", LOSSES),
    Bug(COMPARE + "common_loss.py", "runs that diverged count", "one.outcome in (COMPLETED, REACHED_LOSS) and", "",
        LOSSES),
    Bug(COMPARE + "measured_runs.py", "measured at the end instead of the crossing", "result.crossings[0].net",
        "result.net", LOSSES),
    Bug(COMPARE + "estimates.py", "p values without a correction", "corrected = holm([each.p for *_, each in rows])",
        "corrected = [each.p for *_, each in rows]", STATISTICS),
    Bug(COMPARE + "estimates.py", "differences the other way round",
        "paired_difference(_by_seed(members, column), _by_seed(against, column))",
        "paired_difference(_by_seed(against, column), _by_seed(members, column))", STATISTICS),
    Bug(COMPARE + "estimates.py", "Hessians of any networks compared", "return loss_name(one), one.run.net.kind",
        "return loss_name(one), None", STATISTICS),
    Bug(COMPARE + "comparison_files.py", "intervals of the wrong end", 'f"{name}_low": found.low',
        'f"{name}_low": found.high', STATISTICS),
    Bug(COMPARE + "comparison.py", "the share of the seeds forgotten", "seed < (entry.seeds or self.seeds)",
        "seed < self.seeds", ENTRIES),
    Bug(COMPARE + "comparison.py", "options of an entry forgotten", ", **entry.task_options}", "}", ENTRIES),
]  # fmt: skip
