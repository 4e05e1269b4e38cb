"""Bugs of spiking cells: their passes and tapes, surrogate gradients, memory of two components, products and stacks."""

from __future__ import annotations

from tests.bugs.bug import Bug

SURGERY = ("tests/tca/nets/spiking/test_spiking.py::test_rule_equals_its_surgery",)
ORACLE = ("tests/tca/nets/spiking/test_spiking.py::test_the_network_is_that_of_the_oracle",)
SEAMS = ("tests/tca/nets/spiking/test_spiking.py::test_windows_of_the_cache_leave_no_seam",)
SILENT = ("tests/tca/nets/spiking/test_network.py::test_a_cell_is_silent_for_so_many_steps",)
NOISE = ("tests/tca/nets/spiking/test_network.py::test_private_noise_has_the_size_asked_for",)
BUMPS = ("tests/tca/nets/spiking/test_network.py::test_surrogate_gradients",)
STACKS = ("tests/tca/nets/spiking/test_stacks.py",)
PRODUCTS = ("tests/tca/connections/test_spiking_products.py",)

PASS, POPULATION = "tca/nets/spiking/spiking_pass.py", "tca/nets/spiking/spiking_population.py"
PSEUDO = "tca/cells/surrogate_gradients.py"
CELLS, TAPE, ACTIVE = "tca/cells/spiking_cell.py", "tca/tape/spiking_tape.py", "tca/connections/spike_products.py"
STACKED, EXECUTIONS = "tca/nets/stacked_rnn.py", "tca/execution.py"

BUGS = [
    Bug(PASS, "cells refractory for one step too long", "t - 1 - self.refractory]", "t - 2 - self.refractory]",
        SILENT),
    Bug(PASS, "refractory cells that spike", "        self.rates[t].mul_(ready)\n", "", SILENT),
    Bug(PASS, "refractory cells with a slope", "            drives.mul_(ready)\n", "            pass\n", SILENT),
    Bug(PASS, "a window that forgets who was refractory", "self.drive[steps], self.ready[-1]",
        "self.drive[steps], torch.ones_like(self.ready[-1])", SEAMS),
    Bug(PASS, "a spike that takes nothing off the potential", " - torch.diag(cells.reset)).t()", ").t()", ORACLE),
    Bug(PASS, "adaptation of scaled cells in every convention",
        "cells.strength * (cells.adaptation_gain / (1 - cells.adaptation_leak))", "cells.strength", ORACLE),
    Bug(PASS, "adaptation that lowers the threshold", "self.rise, value=-1", "self.rise, value=1", ORACLE),
    Bug(PASS, "potentials that leak 1 % too fast", "addcmul_(self.before, self.cells.leak)",
        "addcmul_(self.before, self.cells.leak, value=0.99)", ORACLE),
    Bug(PASS, "slope not in units of the threshold", "torch.mul(slope, 1 / self.threshold, out=distance)",
        "torch.mul(slope, 1.0, out=distance)", ORACLE),
    Bug(POPULATION, "noise not scaled by the gain", "driven.addcmul_(noise[window], self.gain)",
        "driven.add_(noise[window])", NOISE),
    Bug(POPULATION, "the first bias for all windows but not added", "                driven.add_(each)\n",
        "                pass\n", ORACLE),
    Bug(PSEUDO, "a triangle as wide as it is high", "alpha=self.gamma / self.width", "alpha=self.gamma", BUMPS),
    Bug(CELLS, "own spikes deaf to what adaptation adds", "return self.emission * self.adaptation_gain",
        "return self.emission", SURGERY),
    Bug(CELLS, "emission without the rise of the threshold", "-self.strength])", "0 * self.strength])", SURGERY),
    Bug(TAPE, "adaptation remembered from the slope of its own step", "self._slopes[t - 1] if into.ndim == 3",
        "self._slopes[t] if into.ndim == 3", SURGERY),
    Bug(TAPE, "adaptation through potentials", "later.select(-2, 1) * self._slopes_before",
        "later.select(-2, 0) * self._slopes_before", SURGERY),
    Bug(TAPE, "reset in the trace forgotten", "if cells.reset_in_trace:", "if False:", SURGERY),
    Bug(ACTIVE, "active cells counted from one row to the next but one", "places.searchsorted(_steps(len(pre), cells))",
        "places.searchsorted(_steps(len(pre), cells), side='right')", PRODUCTS),
    Bug(ACTIVE, "spikes of any size taken for ones", "factors = None if spikes else", "factors = None if True else",
        PRODUCTS),
    Bug(ACTIVE, "rows out of order", "_rows_added(signal, rows[order], edges", "_rows_added(signal, rows, edges",
        PRODUCTS),
    Bug(EXECUTIONS, "silence of the outputs judged by time zero", "and not each[steps].any():", "and not each[:1].any():",
        SEAMS),
    Bug(
        "tca/tape/spiking_tape.py",
        "a product of active cells gathered twice",
        "            return\n        link.connection.outer_(",
        "            pass\n        link.connection.outer_(",
        ("tests/tca/connections/test_spiking_products.py",),
    ),
    Bug(STACKED, "spiking populations that rules take for leaky ones", "**cells.traits()",
        '**cells.traits() | {"spiking": False}', STACKS),
    Bug(POPULATION, "layers that lose a step's duration", "SpikingPopulation(n_pre, self, dt=dt, ",
        "SpikingPopulation(n_pre, self, dt=2 * dt, ", STACKS),
    Bug(PSEUDO, "described surrogate gradients left at their defaults", '"surrogate gradient")(gamma, width)',
        '"surrogate gradient")()', STACKS),
    Bug(POPULATION, "learned initial states of spikes left out in silence", "        if wiring.learn_initial:\n",
        "        if False:\n", STACKS),
]  # fmt: skip
