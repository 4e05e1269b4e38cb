"""Bugs in number formats, defaults and modes of torch."""

from __future__ import annotations

from tests.bugs.bug import Bug

DEFAULTS = "tests/tca/test_defaults.py::test_no_default_and_no_global_generator_has_a_say"
STATIC = ("tests/tca/test_defaults_static.py",)
PRECISION = ("tests/tca/test_precision.py",)
COPIES = ("tests/tca/test_inference.py::test_a_copy_of_a_learner_goes_on_as_the_original_and_apart_from_it",)
FIRST = ("tests/tca/test_inference.py::test_a_first_pass_in_inference_mode_leaves_memory_for_any_later_one",)
MADE = ("tests/tca/test_inference.py::test_a_network_of_inference_mode_can_be_trained_by_autograd",)
OUTSIDE = ("tests/tca/test_inference.py",)
MEASURES = ("tests/tca/test_inference.py::test_measures_are_the_same_without_a_graph",)
NETWORK, OPTIONS, NUMBERS = "tca/nets/network.py", "tca/nets/options.py", "tca/utils/numerics.py"
LEAK = "tca/cells/time_constants.py"
LEARNER, BATCH, STREAM = "tca/learner.py", "tca/batch.py", "tca/online.py"

BUGS = (
    Bug(OPTIONS, "private noise of the default type", 'generator=there, dtype=torch.float32, device=there.device)',
        'generator=there, device=there.device)', (f"{DEFAULTS}[network leaky_rnn]",)),
    Bug("tca/nets/leaky/leaky_population.py", "size of the noise in the default type",
        "torch.as_tensor(self.leak, dtype=torch.float64, device=self.w_rec.device)",
        "torch.as_tensor(self.leak, device=self.w_rec.device)",
        ("tests/tca/nets/test_networks.py::test_the_size_of_private_noise_is_exact",)),
    Bug("tca/nets/feedforward/layered_network.py", "dropout of the default type", 'generator=there, dtype=torch.float32, device=there.device)',
        'generator=there, device=there.device)', (f"{DEFAULTS}[network mlp]",)),
    Bug(OPTIONS, "private noise on the default device", 'generator=there, dtype=torch.float32, device=there.device)',
        "generator=there, dtype=torch.float32)", (f"{DEFAULTS}[network leaky_rnn]",)),
    Bug(OPTIONS, "balance of signs in the default type", "torch.where(signs > 0, signs.new_tensor(ratio), 1 / ratio)",
        "torch.where(signs > 0, ratio, 1 / ratio)", (f"{DEFAULTS}[network leaky_rnn]",)),
    Bug("tca/utils/arrays.py", "lists in the default type", "torch.from_numpy(np.array(values))", "torch.as_tensor(values)",
        (f"{DEFAULTS}[network leaky_rnn]", *STATIC)),
    Bug("tca/nets/wired_population.py", "in-degree of whole numbers",
        'torch.tensor([n_rec], dtype=torch.float64, device="cpu")',
        'torch.tensor([n_rec], device="cpu")', STATIC),
    Bug("tasks/native/flip_flop.py", "signs of the default type",
        '2 * torch.randint(2, shape, generator=generator, device="cpu").float()',
        '2.0 * torch.randint(2, shape, generator=generator, device="cpu")', (f"{DEFAULTS}[task flip_flop]",)),
    Bug(NUMBERS, "half precision after the network was made", "            check_dtype(dtype)\n            for",
        "            for",
        PRECISION),
    Bug(NUMBERS, "constants that no type is asked for", "constant.check(dtype)", "pass", PRECISION),
    Bug(NUMBERS, "mixtures of types go on", "if each.is_floating_point() and (each.dtype, each.device)",
        "if False and (each.dtype, each.device)", PRECISION),
    Bug(NUMBERS, "parts on several devices go on",
        "(each.dtype, each.device) != (like.dtype, like.device):\n                raise",
        "each.dtype != like.dtype:\n                raise", PRECISION),
    Bug(NUMBERS, "conversion inside inference mode",
        "        with torch.inference_mode(False):\n            dtype = fn(",
        "        if True:\n            dtype = fn(", MADE),
    Bug(LEAK, "leaks compared themselves", "if self.complement is None:", "if True:", PRECISION),
    Bug(LEAK, "one minus the leak with cancellation",
        'torch.as_tensor(self.complement, dtype=torch.float64, device="cpu"), 1 - rounded', "1 - exact, 1 - rounded",
        PRECISION),
    Bug(LEAK, "a tenth lost is kept", "TOLERANCE = 0.01", "TOLERANCE = 0.1", PRECISION),
    Bug("tca/nets/spiking/spiking_population.py", "adaptation that never fades unnoticed",
        '            Constant("tau_adaptation", kept_long, added_long),\n', "", PRECISION),
    Bug("tca/nets/recurrent.py", "filter of the readout unnoticed", "(*self.constants, filter)", "self.constants",
        PRECISION),
    Bug(NUMBERS, "autocast let through", "torch.is_autocast_enabled(kind)", "False", PRECISION),
    Bug(NUMBERS, "memory of inference mode", "with torch.inference_mode(False), torch.no_grad():",
        "with torch.no_grad():",
        FIRST),
    Bug(NUMBERS, "networks of inference mode", "        with torch.inference_mode(False):\n            return super()",
        "        if True:\n            return super()",
        ("tests/tca/test_inference.py::test_what_is_made_in_inference_mode_is_made_outside_of_it",)),
    Bug(NUMBERS, "copies of inference mode",
        "        with torch.inference_mode(False):\n            made.__dict__",
        "        if True:\n            made.__dict__",
        COPIES),
    Bug(NUMBERS, "copies that share", "copy.deepcopy(self.__dict__, memo)", "self.__dict__", COPIES),
    Bug(NUMBERS, "workspace of inference mode",
        "with torch.inference_mode(False):\n                held", "if True:\n                held",
        ("tests/tca/test_inference.py::test_a_workspace_of_inference_mode_serves_ordinary_passes",)),
    Bug(STREAM, "streams keep inputs of inference mode", "weights.unsqueeze(0), loss).kept()",
        "weights.unsqueeze(0), loss)", FIRST),
    Bug(LEARNER, "drawn before the batch is checked", "        self._check(batch, noise)  # before anything is drawn",
        "        #", PRECISION),
    Bug("tca/batch_checks.py", "devices of class indices and decisions unchecked", "(dtype, batch.inputs.device):",
        "(dtype, batch.inputs.device) and part.is_floating_point():", PRECISION),
    Bug("analysis/curvature/operators/operator.py", "products inside inference mode",
        "    @torch.inference_mode(False)\n    def _checked", "    def _checked", OUTSIDE),
    Bug("analysis/curvature/problem.py", "trials of inference mode", "as_data(trials, loss, net).kept()", "as_data(trials, loss, net)", OUTSIDE),
)  # fmt: skip
