"""Bugs of fields and of the errors that diffuse in them."""

from __future__ import annotations

from tests.bugs.bug import Bug

FIELDS = ("tests/tca/signals/diffusion/test_fields.py",)
DIFFUSED = ("tests/tca/signals/test_diffusion.py",)

SPACES = "tca/signals/diffusion/fields/spaces.py"
MODES = "tca/signals/diffusion/fields/laplacian_modes.py"
PROPAGATORS = "tca/signals/diffusion/fields/propagators.py"
RUNS = "tca/signals/diffusion/fields/solvers.py"
FIELD = "tca/signals/diffusion/fields/field.py"
DIFFUSION = "tca/signals/diffusion/neuromodulator.py"
WEIGHTS = "tca/signals/feedback_weights.py"
RELEASE = "tca/signals/diffusion/release.py"

BUGS = [
    Bug(SPACES, "rims that see their neighbour instead of themselves", '"no-flux": lambda n: (0, n - 1)',
        '"no-flux": lambda n: (1, n - 2)', FIELDS),
    Bug(SPACES, "rims that absorb nothing", '"absorbing": lambda n: (None, None)', '"absorbing": lambda n: (0, n - 1)',
        FIELDS),
    Bug(SPACES, "edges by distance, not by its square", "1 / length**2", "1 / length", FIELDS),
    Bug(SPACES, "mass that leaks from a graph", "(matrix - matrix.sum(1).diag(),)", "(matrix - torch.eye(self.size),)",
        FIELDS),
    Bug(MODES, "frequencies of half a turn", "2 - 2 * torch.cos(2 * torch.pi * each / n)",
        "2 - 2 * torch.cos(torch.pi * each / n)", FIELDS),
    Bug(MODES, "imaginary parts multiplied by the factors of others", "repeat_interleave(2)", "repeat(2)", FIELDS),
    Bug(MODES, "eigenvectors in rows", "tuple(each.t() for each in self.vectors)", "self.vectors", FIELDS),
    Bug(PROPAGATORS, "mean over two sites of a line", "[1 - each / 3 for each in eigenvalues]",
        "[1 - each / 2 for each in eigenvalues]", FIELDS),
    Bug("tca/signals/diffusion/fields/physical_propagators.py", "implicit steps of one millisecond", "1 / (1 + self.dt * self.loss(eigenvalues))",
        "1 / (1 + self.loss(eigenvalues))", FIELDS),
    Bug("tca/signals/diffusion/fields/physical_propagators.py", "exact steps that are Euler's", "torch.exp(-self.dt * self.loss(eigenvalues))",
        "1 - self.dt * self.loss(eigenvalues)", FIELDS),
    Bug(PROPAGATORS, "settled after a step", "return 1 / (1 - self.multiplier(eigenvalues))",
        "return self.multiplier(eigenvalues)", FIELDS),
    Bug("tca/signals/diffusion/fields/physical_propagators.py", "decay that does not belong to the step",
        "self.dt * (self.diffusion * kronecker_sum(space.laplacians()) - self.decay * _identity(space))",
        "self.dt * self.diffusion * kronecker_sum(space.laplacians()) - self.decay * _identity(space)", FIELDS),
    Bug("tca/signals/diffusion/fields/physical_propagators.py", "bound of positivity without decay", "self.decay + self.diffusion * space.degree",
        "self.diffusion * space.degree", FIELDS),
    Bug(PROPAGATORS, "mass of a step more", "1 / (1 - self.kept) if", "self.kept / (1 - self.kept) if", FIELDS),
    Bug(RUNS, "box of a line on every grid", "propagator.k / 3 ** len(space.axes)", "propagator.k / 3", FIELDS),
    Bug(RUNS, "Euler's stencil with one axis", "2 * len(space.axes) * exchanged", "2 * exchanged", FIELDS),
    Bug(RUNS, "rims swapped", "rims = {0: (first, 1), count - 1: (count - 2, last)}",
        "rims = {0: (last, 1), count - 1: (count - 2, first)}", FIELDS),
    Bug(RUNS, "no order of the sites", "before.gather(-1, order)", "before", FIELDS),
    Bug(RUNS, "one order for all trials", "drawn.argsort(-1)", "drawn[:1].expand(trials, -1).argsort(-1)",
        (*FIELDS, *DIFFUSED)),
    Bug(RUNS, "sites by axes in Fourier modes", "_fourier_cost(space) < _axis_cost(space):",
        "_fourier_cost(space) > _axis_cost(space):", FIELDS),
    Bug(FIELD, "unit mass forgotten", '"unit": lambda mass: 1 / mass', '"unit": lambda mass: 1.0', DIFFUSED),
    Bug(FIELD, "uptake left out of what settles", "self.uptake * self.propagator.settled",
        "self.propagator.settled", DIFFUSED),
    Bug("tca/signals/diffusion/field_pass.py", "a filtered error released", "self.emit(tape.output_error[steps])", "self.emit(tape.filtered_error[steps])",
        DIFFUSED),
    Bug("tca/signals/diffusion/field_pass.py", "received signal not backpropagated through the filter", "        if tape.readout.leak:\n",
        "        if False:\n", DIFFUSED),
    Bug("tca/signals/diffusion/field_pass.py", "filter of the readout without its gain", "entry.mul_(1 - leak)", "pass", DIFFUSED),
    Bug("tca/signals/diffusion/field_pass.py", "field that forgets between windows", "before = entries[-1]", "before = None", DIFFUSED),
    Bug(DIFFUSION, "field that forgets online", "before = now\n", "before = None\n", DIFFUSED),
    Bug("tca/signals/diffusion/field_pass.py", "released as it is, whatever the gain", "taken_up = release * self.medium.uptake",
        "taken_up = release", DIFFUSED),
    Bug(DIFFUSION, "permutation of the sites ignored", 'buffers["permutation"][positions] if "permutation" in buffers',
        'positions if "permutation" in buffers', DIFFUSED),
    Bug(DIFFUSION, "cells in their order", "if self.scattered:\n            order = torch.randperm",
        "if not self.scattered:\n            order = torch.randperm", DIFFUSED),
    Bug(DIFFUSION, "the same permutations for every batch", 'buffers["shuffle_seed"].add_(1)', "pass", DIFFUSED),
    Bug(DIFFUSION, "settled weights that do not follow",
        'buffers["feedback"].copy_(self._folded(population.readout, buffers))', "pass", DIFFUSED),
    Bug(DIFFUSION, "settled field received in the order of the sites", "medium.space.sites))[..., positions]",
        "medium.space.sites))[..., : len(positions)]", DIFFUSED),
    Bug(RELEASE, "receptors that do not weigh", "(at_cells * weights.t()).sum(-2)", "at_cells.sum(-2)", DIFFUSED),
    Bug(RELEASE, "settled weights transposed", "spread(weights.t()).t()", "weights", DIFFUSED),
    Bug(WEIGHTS, "fewer feedback weights than asked for", "round(self.fraction * candidates.numel())",
        "round(self.fraction * len(positions))", DIFFUSED),
    Bug(WEIGHTS, "feedback where the readout has no synapse", "synapses if synapses.any() else",
        "torch.ones_like(synapses) if synapses.any() else", DIFFUSED),
    Bug(WEIGHTS, "frozen weights that are all alike",
        "return readout.t() * _readout_synapses(self, readout, generator)",
        "return _readout_synapses(self, readout, generator)", DIFFUSED),
    Bug(WEIGHTS, "tracked weights that are all alike", "return readout.t() * kept", "return kept", DIFFUSED),
    Bug(WEIGHTS, "drawn weights of another size", "* self.scale / math.sqrt(n_cells)", "* self.scale", DIFFUSED),
]  # fmt: skip
