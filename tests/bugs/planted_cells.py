"""Bugs of general cells: their blocks, gates, constants and weights."""

from __future__ import annotations

from tests.bugs.bug import Bug

GATED = ("tests/tca/nets/cell_rnn/test_gated_cells.py",)
USERS = ("tests/tca/nets/cell_rnn/test_user_cells.py",)
LRU, CHECK = "tca/cells/linear_recurrent_cell.py", "tca/cells/cell_check.py"
BLOCK_TAPE, BLOCK_STEP = "tca/tape/block_tape.py", "tca/tape/block_step.py"
CELLS, DERIVATIVES = "tca/cells/gated_cells.py", "tca/cells/local_derivatives.py"
POPULATION, WEIGHTS = "tca/nets/cell_rnn/block_population.py", "tca/nets/cell_rnn/torch_weights.py"
LEARNED = ("tests/tca/nets/test_learned_constants.py",)

BUGS = [
    Bug(CELLS, "candidate of a GRU without its reset gate", "by_m = by_n * r", "by_m = by_n", GATED),
    Bug(CELLS, "update gate of a GRU the wrong way", "(h - n).mul_(z)", "(n - h).mul_(z)", GATED),
    Bug(CELLS, "hidden state of an LSTM that misses its memory", "within=((), (by_c,))",
        "within=((), (0.0,))", GATED),
    Bug(BLOCK_TAPE, "rows of a block reversed", "for entry, part in zip(row, own, strict=True):",
        "for entry, part in zip(row[::-1], own, strict=True):", GATED),
    Bug(BLOCK_TAPE, "gates of a weight in the order of the cell", "else runs(connection.drives, self.cells)",
        "else runs(sorted(connection.drives), self.cells)", GATED),
    Bug(BLOCK_TAPE, "further components left out of drives", "_add_product_(into, entry, part)",
        "pass", USERS),
    Bug(BLOCK_STEP, "autapses of one gate only", "arriving = (self._reaching_gain * own).sum(2)",
        "arriving = (self._reaching_gain * own)[:, :, 0]", GATED),
    Bug(DERIVATIVES, "slope of another component", "slope[component, place] = 1.0",
        "slope[0, place] = 1.0", GATED),
    Bug(POPULATION, "recurrent biases left out of the drive", "biases[places] += each.effective()[rows]",
        "biases[places] = each.effective()[rows]", GATED),
    Bug(WEIGHTS, "biases of torch exchanged", '"b": "bias_ih_l0", "b_rec": "bias_hh_l0"',
        '"b": "bias_hh_l0", "b_rec": "bias_ih_l0"', GATED),
    Bug(LRU, "normalisation that does not learn", "widened * by_re - rate", "0 * by_re - rate", USERS),
    Bug(LRU, "phase turned the wrong way", "by_theta = -phase * turned[1], phase", "by_theta = phase * turned[1], -phase",
        USERS),
    Bug(DERIVATIVES, "constants in the order that they are learned in", "row.extend(more[order.index(name)] for name in learned)",
        "row.extend(more[len(more) - 1 - order.index(name)] for name in learned)", USERS),
    Bug(POPULATION, "constants that leave their bounds", "copy_(self.bounds[name].clamped(self.get_parameter(name)))",
        "copy_(self.get_parameter(name))", USERS),
    Bug(BLOCK_TAPE, "gradient of a learned initial state from its first component", "connection.outer_(gradient, driven.flatten(2), pre)",
        "connection.outer_(gradient, driven.flatten(2) * 0, pre)", USERS),
    Bug("tca/eligibilities/traces.py", "initial state in one component alone", "own[:, component, component] += connection.impulse",
        "own[:, 0, component] += connection.impulse", USERS),
    Bug("tca/execution.py", "inputs to the outputs behind the filter", "(weights, bias, bias)", "(weights, bias, 0 * bias)", USERS),
    Bug(CELLS, "gates in place of an LSTM that squash too little", "g.add_(g).sub_(1.0)", "g.sub_(0.5)", GATED),
    Bug(CELLS, "derivative by the output gate without it", "torch.addcmul(h, o, h, value=-1)", "torch.addcmul(torch.ones_like(o), o, o, value=-1)", GATED),
    Bug(CELLS, "candidate in place without its reset gate", "n.addcmul_(r, m).tanh_()", "n.add_(m).tanh_()", GATED),
    Bug(BLOCK_TAPE, "leak left out of the Jacobian", "            self._keep_(blocks, into, parts)", "            pass", GATED),
    Bug("tca/cells/learned_cells.py", "reset that learns with the leak", "entering = entering + self.threshold / self._gain * z",
        "entering = entering", LEARNED),
    Bug("tca/cells/learned_cells.py", "slope of refractory cells", "psi = psi * self._ready(state) / self.threshold if",
        "psi = psi / self.threshold if", LEARNED),
    Bug("tca/cells/learned_cells.py", "one silent step too few", "torch.where(z > 0, float(self.refractory), (",
        "torch.where(z > 0, float(self.refractory) - 1, (", LEARNED),
    Bug("tca/tape/block_tape.py", "reset left out of transmission", "return with_autapses(self.recurrent, self.autapse)",
        "return self.recurrent", LEARNED),
    Bug(CHECK, "neurons that may see one another", "if (step, trial, neuron) != one:", "if False:", USERS),
    Bug("tca/cells/cell_derivative_check.py", "closed forms taken on trust", "if not error < TOLERANCE:", "if False:", USERS),
    Bug("tca/cells/cell_samples.py", "constants of as many neurons as a check has", "each[some % len(each)] for", "each.expand(CELLS) for", USERS),
    Bug("tca/cells/value_reads.py", "cells that may branch on values", "if func in READS:", "if False:", USERS),
    Bug("tca/cells/value_reads.py", "cells that may draw now and then", "if _states(held) != before:", "if False:", USERS),
    Bug("tca/cells/value_reads.py", "cells that may draw from a generator of torch", "if torch.Tag.nondeterministic_seeded in func.tags:",
        "if False:", USERS),
    Bug("tca/cells/value_reads.py", "cells that may hand states to NumPy", "if name in EXPORTS:", "if False:", USERS),
    Bug("tca/cells/value_reads.py", "generators of functions that a cell calls unseen", "elif inspect.isfunction(each) and each.__module__ in homes:",
        "elif False:", USERS),
    Bug("tca/cells/value_reads.py", "generators in a list of the class unseen", "elif isinstance(each, dict | list | tuple):", "elif False:", USERS),
]  # fmt: skip
