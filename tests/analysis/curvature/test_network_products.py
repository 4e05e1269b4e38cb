"""Networks differentiated by hand or by autograd: against autograd, dense Hessians, differences of gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

import tca
from analysis import operator
from analysis.curvature import network_operators
from analysis.curvature.analytic import scan as scans
from analysis.curvature.analytic.cell_derivatives import spike_curvature
from analysis.curvature.analytic.derivative_plan import WIDTH, plan
from analysis.curvature.analytic.scan import Scan, spaces
from analysis.curvature.analytic.scan_expansion import ScanExpansion, collect, spread
from analysis.curvature.network_operators import OPERATORS
from analysis.curvature.operators import Hessian
from analysis.curvature.operators.output_metrics import METRICS
from analysis.curvature.operators.pullback import Linearization, Pullback
from analysis.curvature.problem import Problem, problem_of
from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, spike
from tca.nets import LeakyLayer, Network
from tca.utils.numerics import Workspace
from tests.support.peak import peak_bytes
from tests.support.scanned_cases import FEEDFORWARD, RECURRENT, network, trials

each_network = pytest.mark.parametrize("name", RECURRENT)


def near(found: Tensor, exact: Tensor, relative: float = 1e-12) -> bool:
    return bool((found - exact).norm() <= relative * exact.norm() + 1e-14)


def vectors(size: int, count: int, seed: int = 0) -> Tensor:
    return torch.randn(size, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_autograd(problem: Problem) -> Hessian:
    """The same Hessian, by differentiating ``functional`` twice."""
    return Hessian(problem.losses(), problem.theta)


def newton_by_autograd(problem: Problem) -> Pullback:
    """The same Gauss-Newton matrix, by differentiating ``functional``."""

    def metric(part: tca.Batch) -> Callable[[Tensor], Callable[[Tensor], Tensor]]:
        return lambda outputs: METRICS["gauss_newton"](outputs, part, problem.batch.trials)

    functions = [partial(problem.outputs, part) for part in problem.parts]
    return Pullback(functions, [metric(part) for part in problem.parts], problem.theta)


def dense_hessian(net: Network, batch: tca.Batch, name: str) -> Tensor:
    """The Hessian in one parameter as ``torch.autograd.functional`` writes it out."""
    weight = net.get_parameter(name).detach()

    def loss(flat: Tensor) -> Tensor:
        outputs = net.functional({name: flat.view(weight.shape)}, batch.inputs)
        return batch.loss.mean(outputs, batch.targets, batch.weights)

    found: Tensor = torch.autograd.functional.hessian(loss, weight.flatten())
    return found


@pytest.mark.thirds
@each_network
def test_products_are_those_of_autograd(name: str) -> None:
    """Loss, gradient, Hessian and Gauss-Newton matrix in all parameters, blocks that do not come out even."""
    net = network(name)
    problem = problem_of(net, trials(net), "all", chunk=2)
    fast, slow = network_operators.hessian(problem), by_autograd(problem)
    assert fast.width == WIDTH
    assert fast.loss == pytest.approx(slow.loss, rel=1e-13)
    assert near(fast.gradient, slow.gradient)
    some = vectors(fast.size, WIDTH + 3)
    assert near(fast @ some, slow @ some)
    few = some[:, :3]
    newton = network_operators.OPERATORS["gauss_newton"](problem)
    assert near(newton @ few, newton_by_autograd(problem) @ few)
    assert not near(newton @ few, fast @ few, 1e-3)


@pytest.mark.parametrize("name", ["stack", "spiking triangular", "two streams, B", "vectors"])
def test_any_parameter_alone_gives_its_own_block(name: str) -> None:
    """Populations below the first that is chosen do not move, and those above carry on what does."""
    net = network(name)
    batch = trials(net)
    whole = operator(net, batch, "all")
    written = whole.matrix()
    for each, where in whole.groups.items():
        alone = operator(net, batch, each)
        assert near(alone.matrix(), written[where, where]), each
        assert near(alone.gradient, whole.gradient[where]), each  # type: ignore[attr-defined]
    ends = [*whole.groups][:1] + [*whole.groups][-1:]
    index = torch.cat([torch.arange(whole.size)[whole.groups[each]] for each in ends])
    assert near(operator(net, batch, ends).matrix(), written[index][:, index])


DENSE = [
    ("stack", "layers.1.w_rec"),
    ("stack", "layers.0.w_in"),
    ("spiking fast_sigmoid", "w_rec"),
    ("two streams", "w_in"),
    ("vectors", "w_in"),
    *((name, "w_1") for name in FEEDFORWARD),
    ("perceptron", "w_2"),
    ("convolutions", "w_2"),
]


@pytest.mark.thirds
@pytest.mark.parametrize(("name", "parameter"), DENSE)
def test_the_hessian_is_the_dense_one(name: str, parameter: str) -> None:
    """Written out by ``torch.autograd.functional.hessian``, missing synapses left out."""
    net = network(name)
    batch = trials(net)
    exact = dense_hessian(net, batch, parameter)
    (connection,) = (each for each in net.connections() if each.name == parameter)
    exists = torch.ones(len(exact)).bool() if connection.mask is None else connection.mask.flatten().bool()
    found = operator(net, batch, parameter)
    assert near(found @ torch.eye(found.size), exact[exists][:, exists], 1e-10)


@pytest.mark.parametrize("name", ["stack", "two streams", "vectors", *FEEDFORWARD])
def test_products_are_differences_of_the_gradient_of_training(name: str) -> None:
    """Against the gradient that ``Learner`` computes, which shares no line with the scan."""
    net = network(name)
    batch = trials(net)
    made = operator(net, batch, "all")
    along, ends = vectors(made.size, 1)[:, 0], []
    for step in (1e-5, -1e-5):
        moved = network(name)
        with torch.no_grad():
            for each, where in made.groups.items():
                weight = moved.get_parameter(each)
                (connection,) = (one for one in moved.connections() if one.name == each)
                exists = torch.ones_like(weight) if connection.mask is None else connection.mask
                weight.view(-1)[exists.flatten().bool()] += step * along[where]
        gradient, _ = tca.Learner(moved, tca.RULES["bptt"]).grads(batch)
        flat = []
        for each in made.groups:
            (connection,) = (one for one in moved.connections() if one.name == each)
            exists = torch.ones_like(gradient[each]) if connection.mask is None else connection.mask
            flat.append(gradient[each].flatten()[exists.flatten().bool()])
        ends.append(torch.cat(flat))
    assert near(made.product(along), (ends[0] - ends[1]) / 2e-5, 1e-7)


@each_network
def test_jacobians_are_those_of_autograd_and_each_others_transpose(name: str) -> None:
    """``J v`` and ``J^T u`` of the outputs."""
    net = network(name)
    problem = problem_of(net, trials(net), "all")
    part = problem.parts[0]
    scan = Scan(problem.net, problem.parameters.names, part.inputs, spaces(), spaces())
    linear = Linearization.of(lambda theta: problem.outputs(part, theta), problem.theta)
    assert near(scan.outputs, linear.value, 1e-13)
    some = vectors(len(problem.theta), 2)
    signals = vectors(scan.outputs.numel(), 2, seed=1).mT.reshape(2, *scan.outputs.shape)
    pushed = scan.push(spread(problem.parameters, some)).clone()
    assert near(pushed, torch.stack([linear.push(each) for each in some.mT]))
    pulled = collect(problem.parameters, scan.pull(signals))
    assert near(pulled, torch.stack([linear.pull(each) for each in signals], 1))
    assert near((pushed * signals).sum((1, 2, 3)), (pulled * some).sum(0))


class Dirty(Workspace):
    """Memory that holds the worst that memory may hold."""

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return super().empty(name, shape, like).fill_(torch.nan)


@each_network
def test_what_memory_held_before_does_not_matter(name: str) -> None:
    """No entry is read before it has been written, the initial state included, and none is shared by accident."""
    net = network(name)
    problem = problem_of(net, trials(net), "all")
    part = problem.parts[0]
    scan = Scan(problem.net, problem.parameters.names, part.inputs, spaces(Dirty), spaces(Dirty))
    expansion = ScanExpansion(scan, problem.parameters, part, part.trials)
    some = vectors(len(problem.theta), 2)
    assert near(expansion.second(some), network_operators.hessian(problem) @ some, 1e-13)


@pytest.mark.parametrize("name", ["stack", "spiking triangular", "vectors"])
@pytest.mark.parametrize("window", [1, 1000, 10**9])
def test_windows_do_not_matter(name: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one step at a time to the whole trial at once."""
    net = network(name)
    problem = problem_of(net, trials(net, steps=9), "all")
    some = vectors(len(problem.theta), 2)
    exact = by_autograd(problem) @ some
    monkeypatch.setattr(scans, "WINDOW_BYTES", window)
    monkeypatch.setattr(scans, "LEAST_STEPS", 1)
    assert near(network_operators.hessian(problem) @ some, exact)


