"""Bugs of curvature: networks differentiated by hand, operators, engines, and statistics over seeds."""

from __future__ import annotations

from tests.bugs.bug import Bug

PRODUCTS = ("tests/analysis/curvature/test_network_products.py::test_products_are_those_of_autograd",)
MOVED = ("tests/analysis/curvature/test_network_products.py::test_the_point_need_not_be_that_of_the_network",)
TIGHT = ("tests/analysis/curvature/test_network_products.py::test_what_does_not_fit_into_memory_is_computed_anew",)
FLAT = ("tests/analysis/curvature/test_network_products.py::test_memory_stays_flat",)
DIRTY = ("tests/analysis/curvature/test_network_products.py::test_what_memory_held_before_does_not_matter",)
COPIES = (
    "tests/analysis/curvature/test_eigensolvers.py::test_copies_of_an_eigenvalue_are_found_where_a_krylov_space_ends",
)
SLOWER = ("tests/analysis/curvature/test_eigensolvers.py::test_the_slower_end_is_waited_for",)
ACCURACY = ("tests/analysis/curvature/test_spectrum.py::test_both_ends_with_vectors_and_residuals",)
UPDATES = ("tests/analysis/curvature/test_operators.py::test_the_update_jacobian_of_backpropagation_is_the_hessian",)
OUTER = ("tests/analysis/curvature/test_operators.py::test_empirical_fisher_matrices_are_outer_products_of_gradients",)
RIDGE = ("tests/analysis/curvature/test_curvature.py::test_l2_adds_its_coefficient_to_every_eigenvalue",)
PAIRS = ("tests/analysis/statistics/test_statistics.py::test_pairs_count_where_both_sides_have_a_value",)
MISSING = ("tests/analysis/statistics/test_statistics.py::test_the_missing_are_left_out_and_counted",)

CELLS = "analysis/curvature/analytic/cell_derivatives.py"
SYNAPSES = "analysis/curvature/analytic/synapses.py"
LEVEL = "analysis/curvature/analytic/population_derivatives.py"
NETWORK = "analysis/curvature/analytic/network_derivatives.py"
SCAN = "analysis/curvature/analytic/scan.py"
SCANS = "analysis/curvature/analytic/derivative_plan.py"
UPDATE = "analysis/curvature/operators/update_derivative.py"
HESSIAN = "analysis/curvature/operators/hessian.py"
METRICS = "analysis/curvature/operators/output_metrics.py"
LANCZOS, PAIR = "analysis/curvature/eigensolvers/lanczos.py", "analysis/curvature/eigensolvers/ends.py"
STATISTICS = "analysis/statistics/intervals.py"

MODELS = "tests/analysis/curvature/test_spectrum_of_models.py"

