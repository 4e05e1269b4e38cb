"""Bugs of the measures of what rules find, and of the studies made with them."""

from __future__ import annotations

from tests.bugs.bug import Bug

ALIGNED = ("tests/analysis/test_alignment.py",)
STABLE = ("tests/analysis/stability/test_stability.py",)
SIMILAR = ("tests/analysis/representations/test_similarity.py",)
JACOBIANS_OF = ("tests/analysis/stability/test_stability.py::test_jacobians_and_metric_of_any_network",)
GHOSTS = ("tests/analysis/curvature/test_spectrum.py::test_full_reorthogonalisation_leaves_no_ghosts",)
DENSITY_ERRORS = (
    "tests/analysis/curvature/test_spectrum.py::test_two_standard_errors_of_a_density_hold_nineteen_times_in_twenty",
)
DENSITY_OF = ("tests/analysis/curvature/test_spectrum.py::test_the_density_is_that_of_the_spectrum",)
SHARES = ("tests/analysis/curvature/test_spectrum.py::test_what_a_density_says_is_within_its_stated_error",)
TRACES = ("tests/analysis/curvature/test_spectrum.py::test_traces_are_unbiased_and_know_their_errors",)
SKETCHES = ("tests/analysis/curvature/test_spectrum.py::test_sketches_are_exact_for_low_rank",)
CONDITIONS = ("tests/analysis/generalization/test_conditions.py",)
MATCHED = ("tests/analysis/generalization/test_matched.py",)
DYNAMICS = ("tests/analysis/dynamics/test_dynamics.py",)
FIXED = ("tests/analysis/dynamics/test_fixed_points.py",)
MODELS = ("tests/analysis/dynamics/test_fixed_points_of_models.py",)
LANDSCAPE = ("tests/analysis/landscape/test_landscape.py",)
CEILING = ("tests/analysis/representations/test_noise_ceiling.py",)
STATISTICS = ("tests/analysis/statistics/test_statistics.py",)
RANKS, CORRELATED = "analysis/statistics/rank_correlation.py", ("tests/analysis/statistics/test_rank_correlation.py",)
PSYCHOMETRIC = ("tests/analysis/behaviour/test_psychometric.py",)
GAPS = ("tests/analysis/generalization/test_generalization.py",)
BROADCAST = ("tests/analysis/test_broadcast_measures.py",)
SHARP = ("tests/analysis/curvature/test_sharpness.py",)
STUDIES = ("studies/tests/test_studies.py",)
GENERALIZATION = ("studies/tests/test_study_generalization.py",)

ALIGNMENT = "analysis/alignment.py"
STABILITY = "analysis/stability/critical_rate.py"
JACOBIANS = "analysis/stability/jacobians.py"
SIMILARITY = "analysis/representations/similarity.py"
RSA = "analysis/representations/similarity_rsa.py"
DIMENSION = "analysis/representations/dimension.py"
DENSITY = "analysis/curvature/density.py"
TRACE = "analysis/curvature/trace.py"
TORUS, EVERY_RULE = "studies/torus.py", "studies/every_rule.py"

