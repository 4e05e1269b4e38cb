"""Bugs of signals and eligibilities: the parts of the rules of recurrent networks."""

from __future__ import annotations

from tests.bugs.bug import Bug

FACTS = ("tests/tca/rules/test_feedback.py",)
RULES = ("tests/tca/test_conformance.py", "tests/tca/rules/test_recurrent.py", *FACTS)
POPULATIONS = ("tests/tca/test_stacks.py",)
ONLINE = ("tests/tca/test_online.py",)
TYPES = ("tests/tca/rules/test_cell_types.py",)
PATHS = ("tests/tca/rules/test_snap_homotopy.py",)
BACK = ("tests/tca/signals/test_feedback_alignment.py",)

STEP, EXECUTION, INVERSE = "tca/tape/step_derivatives.py", "tca/execution.py", "tca/eligibilities/inverse_filter.py"
TRACES, FULL = "tca/eligibilities/traces.py", "tca/eligibilities/full.py"
FILTERED = "tca/eligibilities/filtered_traces.py"
LEAK = "tca/eligibilities/leak.py"
DIAGONAL = "tca/eligibilities/diagonal.py"
INSTANT = "tca/eligibilities/instant.py"
HOMOTOPY = "tca/eligibilities/homotopy.py"
MODPROP = "tca/eligibilities/type_propagation.py"
SNAP = "tca/eligibilities/snap.py"
ESTIMATES, HOPS, RETURN = "tca/tape/weight_estimates.py", "tca/signals/hops.py", "tca/signals/modprop.py"
ONLINE_HOP, BACKWARD = "tca/signals/causal_hop.py", "tca/signals/backward.py"
EXACT = "tca/signals/exact.py"
FEEDBACK = "tca/signals/feedback.py"
DIRECT = "tca/signals/direct.py"
SIGNAL, SHARED, ACTIVATIONS = "tca/signals/signal.py", "tca/signals/shared_random.py", "tca/cells/activations.py"

