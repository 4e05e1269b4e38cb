"""Bugs of the compiled passes of leaky and gated networks."""

from __future__ import annotations

from tests.bugs.bug import Bug

PASSES = ("tests/tca/kernels/test_passes.py",)
ACTIVATIONS = ("tests/tca/kernels/test_compiled_activations.py",)
SIZES = ("tests/tca/kernels/test_sizes_and_builds.py",)
CHOICE = ("tests/tca/kernels/test_choice.py",)
SOURCE, TENSORS, BUILD = "tca/kernels/leaky.cpp", "tca/kernels/compiled.py", "tca/kernels/build.py"
GATED = ("tests/tca/kernels/test_gated_passes.py",)
STEPS = "tca/kernels/gated.h"
TILES, GRADIENT, ONE = "tca/kernels/tiles.h", "tca/kernels/gradient.h", "tca/signals/one_pass.py"

BUGS = [
    Bug(SOURCE, "outputs of the step before", "deliver(rate + this->row(t, b), rows,", "deliver(rate + this->row(t - 1, b), rows,", PASSES),
    Bug("tca/kernels/vectors.h", "tanh above one", "at_most<float>(above * x / below, 1)", "above * x / below", ACTIVATIONS),
    Bug(SOURCE, "state at time zero taken for its rate, form A",
        "if (!this->on_rate) activate(this->function, first, rows * N);", "", PASSES),
    Bug(SOURCE, "gain of the presynaptic cell in the adjoint", "{ return gain[s * N + i] * w_rec",
        "{ return gain[s * N + j] * w_rec", PASSES),
    Bug(TILES, "trials left over by equal blocks", "return first(block + 1) - first(block);", "return trials / count;", PASSES),
    Bug(GRADIENT, "last steps of a trial left out by windows", "stop > 1; stop -= some", "stop > some; stop -= some", PASSES),
    Bug(GRADIENT, "rates of the step itself with recurrent signals", "(window.first - 1 + t)", "(window.first + t)", PASSES),
    Bug(GRADIENT, "readout biases from the filtered error", "part += raw[", "part += error[", PASSES),
    Bug(GRADIENT, "parts of trials not summed", "for (int64_t part = 1; part < parts; part++)", "for (int64_t part = 1; part < 1; part++)",
        PASSES),
    Bug(GRADIENT, "tiles beyond the eighth left out of the gradients", "for (int64_t p = 0; p < feedback.count(); p++) {",
        "for (int64_t p = 0; p < feedback.count() && p < 8; p++) {", SIZES),
    Bug(TILES, "blocks of seven trials where a tile of six fills the registers", "REGISTERS == 32 ? 8 : 6", "REGISTERS == 32 ? 8 : 7",
        (f"{SIZES[0]}::test_builds_for_narrower_vectors_have_the_gradients_of_pytorch[x86-64-v3]",)),
    Bug("tca/tape/leaky_tape.py", "the last population of a stack taken for all", "self.passes is None or self.lower or",
        "self.passes is None or", PASSES),
    Bug(ONE, "the exact signal filtered by the leak alone", "tape.gradients(None, True, _by_jacobian(tape))",
        "tape.gradients(None, True, None)", PASSES),
    Bug(ONE, "MDGL over two synapses in a pass over one", "signal.hops == 1 and", "", PASSES),
    Bug(ONE, "ModProp with slopes of one", "slope * tape.type_means.weights", "tape.type_means.weights", PASSES),
    Bug(ONE, "ModProp that diverges", "check_stable(tape.type_means, tape.leak, tape.gain, eligibility.slope)", "pass", PASSES),
    Bug(ONE, "MDGL of missing synapses", "signal.weights.by_type(tape.recurrence)", "type(signal.weights).__name__ != 'ExactWeights'", PASSES),
    Bug(GRADIENT, "MDGL over any number of synapses", "direct ? sloped(found, active) : past", "past", PASSES),
    Bug(GRADIENT, "ModProp by driven signals, form B", "past ? filtered : drives", "drives", PASSES),
    Bug(GRADIENT, "sums by type without the gain of the cells", "gain[i] * members[", "members[", PASSES),
    Bug(SOURCE, "reverse filter not carried between windows", "for (int64_t t = C - (later ? 1 : 2)",
        "for (int64_t t = C - 2", PASSES),
    Bug(TILES, "sums of the last steps alone", "to.added ? load(first) + sum[r][0] : sum[r][0]", "sum[r][0]", PASSES),
    Bug("tca/kernels/vectors.h", "NaN clamped", "return x > bound ? splat<T>(bound) : x;", "return x < bound ? x : splat<T>(bound);",
        ACTIVATIONS),
    Bug(TENSORS, "slope of the wrong step in the adjoint, form B", "activity[..., 1:, :, :] if self.on_rate else activity",
        "activity", PASSES),
    Bug("tca/kernels/choice.py", "passes chosen at every pass", "@functools.lru_cache(maxsize=64)", "@functools.lru_cache(maxsize=0)",
        CHOICE),
    Bug("tca/eligibilities/leak.py", "a subclass filtered by the leak",
        "if type(self).propagate_back_ is not Leak.propagate_back_:", "if False:", PASSES),
    Bug(STEPS, "memory of an LSTM that misses what the hidden state returns", "signal[0] + (gate[O] - h * h / open) * signal[1]",
        "signal[0]", GATED),
    Bug(STEPS, "squashing of the memory left out of its slope", "(gate[O] - h * h / open) * signal[1]", "gate[O] * signal[1]", GATED),
    Bug(STEPS, "forgetting by the memory after the step", "whole * before[0] * gate[F]", "whole * after[0] * gate[F]", GATED),
    Bug(STEPS, "reset gate of a GRU by its own candidate", "driven[M] * gate[M] * (T(1) - gate[R])", "driven[N] * gate[M] * (T(1) - gate[R])",
        GATED),
    Bug(STEPS, "signals kept written over", "load(into, lanes) + own", "own", GATED),
    Bug(STEPS, "a filter that keeps for the same step", "t ? signal + (t - 1) * S : nullptr", "t ? signal + t * S : nullptr", GATED),
    Bug("tca/tape/gated_tape.py", "a filter that forgets the later window", "self.leak_(steps.stop, signal[-1], later)", "pass", GATED),
    Bug("tca/tape/gated_tape.py", "an adjoint that forgets the later window", "self.return_(steps.stop, entries[-1], later)", "pass", GATED),
    Bug("tca/tape/gated_tape.py", "an adjoint by the drives of all gates", "apart[at][..., reached, :]", "apart[at][..., : len(self.reached), :]", GATED),
    Bug("tca/tape/last_result.py", "a result kept for a tensor that has changed", "(source._version, *further)", "(self._held[0][1], *further)", GATED),
    Bug("tca/tape/last_result.py", "biases that share the sum of another window", "self._held[0][0] is not source", "self._held[0][0].shape != source.shape", GATED),
    Bug("tca/nets/cell_rnn/block_population.py", "inputs of the first steps written again", "inputs[steps].flatten(0, 1)", "inputs[: len(drive[steps])].flatten(0, 1)",
        GATED),
    Bug("tca/nets/cell_rnn/block_population.py", "noise in the first steps alone", "drive[steps].add_(noise[steps])", "drive[steps].add_(noise[steps] * (t == 1))", GATED),
    Bug(STEPS, "gates that are shut lose their digits", "u < T(0) ? y * share : share", "u < T(0) ? T(1) - share : share", GATED),
    Bug("tca/tape/gated_tape.py", "states after the step taken for those before", "slice(steps.start - 1, steps.stop - 1) if",
        "steps if", GATED),
    Bug("tca/tape/gated_tape.py", "drives of the first neighbours", "driven[..., places[0] : places[-1] + 1, :]", "driven[..., : len(places), :]",
        GATED),
    Bug("tca/kernels/gated.py", "a signal kept in a copy", "kept.copy_(total)", "pass", GATED),
    Bug("tca/kernels/choice.py", "a user's cell taken for that of the library", "number = GATED.get(type(cell))",
        "number = next((each for kind, each in GATED.items() if isinstance(cell, kind)), None)", GATED),
    Bug(BUILD, "a library of another processor taken from the cache", "|{_processor()}", "", CHOICE),
]  # fmt: skip
