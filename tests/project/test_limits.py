"""Limits that no other test pins: each test fails when its entry in docs/limits.md no longer holds."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import tasks
import tca
from analysis import alignment, curvature, operator, stability, update_jacobian
from analysis.landscape.barrier import barrier
from analysis.landscape.permutation_alignment import permuted
from benchmarks.launches import KINDS
from tca.connections.vector_products import Products
from tca.eligibilities import Full, Leak, NetworkKernel
from tca.experiments.training.evaluation import evaluate
from tca.kernels.choice import VARIABLE
from tca.losses import MSE
from tca.nets import CellRNN, LeakyRNN, SpikingRNN, VectorRNN
from tca.signals import GlobalVector, Regularised
from tca.signals.regularisers.activity_regularisers import Power
from tests.analysis.curvature.test_eigensolvers import ENGINES, inside, quadratic
from tests.analysis.curvature.test_spectrum import falling, over_seeds, rotated
from tests.analysis.landscape.test_landscape import problem
from tests.analysis.stability.test_stability import fixture
from tests.support.cases import CASES
from tests.support.peak import peak_bytes
from tests.tca.nets.vector.test_vector_networks import scattered
from tests.tca.signals.test_global_vector import sequences

F64 = torch.float64
DOUBLE = 8  # bytes of a number


def batch_of(net: LeakyRNN, steps: int, trials: int) -> tca.Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, trials, net.n_in, dtype=F64, generator=generator)
    targets = torch.zeros(steps, trials, net.n_out, dtype=F64)
    return tca.Batch(inputs, targets, torch.full((steps, trials), 1 / steps, dtype=F64), MSE())


@pytest.mark.parametrize("name", ["rtrl", "tbptt"])
def test_forward_traces_of_every_path_take_a_number_for_each_cell_and_synapse(name: str) -> None:
    """Forwards at least N numbers for each recurrent synapse and trial are held, backwards far fewer."""
    net = LeakyRNN(2, 20, 1, dtype=F64)
    learner, batch = tca.Learner(net, tca.RULES[name]), batch_of(net, 6, 3)
    influence = DOUBLE * 3 * 20 * 20 * 20
    assert peak_bytes(lambda: learner.grads(batch, execution="forward")) >= influence
    assert peak_bytes(lambda: learner.grads(batch, execution="reverse")) < influence / 2


def test_errors_that_fade_stay_at_subnormal_numbers_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leak of .9 over 1,000 steps: the error, below half the smallest number of float32, stays at a few times it."""
    smallest, normal = 1.4e-45, torch.finfo(torch.float32).tiny
    monkeypatch.setenv(VARIABLE, "eager")

    def of_start(dtype: torch.dtype) -> torch.Tensor:
        net = LeakyRNN(2, 4, 1, tau=-10 / math.log(0.9), learn_initial=True, dtype=dtype)
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(1000, 1, 2, dtype=dtype, generator=generator)
        weight = torch.zeros(1000, 1, dtype=dtype)
        weight[-1] = 1
        batch = tca.Batch(inputs, torch.ones(1000, 1, 1, dtype=dtype), weight, MSE())
        return tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]["s_0"].abs()

    assert 0 < of_start(F64).max() < smallest / 2
    single = of_start(torch.float32)
    assert 0 < single.max() < 10 * smallest < normal
    with flushed():
        assert of_start(torch.float32).max() == 0


def test_the_mode_of_subnormal_numbers_is_that_of_a_thread() -> None:
    """`torch.set_flush_denormal` changes the calling thread and those that it starts, no thread that was there."""

    def flushes() -> bool:
        return not (torch.full((3,), 1e-39) * 0.5).any()

    with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as after:
        assert not before.submit(flushes).result()
        with flushed():
            assert flushes()
            assert after.submit(flushes).result()
            assert not before.submit(flushes).result()