BUGS = [
    Bug(STEP, "propagator of the step before", "propagate_back_(steps.start + index + 1,",
        "propagate_back_(steps.start + index,", POPULATIONS),
    Bug(STEP, "nothing crosses from window to window", "if later is not None:", "if False:", POPULATIONS),
    Bug(STEP, "window handed on at its wrong end", "return entries[0].clone()", "return entries[-1].clone()",
        POPULATIONS),
    Bug("tca/tape/leaky_tape.py", "leak that does not cross windows", "            if later is not None:\n                self.leak_(",
        "            if t + 1 < steps.stop:\n                self.leak_(", POPULATIONS),
    Bug(INVERSE, "sign of what is remembered", "].sub_(remembered(eligibility", "].add_(remembered(eligibility",
        POPULATIONS),
    Bug(INVERSE, "memory of the wrong step", "(tape, first + index,", "(tape, first + index - 1,", POPULATIONS),
    Bug(INVERSE, "adjoint of a cell advanced without its memory", "entry.sub_(returned).clone()", "returned", PATHS),
    Bug(EXECUTION, "gain applied to the initial state",
        "if not isinstance(link.connection, Initial):\n            tape.scale_gain_(",
        "if True:\n            tape.scale_gain_(", RULES),
    Bug(EXECUTION, "initial states that learn nothing", "if isinstance(link.connection, Initial) == (steps.start == 0):",
        "if not isinstance(link.connection, Initial) and steps.start > 0:", RULES),
    Bug(INSTANT, "no memory declared not local", "local: ClassVar[bool] = True",
        "local: ClassVar[bool] = False", RULES),
    Bug(TRACES, "an instantaneous trace that remembers", "pre.expand_as(self.pre)",
        "self.pre + pre.expand_as(self.pre)", POPULATIONS),
    Bug(LEAK, "e-prop that transmits", "tape.filter_leak_(", "tape.filter_jacobian_(", RULES),
    Bug(LEAK, "trace 1 % short where the leak is on the rate", "lambda now: now.leak)", "lambda now: 0.99 * now.leak)",
        RULES),
    Bug(DIAGONAL, "SnAp-1 without the synapse onto itself", "tape.transmit_own_(t, into, later)", "pass", RULES),
    Bug(DIAGONAL, "SnAp-1 without the leak", "tape.leak_(t, into, later)", "pass", RULES),
    Bug(FULL, "cut one step late", "return (to_go + 1) % self.steps == 0", "return to_go % self.steps == 0", RULES),
    Bug(FULL, "cut counted over one step more", "(to_go + 1) % self.steps", "(to_go + 1) % (self.steps + 1)", RULES),
    Bug(FULL, "rate-only cut also cuts the leak", "if not cut or self.keep_leak:", "if not cut:", RULES),
    Bug(FULL, "whole cut keeps the leak", "if not cut or self.keep_leak:", "if True:", RULES),
    Bug(FULL, "leak missing from the influence", "lambda now: now.leak_matrix() + now.transmission()",
        "lambda now: now.transmission()", RULES),
    Bug(TRACES, "presynaptic trace 1 % short", "self.value.mul_(self.leaks)", "self.value.mul_(0.99 * self.leaks)",
        RULES),
    Bug(TRACES, "presynaptic trace that starts one step late", "self.value.mul_(self.leaks).add_(pre)",
        "self.value.add_(pre).mul_(self.leaks)", RULES),
    Bug(TRACES, "trace per synapse without its gain",
        "value.addcmul_(gain.unsqueeze(-1), pre.unsqueeze(-2))",
        "value.add_(pre.unsqueeze(-2))", RULES),
    Bug(TRACES, "influence passed on the wrong way", "self.propagator(step) @", "self.propagator(step).mT @",
        RULES),
    Bug(TRACES, "trials averaged over instead of summed", "return (signal * self.gain).t() @ self.pre",
        "return (signal * self.gain).t() @ self.pre / len(signal)", POPULATIONS),
    Bug(FILTERED, "filtered trace without the slope", "if paired else slope * dense", "if paired else dense", ONLINE),
    Bug(FILTERED, "filtered trace 1 % short", "kept.mul_(leak).add_(value",
        "kept.mul_(0.99 * leak).add_(value", ONLINE),
    Bug(HOMOTOPY, "share taken twice", "self.share * later", "self.share**2 * later", PATHS),
    Bug(HOMOTOPY, "share of the leak as well", "return leak + self.share *", "return self.share * leak + self.share *",
        PATHS),
    Bug(SNAP, "reach of one synapse more", "range(min(hops, cells - 1))", "range(min(hops + 1, cells - 1))", PATHS),
    Bug(SNAP, "reach against the direction of the synapses", "reached @ exists.mT", "reached @ exists", PATHS),
    Bug(SNAP, "padding that passes signals on", "pairs * self.real.unsqueeze(2) *", "pairs *", PATHS),
    Bug(SNAP, "weights transposed among the reached", "self.cells.unsqueeze(2), self.cells.unsqueeze(1)",
        "self.cells.unsqueeze(1), self.cells.unsqueeze(2)", PATHS),
    Bug(SNAP, "influence that does not leak", "self.value = here.kept(self.value).add_(here.driven(",
        "self.value = torch.zeros_like(self.value).add_(here.driven(", PATHS),
    Bug(INVERSE, "signal that the trace already holds", "entry.sub_(returned).clone()", "entry.clone()", PATHS),
    Bug(EXACT, "memory of a cut signal one step off", "remembered(eligibility, tape, adjoint[1:], 1)",
        "remembered(eligibility, tape, adjoint[1:], 0)", RULES),
    Bug(EXACT, "adjoint not carried between windows", "Full().filter_(tape, adjoint, steps, later)",
        "Full().filter_(tape, adjoint, steps, None)", POPULATIONS),
    Bug(EXACT, "adjoint kept from the populations below", "            tape.send_back(adjoint)\n", "", POPULATIONS),
    Bug(EXACT, "horizon one step short", "range(min(self.steps, tape.steps))",
        "range(min(self.steps, tape.steps) - 1)", RULES),
    Bug(EXACT, "horizon without the leak", "tape.leak_(1, further[:-1], adjoint[1:])", "pass", RULES),
    Bug(DIRECT, "sign of the direct signal", "tape.lift(tape.errors(steps), steps)",
        "tape.lift(-tape.errors(steps), steps)", POPULATIONS),
    Bug(DIRECT, "sign of the direct signal online", "error @ population.readout", "-(error @ population.readout)", ONLINE),
    Bug(FEEDBACK, "random feedback through the readout", 'return through(error, buffers["feedback"].mT)',
        "return error @ population.readout", FACTS),
    Bug(FEEDBACK, "feedback of another size", "draw * self.scale / math.sqrt(population.cells)", "draw * self.scale", FACTS),
    Bug(FEEDBACK, "Kolen-Pollack decay of the feedback dropped", "add_(change.t()).mul_(kept)",
        "add_(change.t())", FACTS),
    Bug(FEEDBACK, "Kolen-Pollack decay of the readout dropped", "        readout.mul_(kept)\n", "", FACTS),
    Bug(FEEDBACK, "feedback follows the readout backwards", "add_(change.t())", "sub_(change.t())", FACTS),
    Bug(FEEDBACK, "decay without an update", "torch.where(change.any(), ", "torch.where(change.isfinite().all(), ", FACTS),
    Bug(SIGNAL, "rate signal taken for a state signal",
        "tape.lift(self.rate_signal(tape.filtered_error[steps], tape.population, buffers), steps)",
        "self.rate_signal(tape.filtered_error[steps], tape.population, buffers)", POPULATIONS),
    Bug(SIGNAL, "error one step early", "self.rate_signal(tape.filtered_error[steps],",
        "self.rate_signal(tape.filtered_error.roll(-1, 0)[steps],", POPULATIONS),
    Bug(SIGNAL, "filtered error to the bias of a filtered readout", "return tape.filtered_error, tape.output_error",
        "return tape.filtered_error, tape.filtered_error", RULES),
    Bug(SHARED, "another matrix for every number of cells", "generator.initial_seed()", "population.cells",
        ("tests/tca/signals/decorrelation/test_parts.py", "tests/tca/signals/decorrelation/test_decorrelation.py")),
    Bug(BACKWARD, "weights of the network on the way back", "        return drawn\n", "        return weight\n", BACK),
    Bug(BACKWARD, "signs of the weights lost", "return sizes * weight.sign()", "return sizes", BACK),
    Bug(BACKWARD, "sizes by their mean modulus", "drawn.square().mean().sqrt() if", "drawn.abs().mean() if", BACK),
    Bug(BACKWARD, "missing synapses that return errors", "onwards.masked(drawn * (self.scale * size.sqrt()))",
        "drawn * (self.scale * size.sqrt())", BACK),
    Bug(BACKWARD, "scale ignored", "drawn * (self.scale * size.sqrt())", "drawn * size.sqrt()", BACK),
    Bug(BACKWARD, "mean square taken for its root", "(self.scale * size.sqrt())", "(self.scale * size)", BACK),
    Bug(HOPS, "receiver's leak dropped", "if self.receiver_leak:\n", "if False:\n", TYPES),
    Bug(HOPS, "one hop too many", "[None] * self.hops ", "[None] * (self.hops + 1) ", TYPES),
    Bug(HOPS, "hop from the wrong step", "source, steps.start + 1)", "source, max(1, steps.start))", TYPES),
    Bug(HOPS, "exact weights where types are asked for", "tape.with_recurrent(self.weights.of(tape.recurrence))", "tape",
        TYPES),
    Bug(ESTIMATES, "mean over existing synapses counts the missing", "number.clamp(min=1)",
        "(members.sum(0).unsqueeze(1) * members.sum(0))", TYPES),
    Bug(ESTIMATES, "mean without its count", " / pairs.clamp(min=1))", ")", TYPES),
    Bug(MODPROP, "cells of a group not counted", "hop * self.cells", "hop", TYPES),
    Bug(MODPROP, "a radius above one let through", "if not radius < 1:", "if not radius < 1.01:", TYPES),
    Bug(MODPROP, "a bound that is no bound", "(~(bound < 1)).any()", "(~(bound < 1)).all()", TYPES),
    Bug(ONLINE_HOP, "filtered slope without its gain", "(1 - keep) * tape.derivative(t)", "tape.derivative(t)", TYPES),
    Bug(ONLINE_HOP, "error that has waited", "tape.output_error @ tape.population.readout", "tape.filtered_error @ tape.population.readout", TYPES),
    Bug(ONLINE_HOP, "filtered trace that forgets", "result[t] += keep * result[t + 1]", "pass", TYPES),
    Bug(RETURN, "mean slope where the exact one is asked for", 'if self.sender_slope == "mean" or', "if True or",
        TYPES),
    Bug(RETURN, "one tap too few", "range(min(self.taps or 0,", "range(min((self.taps or 1) - 1,", TYPES),
    Bug(ACTIVATIONS, "slope of softplus", "activity.neg().expm1_().neg_()", "activity.neg().exp_()", RULES),
    Bug(ACTIVATIONS, "slope of the rectified tanh never zero", "        ReLU().times_slope_(signal, activity)\n", "",
        RULES),
]  # fmt: skip