BUGS = [
    Bug("analysis/curvature/measured_operator.py", "arguments beside an operator passed over", "for name, changed in given.items() if changed):",
        "for name, changed in given.items() if not name):",
        (f"{MODELS}::test_arguments_are_those_of_the_operator_or_none",)),
    Bug("analysis/curvature/density.py", "density of another matrix of a model", "kind=kind, loss=loss", 'kind="hessian", loss=loss',
        (f"{MODELS}::test_other_matrices_of_a_model",)),
    Bug("analysis/curvature/trace.py", "trace without the penalty", "l2=l2, chunk=chunk", "chunk=chunk",
        (f"{MODELS}::test_loaders_with_an_uneven_last_batch_chunks_and_a_penalty",)),
    Bug("analysis/curvature/spectrum.py", "spectrum in all parameters", "net, trials, parameters=parameters,", 'net, trials, parameters="all",',
        (f"{MODELS}::test_parameters_by_prefix_and_by_default",)),
    Bug("analysis/curvature/eigensolvers/lanczos.py", "errors of values without the gap", "residuals.square() / gaps, residuals)",
        "residuals.square(), residuals)", ("tests/analysis/curvature/test_accuracy_asked_for.py",)),
    Bug(CELLS, "leak of potentials forgotten on the way back", "add_leak(here, later, out=here)", "here.add_(later)",
        PRODUCTS),
    Bug(CELLS, "second order without what the leak of rates returns", "factors.scale_(t, state)",
        "factors.scale_(t, here)", PRODUCTS),
    Bug(CELLS, "second derivative of a spike in units of the threshold", "second.div_(threshold**2)",
        "second.div_(threshold)", PRODUCTS),
    Bug(CELLS, "refractory cells with a second derivative", ".mul_(slope != 0)", "", PRODUCTS),
    Bug(CELLS, "adaptation that lowers the threshold",
        "torch.addcmul(potential, adapted, adaptive.strength, value=-1, out=inner_t[t])",
        "torch.addcmul(potential, adapted, adaptive.strength, value=1, out=inner_t[t])", PRODUCTS),
    Bug(CELLS, "leak of the potential taken for that of adaptation",
        "adapted.mul_(adaptive.adaptation_leak).addcmul_(here", "adapted.mul_(adaptive.leak).addcmul_(here", PRODUCTS),
    Bug(CELLS, "a spike that raises its own threshold", "addcmul_(rate[t], constants.adaptation_gain)",
        "addcmul_(rate[t + 1], constants.adaptation_gain)", PRODUCTS),
    Bug(NETWORK, "slope of the activation at the initial state of a leaky rate", "slope[0] = 1.0", "slope[1] = 1.0",
        PRODUCTS),
    Bug(NETWORK, "second derivatives of an activity that there is not", "values[0] = 0.0", "pass", DIRTY),
    Bug(NETWORK, "reset left out of the recurrent weights", "recurrent - torch.diag(tape.cells.reset)",
        "recurrent", PRODUCTS),
    Bug(NETWORK, "levels that refer to each other outlive their use", "tapes = (tape, *tape.lower)",
        "tapes = tape.levels", FLAT),
    Bug(SYNAPSES, "tangents of the presynaptic activity not gathered by skinny matrices",
        " + sums[1].view(post, -1, pre).movedim(1, 0)", "", PRODUCTS),
    Bug(SYNAPSES, "components of several vectors lost on a copy", "if rows.data_ptr() != into.data_ptr():",
        "if rows.data_ptr() == into.data_ptr():", PRODUCTS),
    Bug(SYNAPSES, "signs of copied inputs left out", "return connection.pre(pre), ",
        "return torch.cat([pre, pre], -1), ", PRODUCTS),
    Bug(LEVEL, "adjoint of the same step sent through changes of recurrent weights",
        "self.level.adjoint[steps.start + 1 : steps.stop + 1]", "self.level.adjoint[steps]", PRODUCTS),
    Bug(LEVEL, "recurrent synapses that carry the rates of the same step", "adjoint, ahead.tangent[before])",
        "adjoint, ahead.tangent[steps])", PRODUCTS),
    Bug(SCAN, "signals of the first order not filtered", "self._error = delivered.squeeze(2)",
        "self._error = raw.squeeze(2)", PRODUCTS),
    Bug(SCANS, "products at the network's own weights", "net.get_parameter(name).copy_(value)",
        "net.get_parameter(name).mul_(1.0)", MOVED),
    Bug(SCANS, "as many vectors at once where there is no memory", "max(1, min(WIDTH, int(left / passing))),", "WIDTH,",
        TIGHT),
    Bug(LANCZOS, "the lower end not waited for", "errors[-k:] if only_largest else",
        "errors[-k:] if True else", SLOWER),
    Bug(LANCZOS, "copies of eigenvalues not looked for",
        "if not exhausted or (settled is not None and bool(((found - settled).abs() <= tolerance * size).all())):",
        "if bool(size >= 0):", COPIES),
    Bug(PAIR, "residual of another operator", "(products - values * vectors).norm(dim=0)",
        "(products - vectors).norm(dim=0)", ACCURACY),
    Bug(UPDATE, "differences of the second order", "(8 * difference(1) - difference(2))",
        "(8 * difference(1) - 2 * difference(2))", UPDATES),
    Bug(HESSIAN, "penalty without its half", "total = self.l2 * vectors", "total = 2 * self.l2 * vectors", RIDGE),
    Bug(METRICS, "steps of a trial taken for observations", ".sum((-3, -1), keepdim=True)", ".sum(-1, keepdim=True)",
        OUTER),
    Bug(STATISTICS, "seeds that one side lacks not counted", "seeds = sorted({*first, *second})",
        "seeds = sorted(first)", PAIRS),
    Bug(STATISTICS, "the missing counted as never asked for", "len(kept), len(given), confidence)",
        "len(kept), len(kept), confidence)", MISSING),
]  # fmt: skip