@pytest.mark.thirds
@pytest.mark.parametrize("name", ["stack", "spiking triangular", "perceptron"])
@pytest.mark.parametrize("kind", OPERATORS)
def test_operators_are_symmetric_and_their_blocks_their_columns(name: str, kind: str) -> None:
    """The product with the identity, since ``matrix()`` would hide an asymmetry."""
    net = network(name)
    made = operator(net, trials(net), "all", kind)
    made.width, some = WIDTH, vectors(made.size, 2)
    written = made @ torch.eye(made.size)
    assert near(written, written.mT)
    assert near(torch.stack([made.product(each) for each in some.mT], 1), made @ some)


def test_the_point_need_not_be_that_of_the_network() -> None:
    """The Hessian of a problem that has been moved is taken where it has been moved to."""
    net = network("stack")
    here = problem_of(net, trials(net), "layers.0.w_rec")
    there = replace(here, theta=here.theta + 0.3)
    some = vectors(len(here.theta), 2)
    assert near(network_operators.hessian(there) @ some, by_autograd(there) @ some)
    assert not near(network_operators.hessian(there) @ some, network_operators.hessian(here) @ some, 0.01)


def test_what_passes_between_populations_matters() -> None:
    """Control: the Hessian of a stack is not that of its populations by themselves."""
    net = network("stack")
    made = operator(net, trials(net), ["layers.0.w_rec", "layers.1.w_rec"])
    where = made.groups
    across = made.matrix()[where["layers.0.w_rec"], where["layers.1.w_rec"]]
    assert across.norm() > 0.02 * made.matrix().norm()


