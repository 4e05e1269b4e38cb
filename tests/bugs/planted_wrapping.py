"""Bugs of wrapping: modules and weights of torch that become networks, and networks that become modules."""

from __future__ import annotations

from tests.bugs.bug import Bug

FOLDER = "tests/tca/nets/modules"
GATED = ("tests/tca/nets/cell_rnn/test_torch_weights.py",)
CELL, MODEL = (f"{FOLDER}/test_cell_network.py",), (f"{FOLDER}/test_wrapped_model.py",)
REFUSED = (f"{FOLDER}/test_cell_network.py::test_cells_that_cannot_be_trained_are_refused",)
CELLS, WEIGHTS = "tca/cells/gated_cells.py", "tca/nets/cell_rnn/torch_weights.py"
RNN = "tca/nets/cell_rnn/cell_rnn.py"
PROBES, CONTEXTS = "tca/nets/modules/probes.py", "tca/utils/module_contexts.py"
NETWORK, FROM = "tca/nets/modules/cell_network.py", "tca/nets/modules/wrapped_cell.py"
WRAPPED = "tca/nets/modules/wrapped_model.py"

BUGS = (
    Bug(CELLS, "gates of a GRU in the order z, r, n", '("r", "z", "n")', '("z", "r", "n")', GATED),
    Bug(WEIGHTS, "both biases of torch merged into one", "parameter.copy_(module.get_parameter(NAMES[name]))",
        'parameter.copy_(module.get_parameter(NAMES[name]) + (module.get_parameter(NAMES["b_rec"]) if name == "b" else 0))',
        GATED),
    Bug(WEIGHTS, "the first of several layers is taken", '{"num_layers": 1, "bidirectional": False,',
        '{"bidirectional": False,', ("tests/tca/nets/cell_rnn/test_gated_cells.py::test_other_modules_are_refused",)),
    Bug(WEIGHTS, "the first of two directions is taken", '"bidirectional": False, "proj_size"', '"proj_size"',
        ("tests/tca/nets/cell_rnn/test_gated_cells.py::test_other_modules_are_refused",)),
    Bug(WEIGHTS, "a bias that the readout of torch does not have learns", "net.b_out.requires_grad_(False)", "pass", GATED),
    Bug(WEIGHTS, "absent synapses given to torch", "each.name: each.effective() for each", "each.name: each.weight for each",
        GATED),
    Bug(WEIGHTS, "a filtered readout left out of torch's module", '        "readout_tau": net.readout_leak,\n', "", GATED),
    Bug(WEIGHTS, "torch's global generator moves", "with torch.random.fork_rng([like.device] if like.is_cuda else []):",
        "if True:", ("tests/tca/nets/cell_rnn/test_gated_cells.py::test_bptt_equals_the_backward_pass_of_torch",)),
    Bug(WEIGHTS, "a GRU with a forward of its own taken for torch's", "if not found or type(module).forward is not MODULES[found[0]].forward:",
        "if not found:", GATED),
    Bug(WEIGHTS, "weights of another type converted without a word", "if (each.dtype, each.device) != (wanted.dtype, wanted.device):",
        "if False:", GATED),
    Bug(PROBES, "a message of two lines", 'return f"{type(error).__name__}: {error}".splitlines()[0]',
        'return f"{type(error).__name__}: {error}"', MODEL),
    Bug(RNN, "networks of torch's modules in single precision", '"dtype": like.dtype, "device": like.device, **options',
        '"device": like.device, **options', (f"{GATED[0]}::test_the_type_follows_there_and_back",)),
    Bug(CONTEXTS, "modules left in evaluation mode", "each.training = training", "each.training = False",
        (f"{FOLDER}/test_cell_network.py::test_it_learns_and_leaves_the_mode_as_it_was",)),
    Bug(CONTEXTS, "all parts left in the mode of the whole", "each.training = training",
        "each.training = modes[module]",
        (f"{FOLDER}/test_cell_network.py::test_it_learns_and_leaves_the_mode_as_it_was",)),
    Bug(CONTEXTS, "generators are not restored", "with torch.random.fork_rng([device] if device.type == \"cuda\" else []):",
        "if True:", MODEL),
    Bug(PROBES, "changes of the state in place are accepted", "if any(each._version for each in views):", "if False:", REFUSED),
    Bug(PROBES, "NaN is accepted", "if not first.isfinite().all():", "if False:", REFUSED),
    Bug(PROBES, "only a first trial is moved", "for changed in (0, -1):", "for changed in (0,):", MODEL),
    Bug(PROBES, "another type is accepted", "if (first.dtype, first.device) != (like.dtype, like.device):", "if False:", REFUSED),
    Bug(FROM, "a learned start is a constant", "each if isinstance(each, nn.Parameter) else each.detach().to(like)",
        "each.detach().to(like)", CELL),
    Bug(NETWORK, "parameters named as the cell names them, after an underscore", 'f"cell.{name}", each) for',
        'f"cell_{name}", each) for', CELL),
    Bug(WRAPPED, "items of a trial in the places of those of a step", "return outputs.reshape(steps, trials, self.n_out)",
        "return outputs.reshape(trials, steps, self.n_out).transpose(0, 1)", MODEL),
    Bug(WRAPPED, "a model in evaluation mode draws", "if not (self.random and self.model.training):",
        "if not self.random:", MODEL),
    Bug(WRAPPED, "batch normalization that is turned on later", "if any(each.training for each in self.modules() if isinstance(each,",
        "if any(False for each in self.modules() if isinstance(each,", MODEL),
)  # fmt: skip