BUGS = [
    Bug("analysis/figures/plots.py", "bands beyond the bounds", "_quartiles(values) if bounded", "_quartiles(values) if False",
        ("tests/analysis/figures/test_figures.py::test_nothing_is_drawn_beyond_the_bounds_of_a_measure",)),
    Bug("analysis/figures/looks.py", "a variant with the look of the rule", "(rules[each] is None, \",\" in each)",
        "(rules[each] is None, \",\" not in each)", ("tests/analysis/figures/test_looks.py",)),
    Bug("analysis/figures/looks.py", "a rule in the grey of controls", '"two_hops": BROWN', '"two_hops": GREY',
        ("tests/analysis/figures/test_looks.py::test_grey_is_for_controls_alone",)),
    Bug(ALIGNMENT, "cosine divided by one norm", "_ratio(inner, math.sqrt(square * true_square))",
        "_ratio(inner, square)", ALIGNED),
    Bug(ALIGNMENT, "squares of norms taken for norms", "math.sqrt(_ratio(square, true_square))",
        "_ratio(square, true_square)", ALIGNED),
    Bug(ALIGNMENT, "rho by the rule's own norm", "_ratio(inner, true_square))", "_ratio(inner, square))", ALIGNED),
    Bug(ALIGNMENT, "readout counted among the recurrent parameters",
        "[each.name for each in net.hidden_connections()]", "[each.name for each in net.connections()]", ALIGNED),
    Bug(ALIGNMENT, "signal of another eligibility taken for the exact one",
        "Rule(Exact(), eligibility)", 'Rule(Exact(), RULES["bptt"].eligibility)', ALIGNED),
    Bug(STABILITY, "critical rates of real numbers", "2 * eigenvalues.real / moduli.square()", "2 / eigenvalues.real",
        STABLE),
    Bug(STABILITY, "critical rates halved", "2 * eigenvalues.real / moduli.square()",
        "eigenvalues.real / moduli.square()", STABLE),
    Bug(STABILITY, "round-off taken for an eigenvalue", "moving = moduli > NEGLIGIBLE * moduli.max()",
        "moving = moduli > 0",
        ("tests/analysis/stability/test_stability.py::test_round_off_of_zero_has_no_critical_rate",)),
    Bug(STABILITY, "rules that climb given a rate", "max(0.0, critical_rates(eigenvalues).min().item())",
        "critical_rates(eigenvalues).abs().min().item()",
        ("tests/analysis/stability/test_stability.py::test_a_rule_that_climbs_is_never_attracted",)),
    Bug(STABILITY, "the rule's Jacobian on both sides", "product = root @ plain @ back.mT @ root.mT",
        "product = root @ back @ back.mT @ root.mT", STABLE),
    Bug(STABILITY, "direction of the least curvature", "top = directions[:, curvatures >= largest",
        "top = directions.flip(1)[:, curvatures >= largest", STABLE),
    Bug(STABILITY, "bound of another rule", "return 2 / pull if", "return 2 / rate if", STABLE),
    Bug(JACOBIANS, "metric without its root", "values.clamp(min=0).sqrt()", "values.clamp(min=0)", JACOBIANS_OF),
    Bug(JACOBIANS, "errors of a chunk averaged over the chunk", "part.weights.unsqueeze(-1) / problem.batch.trials",
        "part.weights.unsqueeze(-1) / part.trials", JACOBIANS_OF),
    Bug(SIMILARITY, "shapes compared by size", "_padded(each / each.norm(), units)", "_padded(each, units)", SIMILAR),
    Bug(SIMILARITY, "shapes that are not turned", "(first - second @ (left @ right)).norm()",
        "(first - second).norm()", SIMILAR),
    Bug(SIMILARITY, "round-off taken for a component", "sizes[sizes > unsure]", "sizes[sizes >= 0]", SIMILAR),
    Bug(SIMILARITY, "a component less than the variance asks for", "if enough[each - 1])",
        "if enough[min(each, len(enough) - 1)])", SIMILAR),
    Bug(SIMILARITY, "singular values taken for variances", "sizes.square().cumsum(0) / sizes.square().sum()",
        "sizes.cumsum(0) / sizes.sum()", SIMILAR),
    Bug(SIMILARITY, "alignment of kernels without its root", "(both / (own * other).sqrt())", "(both / (own * other))",
        SIMILAR),
    Bug(SIMILARITY, "debiased kernels with their diagonals", "kernels = [_hollow(each @ each.mT)",
        "kernels = [(each @ each.mT)", SIMILAR),
    Bug(SIMILARITY, "debiased sums counted once", "sums = 2 * (first.sum(0)", "sums = (first.sum(0)", SIMILAR),
    Bug(RSA, "ranks that are not taken", "_about_mean(tied_ranks(values.sqrt(), unsure))", "_about_mean(values)",
        SIMILAR),
    Bug(RSA, "distances not squared", "pdist(values).square()", "pdist(values)", SIMILAR),
    Bug(DIMENSION, "participation of singular values", "return (total / squares).item()",
        "return (total / squares).sqrt().item()", SIMILAR),
    Bug(DENSITY, "ghosts of converged eigenvalues", "known = bases[: step + 1, index]",
        "known = bases[max(0, step - 1) : step + 1, index]", GHOSTS),
    Bug(DENSITY, "weights that are not squared", "vectors[0].square()", "vectors[0].abs()", DENSITY_ERRORS),
    Bug(DENSITY, "spread of the probes taken for the error of their mean",
        "float(values.std()) / math.sqrt(count)", "3 * float(values.std())", DENSITY_ERRORS),
    Bug(DENSITY, "smoothed density of another integral", "(width * math.sqrt(2 * math.pi))",
        "(width * math.sqrt(math.pi))", DENSITY_OF),
    Bug(DENSITY, "share of negative curvature by number", "whole_mass = (self.weights * self.nodes.abs()).sum(1)",
        "whole_mass = self.weights.sum(1)", SHARES),
    Bug(TRACE, "trace of the sketch forgotten", "_mean(known + (rest * _apply(operator, rest)).sum(0))",
        "_mean((rest * _apply(operator, rest)).sum(0))", SKETCHES),
    Bug(TRACE, "each vector kept in its own sketch", "value = estimates(everything, without).mean()",
        "value = estimates(everything).mean()", TRACES),
    Bug(TRACE, "vectors of zeros and ones", "drawn.mul_(2).sub_(1)", "drawn.mul_(2)", TRACES),
    Bug(TRACE, "standard deviation taken for the error of a mean", "(values.std() / math.sqrt(len(values))).item()",
        "values.std().item()", TRACES),
    Bug("analysis/curvature/sharpness.py", "scale of each parameter taken once", "return radius * scale * direction",
        "return radius * direction", SHARP),
    Bug("analysis/figures/point_figures.py", "half of an interval", "[found.low, found.high], [place] * 2", "[found.value, found.high], [place] * 2",
        ("tests/analysis/figures/test_figures.py::test_differences_say_their_number_and_their_interval_in_the_colour_of_the_rule",)),
    Bug("analysis/figures/curve_figures.py", "runs that lose a solution again", "list(accumulate((float(score >= level) for score in one.y), max))",
        "[float(score >= level) for score in one.y]", ("tests/analysis/figures/test_figures.py::test_runs_part_where_some_solve_their_task",)),
    Bug("analysis/broadcast_measures.py", "entropy of squares", "shares = sizes / total", "shares = sizes.square() / total",
        BROADCAST),
    Bug("analysis/broadcast_measures.py", "what remains after one update", "lam**updates * first", "lam * first", BROADCAST),
    Bug("analysis/generalization/conditions.py", "noise on the steps of the decision",
        "pixels = inputs[: self.steps, :, : self.channels]", "pixels = inputs[:, :, : self.channels]", CONDITIONS),
    Bug("analysis/generalization/conditions.py", "noise beyond the range of a pixel",
        "return noisy if clip is None else noisy.clamp(*clip)", "return noisy", CONDITIONS),
    Bug("analysis/generalization/conditions.py", "times lengthened by a sum", "self.factor * time for", "self.factor + time for",
        CONDITIONS),
    Bug("analysis/generalization/conditions.py", "fresh trials that are the old ones", "_, drawn = task.split(1, test.trials, seed)",
        "_, drawn = task.split(4, test.trials, 0)", CONDITIONS),
    Bug("analysis/generalization/matched_loss.py", "runs that never reached the loss counted as zeros", "math.nan if row is None",
        "0.0 if row is None", MATCHED),
    Bug("analysis/generalization/matched_loss.py", "measured at the first loss that was kept", "if each.loss == loss), None)",
        "), None)", MATCHED),
    Bug("analysis/generalization/matched_loss.py", "all runs counted as having reached the loss",
        "sum(row is not None for row in self.rows.values())", "len(self.rows)", MATCHED),
    Bug("analysis/dynamics/dsa.py", "delays that join nothing", "for place in reversed(range(delays))], -1)",
        "for place in reversed(range(delays))][:1], -1)", DYNAMICS),
    Bug("analysis/dynamics/step_map.py", "slope of the receiver, form A",
        "return leak + gain * self.w_rec * slope[..., None, :]",
        "return leak + gain * self.w_rec * slope[..., :, None]", FIXED),
    Bug("analysis/dynamics/step_map.py", "the Jacobian of any cell transposed", "return torch.stack(rows, -2)",
        "return torch.stack(rows, -1)", ("tests/analysis/dynamics/test_state_maps.py",)),
    Bug("analysis/dynamics/state_map.py", "a layer of a stack driven by the step before", "inputs = each.rates(after[-1])", "inputs = each.rates(part)", MODELS),
    Bug("analysis/dynamics/state_map.py", "vectors that pass closed gates", "w_rec.drive(net.gates(states))", "w_rec.drive(states)", MODELS),
    Bug("analysis/dynamics/spiking.py", "surrogates taken for derivatives", "if unlike.double().mean() > 0.01:", "if False:", MODELS),
    Bug("analysis/dynamics/lyapunov.py", "exponents of surrogate gradients", "net.cell is not None and spikes(net.bound_cell(), net.n_rec)", "False", MODELS),
    Bug("analysis/dynamics/recurrent_part.py", "a layer driven by something else than the inputs", "if not any(one.shape == each.shape and torch.equal(one, each)", "if not any(one.shape[-1:]",
        MODELS),
    Bug("analysis/dynamics/state_map.py", "dropout between recurrent layers", "inputs = inputs.unsqueeze(",
        "net.train(); inputs = inputs.unsqueeze(", ("tests/analysis/dynamics/test_state_maps.py",)),
    Bug("analysis/dynamics/fixed_points.py", "fixed points called stable", "return self.fixed & (self.radius < 1 - MARGIN)",
        "return self.fixed", FIXED),
    Bug("analysis/dynamics/fixed_points.py", "slow points called fixed", "fixed = residuals[chosen] <= tolerance",
        "fixed = residuals[chosen] <= 1e8 * tolerance", FIXED),
    Bug("analysis/landscape/barrier.py", "barrier above one end", "return (self.losses - self.chord).max().item()",
        "return (self.losses - self.losses[0]).max().item()", LANDSCAPE),
    Bug("analysis/representations/noise_ceiling.py", "ceiling of new repeats", "math.sqrt(whole_likeness))", "whole_likeness)", CEILING),
    Bug("analysis/representations/noise_ceiling.py", "halves taken for the whole", "2 * mean / (1 + mean)", "mean", CEILING),
    Bug("analysis/representations/similarity_study.py", "references of another error",
        "(threshold, rule) == (one.threshold, reference) and seed != one.seed",
        "rule == reference and seed != one.seed", ("studies/tests/test_similarity_study.py",)),
    Bug("analysis/statistics/intervals.py", "one side for two", "test.confidence_interval(confidence)",
        "test.confidence_interval(2 * confidence - 1)", STATISTICS),
    Bug("analysis/statistics/intervals.py", "as many degrees of freedom as values", "ttest_1samp(kept, 0.0)",
        "ttest_1samp(np.append(kept, kept.mean()), 0.0)", STATISTICS),
    Bug("analysis/statistics/intervals.py", "three values decide", "DECIDING = 5", "DECIDING = 3", STATISTICS),
    Bug("analysis/statistics/intervals.py", "verdicts of uncorrected p values",
        "difference.p if corrected is None else corrected", "difference.p",
        STATISTICS),
    Bug("analysis/statistics/intervals.py", "Bonferroni for Holm", "np.arange(len(order), 0, -1)", "len(order)", STATISTICS),
    Bug("analysis/statistics/intervals.py", "corrected p values out of order", "np.maximum.accumulate(scaled)", "scaled",
        STATISTICS),
    Bug("analysis/statistics/intervals.py", "missing claims that count", "known = np.flatnonzero(~np.isnan(given))",
        "known = np.arange(len(given))", STATISTICS),
    Bug(RANKS, "groups that count", "rest: NDArray[np.float64] = ranks_RN - means_RG @ members.T",
        "rest: NDArray[np.float64] = ranks_RN - ranks_RN.mean(1, keepdims=True)", CORRELATED),
    Bug(RANKS, "arms that are not resampled", 'drawn * _drawn(counts["arms"], resamples, source)[:, of_arm]',
        "drawn", CORRELATED),
    Bug(RANKS, "runs resampled as if they were seeds", '_drawn(counts["seeds"], resamples, source)[:, of_seed]',
        "_drawn(len(xs), resamples, source)", CORRELATED),
    Bug(RANKS, "four arms decide", "self.arms >= DECIDING", "self.arms >= DECIDING - 1", CORRELATED),
    Bug("analysis/generalization/gap.py", "gap with the wrong sign", "Gap(score.loss - self.train.loss,",
        "Gap(self.train.loss - score.loss,", GAPS),
    Bug("analysis/run_measurements.py", "search that starts anew at every measurement", "self._ends = ends", "pass",
        ("tests/tca/experiments/training/test_callbacks.py",)),
    Bug("studies/generalization/gap_measurements.py", "pull that forgets the phase of the rate",
        '"pull": eta * factor * own.rho}', '"pull": eta * own.rho}', GENERALIZATION),
    Bug("tca/nets/masks.py", "a torus of one site less", "torch.minimum(apart, side - apart) / side",
        "torch.minimum(apart, side - apart) / (side - 1)", STUDIES),
    Bug(TORUS, "every seed written down as the first", '"seed": self.seed}', '"seed": 0}', STUDIES),
    Bug(EVERY_RULE, "a readout alone that has feedback", "Random(scale=1e-300)", "Random(scale=1e-3)", STUDIES),
    Bug("studies/alignment_study.py", "both forms in one column", "if one.run.net.form == form:",
        "if one.run.net.form:", STUDIES),
    Bug("studies/sparse_feedback.py", "accepted by its mean", 'verdict(gained) == "holds"', "gained.value > 0",
        STUDIES),
    Bug("studies/workloads.py", "results in the order in which they came",
        "[done[place] for place in range(len(jobs))]", "list(done.values())[::-1]", STUDIES),
    Bug("analysis/behaviour/psychometric_fit.py", "a lapse that also lowers the guesses", "self.asymptotes.rows @ np.stack([1 - rise_X, -rise_X])",
        "self.asymptotes.rows @ np.stack([1 - rise_X, rise_X])", PSYCHOMETRIC),
    Bug("analysis/behaviour/psychometric_fit.py", "intervals of half the deviance", "math.sqrt(max(0.0, 2 * (found - smallest)))",
        "math.sqrt(max(0.0, found - smallest))", PSYCHOMETRIC),
    Bug("analysis/behaviour/psychometric_fit.py", "thresholds on the scale of the fit", "form.level(likelihood.middle + half * value)",
        "form.level(half * value)", PSYCHOMETRIC),
    Bug("analysis/behaviour/psychometric.py", "fixation as a choice", "classes[sums_BO.cpu()[:, classes].argmax(1)]", "sums_BO.cpu().argmax(1)", PSYCHOMETRIC),
    Bug("analysis/behaviour/psychometric.py", "outputs of all steps", "(outputs_of(net, batch.inputs) * decided_TB[..., None])",
        "(outputs_of(net, batch.inputs) * torch.ones_like(decided_TB)[..., None])", PSYCHOMETRIC),
    Bug("analysis/representations/recordings.py", "conditions for time", '("steps", "conditions", "neurons")', '("conditions", "steps", "neurons")',
        ("tests/analysis/representations/test_recordings.py",)),
]  # fmt: skip
