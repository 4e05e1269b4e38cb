"""Limits that fall: changes by which an entry of docs/limits.md would no longer be true."""

from __future__ import annotations

from tests.bugs.bug import Bug

PINNED = "tests/project/test_limits.py::"

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
        "ReadoutFilteredTrace(each, step, self.net.readout_leak) if filtered else each for each in fresh",
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
)
