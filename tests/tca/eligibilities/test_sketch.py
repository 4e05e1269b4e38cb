"""The sketched influence matrix: SnAp-1 and RTRL at its ends, the best rank between them, and a bound that holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca import cells, nets
from tca.eligibilities import Diagonal, Eligibility, Full, Sketch
from tca.signals import Direct
from tests.support import small_networks
from tests.support.small_networks import F64, scattered, trials

NETS = small_networks.NETS | {
    "growing": lambda: nets.LeakyRNN(3, 6, 2, form="B", activation="relu", tau=10.0, gain_rec=6.0, dtype=F64),
    "MGU": lambda: nets.CellRNN(cells.MGU(), 3, 6, 2, dtype=F64),
}
each_net = pytest.mark.parametrize("name", NETS)


def network(name: str) -> Any:
    return scattered(NETS[name](), 4)


def gradient(net: Any, eligibility: Eligibility) -> dict[str, Tensor]:
    return tca.Learner(net, tca.Rule(Direct(), eligibility)).grads(trials(), "forward")[0]


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    return max(
        float((found[name] - each).abs().max() / each.abs().max()) for name, each in wanted.items() if each.any()
    )


def influences(net: Any, *eligibilities: Eligibility) -> Any:
    """Yield the streams and the dense influence of all parameters, (B, M, P), after each step, for each eligibility."""
    given = trials()
    streams = [tca.Learner(net, tca.Rule(Direct(), each)).stream(given.trials) for each in eligibilities]
    for x, y, w in zip(given.inputs, given.targets, given.weights, strict=True):
        for stream in streams:
            stream.step(x, y, w, given.loss)
        yield streams, [torch.cat([whole(trace) for trace in stream.traces], 2) for stream in streams]


def whole(trace: Any) -> Tensor:
    """Return a trace over all states and parameters."""
    dense: Tensor = trace.dense()
    return dense.flatten(1, -3).flatten(2)


@each_net
def test_its_ends_are_snap1_and_real_time_recurrent_learning(name: str) -> None:
    net = network(name)
    exact, blocks = gradient(net, Full()), gradient(net, Diagonal())
    assert distance(gradient(net, Sketch(0)), blocks) < 1e-12
    assert distance(gradient(net, Sketch(100)), exact) < 1e-12
    assert distance(gradient(net, Sketch(2)), exact) > 1e-4
    assert distance(blocks, exact) > 1e-2


@pytest.mark.thirds
@each_net
@pytest.mark.parametrize("rank", [0, 1, 2, 4, 5])
def test_the_certificate_bounds_the_error_at_every_step(name: str, rank: int) -> None:
    """It equals the error at the first step that discards anything, where no earlier error is propagated."""
    first = True
    for (stream, _), (found, exact) in influences(network(name), Sketch(rank), Full()):
        error, bound = (found - exact).flatten(1).norm(dim=1), stream.traces[0].factors.bound
        assert (error <= bound + 1e-12 * (1 + exact.flatten(1).norm(dim=1))).all()
        if first and bound.min() > 1e-9 and rank == 0:
            torch.testing.assert_close(bound, error, rtol=1e-9, atol=0)
            first = False
    assert error.max() > 1e-6 or rank > 4
    assert first == (rank > 0)


@pytest.mark.parametrize("name", ["form B", "MGU"])
def test_the_first_sketch_is_the_best_of_its_rank(name: str) -> None:
    """The influence after two steps, less the blocks of SnAp-1, cut at its largest singular values."""
    net, rank = network(name), 2
    blocks = influences(net, Sketch(0))
    found = influences(net, Sketch(rank, appended=12), Full())
    for _ in range(2):
        _, (own,) = next(blocks)
        _, (sketched, exact) = next(found)
    left, values, right = torch.linalg.svd(exact - own, full_matrices=False)
    best = left[..., :rank] @ (values[:, :rank, None] * right[:, :rank])
    torch.testing.assert_close(sketched - own, best, rtol=0, atol=1e-12)
    assert values[:, rank].min() > 1e-6


def test_a_larger_rank_has_a_smaller_error() -> None:
    net = nets.LeakyRNN(3, 24, 2, form="B", tau=20.0, gain_rec=1.2, dtype=F64, seed=2)
    exact = gradient(net, Full())["w_rec"]
    wrong = [float((gradient(net, Sketch(rank))["w_rec"] - exact).norm()) for rank in (0, 4, 12, 24)]
    assert wrong[0] > wrong[1] > wrong[2] > wrong[3]
    assert wrong[3] < 1e-12 < 1e-3 < wrong[2]


def test_it_has_the_properties_of_rules() -> None:
    found = {line.name: line.outcome for line in tca.check_rule(tca.Rule(Direct(), Sketch(2))).lines}
    assert set(found.values()) <= {"passed", "skipped"}
    assert found["order of cells"] == found["padding"] == "passed"


def test_numbers_that_are_not_finite_stay_so() -> None:
    net = network("form B")
    with torch.no_grad():
        net.w_rec[0, 0] = torch.inf
    found = gradient(net, Sketch(2))
    assert found["w_rec"].isnan().any()


def test_what_it_cannot_do_is_refused() -> None:
    rule = tca.Rule(Direct(), Sketch())
    with pytest.raises(ValueError, match=r"execution of .* must be 'forward', got 'reverse': no propagator gives"):
        tca.Learner(network("form B"), rule).grads(trials(), "reverse")
    stack = nets.StackedRNN(3, [nets.LeakyLayer(4), nets.LeakyLayer(4)], 2)
    with pytest.raises(ValueError, match="Sketch keeps the influence of one recurrent population on itself"):
        tca.Learner(stack, rule)
    with pytest.raises(ValueError, match="Sketch is not defined on a cell module"):
        tca.Learner(nets.from_module(torch.nn.GRUCell(3, 4), torch.nn.Linear(4, 2)), rule)
    with pytest.raises(ValueError, match="rank must be at least 0, got -1"):
        Sketch(-1)
    with pytest.raises(ValueError, match="appended must be at least 1, got 0"):
        Sketch(4, appended=0)
