"""The study's report: one page with its tables and figures, and each table in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from studies.generalization.gap_figures import draw
from studies.generalization.gap_measurements import Entry
from studies.generalization.gap_plan import RULES_COMPARED, Setting
from studies.generalization.gap_tables import claims_table, correlations_table, results_table, runs_table
from tca.experiments.records.files import write_whole

__all__ = ["write_report"]

PREFACE = """# Generalization of learning rules at matched training loss

Every run is measured where its training loss crosses a given loss, to within 1 %; *reached* says how many runs did.
Numbers are means over those runs with 95 % intervals (Student's t) over seeds; in brackets, where there is one, an
independent reference measurement on the same images, with the same rates (mean ± standard deviation). Runs of one seed
share trials and initial weights, and differences are paired by seed. Means over survivors are biased where few runs
reached a loss. P values of the claims of one table are corrected by Holm's method; a claim *holds* or is *reversed*
where there are at least five pairs and the corrected value lies below .05, and is *undecided* otherwise."""


def write_report(entries: Sequence[Entry], settings: Sequence[Setting], folder: Path) -> None:
    """Write tables as Markdown and comma-separated values, figures, and one page with all of it, ``report.md``.

    Args:
        entries: The runs of the study.
        settings: Its settings.
        folder: Where to.
    """
    parts = [PREFACE]
    for setting in settings:
        mine = [one for one in entries if one.setting == setting.name]
        arms = [arm.name for arm in RULES_COMPARED if any(one.arm == arm.name for one in mine)]
        parts.append(f"## {setting.name}\n\n{_described(setting, mine)}")
        tables = {
            "results": ("At matched training loss", results_table(mine, setting)),
            "claims": ("Which claims hold", claims_table(mine, setting)),
            "correlations": ("Rank correlation of λ₁ and the gap", correlations_table(mine, setting, arms)),
        }
        for name, (title, table) in tables.items():
            table.write(folder / f"{setting.name}_{name}")
            parts.append(f"### {title}\n\n{table}")
        ratios = [row["ratio"] for one in mine for row in one.rows.values() if row is not None and "ratio" in row]
        if ratios:
            lower = sum(ratio < 1 for ratio in ratios)
            parts.append(
                f"λ₁ lies below 2 / (η ρ) in {lower} of {len(ratios)} measurements; "
                f"the ratio λ₁ η ρ / 2 runs from {min(ratios):.2f} to {max(ratios):.2f}."
            )
        parts += [f"![{caption}]({name}.png)\n\n{caption}" for name, caption in draw(mine, setting, folder)]
    runs_table(entries).write_csv(folder / "runs")
    write_whole(folder / "report.md", ("\n\n".join(parts) + "\n").encode())


def _described(setting: Setting, entries: Sequence[Entry]) -> str:
    ended = {outcome: sum(one.outcome == outcome for one in entries) for outcome in {one.outcome for one in entries}}
    outcomes = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in sorted(ended.items()))
    return (
        f"`{setting.task}`, {setting.net.size} {setting.net.activation} cells, time constant {setting.net.tau:g} ms; "
        f"plain gradient descent, learning rate {setting.lr:g}, batches of {setting.batch_size}, weight decay "
        f"{setting.decay:g}, at most {setting.steps} updates; {setting.n_train} training and {setting.n_test} test "
        f"trials. {len(entries)} runs: {outcomes}."
    )
