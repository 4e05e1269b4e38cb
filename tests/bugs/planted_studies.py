"""Bugs of the settings of the studies, and of what they ask of optimizers."""

from __future__ import annotations

from tests.bugs.bug import Bug

SPIKING = "studies/spiking_settings.py"
TYPES = "studies/cell_types.py"
CASES = "studies/cell_type_cases.py"
PUBLISHED = ("studies/tests/test_studies_spiking.py",)
STUDIES = ("studies/tests/test_studies.py",)
IMAGES = ("studies/tests/test_studies_vision.py",)
ASKED = ("studies/tests/test_studies_vision_commands.py",)
FACTORS = ("tests/tca/experiments/training/test_updates.py", "tests/tca/experiments/records/test_records.py")
VISION = "studies/vision"

PAGES, MADE = (
    "studies/claims.py",
    tuple(
        f"studies/tests/test_study_pages.py::test_{name}"
        for name in ("numbers_are_taken_of_runs", "arms_and_claims_are_paired_by_seed_and_corrected")
    ),
)
GRID = "studies/tests/test_study_broadcast.py"
COSINES = ("studies/tests/test_cosines.py",)
STEPS = ("studies/tests/test_step_control.py",)
STUDENT = ("studies/tests/test_student_teacher.py",)
LEARNING = "studies/tests/test_rule_learning.py::test_"
REACHING, REACHED = "studies/reaching.py", "studies/tests/test_reaching.py::test_"
SOLVED = ("studies/tests/test_solved.py",)
FIELDS = ("studies/tests/test_spiking_fields.py",)
CONTEXT = ("studies/tests/test_context.py",)
ALIGNED = ("studies/tests/test_studies.py::test_the_study_of_alignment_runs",)
TABULATED = ("studies/tests/test_study_generalization.py",)