@pytest.mark.parametrize("name", SURROGATE_GRADIENTS)
def test_the_second_derivative_of_a_spike_is_the_slope_of_the_first(name: str) -> None:
    """Against autograd through the spike, and a difference of the surrogate gradient away from its kinks."""
    surrogate_gradient, threshold = SURROGATE_GRADIENTS[name](gamma=0.7, width=0.8), 0.4
    upper = torch.linspace(-0.5, 1.2, 53, dtype=torch.float64)
    ready = (torch.arange(53) % 5 > 0).double()
    at = upper.clone().requires_grad_()
    distance = (at - threshold) / threshold
    (slope,) = torch.autograd.grad((spike(distance, surrogate_gradient) * ready).sum(), at, create_graph=True)
    exact = torch.autograd.grad(slope.sum(), at)[0] if name != "boxcar" else torch.zeros_like(upper)
    found = spike_curvature(surrogate_gradient, threshold, upper, slope.detach())
    assert near(found, exact, 1e-13)
    step = 1e-6
    ends = [surrogate_gradient((upper + sign * step - threshold) / threshold) * ready / threshold for sign in (1, -1)]
    away = ((distance.detach().abs() - 0.8).abs() > 0.01) & (distance.detach().abs() > 0.01)
    assert near(found[away], ((ends[0] - ends[1]) / (2 * step))[away], 1e-7)


