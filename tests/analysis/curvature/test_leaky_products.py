"""Leaky networks differentiated by hand: against the dense Hessian of the oracle, autograd, and differences."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from analysis import operator
from analysis.curvature import network_operators
from analysis.curvature.analytic import scan as scans
from analysis.curvature.analytic.derivative_plan import SCANNED, WIDTH, plan
from analysis.curvature.analytic.scan import Scan, spaces
from analysis.curvature.analytic.scan_expansion import ScanCarrier, ScanExpansion, collect, spread
from analysis.curvature.network_operators import OPERATORS
from analysis.curvature.operators import Hessian
from analysis.curvature.operators.pullback import Linearization
from analysis.curvature.problem import Problem, problem_of
from tca.cells.activations import ACTIVATIONS, Activation, AlternatingReLU, Sigmoid
from tca.nets import NETWORKS
from tca.utils.numerics import Workspace
from tests.analysis.curvature.test_curvature import reference
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.peak import peak_bytes
from tests.support.scanned_cases import NETS, RECURRENT, network, trials

LARGE = [
    Case(f"{form}-{activation}", form=form, activation=activation, sizes=(3, 16, 3), loss="cross_entropy", steps=9,
         trials=7, leak=tuple(torch.linspace(0.1, 0.9, 16).tolist()), readout_leak=0.4, options={"learn_initial": True})
    for form in "AB" for activation in ACTIVATIONS
]  # fmt: skip
SMALL = Case("small", sizes=(2, 20, 2), steps=6, trials=24, loss="cross_entropy", leak=0.3)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def near(found: Tensor, exact: Tensor, relative: float = 1e-10) -> bool:
    return bool((found - exact).norm() <= relative * exact.norm() + 1e-14)


def by_autograd(problem: Problem) -> Hessian:
    """The same Hessian, by differentiating ``functional`` twice."""
    return Hessian(problem.losses(), problem.theta)


def vectors(size: int, count: int, seed: int = 0) -> Tensor:
    return torch.randn(size, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.thirds
@each_case
def test_the_hessian_in_all_parameters_is_the_dense_one(case: Case) -> None:
    """Every form, activation, leak, mask, filter and loss of the cases, against the oracle's loop."""
    net, batch = case.net(), case.batch()
    found = operator(net, batch, "all")
    names = tuple(found.groups)
    assert near(found.matrix(), reference(case, weights_of(net), names))
    gradient = oracle.gradient(case.model(), weights_of(net), case.problem())
    for name, where in found.groups.items():
        exists = case.model().masks.get(name, torch.ones_like(gradient[name])).flatten().bool()
        assert near(found.gradient[where], gradient[name].flatten()[exists], 1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("names", ["w_rec", "w_in", "b", "s_0", "w_out", "b_out", ["b_out", "w_in"], ["s_0", "w_out"]])
@pytest.mark.parametrize("case", [CASES[4], CASES[7]], ids=str)
def test_parameters_can_be_chosen(case: Case, names: str | list[str]) -> None:
    """The block of some parameters alone is that of all."""
    net, batch = case.net(), case.batch()
    chosen = (names,) if isinstance(names, str) else tuple(names)
    assert near(operator(net, batch, names).matrix(), reference(case, weights_of(net), chosen))


@pytest.mark.parametrize("case", LARGE, ids=str)
def test_larger_networks_agree_with_autograd(case: Case) -> None:
    """Hundreds of parameters, slow and fast cells, windows and blocks that do not come out even."""
    problem = problem_of(case.net(), case.batch(), "all")
    fast, slow = network_operators.hessian(problem), by_autograd(problem)
    assert fast.loss == pytest.approx(slow.loss, rel=1e-14)
    assert near(fast.gradient, slow.gradient, 1e-13)
    some = vectors(fast.size, WIDTH + 3)
    assert near(fast @ some, slow @ some, 1e-12)


@pytest.mark.parametrize("window", [1, 2000, 10**9])
def test_windows_do_not_matter(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one step at a time to the whole trial at once."""
    case = LARGE[5]
    problem = problem_of(case.net(), case.batch(), "all")
    exact = network_operators.hessian(problem) @ vectors(len(problem.theta), 2)
    monkeypatch.setattr(scans, "WINDOW_BYTES", window)
    monkeypatch.setattr(scans, "LEAST_STEPS", 1)
    assert near(network_operators.hessian(problem) @ vectors(len(problem.theta), 2), exact, 1e-13)


@pytest.mark.thirds
@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("case", [F1, CASES[6], LARGE[1]], ids=str)
def test_a_block_is_its_columns_and_the_matrix_symmetric(case: Case, kind: str) -> None:
    """``A @ M`` column by column; and the product with the identity, since ``matrix()`` would hide an asymmetry."""
    made = operator(case.net(), case.batch(), ["w_rec", "w_in", "b"], kind)
    assert made.width == WIDTH
    some = vectors(made.size, 2 * WIDTH + 1)
    columns = torch.stack([made.product(each) for each in some.mT], 1)
    before = made.products
    assert near(made @ some, columns, 1e-12)
    assert made.products == before + 2 * WIDTH + 1
    assert near(made @ some[:, 0], columns[:, 0], 1e-12)
    assert (made @ some[:, :0]).shape == (made.size, 0)
    written = made @ torch.eye(made.size)
    assert near(written, written.mT, 1e-12)
    with pytest.raises(ValueError, match=rf"vectors must have shape \({made.size}, V\), got \(3, 2\)"):
        made @ torch.ones(3, 2)


@pytest.mark.parametrize("case", [F1, CASES[5], CASES[7]], ids=str)
def test_products_are_differences_of_the_gradient_of_training(case: Case) -> None:
    """Against the gradient that ``Learner`` computes, which shares no line with the scan."""
    net, batch = case.net(), case.batch()
    made, along, ends = operator(net, batch, "all"), vectors(operator(net, batch, "all").size, 1)[:, 0], []
    for step in (1e-5, -1e-5):
        moved = case.net()
        with torch.no_grad():
            for name, where in made.groups.items():
                moved.get_parameter(name).add_(step * along[where].view_as(moved.get_parameter(name)))
        gradient, _ = tca.Learner(moved, tca.RULES["bptt"]).grads(batch)
        ends.append(torch.cat([gradient[name].flatten() for name in made.groups]))
    assert near(made.product(along), (ends[0] - ends[1]) / 2e-5, 1e-8)


@each_case
def test_jacobians_are_those_of_autograd_and_each_others_transpose(case: Case) -> None:
    """``J v`` and ``J^T u`` of the outputs."""
    problem = problem_of(case.net(), case.batch(), "all")
    net, part = problem.net, problem.parts[0]
    scan = Scan(net, problem.parameters.names, part.inputs, spaces(), spaces())
    linear = Linearization.of(lambda theta: problem.outputs(part, theta), problem.theta)
    assert near(scan.outputs, linear.value, 1e-14)
    some = vectors(len(problem.theta), 3)
    signals = vectors(scan.outputs.numel(), 3, seed=1).mT.reshape(3, *scan.outputs.shape)
    pushed = scan.push(spread(problem.parameters, some)).clone()
    assert near(pushed, torch.stack([linear.push(each) for each in some.mT]), 1e-12)
    pulled = collect(problem.parameters, scan.pull(signals))
    assert near(pulled, torch.stack([linear.pull(each) for each in signals], 1), 1e-12)
    assert near((pushed * signals).sum((1, 2, 3)), (pulled * some).sum(0), 1e-12)
    assert torch.equal(ScanCarrier(scan, problem.parameters).value, scan.outputs)


class Dirty(Workspace):
    """Memory that holds the worst that memory may hold."""

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return super().empty(name, shape, like).fill_(torch.nan)


@each_case
def test_what_memory_held_before_does_not_matter(case: Case) -> None:
    """No entry is read before it has been written, the initial state included."""
    problem = problem_of(case.net(), case.batch(), "all")
    net, part = problem.net, problem.parts[0]
    scan = Scan(net, problem.parameters.names, part.inputs, spaces(Dirty), spaces(Dirty))
    expansion = ScanExpansion(scan, problem.parameters, part, part.trials)
    some = vectors(len(problem.theta), 2)
    assert near(expansion.second(some), network_operators.hessian(problem) @ some, 1e-13)


def test_the_second_order_matters() -> None:
    """Control: without what bends signals, or without the learning signal of the cells, it is another matrix."""
    problem = problem_of(F1.net(), F1.batch())
    full, newton = network_operators.hessian(problem), network_operators.OPERATORS["gauss_newton"](problem)
    assert not near(newton.matrix(), full.matrix(), 0.1)
    linear = replace(F1, activation="linear")
    problem = problem_of(linear.net(), linear.batch())
    assert not near(
        network_operators.OPERATORS["gauss_newton"](problem).matrix(), network_operators.hessian(problem).matrix(), 0.01
    )


class Descendant(tca.nets.StackedRNN):
    """A network that might do anything."""


def test_only_networks_with_a_row_are_differentiated_by_hand() -> None:
    """The recurrent ones are; subclasses and all others are left to autograd, with the same result."""
    recurrent = {type(made()) for made in RECURRENT.values()}
    assert recurrent == SCANNED
    assert {type(made()) for made in NETS.values()} >= set(NETWORKS.values())
    for name in set(NETS) - set(RECURRENT):
        feedforward = network(name)
        assert plan(problem_of(feedforward, trials(feedforward), "all")).expansions is None
    net = network("stack")
    other = network("stack")
    other.__class__ = Descendant
    batch = trials(net)
    by_hand, left = plan(problem_of(net, batch, "all")), plan(problem_of(other, batch, "all"))
    assert by_hand.expansions is not None
    assert by_hand.carriers is not None
    assert (left.expansions, left.carriers, left.width) == (None, None, 1)
    for kind in OPERATORS:
        made = [operator(each, batch, "layers.1.w_rec", kind).matrix() for each in (net, other)]
        assert near(made[0], made[1])


@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("chunk", [5, 24])
def test_what_does_not_fit_into_memory_is_computed_anew(kind: str, chunk: int) -> None:
    """Kept or not, in one chunk or in several of unequal length, one vector at a time or several."""
    net, batch = SMALL.net(), SMALL.batch()
    whole = operator(net, batch, "all", kind)
    parts = problem_of(net, batch, "all", chunk=chunk)
    tight = problem_of(net, batch, "all", chunk=chunk, memory=1e-3)
    assert (plan(parts).keep, plan(parts).width) == (True, WIDTH)
    assert (plan(tight).keep, plan(tight).width) == (chunk == 24, 1)
    some = vectors(whole.size, WIDTH + 1)
    for problem in (parts, tight):
        made = OPERATORS[kind](problem)
        assert near(made @ some, whole @ some, 1e-12)
        assert near(made @ some, whole @ some, 1e-12)  # nothing that is used again was overwritten


def test_memory_stays_flat() -> None:
    """What is held at once grows neither with the vectors beyond a block nor with the chunks."""
    net, batch = SMALL.net(), SMALL.batch()

    def held(problem: Problem, count: int) -> int:
        made, some = network_operators.hessian(problem), vectors(len(problem.theta), count)
        made @ some  # memory for a pass is made once
        return peak_bytes(lambda: made @ some) - 8 * some.numel()  # the result itself

    whole = problem_of(net, batch)
    block = held(whole, WIDTH)
    assert held(whole, 1) < block / 3
    assert held(whole, 6 * WIDTH) <= block
    few, many = (problem_of(net, batch.select(slice(0, trials)), chunk=4, memory=1e-3) for trials in (8, 24))
    assert (len(few.parts), len(many.parts)) == (2, 6)
    assert held(many, 3) <= held(few, 3) + 1000
    made = peak_bytes(lambda: network_operators.hessian(few)), peak_bytes(lambda: network_operators.hessian(many))
    assert made[1] <= made[0] + 1000
    kept = [problem_of(net, batch.select(slice(0, trials)), chunk=4) for trials in (8, 24)]
    assert peak_bytes(lambda: network_operators.hessian(kept[1])) > 2 * peak_bytes(
        lambda: network_operators.hessian(kept[0])
    )


@pytest.mark.parametrize("case", [LARGE[0], LARGE[7]], ids=str)
def test_single_precision_is_close(case: Case) -> None:
    """A float32 network measured in float32."""
    net, batch = case.net(dtype=torch.float32), case.batch().to(dtype=torch.float32)
    exact = operator(net, batch, "all")
    found = operator(net, batch, "all", dtype=None)
    some = vectors(exact.size, 3)
    assert (found @ some).dtype == torch.float32
    assert near((found @ some).double(), exact @ some, 1e-5)


@pytest.mark.parametrize("activation", [*ACTIVATIONS.values(), Sigmoid(3.0), AlternatingReLU(2)], ids=str)
def test_second_derivatives_of_activations(activation: Activation) -> None:
    """Against autograd, away from the kink of rectifiers; at it they are zero, as is the slope."""
    u = torch.linspace(-3, 3, 40, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(activation(u).sum(), u, create_graph=True)
    exact = torch.autograd.grad(slope.sum(), u)[0] if slope.requires_grad else torch.zeros_like(u)
    activity = activation(u).detach()
    assert near(activation.second_derivative(activity), exact, 1e-13)
    signal = torch.full_like(activity, 2.0)
    activation.times_bend_(signal, activity)
    assert near(signal * slope.detach(), 2 * exact, 1e-13)
    assert torch.isfinite(signal).all()


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@pytest.mark.parametrize("case", [LARGE[0], LARGE[8]], ids=str)
def test_the_device_does_not_matter(case: Case, kind: str) -> None:
    """A block of vectors on a GPU and on the CPU."""
    here, there = (
        operator(case.net(), case.batch(), "all", kind),
        operator(case.net().cuda(), case.batch(), "all", kind),
    )
    some = vectors(here.size, WIDTH + 1)
    assert (there @ some).is_cuda
    assert near((there @ some).cpu(), here @ some, 1e-10)
