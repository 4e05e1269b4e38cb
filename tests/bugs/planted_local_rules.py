"""Bugs of rules with states of their own: least squares of the readout."""

from __future__ import annotations

from tests.bugs.bug import Bug

SQUARES = ("tests/tca/signals/test_recursive_least_squares.py",)
LEAST_SQUARES = "tca/signals/recursive_least_squares.py"

BUGS = [
    Bug(LEAST_SQUARES, "weights of the steps in the place of their roots", "weights.sqrt().unsqueeze(1)",
        "weights.unsqueeze(1)", SQUARES),
    Bug(LEAST_SQUARES, "a recursion that divides by x P x alone", "gram.diagonal(dim1=-2, dim2=-1).add_(1)",
        "gram.diagonal(dim1=-2, dim2=-1).add_(1e-9)", SQUARES),
    Bug(LEAST_SQUARES, "penalty and its inverse", 'device="cpu") / self.ridge', 'device="cpu") * self.ridge', SQUARES),
    Bug(LEAST_SQUARES, "inputs of the readout without its filter", "filtered(pre, tape.readout_leak)[counted]",
        "filtered(pre, 0.0)[counted]", SQUARES),
    Bug(LEAST_SQUARES, "missing synapses take part in the regression", "exists[:, 0, :-1] = readout.mask",
        "exists[:, 0, :-1] = 1", ("tests/tca/test_conformance.py::test_rule_equals_its_surgery",)),
]  # fmt: skip