def test_the_second_derivative_of_spikes_matters() -> None:
    """Control: a boxcar, which has none, leaves another matrix than a triangle of the same height."""
    found = {}
    for name in ("triangular", "boxcar"):
        net = network(f"spiking {name}")
        problem = problem_of(net, trials(net))
        newton, full = (
            network_operators.OPERATORS["gauss_newton"](problem).matrix(),
            network_operators.hessian(problem).matrix(),
        )
        assert not near(newton, full, 0.01)
        found[name] = full
    assert not near(found["boxcar"], found["triangular"], 0.1)


@pytest.mark.parametrize("name", ["stack", "spiking triangular"])
def test_memory_stays_flat(name: str) -> None:
    """What is held at once does not grow with the vectors beyond a block, nor with chunks that are not kept."""
    net = network(name)
    batch = trials(net, steps=6, count=36)

    def held(problem: Problem, count: int) -> int:
        made, some = network_operators.hessian(problem), vectors(len(problem.theta), count)
        made @ some  # memory for a pass is made once
        return peak_bytes(lambda: made @ some) - 8 * some.numel()  # the result itself

    whole = problem_of(net, batch, "all")
    block = held(whole, WIDTH)
    assert held(whole, 1) < block / 2
    assert held(whole, 3 * WIDTH) <= block
    few, many = (problem_of(net, batch.select(slice(0, count)), "all", chunk=6, memory=1e-3) for count in (12, 36))
    assert (len(few.parts), len(many.parts)) == (2, 6)
    assert held(many, 2) <= held(few, 2) + 1000


@pytest.mark.parametrize("chunk", [9, 24])
def test_what_does_not_fit_into_memory_is_computed_anew(chunk: int) -> None:
    """Kept or not, in one chunk or in several, one vector at a time or several."""
    net = network("stack")
    batch = trials(net, count=24)
    some = vectors(operator(net, batch, "all").size, WIDTH + 1)
    exact = operator(net, batch, "all") @ some
    tight = problem_of(net, batch, "all", chunk=chunk, memory=1e-3)
    assert (plan(tight).keep, plan(tight).width) == (chunk == 24, 1)
    made = network_operators.hessian(tight)
    for _ in range(2):  # nothing that is used again was overwritten
        assert near(made @ some, exact)


@pytest.mark.parametrize("name", RECURRENT)
def test_single_precision_is_close(name: str) -> None:
    """A network in float32, at the same spikes."""
    net = network(name)
    batch = trials(net)
    exact = operator(net.float(), batch.to(dtype=torch.float32), "all")
    found = operator(net, batch.to(dtype=torch.float32), "all", dtype=None)
    some = vectors(exact.size, 3)
    assert (found @ some).dtype == torch.float32
    assert near((found @ some).double(), exact @ some, 1e-4)


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
@each_network
def test_the_device_does_not_matter(name: str, kind: str) -> None:
    """A block of vectors on a GPU and on the CPU."""
    net = network(name)
    batch = trials(net)
    here, there = operator(net, batch, "all", kind), operator(network(name).cuda(), batch, "all", kind)
    some = vectors(here.size, WIDTH + 1)
    assert (there @ some).is_cuda
    assert near((there @ some).cpu(), here @ some, 1e-10)


def test_a_stack_of_one_is_a_leaky_network() -> None:
    """The same weights, once as a stack and once alone."""
    alone = network("leaky A")
    stack = tca.nets.StackedRNN(
        3,
        [LeakyLayer(6, tau=[20.0, 50.0, 100.0, 30.0, 20.0, 10.0], learn_initial=True)],
        3,
        readout_tau=20.0,
        dtype=torch.float64,
    )
    with torch.no_grad():
        for each, value in alone.named_parameters():
            stack.get_parameter(each if each.endswith("_out") else f"layers.0.{each}").copy_(value)
    batch = trials(alone)
    names = ["w_in", "w_rec", "b", "s_0"]
    one = operator(alone, batch, names)
    other = operator(stack, batch, [f"layers.0.{each}" for each in names])
    assert near(one.matrix(), other.matrix(), 1e-14)
