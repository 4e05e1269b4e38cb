"""Limits that fall: changes by which an entry of docs/limits.md would no longer be true."""

from __future__ import annotations

from tests.bugs.bug import Bug

PINNED, PADDING = "tests/project/test_limits.py::", "tests/tca/test_padding.py::"
SQUARES = "tests/tca/signals/test_recursive_least_squares.py::"

BUGS: tuple[Bug, ...] = (
    Bug(
        "tca/execution.py",
        "forward execution without traces",
        '"forward": forward',
        '"forward": reverse',
        (f"{PINNED}test_forward_traces_of_every_path_take_a_number_for_each_cell_and_synapse",),
    ),
    Bug(
        "tca/online.py",
        "a filtered readout without traces of synapses",
        "ReadoutFilteredTrace(each, step, *self.leaks) if filtered else each for each in fresh",
        "each for each in fresh",
        (f"{PINNED}test_a_filtered_readout_online_takes_a_number_for_each_synapse_and_trial",),
    ),
    Bug(
        "tca/signals/global_vector.py",
        "spread scores gathered as products too",
        "FILTERS.get((type(eligibility), self.gated))",
        "FILTERS.get((type(eligibility), True))",
        (f"{PINNED}test_only_filters_that_are_numbers_are_gathered_as_products",),
    ),
    Bug(
        "tca/learner.py",
        "the processor's mode is changed for all",
        'lookup(EXECUTIONS, chosen, "execution")',
        'lookup(EXECUTIONS, chosen, "execution") if __import__("torch").set_flush_denormal(True) else reverse',
        (f"{PINNED}test_errors_that_fade_stay_at_subnormal_numbers_in_single_precision",),
    ),
    Bug(
        "analysis/curvature/problem.py",
        "the network's own type is taken for double",
        "net = separate_copy(net, dtype)",
        "net = separate_copy(net, torch.float64)",
        (f"{PINNED}test_a_single_precision_hessian_is_not_exact",),
    ),
    Bug(
        "analysis/curvature/trace.py",
        "half the standard error of XTrace",
        "return value.item(), math.sqrt((half - 1) / half",
        "return value.item(), 0.5 * math.sqrt((half - 1) / half",
        (f"{PINNED}test_the_error_of_xtrace_is_overestimated",),
    ),
    Bug(
        "tca/experiments/config/components.py",
        "factors of parameters that do not exist pass",
        'lookup(known, name, "parameter with a factor on its learning rate")',
        "known.get(name)",
        ("tests/tca/experiments/training/test_updates.py::test_parameters_that_a_network_does_not_have_are_refused",),
    ),
    Bug(
        "tca/signals/exact.py",
        "the exact signal on a stream",
        '    equation: ClassVar[str] = "mu_t',
        '    def online(self):\n        return Direct()\n\n    equation: ClassVar[str] = "mu_t',
        ("tests/tca/test_online.py::test_what_cannot_stream_says_so",),
    ),
    Bug(
        "tca/rules.py",
        "rflo is not eprop_random on other cells",
        '"rflo": Rule(\n        Random(),\n        Leak(),',
        '"rflo": Rule(\n        Random(),\n        Diagonal(),',
        ("tests/tca/test_conformance.py::test_rules_differ",),
    ),
    Bug(
        "tca/losses/loss_check.py",
        "output errors are compared on kinks too",
        "for size in (0.1, 1.0)",
        "for size in (0.0, 0.1)",
        ("tests/tca/losses/test_check_loss.py::test_losses_that_are_right_pass_whatever_they_accept",),
    ),
    Bug(
        "tca/tape/dense_step.py",
        "traces of a cell module of two GiB",
        "TRACE_BYTES = 2**30",
        "TRACE_BYTES = 2**31",
        ("tests/tca/nets/modules/test_cell_network.py::test_traces_beyond_the_limit_are_refused_with_their_size",),
    ),
    Bug(
        "analysis/stability/jacobians.py",
        "three thousand outputs",
        "MOST_NUMBERS = 2000",
        "MOST_NUMBERS = 3000",
        ("tests/analysis/stability/test_stability.py::test_mistakes_are_named",),
    ),
    Bug(
        "tca/cells/time_constants.py",
        "leaks a fifth off",
        "TOLERANCE = 0.01",
        "TOLERANCE = 0.2",
        ("tests/tca/test_precision.py::test_a_leak_that_rounds_to_another_is_refused_by_name",),
    ),
    Bug(
        "tca/cli/configs.py",
        "repeated options of a file pass within a group",
        "            yield from _repeated(value)",
        "            pass",
        ("tests/tca/experiments/sweep/test_sweep_robust.py::test_files_of_options_are_regular_small_and_shallow",),
    ),
    Bug(
        "tca/signals/recursive_least_squares.py",
        "the curvature of the cross-entropy bounded by a quarter",
        "batch.weights.flatten() / batch.trials",
        'batch.weights.flatten() / batch.trials * (0.25 if "CrossEntropy" in repr(batch.loss) else 1)',
        (f"{SQUARES}test_other_losses_and_rates_descend_along_the_inverse_correlation_and_are_no_regression",),
    ),
    Bug(
        "tca/online.py",
        "fields end with the weights of a trial",
        "        if isinstance(self.steps, Tensor):\n            over = (self.time > self.steps)",
        "        if True:\n            over = (weights == 0)",
        (f"{PADDING}test_online_without_its_length_a_trial_runs_on",),
    ),
    Bug(
        "tca/eligibilities/kernel.py",
        "KeRNL learns only where the end of the trial is known",
        "        self._learn(step.to_go)",
        "        if step.to_go is not None:\n            self._learn(step.to_go)",
        (f"{PADDING}test_online_without_its_length_a_trial_runs_on",),
    ),
)
