"""Bugs of networks made of a user's modules."""

from __future__ import annotations

from tests.bugs.bug import Bug

CELL, MODEL = ("tests/tca/nets/modules/test_cell_network.py",), ("tests/tca/nets/modules/test_wrapped_model.py",)
TAPE, PROBES = "tca/tape/module_tape.py", "tca/nets/modules/probes.py"
NETWORK, WRAPPED = "tca/nets/modules/cell_network.py", "tca/nets/modules/wrapped_model.py"

BUGS = (
    Bug(TAPE, "the Jacobian of the step before", "x, s = self.inputs[t - 1], self.states[t - 1]\n        jacobian",
        "x, s = self.inputs[t - 1], self.states[t]\n        jacobian", CELL),
    Bug(TAPE, "the propagator transposed", "        return rows\n", "        return rows.mT\n", CELL),
    Bug(TAPE, "traces are not propagated by D", "traces[name] = propagator @ trace", "traces[name] = trace.clone()", CELL),
    Bug(TAPE, "products with J at the next inputs", "self._pull_state(self.inputs[t - 1], self.states[t - 1], later)",
        "self._pull_state(self.inputs[t - 2], self.states[t - 1], later)", CELL),
    Bug(TAPE, "the diagonal left out", "into.addcmul_(later, own if", "into.addcmul_(later, 0 * own if", CELL),
    Bug(TAPE, "a gradient of the window before is kept", 'if self._pulled.get("signal") is not driven:',
        'if "signal" not in self._pulled:', ("tests/tca/nets/modules/test_cell_network.py::test_windows_of_the_cache",)),
    Bug(TAPE, "traces may take twice the limit", "if size > TRACE_BYTES:", "if size > 2 * TRACE_BYTES:", CELL),
    Bug(NETWORK, "the learned part of the state lies elsewhere",
        "        offset = self.emits * self.readout.in_features\n", "        offset = 1\n", CELL),
    Bug(NETWORK, "dropout acts within a cell", "        with evaluating(self.cell):\n            return self._step(use, x, s)",
        "        return self._step(use, x, s)",
        ("tests/tca/nets/modules/test_cell_network.py::test_dropout_turned_on_later_does_not_act",)),
    Bug(WRAPPED, "a pass without noise draws", "            with evaluating(self.model):\n                yield\n            return",
        "            yield\n            return", MODEL),
    Bug(WRAPPED, "every pass has the same seed", "        with seeded(int(noise[0, 0, 0]), noise.device):",
        "        with seeded(0, noise.device):", MODEL),
    Bug(WRAPPED, "kernels without a second derivative", "with sdpa_kernel(SDPBackend.MATH):",
        "with contextlib.nullcontext():", (f"{MODEL[0]}::test_measurements_accept_it",)),
    Bug(PROBES, "trials may be coupled", "> scale).any():", "> scale).all():", MODEL),
    Bug("tca/signals/module_check.py", "a whole model takes any eligibility",
        "isinstance(signal, Direct | Exact) and isinstance(eligibility, Instant)", "isinstance(signal, Direct | Exact)",
        MODEL),
)  # fmt: skip