@contextmanager
def flushed() -> Iterator[None]:
    """Take subnormal numbers for zero in this thread."""
    if not torch.set_flush_denormal(True):
        pytest.skip("not a processor with such a mode")
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def test_a_filtered_readout_online_takes_a_number_for_each_synapse_and_trial() -> None:
    """Without the filter e-prop of form A holds a trace for each presynaptic cell; with it one for each synapse."""
    trials, cells = 12, 40

    def peak(readout_tau: float | None) -> int:
        net = LeakyRNN(2, cells, 1, dtype=F64, readout_tau=readout_tau)
        stream, batch = tca.Learner(net, tca.RULES["eprop"]).stream(trials), batch_of(net, 3, trials)

        def run() -> None:
            for x, y, w in zip(batch.inputs, batch.targets, batch.weights, strict=True):
                stream.step(x, y, w, batch.loss)

        return peak_bytes(run)

    synaptic = DOUBLE * trials * cells * cells
    assert peak(20.0) >= synaptic
    assert peak(None) < synaptic / 2


@pytest.mark.parametrize(
    ("rule", "factored"),
    [
        (tca.RULES["gevb_local"], True),
        (tca.RULES["gevb_network"], True),
        (tca.Rule(GlobalVector(), NetworkKernel(0.7)), False),
        (tca.Rule(GlobalVector(gated=False), Leak()), False),
        (tca.Rule(GlobalVector(), Full()), False),
        (tca.Rule(Regularised(GlobalVector(), (Power(),)), Leak()), False),
    ],
    ids=lambda each: repr(each)[:60],
)
def test_only_filters_that_are_numbers_are_gathered_as_products(
    rule: tca.Rule, factored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gathered, plain = [], Products.gather_
    monkeypatch.setattr(Products, "gather_", lambda self, *given: (gathered.append(self), plain(self, *given))[1])
    net = scattered(VectorRNN(3, 6, 4, dtype=F64))
    tca.Learner(net, rule).grads(sequences(net, 4, 9, last_only=False))
    assert bool(gathered) == factored


@pytest.mark.parametrize("kind", KINDS)
def test_only_single_populations_of_scalars_run_online(kind: str) -> None:
    net = KINDS[kind]()
    if type(net) in (LeakyRNN, SpikingRNN, CellRNN):
        tca.Learner(net, tca.RULES["eprop"]).stream(1)
        return
    with pytest.raises(ValueError, match=f"^{type(net).__name__} runs through whole trials, not step by step"):
        tca.Learner(net, tca.RULES["eprop"]).stream(1)


def test_a_single_precision_hessian_is_not_exact() -> None:
    """In its own type a float32 network has another largest eigenvalue than in double precision, past round-off."""
    case = next(case for case in CASES if case.activation == "tanh")
    net, batch = case.net(dtype=torch.float32), case.batch().to(dtype=torch.float32)
    own, double = (curvature(net, batch, engine="dense", dtype=dtype, probes=0).largest.value for dtype in (None, F64))
    assert 1e-9 < abs(own - double) / abs(double) < 1e-6


def test_private_noise_is_left_out_of_measurements() -> None:
    task = tasks.make("delayed_xor")
    quiet, noisy = (LeakyRNN(task.n_in, 5, task.n_out, noise=noise) for noise in (0.0, 0.5))
    batch = task.split(6, 4, seed=0)[0].batch()
    assert alignment(quiet, batch, ["eprop"])["eprop"] == alignment(noisy, batch, ["eprop"])["eprop"]
    assert evaluate(quiet, task, batch) == evaluate(noisy, task, batch)
    assert torch.equal(*(operator(net, batch, "w_rec").matrix() for net in (quiet, noisy)))
    tca.Learner(noisy, tca.RULES["eprop"]).backward(batch)
    tca.Learner(quiet, tca.RULES["eprop"]).backward(batch)
    assert not torch.equal(noisy.w_rec.grad, quiet.w_rec.grad), "control: training draws it"


def test_the_pyhessian_engine_misses_an_end_of_small_modulus_and_its_residual_says_so() -> None:
    found = ENGINES["pyhessian"](quadratic([5.0, -0.5, *inside(60, 0.49)]), 1e-6, 200, 0)
    assert abs(found.largest.value - 5.0) < 1e-9
    assert abs(found.smallest.value + 0.5) > 1e-3
    assert found.smallest.residual > 1e3 * found.largest.residual


def test_the_error_of_xtrace_is_overestimated() -> None:
    values = falling(80, 2.0)
    estimates, claimed = over_seeds(rotated(values), "xtrace", 30)
    errors = estimates - values.sum()
    assert 1.5 < (claimed.square().mean() / errors.square().mean()).sqrt() < 4


def test_the_update_jacobian_is_a_difference() -> None:
    """Off by round-off over the step from the exact Hessian, and wrong within its step of a kink."""
    case = next(case for case in CASES if case.activation == "tanh")
    net, batch = case.net(), case.batch()
    hessian = operator(net, batch).matrix()
    error = (update_jacobian(net, batch, "bptt").matrix() - hessian).norm() / hessian.norm()
    assert 1e-14 < error < 1e-10

    relu = LeakyRNN(1, 3, 1, activation="relu", dtype=F64)
    trials = tca.Batch(torch.ones(2, 1, 1).double(), torch.zeros(2, 1, 1).double(), torch.ones(2, 1).double(), MSE())
    for upper, wrong in ((1e-4, True), (1e-3, True), (1e-2, False)):
        with torch.no_grad():
            relu.w_in.fill_(1.0)
            relu.w_rec.fill_(0.3)
            relu.b.copy_(torch.tensor([0.5, 0.5, upper - 1.0]))
        exact = operator(relu, trials, "all").matrix()
        error = (update_jacobian(relu, trials, "bptt", "all").matrix() - exact).norm() / exact.norm()
        assert (error > 0.1) == wrong, upper


def test_rho_neither_equals_nor_bounds_the_largest_eigenvalue_of_several_outputs() -> None:
    """The share of the largest eigenvalue lies above rho for one network and below it for another."""
    upper = []
    for seed in (0, 2):
        found = stability(*fixture(seed, 4), ["eprop"])
        share = found["eprop"].eigenvalues.real.max().item() / found.largest
        assert abs(share - found["eprop"].rho) > 1e-3
        upper.append(share > found["eprop"].rho)
    assert upper == [True, False]


def test_matching_by_weights_may_end_in_a_worse_order_than_the_best() -> None:
    (net, batch), (other, _) = problem(sizes=(3, 5, 2)), problem(sizes=(3, 5, 2), seed=2)
    found = barrier(net, other, batch, match="weights", points=2).distance
    orders = map(torch.tensor, itertools.permutations(range(5)))
    best = min(barrier(net, permuted(other, order), batch, points=2).distance for order in orders)
    assert found > 1.1 * best


def test_records_need_posix_locks() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import tca.experiments.records.record"
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert ran.returncode == 1
    assert "import of fcntl halted" in ran.stderr


class AddedProducts(TorchDispatchMode):
    """Notes layout and shape of the matrix of every product that is added to a drive."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices: list[tuple[torch.layout, tuple[int, ...]]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket is torch.ops.aten.addmm:
            self.matrices.append((args[2].layout, tuple(args[2].shape)))
        return function(*args, **(kwargs or {}))


def test_a_network_of_few_synapses_takes_dense_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCA_KERNELS", "eager")
    mask = (torch.rand(512, 512, dtype=F64, generator=torch.Generator().manual_seed(0)) < 0.1).double()
    net = LeakyRNN(2, 512, 1, mask_rec=mask, dtype=F64)
    with AddedProducts() as seen, torch.no_grad():
        tca.Learner(net, tca.RULES["eprop"]).grads(batch_of(net, 3, 2))
    assert seen.matrices.count((torch.strided, (512, 512))) == 3  # one a step
