"""Bugs of networks made of a user's modules, and of measures of dynamics, ranks and learning regimes."""

from __future__ import annotations

from tests.bugs.bug import Bug

CELL, MODEL = ("tests/tca/nets/modules/test_cell_network.py",), ("tests/tca/nets/modules/test_wrapped_model.py",)
TAPE, PROBES = "tca/tape/dense_tape.py", "tca/nets/modules/probes.py"
STEP, DENSE = "tca/tape/dense_step.py", "tca/eligibilities/dense_trace.py"
STREAM = ("tests/tca/nets/modules/test_cell_stream.py",)
NETWORK, WRAPPED = "tca/nets/modules/cell_network.py", "tca/nets/modules/wrapped_model.py"

LYAPUNOV, RANKS, REGIME, SHARE = (
    f"analysis/{each}.py" for each in ("dynamics/lyapunov", "ranks", "learning_regime", "curvature/gradient_share")
)
EXPONENTS = ("tests/analysis/dynamics/test_lyapunov.py",)
OF_RANKS, OF_REGIMES = ("tests/analysis/test_ranks.py",), ("tests/analysis/test_learning_regime.py",)
OF_SHARES = ("tests/analysis/curvature/test_gradient_share.py",)

BUGS = (
    Bug(TAPE, "the Jacobian of the step before", "            s=self.states[t - 1],", "            s=self.states[t],", CELL),
    Bug(STEP, "the propagator transposed", "        return rows\n", "        return rows.mT\n", CELL),
    Bug(DENSE, "traces are not propagated by D", "self.value = self.propagator(step) @ self.value", "self.value = self.value.clone()",
        CELL),
    Bug(DENSE, "propagator of the first step at every step", "lambda now: now.propagator(propagate_back_)", "lambda now: step.propagator(propagate_back_)",
        STREAM),
    Bug(NETWORK, "a stream that stays at its initial state", "        self.start_from(tape.states[1])\n",
        "        self.start_from(tape.states[0])\n", STREAM),
    Bug(NETWORK, "a stream whose windows end at each step", "Workspace(), to_go)", "Workspace())", STREAM),
    Bug(TAPE, "windows online counted without the steps that follow", "return super().to_go(t) + self.to_follow",
        "return super().to_go(t)", STREAM),
    Bug("tca/online.py", "a stream without the readout's bias", "        for each in b_out:\n", "        for each in b_out[1:]:\n", STREAM),
    Bug(TAPE, "products with J at the next inputs", "self._pull_state(self.inputs[t - 1], self.states[t - 1], later)",
        "self._pull_state(self.inputs[t - 2], self.states[t - 1], later)", CELL),
    Bug(TAPE, "the diagonal left out", "into.addcmul_(later, own if", "into.addcmul_(later, 0 * own if", CELL),
    Bug("tca/tape/module_tape.py", "a gradient of the window before is kept", 'if self._pulled.get("signal") is not driven:',
        'if "signal" not in self._pulled:', ("tests/tca/nets/modules/test_cell_network.py::test_windows_of_the_cache",)),
    Bug(STEP, "traces may take twice the limit", "if size > TRACE_BYTES:", "if size > 2 * TRACE_BYTES:", CELL),
    Bug(NETWORK, "the learned part of the state lies elsewhere",
        "        offset = self.emits * self.readout.in_features\n", "        offset = 1\n", CELL),
    Bug(NETWORK, "dropout acts within a cell", "        with evaluating(self.cell):\n            return self._step(use, x, s)",
        "        return self._step(use, x, s)",
        ("tests/tca/nets/modules/test_cell_network.py::test_dropout_turned_on_later_does_not_act",)),
    Bug(WRAPPED, "a pass without noise draws", "            with evaluating(self.model):\n                yield\n            return",
        "            yield\n            return", MODEL),
    Bug(WRAPPED, "every pass has the same seed", "        with seeded(int(noise[0, 0, 0]), noise.device):",
        "        with seeded(0, noise.device):", MODEL),
    Bug(PROBES, "trials may be coupled", "> scale).any():", "> scale).all():", MODEL),
    Bug("tca/signals/module_check.py", "a whole model takes any eligibility",
        "isinstance(signal, Direct | Exact) and isinstance(eligibility, Instant)", "isinstance(signal, Direct | Exact)",
        MODEL),
    Bug(LYAPUNOV, "the first steps counted", "for t in range(steps, left_out, -1):", "for t in range(steps, 0, -1):",
        EXPONENTS),
    Bug(LYAPUNOV, "the aligning steps counted", "torch.stack(growth[left_out:])", "torch.stack(growth)", EXPONENTS),
    Bug(LYAPUNOV, "growth in bits", ".abs().log())", ".abs().log2())", EXPONENTS),
    Bug(LYAPUNOV, "the Jacobian of the step before", "tape, t, into, later)\n        vectors", "tape, max(t - 1, 1), into, later)\n        vectors", EXPONENTS),
    Bug(RANKS, "entropy of squared singular values", "shares = values / values.sum()",
        "shares = values.square() / values.square().sum()", OF_RANKS),
    Bug(RANKS, "stable rank of singular values", "values.square().sum() / values[0].square()", "values.sum() / values[0]",
        OF_RANKS),
    Bug(REGIME, "kernels compared by their norms", "return max(0.0, 1 - float((first * second).sum() / (first.norm() * second.norm())))",
        "return abs(1 - float(second.norm() / first.norm()))", OF_REGIMES),
    Bug(REGIME, "Gram matrices over cells", "inner = (first.mT @ second).square().sum()",
        "inner = ((first.mT @ first) * (second.mT @ second)).sum()", OF_REGIMES),
    Bug(SHARE, "shares are not squared", "@ direction).square() / direction.square().sum()",
        "@ direction).abs() / direction.norm()", OF_SHARES),
    Bug(SHARE, "the smallest eigenvalues", "found.largest_vectors", "found.smallest_vectors", OF_SHARES),
)  # fmt: skip
