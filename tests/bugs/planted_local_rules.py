"""Bugs of rules that complete others: least squares of the readout, weight mirrors, traces of OTTT and OSTL,
filtered errors, local readouts, synthetic gradients."""

from __future__ import annotations

from tests.bugs.bug import Bug

SQUARES = ("tests/tca/signals/test_recursive_least_squares.py",)
MIRRORS = ("tests/tca/signals/test_weight_mirror.py",)
ONLINE = ("tests/tca/rules/test_online_spiking.py",)
MIRROR, POTENTIAL = "tca/signals/weight_mirror.py", "tca/eligibilities/potential_leak.py"
KERNEL, LOCAL = ("tests/tca/signals/test_filtered_error.py",), ("tests/tca/signals/test_local_readout.py",)
FILTERED, READOUT = "tca/signals/filtered_error.py", "tca/signals/local_readout.py"
SYNTHETIC, WINDOWS = "tca/signals/synthetic_gradient.py", ("tests/tca/signals/test_synthetic_gradient.py",)
LEAST_SQUARES = "tca/signals/recursive_least_squares.py"

BUGS = [
    Bug(LEAST_SQUARES, "weights of the steps in the place of their roots", "weights.sqrt().unsqueeze(1)",
        "weights.unsqueeze(1)", SQUARES),
    Bug(LEAST_SQUARES, "a recursion that divides by x P x alone", "gram.diagonal(dim1=-2, dim2=-1).add_(1)",
        "gram.diagonal(dim1=-2, dim2=-1).add_(1e-9)", SQUARES),
    Bug(LEAST_SQUARES, "penalty and its inverse", 'device="cpu") / self.ridge', 'device="cpu") * self.ridge', SQUARES),
    Bug(LEAST_SQUARES, "inputs of the readout without its filter", "filtered(pre, tape.readout.leak).flatten(0, 1)",
        "filtered(pre, 0.0).flatten(0, 1)", SQUARES),
    Bug(LEAST_SQUARES, "missing synapses take part in the regression", "exists[:, 0, :-1] = readout.mask",
        "exists[:, 0, :-1] = 1", ("tests/tca/test_conformance.py::test_rule_equals_its_surgery",)),
    Bug(MIRROR, "sum over noise in the place of the mean", "alpha=self.rate / self.samples", "alpha=self.rate", MIRRORS),
    Bug(MIRROR, "feedback weights that do not decay", "backward.mul_(1 - self.decay)", "backward.mul_(1)", MIRRORS),
    Bug(MIRROR, "the same noise before every batch", "        move_on_(buffers)\n", "", MIRRORS),
    Bug(MIRROR, "feedback where there is no synapse", "add_(onwards.masked(learned),", "add_(learned,", MIRRORS),
    Bug(POTENTIAL, "memory of the adaptation", "driven.select(-2, 0).copy_(later.select(-2, 0))", "driven.copy_(later)",
        ONLINE),
    Bug("tca/eligibilities/population_jacobian.py", "paths through the memory of other layers",
        "joint: ClassVar[bool] = False", "joint: ClassVar[bool] = True", ONLINE),
    Bug(FILTERED, "traces that are not filtered", "back = filtered(filtered(seen.flip(0), self.rise), self.decay).flip(0)",
        "back = seen.clone()", KERNEL),
    Bug(FILTERED, "errors that are not filtered", "seen = filtered(filtered(tape.output_error, self.rise), self.decay)",
        "seen = tape.output_error", KERNEL),
    Bug(FILTERED, "a single exponential", "seen = filtered(filtered(tape.output_error, self.rise), self.decay)",
        "seen = filtered(tape.output_error, self.decay)", KERNEL),
    Bug(FILTERED, "filtered errors after the end of a trial", "if tape.over is not None:", "if False:",
        ("tests/tca/test_padding.py",)),
    Bug(READOUT, "targets of other steps", "batch.targets[shown])", "batch.targets[shown].flip(0))", LOCAL),
    Bug(READOUT, "weights of the steps left out", "batch.weights[shown].unsqueeze(-1) / batch.trials",
        "1 / batch.trials", LOCAL),
    Bug(READOUT, "local readouts of the wrong size", "self.scale / math.sqrt(population.cells)",
        "self.scale / population.cells", LOCAL),
    Bug(SYNTHETIC, "an estimate that grows with the batch", "alpha=1 / tape.rate.shape[1])", "alpha=1.0)", WINDOWS),
    Bug("tca/online.py", "errors of the kernel after the trial", "error = error.masked_fill((self.time > self.steps)",
        "error = error.masked_fill((self.time > self.steps + 99)", KERNEL),
    Bug("tca/online.py", "a readout without the kernel online", "self.seen.advance(self.read)", "self.read", KERNEL),
    Bug(SYNTHETIC, "an online estimate at the end of the trial", "synthetic * running / trials", "synthetic / trials", WINDOWS),
    Bug(SYNTHETIC, "online targets of the step alone", "self.passed = (step.leak_matrix() + step.transmission())",
        "self.passed = step.leak_matrix()", WINDOWS),
    Bug("tca/eligibilities/full.py", "online windows that begin a step late", "if t and t % self.steps == 0",
        "if t > 1 and (t - 1) % self.steps == 0", WINDOWS),
    Bug(READOUT, "the rates' filter at a local readout online", "return step.lifted(local[0] @ readout)",
        "return step.lifted(error @ readout)", LOCAL),
    Bug(SYNTHETIC, "an estimate of the wrong sign", "matrix.sub_(difference.t()", "matrix.add_(difference.t()", WINDOWS),
    Bug(SYNTHETIC, "targets of the step itself", "Full().propagate_back_(tape, t + 1, target, adjoint[t + 1])",
        "target.copy_(adjoint[t])", WINDOWS),
    Bug(SYNTHETIC, "transposed estimate", "tape.rate[t] @ buffers[\"synthetic\"].t()", "tape.rate[t] @ buffers[\"synthetic\"]",
        ("tests/tca/test_conformance.py::test_rule_equals_its_surgery",)),
    Bug(SYNTHETIC, "errors after the end of a trial", "else tape.over[t + 1]", "else torch.zeros_like(tape.over[t + 1])",
        ("tests/tca/test_padding.py",)),
]  # fmt: skip
