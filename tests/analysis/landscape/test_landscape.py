"""Loss landscapes: parabolas of known curvature, normalised directions, barriers between networks and their twins."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from analysis.curvature.network_operators import operator
from analysis.curvature.parameters import choose
from analysis.curvature.problem import problem_of
from analysis.landscape.barrier import barrier
from analysis.landscape.permutation_alignment import match_cells, permuted
from analysis.landscape.planes import filter_normalised, landscape
from tca.batch import Batch
from tca.losses import MSE
from tca.nets import LeakyRNN
from tests.support.cases import Case


def problem(**options: object) -> tuple[LeakyRNN, Batch]:
    case = Case("landscape", **options)  # type: ignore[arg-type]
    return case.net(), case.batch()


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("parameters", ["w_rec", "all", ["w_in", "b"]])
def test_the_line_is_the_loss_with_other_parameters(parameters: str | list[str]) -> None:
    net, batch = problem(options={"autapses": False})
    found = landscape(net, batch, parameters, directions="random", reach=0.5, points=5)
    own = choose(net, parameters)
    for at, loss in zip(found.positions, found.losses, strict=True):
        moved = own.unflatten(own.flat() + at * found.directions[0])
        exact = batch.loss.mean(net.functional(moved, batch.inputs), batch.targets, batch.weights)
        assert loss.item() == pytest.approx(exact.item(), rel=1e-12)
    assert found.losses[2].item() == found.loss
    assert found.directions.norm().item() == pytest.approx(1.0)
    assert found.positions.tolist() == [-0.5, -0.25, 0.0, 0.25, 0.5]


@pytest.mark.parametrize(("directions", "end"), [("sharpest", -1), ("flattest", 0)])
def test_along_an_eigenvector_the_loss_bends_by_the_eigenvalue(directions: str, end: int) -> None:
    net, batch = problem()
    values, vectors = torch.linalg.eigh(operator(net, batch, "w_rec").matrix())
    found = landscape(net, batch, directions=directions, reach=1e-3, points=3)
    assert found.curvatures.item() == pytest.approx(values[end].item(), rel=1e-6)
    assert (found.directions[0] @ vectors[:, end]).abs().item() == pytest.approx(1.0, abs=1e-6)
    second = (found.losses[0] - 2 * found.losses[1] + found.losses[2]) / 1e-6
    assert second.item() == pytest.approx(values[end].item(), abs=2e-4)
    assert torch.allclose(found.parabola, found.losses, rtol=0, atol=1e-8)
    slope = (found.losses[2] - found.losses[0]) / 2e-3
    assert slope.item() == pytest.approx(found.slopes.item(), abs=1e-6)


def test_the_plane_holds_both_lines() -> None:
    net, batch = problem()
    flat = landscape(net, batch, dimensions=2, reach=0.3, points=5)
    line = landscape(net, batch, directions=flat.directions[:1], reach=0.3, points=5)
    other = landscape(net, batch, directions=flat.directions[1:], reach=0.3, points=5)
    assert torch.allclose(flat.losses[:, 2], line.losses, rtol=1e-12, atol=0)
    assert torch.allclose(flat.losses[2], other.losses, rtol=1e-12, atol=0)
    assert not torch.allclose(flat.losses[0], other.losses, rtol=1e-3, atol=0)
    assert (flat.directions @ flat.directions.mT).tolist() == [pytest.approx([1, 0], abs=1e-9), pytest.approx([0, 1])]
    assert flat.curvatures[0] > flat.curvatures[1]


def test_normalised_directions_follow_the_weights_of_each_cell() -> None:
    net, batch = problem(options={"autapses": False})
    found = landscape(net, batch, ["w_rec", "b"], directions="random", normalise=True, points=3)
    own = choose(net, ["w_rec", "b"])
    zero = torch.zeros_like(own.flat())
    moved = {name: own.unflatten(found.directions[0])[name] for name in own.names}
    assert torch.allclose(moved["w_rec"].norm(dim=1), net.w_rec.detach().norm(dim=1), rtol=1e-12)
    assert moved["b"].norm().item() == pytest.approx(net.b.detach().norm().item())
    assert torch.equal(filter_normalised(own, zero), zero)
    plain = landscape(net, batch, ["w_rec", "b"], directions="random", points=3)
    assert not torch.allclose(plain.losses, found.losses, rtol=1e-3)


def test_nothing_of_the_network_is_changed() -> None:
    net, batch = problem()
    before = copy.deepcopy(net.state_dict())
    torch.manual_seed(3)
    state = torch.get_rng_state()
    landscape(net, batch, points=3)
    barrier(net, net, batch, match="weights", points=3)
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("by", ["activity", "weights"])
@pytest.mark.parametrize("form", ["A", "B"])
def test_a_shuffled_twin_is_found_again_and_has_no_barrier(by: str, form: str) -> None:
    net, batch = problem(form=form, sizes=(3, 10, 2), steps=20, trials=6)
    batch = dataclasses.replace(batch, targets=net.run(batch.inputs).outputs)  # which both answer without an error
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    twin = permuted(net, order)
    assert torch.allclose(net.run(batch.inputs).outputs, twin.run(batch.inputs).outputs, rtol=0, atol=1e-12)
    assert match_cells(net, twin, batch, by).tolist() == order.argsort().tolist()
    apart, matched = barrier(net, twin, batch), barrier(net, twin, batch, match=by)
    assert apart.height > 0.1
    assert apart.order is None
    assert matched.height == pytest.approx(0.0, abs=1e-12)
    assert matched.distance < 1e-12 < apart.distance


def test_matching_by_weights_ends_where_no_assignment_agrees_more() -> None:
    """The gradient of the agreement in the order, by autograd, has no assignment that would raise the agreement."""
    for seed in range(1, 9):
        (net, batch), (other, _) = problem(sizes=(3, 7, 2)), problem(sizes=(3, 7, 2), seed=seed)
        mine, theirs = (dict(one.named_parameters()) for one in (net, other))
        mine, theirs = ({name: each.detach() for name, each in one.items()} for one in (mine, theirs))

        def agreement(p: Tensor, mine: dict[str, Tensor] = mine, theirs: dict[str, Tensor] = theirs) -> Tensor:
            moved = {"w_in": p @ theirs["w_in"], "b": p @ theirs["b"], "w_rec": p @ theirs["w_rec"] @ p.mT}
            moved["w_out"] = theirs["w_out"] @ p.mT
            return sum((mine[name] * each).sum() for name, each in moved.items())

        matched = torch.eye(7, dtype=torch.float64)[match_cells(net, other, batch, "weights")].requires_grad_()
        value = agreement(matched)
        (slope,) = torch.autograd.grad(value, matched)
        better = torch.eye(7, dtype=torch.float64)[torch.from_numpy(linear_sum_assignment(-slope.numpy())[1])]
        assert agreement(better) <= value + 1e-9, seed


def test_matching_weights_brings_networks_closer_than_any_order_drawn() -> None:
    net, batch = problem(sizes=(3, 5, 2))
    other, _ = problem(sizes=(3, 5, 2), seed=1)
    found = barrier(net, other, batch, match="weights", points=2).distance
    assert found < barrier(net, other, batch, points=2).distance
    drawn = [torch.randperm(5, generator=torch.Generator().manual_seed(seed)) for seed in range(40)]
    nearest = min(barrier(net, permuted(other, order), batch, points=2).distance for order in drawn)
    assert found <= nearest + 0.1  # a local maximum of the agreement, so not always the best


def test_cells_are_matched_among_their_own_kind() -> None:
    options = {"cell_types": [0, 0, 0, 1, 1, 1], "dale": (1, -1)}
    net, batch = problem(options=options)
    other, _ = problem(options=options, seed=1)
    order = match_cells(net, other, batch)
    assert set(order[:3].tolist()) == {0, 1, 2}
    slow = problem(leak=(0.2, 0.2, 0.2, 0.8, 0.8, 0.8))[0]
    with pytest.raises(ValueError, match="cells among those of their type and time constant"):
        permuted(slow, torch.tensor([3, 1, 2, 0, 4, 5]))
    assert permuted(slow, torch.tensor([1, 0, 2, 3, 4, 5])).w_in[0].equal(slow.w_in[1])


def test_cells_of_the_opposite_sign_are_not_found_again() -> None:
    """tanh is odd: a network with all cells turned round does the same, but no permutation shows it."""
    net, batch = problem(sizes=(3, 10, 2), steps=20, trials=6)
    batch = dataclasses.replace(batch, targets=net.run(batch.inputs).outputs)
    turned = copy.deepcopy(net)
    with torch.no_grad():
        for name in ("w_in", "b", "w_out"):
            turned.get_parameter(name).neg_()  # w_rec is turned on both sides
    assert torch.allclose(turned.run(batch.inputs).outputs, batch.targets, rtol=0, atol=1e-12)
    assert barrier(net, turned, batch, match="activity").height > 0.1
    assert barrier(net, turned, batch, match="weights").height > 0.1


def quadratic(bias: float) -> tuple[LeakyRNN, Batch]:
    """A network that is its output bias b, with the loss ``1/2 (b - 1)^2``."""
    net = LeakyRNN(1, 2, 1, dtype=torch.float64)
    with torch.no_grad():
        for each in net.parameters():
            each.zero_()
        net.b_out.fill_(bias)
    batch = Batch(torch.zeros(4, 3, 1), torch.ones(4, 3, 1), torch.full((4, 3), 0.25), MSE())
    return net, batch


def test_the_barrier_is_measured_from_the_chord() -> None:
    (first, batch), (second, _) = quadratic(1.0), quadratic(5.0)
    found = barrier(first, second, batch, points=5)
    assert found.losses.tolist() == pytest.approx([0.0, 0.5, 2.0, 4.5, 8.0])
    assert found.chord.tolist() == pytest.approx([0.0, 2.0, 4.0, 6.0, 8.0])
    assert found.height == pytest.approx(0.0)  # a parabola lies below its chord
    assert found.top == pytest.approx(8.0)
    assert found.distance == pytest.approx(4.0)
    net, batch = problem()
    mirrored = copy.deepcopy(net)
    with torch.no_grad():
        mirrored.w_out.neg_()
    one = barrier(net, mirrored, batch, points=9)
    assert one.height == pytest.approx(max((one.losses - one.chord).tolist()))
    exact = problem_of(net, batch, "w_out")
    assert one.losses[4].item() == pytest.approx(exact.loss(0 * exact.theta))


def masked(seed: int) -> LeakyRNN:
    mask = torch.ones(6, 6)
    mask[0, 1] = 0
    return LeakyRNN(3, 6, 2, mask_rec=mask if seed == 0 else mask.T, dtype=torch.float64)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net, batch: landscape(net, batch, points=4), ValueError, "points must be odd"),
        (lambda net, batch: landscape(net, batch, dimensions=3), ValueError, "dimensions must be 1 or 2"),
        (lambda net, batch: landscape(net, batch, reach=0.0), ValueError, "reach must be greater"),
        (lambda net, batch: landscape(net, batch, directions="sharp"), ValueError, "did you mean 'sharpest'"),
        (lambda net, batch: landscape(net, batch, directions=normal(0, 1, 7)), ValueError, "directions must be finite"),
        (lambda net, batch: landscape(net, batch, directions=torch.zeros(1, 36)), ValueError, "must not be zero"),
        (lambda net, batch: barrier(net, net, batch, points=1), ValueError, "points must be at least 2"),
        (lambda net, batch: barrier(net, net, batch, match="weight"), ValueError, "did you mean 'weights'"),
        (lambda net, batch: barrier(net, problem(form="B")[0], batch), ValueError, "of the same kind and size"),
        (lambda net, batch: barrier(net, problem(leak=0.5)[0], batch), ValueError, "networks must have the same leak"),
        (lambda net, batch: barrier(masked(0), masked(1), batch), ValueError, "networks must have the same mask_rec"),
        (lambda net, batch: permuted(net, torch.tensor([0, 0, 1, 2, 3, 4])), ValueError, "order must be a permutation"),
        (lambda net, batch: permuted(masked(0), torch.arange(5, -1, -1)), ValueError, "missing synapses in place"),
        (
            lambda net, batch: match_cells(torch.nn.Linear(2, 2), net, batch),
            TypeError,
            "net must be a Network",
        ),
    ],
)
def test_mistakes_are_named(call: Callable[..., object], error: type[Exception], message: str) -> None:
    net, batch = problem()
    with pytest.raises(error, match=message):
        call(net, batch)