BUGS = [
    Bug(REACHING, "a probe that ends early", "onset + round(AFTER / task.dt)", "onset", (f"{REACHED}the_probe_has_the_times_of_the_recording_and_a_trial_of_every_target",)),
    Bug(REACHING, "another start that is the same", "(one.seed + 1) % count", "one.seed % count",
        (f"{REACHED}activity_is_compared_with_its_own_start_and_the_other_rule_at_the_same_error",)),
    Bug(REACHING, "claims about the untrained network", 'of("e-prop", error, RECORDING)', 'of("e-prop", UNTRAINED, RECORDING)',
        (f"{REACHED}claims_compare_rules_at_the_same_error_by_seed",)),
    Bug("studies/rule_learning.py", "references alone in a panel", "found += here if any(each.label in own for each in here) else []",
        "found += here", (f"{LEARNING}rules_without_a_propagator_have_no_panel_of_the_dropped_part",)),
    Bug("studies/rule_figure.py", "panels that move up", 'places = [(setting, measure) for setting in settings for measure in measures]',
        "places = list(dict.fromkeys(_parts(each.panel) for each in series))", (f"{LEARNING}a_setting_that_lacks_a_measure_leaves_its_place_empty",)),
    Bug("studies/sparse_paths.py", "the gain of RTRL over no path divided by the wrong difference",
        "(none[seed] - here[seed]) / (none[seed] - every[seed])", "(none[seed] - here[seed]) / none[seed]",
        ("studies/tests/test_sparse_paths.py",)),
    Bug("benchmarks/result_figure.py", "colours of columns", "(column, row.removeprefix", "(row.removeprefix",
        ("tests/project/test_benchmark_results.py::test_marks_have_the_colour_of_the_rule_and_a_marker_for_the_size",)),
    Bug("studies/sparse_paths.py", "rates chosen by the largest error", "arm: min(RATES", "arm: max(RATES",
        ("studies/tests/test_sparse_paths.py",)),
    Bug("studies/student_teacher.py", "ranks of students that diverged", "if value >= 0 or measure == LOSS:", "if True:", STUDENT),
    Bug("studies/student_teacher.py", "a readout that learns beside a fixed feedback", 'if job.readout == FIXED else ("w_rec", "w_out")',
        'if job.readout != FIXED else ("w_rec", "w_out")', STUDENT),
    Bug("studies/step_control.py", "every seed goes uphill", "seed < uphill", "seed >= 0", STEPS),
    Bug("studies/published_vision.py", "rules of four seeds compared", "len(its) >= ENOUGH", "len(its) >= 4",
        ("studies/tests/test_studies_vision_commands.py",)),
    Bug("studies/step_control.py", "short steps stopped early", "math.ceil(setting.steps / min(1.0, arm.lr))",
        "setting.steps", STEPS),
    Bug("studies/step_control.py", "the slope upside down", "np.polyfit(kept[:, 0], kept[:, 1], 1)",
        "np.polyfit(kept[:, 1], kept[:, 0], 1)", STEPS),
    Bug("studies/cosines.py", "random feedback for the readout's own", "Rule(Direct(), Leak())", 'RULES["rflo"]',
        COSINES),
    Bug("studies/cosines.py", "the published order upside down", "key=lambda rule: -PUBLISHED", "key=lambda rule: PUBLISHED",
        COSINES),
    Bug("studies/broadcast/grid_tables.py", "accuracies beside no control", "value - exact[seed] for", "value for",
        (f"{GRID}::test_leaving_the_feedforward_network_is_a_difference_of_differences",)),
    Bug("studies/broadcast/grid_tables.py", "leaving the feedforward network for the rows of another set",
        'f"{name} {BY_ROWS}", recurrent', 'f"digits {BY_ROWS}", recurrent',
        (f"{GRID}::test_leaving_the_feedforward_network_is_a_difference_of_differences",)),
    Bug("studies/broadcast/__main__.py", "images that are not there", 'if "name" in task.options):', "if not task.title):",
        (f"{GRID}::test_a_set_that_is_not_in_the_folder_is_refused_before_anything_is_trained",)),
    Bug("studies/broadcast/grid_runs.py", "the worst rate", "max(rates", "min(rates",
        (f"{GRID}::test_rates_are_searched_on_held_out_trials_with_one_budget",)),
    Bug("studies/broadcast/grid_runs.py", "losses of rules that do not solve the task", "if score >= (1 +", "if score <= (1 +",
        (f"{GRID}::test_rules_of_a_network_are_compared_at_the_loss_that_those_which_solve_the_task_reach",)),
    Bug("studies/broadcast/grid_runs.py", "the seed of the search among those of the runs", "range(SEARCHED + 1, SEARCHED + 1 + seeds)",
        "range(SEARCHED, SEARCHED + seeds)", (f"{GRID}::test_a_tiny_grid_from_end_to_end",)),
    Bug("studies/broadcast/grid_runs.py", "a search that ends at its edge", "(may_rise(looked.rates) and", "(not looked.rates and",
        (f"{GRID}::test_a_search_goes_on_past_the_edge",)),
    Bug("studies/broadcast/grid_runs.py", "a search past the highest score", "best.score != HIGHEST and best.lr", "best.lr",
        (f"{GRID}::test_a_search_ends_at_the_highest_score",)),
    Bug("studies/broadcast/grid_runs.py", "updates timed while they warm up", "1e3 * min(times[1:])", "1e3 * times[0]",
        (f"{GRID}::test_an_update_is_timed_by_itself_after_some_that_warm_up",)),
    Bug("studies/broadcast/grid_figure.py", "units of a whole interval", "(found.high - found.low) / 2",
        "(found.high - found.low)", (f"{GRID}::test_the_figure_shows_differences_in_units_of_their_interval",)),
    Bug(PAGES, "the first value for the last", "for _, y in points[-last:])", "for _, y in points[:last])", MADE),
    Bug(PAGES, "claims that are not corrected", "corrected = holm([each.p for each in found])",
        "corrected = [each.p for each in found]", MADE),
    Bug(PAGES, "panels in one", "in found.items() if where == panel}", "in found.items()}", MADE),
    Bug("studies/generalization/gap_page.py", "a loss of others", 'if row["loss"] == loss:', "if True:",
        ("studies/tests/test_study_pages.py::test_claims_at_matched_loss_pair_the_runs_that_reached_it",)),
    Bug("studies/generalization/gap_page.py", "training sets of every size in one",
        'if int(row["n_train"]) == SETTINGS[setting].n_train', 'if int(row["n_train"])',
        ("studies/tests/test_study_pages.py::test_claims_at_matched_loss_pair_the_runs_that_reached_it",)),
    Bug("studies/solved.py", "pairs that both solve the task", "both.count((True, False))", "both.count((True, True))", SOLVED),
    Bug("studies/cell_type_runs.py", "the first measurements for the last", "fmean(scores[-LAST:])", "fmean(scores[:LAST])", SOLVED),
    Bug("studies/solved.py", "chance for half way", "if y >= (1 + chance) / 2", "if y >= chance", SOLVED),
    Bug("studies/spiking_fields.py", "feedback of the readout as it is", "own = learner.buffers.get(",
        'own = None if name == "feedback" else learner.buffers.get(', FIELDS),
    Bug("studies/spiking_fields.py", "rates in the gradient", "rule(label, 0.0) for label in FIELDS", "rule(label, 0.01) for label in FIELDS",
        FIELDS),
    Bug("studies/context.py", "decisions that count most", "torch.full_like(batch.weights, 1 / batch.steps)", "batch.weights", CONTEXT),
    Bug("studies/context.py", "inputs of any length", "functional.normalize(torch.cat((fixation, shares, context * fixation, order), -1), dim=-1)", "torch.cat((fixation, shares, context * fixation, order), -1)", CONTEXT),
    Bug("studies/alignment_study.py", "learning by its end", "for each in (name, TRAINING))", "for each in (name, END))",
        ("studies/tests/test_studies.py::test_alignment_is_compared_with_the_accuracy_over_training",)),
    Bug("studies/generalization/gap_tables.py", "verdicts before the correction",
        "verdict(each, corrected, claim.sign)", "verdict(each, None, claim.sign)", TABULATED),
    Bug("studies/generalization/gap_tables.py", "noisy gaps for clean ones", '("clean", "test_gap")',
        '("clean", "{}_gap")', TABULATED),
    Bug(SPIKING, "weights too large", "gains=(math.sqrt(0.5),) * 3", "gains=(math.sqrt(5),) * 3", PUBLISHED),
    Bug(
        SPIKING,
        "a favoured side",
        'LATE: dict[str, Any] = {"lead"',
        'LATE: dict[str, Any] = {"bias": 0.7, "lead"',
        PUBLISHED,
    ),
    Bug(
        SPIKING,
        "non-local MDGL by synapses",
        '"NL-MDGL": (Hops(1, BlockMean(),',
        '"NL-MDGL": (Hops(1, SynapseMean(),',
        PUBLISHED,
    ),
    Bug(TYPES, "the worst rate chosen", "{rule: max(case.rates", "{rule: min(case.rates", STUDIES),
    Bug(TYPES, "tuned on a seed that is reported", "TUNED = (1000,)", "TUNED = (0,)", STUDIES),
    Bug(TYPES, "cells without synapses counted", '(own["w_in"] != 0).any(1)', '(own["w_in"] == 0).any(1)', STUDIES),
    Bug(
        "tca/experiments/training/update.py",
        "factors forgotten by schedules",
        'group["lr"] = rate * self.chosen',
        'group["lr"] = self.chosen.lr * self.chosen',
        FACTORS,
    ),
    Bug("tca/experiments/config/components.py", "factors forgotten", '"lr": self.lr * factor}', '"lr": self.lr}', FACTORS),
    Bug(
        "tca/experiments/config/components.py",
        "factors of nothing let pass",
        'lookup(known, name, "parameter with a factor on its learning rate")',
        "pass",
        FACTORS,
    ),
    Bug("tca/experiments/config/run.py", "runs without factors renamed", '"sam", "reset_momentum_on_projection", "lr_multipliers")', '"sam", "reset_momentum_on_projection")', FACTORS),
    Bug(
        f"{VISION}/search.py",
        "runs that are not there read",
        "if finished(job.run.folder(job.folder)):",
        "if job:",
        IMAGES,
    ),
    Bug(
        f"{VISION}/published.py",
        "biases of the readout at the rate of the rest",
        '{"w_out": multiple, "b_out": multiple}',
        '{"w_out": multiple}',
        IMAGES,
    ),
    Bug(
        f"{VISION}/vision_report.py",
        "angles of all depths in one figure",
        "if each.layers == layers  # BP",
        "if each.layers  # BP",
        IMAGES,
    ),
    Bug(f"{VISION}/vision_plan.py", "another rate than was found", "falling(45.0)", "falling(60.0)", IMAGES),
    Bug(CASES, "weights of a dense network", '"gain_rec": math.sqrt(0.1)', '"gain_rec": 1.0', STUDIES),
    Bug(CASES, "a dense readout", '{"density": readout}', '{"density": 1.0}', STUDIES),
    Bug(f"{VISION}/vision_cells.py", "another set with the sizes of its test images",
        'sizes = (other.pool_sizes["train"], other', 'sizes = (other.pool_sizes["test"], other', ASKED),
    Bug(f"{VISION}/vision_cells.py", "nothing taken for everything", "whole(name, getattr(self, name), 1)",
        "whole(name, getattr(self, name), 0)", ASKED),
    Bug("analysis/run_measurements.py", "broadcasts measured over all trials",
        "broadcasting(learner, train.select(slice(0, min(self.trials, train.trials)))).layers",
        "broadcasting(learner, train).layers", ("tests/analysis/test_broadcast_measures.py",)),
]  # fmt: skip
