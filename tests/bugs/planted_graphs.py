"""Bugs of work that CUDA graphs replay, noticed on the CPU by graphs that are imitated there."""

from __future__ import annotations

from tests.bugs.bug import Bug

UPDATES, GRAPHS = "tca/experiments/training/captured_updates.py", "tca/utils/cuda_graphs.py"
TESTS = "tests/tca/experiments/training/test_captured_updates.py"
PRODUCTS = ("tests/analysis/curvature/test_captured_products.py",)
EVALUATION = "tests/tca/experiments/training/test_captured_evaluation.py"
LOOP, HESSIAN = "tca/experiments/training/training_loop.py", PRODUCTS[0] + "::test_replayed_products_equal_eager_ones"
SAME = f"{TESTS}::test_captured_updates_make_the_same_bits"

BUGS = [
    Bug(
        GRAPHS,
        "a first replay that nobody looks at",
        "if not all(map(_alike, found, wanted)):",
        "if False:",
        (f"{TESTS}::test_a_count_of_the_host_in_an_update_is_noticed",),
    ),
    Bug(
        GRAPHS,
        "the first replay counts as an update",
        "        found = _copies((self.result, state))\n        _restore_(state, before)",
        "        found = _copies((self.result, state))",
        (f"{SAME}[bptt-leaky A]",),
    ),
    Bug(
        UPDATES,
        "a captured learning rate that stays",
        'rate.fill_(group["lr"])',
        "rate.fill_(self.updates.rates[0])",
        (f"{TESTS}::test_scheduled_learning_rates_reach_captured_steps",),
    ),
    Bug(
        UPDATES,
        "a static input of a graph not refilled",
        "part.copy_(getattr(batch, name))",
        "part.copy_(part)",
        (f"{SAME}[bptt-leaky A]",),
    ),
    Bug(
        UPDATES,
        "the noise of a capture replayed",
        "self.noise.copy_(noise)",
        "noise.copy_(self.noise)",
        (f"{TESTS}::test_networks_of_many_kinds[noise]",),
    ),
    Bug(
        UPDATES,
        "a captured factor of clipping that stays",
        "self.factor.fill_(updates.clipped(sizes))",
        "self.factor.fill_(1.0)",
        (f"{SAME}[bptt-leaky A]",),
    ),
    Bug(
        UPDATES,
        "graphs of tensors that a restored optimizer has left",
        "        self._captured.clear()\n",
        "",
        (f"{TESTS}::test_restored_updates_go_on_from_the_state",),
    ),
    Bug(
        UPDATES,
        "a batch of another loss given to a graph",
        "same = batch.loss is self.batch.loss or",
        "same = True or",
        (f"{TESTS}::test_shapes_without_graphs_are_updated_eagerly",),
    ),
    Bug(
        UPDATES,
        "padded trials given to the graph of others",
        "return batch.padded, *(",
        "return True, *(",
        (f"{TESTS}::test_padded_trials_have_graphs_of_their_own",),
    ),
    Bug(
        GRAPHS,
        "changes by a replay not counted",
        "torch.autograd.graph.increment_version(self._changed)",
        "torch.autograd.graph.increment_version([])",
        (f"{TESTS}::test_values_that_the_host_keeps_are_read_again_after_replays",),
    ),
    Bug(
        UPDATES,
        "a step captured of gradients that are not finite",
        "        if trouble := updates.trouble(info, sizes, step):\n            return trouble\n",
        "",
        (f"{TESTS}::test_numbers_that_are_not_finite_end_the_run_before_the_step",),
    ),
    Bug(
        "tca/eligibilities/factors.py",
        "a count of the host declared capturable",
        "capturable: ClassVar[bool] = False  # it draws",
        "capturable: ClassVar[bool] = True  # it draws",
        (f"{SAME}[uoro-leaky A]",),
    ),
    Bug(
        "tca/eligibilities/perturbations.py",
        "draws of the host declared capturable",
        "capturable: ClassVar[bool] = False",
        "capturable: ClassVar[bool] = True",
        (f"{SAME}[node_perturbation-leaky A]",),
    ),
    Bug(
        "tca/signals/decorrelation/decorrelation.py",
        "a rule that could be captured declared not to be",
        "    local: ClassVar[bool] = True\n",
        "    local: ClassVar[bool] = True\n    capturable: ClassVar[bool] = False\n",
        (f"{SAME}[sbd-leaky A]",),
    ),
    Bug(
        "tca/signals/decorrelation/time_lags.py",
        "numbers copied from the host in every update",
        "torch.stack([score.new_full((1,), each) for each in self.kappas])",
        "score.new_tensor(self.kappas).unsqueeze(-1)",
        (f"{SAME}[sbd_filtered-leaky A]",),
    ),
    Bug(
        GRAPHS,
        "memory that a graph takes freed",
        "self._held[memory] = each",
        "self._held[memory] = torch.empty(0)",
        (f"{SAME}[bptt-leaky A]",),
    ),
    Bug(GRAPHS, "the vector of a captured product not refilled", "        taken.copy_(given)\n", "", PRODUCTS),
    Bug(
        GRAPHS,
        "the result of a product in the memory of the graph",
        "return captured.result.clone()",
        "return captured.result",
        (*PRODUCTS, f"{EVALUATION}::test_replayed_measurements_equal_eager_ones[leaky B]"),
    ),
    Bug(
        "analysis/curvature/operators/operator.py",
        "a forward pass on another stream than the capture of its backward pass",
        "else self._replays.graphs.aside(make)",
        "else make()",
        (f"{HESSIAN}[MLP-hessian]", f"{HESSIAN}[leaky-gauss_newton]"),
    ),
    Bug(
        GRAPHS,
        "an error of a capture taken for one of the work",
        "except (RuntimeError, ValueError) as error:",
        "except RuntimeError as error:",
        (f"{PRODUCTS[0]}::test_a_backward_pass_of_a_user_that_no_graph_can_replay",),
    ),
    Bug(
        GRAPHS,
        "weights read where they no longer are",
        "*(memory for memory, _ in _memory(tuple(reads)))",
        "*()",
        (f"{EVALUATION}::test_weights_in_other_memory_are_seen",),
    ),
    Bug(
        GRAPHS,
        "numbers of another type converted to those of a graph",
        "key = given.shape, given.dtype, *",
        "key = given.shape, *",
        (f"{EVALUATION}::test_few_sizes_have_graphs",),
    ),
    Bug(
        GRAPHS,
        "graphs of values that are copied with memory of their own",
        "graphs = graphs_on(device, one_pool=True)",
        "graphs = graphs_on(device)",
        ("tests/tca/utils/test_cuda_graphs.py",),
    ),
    Bug(
        LOOP,
        "measurements captured of weights that move",
        "if self.together or self.run.agent is not None or",
        "if self.run.agent is not None or",
        (f"{EVALUATION}::test_which_runs_replay_their_measurements",),
    ),
    Bug(
        LOOP,
        "measurements captured of modules of a user",
        "is not None or not of_library(self.net):",
        "is not None:",
        (f"{EVALUATION}::test_which_runs_replay_their_measurements",),
    ),
    Bug(
        LOOP,
        "a record of graphs that PyTorch has refused",
        "self.replays is None or self.replays.refused else MEASURED",
        "self.replays is None else MEASURED",
        (f"{EVALUATION}::test_a_pass_that_the_host_waits_in_is_measured_without_graphs",),
    ),
]
