"""The engines on quadratics whose spectrum is known, against two other libraries, and what they leave behind."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyhessian
import pytest
import torch
from torch import Tensor, nn

from analysis import curvature
from analysis.curvature.eigensolvers import ENGINES, lanczos
from analysis.curvature.operators import Hessian
from tests.support.cases import F1, Case


def quadratic(values: list[float], seed: int = 0, chunks: int = 1, **options: Any) -> Hessian:
    """A quadratic with these eigenvalues along random directions."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    at = torch.randn(len(values), generator=generator, dtype=torch.float64)
    return Hessian([lambda theta: theta @ matrix @ theta / (2 * chunks)] * chunks, at, **options)


def inside(count: int, reach: float) -> list[float]:
    return torch.linspace(-reach, reach, count).tolist()


@pytest.mark.thirds
@pytest.mark.parametrize("name", list(ENGINES))
@pytest.mark.parametrize(("top", "bottom"), [(1.0, -0.997), (0.997, -1.0)])
def test_ends_of_nearly_equal_modulus_and_opposite_sign_are_told_apart(name: str, top: float, bottom: float) -> None:
    ends = ENGINES[name](quadratic([top, bottom, *inside(40, 0.5)]), 1e-6, 40_000, 0)
    assert ends.largest.value == pytest.approx(top, abs=1e-9)
    assert ends.smallest.value == pytest.approx(bottom, abs=1e-9)
    assert max(ends.largest.residual, ends.smallest.residual) < (1e-4 if name == "pyhessian" else 2e-6)


@pytest.mark.parametrize("name", list(ENGINES))
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_definite_and_semidefinite_spectra(name: str, sign: float) -> None:
    for values in ([3.0, 1.0] + [0.0] * 40, [3.0, 1.0] + [0.9] * 40, [2.0] * 42):
        ends = ENGINES[name](quadratic([sign * value for value in values]), 1e-6, 5000, 0)
        low, high = sorted((sign * min(values), sign * max(values)))
        assert (ends.smallest.value, ends.largest.value) == pytest.approx((low, high), abs=1e-9)


@pytest.mark.parametrize("name", list(ENGINES))
def test_the_seed_decides_even_where_directions_run_out(name: str) -> None:
    hessian = quadratic([3.0, 1.0] + [0.0] * 40)
    one, again, other = (ENGINES[name](hessian, 1e-6, 2000, seed) for seed in (5, 5, 6))
    assert torch.equal(one.smallest.vector, again.smallest.vector)
    assert (name == "dense") == torch.equal(one.smallest.vector, other.smallest.vector)


@pytest.mark.parametrize("name", list(ENGINES))
@pytest.mark.parametrize("count", [1, 2, 3, 20, 21])
def test_few_parameters(name: str, count: int) -> None:
    values = [3.0, -1.0, *inside(19, 0.5)][:count]
    ends = ENGINES[name](quadratic(values), 1e-6, 2000, 0)
    assert (ends.smallest.value, ends.largest.value) == pytest.approx((min(values), max(values)), abs=1e-9)


@pytest.mark.parametrize("name", list(ENGINES))
def test_a_flat_loss_has_no_curvature(name: str) -> None:
    linear = Hessian([lambda theta: theta.sum(), lambda theta: theta.new_ones(())], torch.ones(30))
    ends = ENGINES[name](linear, 1e-6, 100, 0)
    assert (ends.smallest.value, ends.largest.value, ends.largest.residual) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", list(ENGINES))
@pytest.mark.parametrize("keep", [True, False])
def test_chunks_and_l2_reach_every_engine(name: str, keep: bool) -> None:
    ends = ENGINES[name](quadratic([2.0, -1.0, *inside(30, 0.3)], chunks=3, keep=keep, l2=0.25), 1e-6, 2000, 0)
    assert (ends.smallest.value, ends.largest.value) == pytest.approx((-0.75, 2.25), abs=1e-9)


@pytest.mark.parametrize("name", ["lanczos", "pyhessian"])
def test_giving_up_is_admitted(name: str) -> None:
    case = Case("wide", sizes=(3, 20, 2), trials=30)
    net, batch = case.net(), case.batch()
    hurried = curvature(net, batch, engine=name, products=1, tolerance=1e-12, probes=0)
    assert not hurried.converged
    assert "NOT CONVERGED" in str(hurried)
    patient = curvature(net, batch, engine="dense")
    for end in ("largest", "smallest"):
        early = getattr(hurried, end)
        assert patient.smallest.value - 1e-9 < early.value < patient.largest.value + 1e-9


def test_accuracy_is_relative_to_the_largest_modulus_for_both_ends() -> None:
    hessian = quadratic([1e5, -1.0, *inside(300, 0.9)])
    ends = ENGINES["lanczos"](hessian, 1e-6, 2000, 0)
    assert ends.smallest.value == pytest.approx(-1.0, abs=1e-6 * 1e5)
    assert ends.largest.value == pytest.approx(1e5, rel=1e-9)
    assert max(ends.largest.residual, ends.smallest.residual) < 1e-6 * 1e5
    assert hessian.products < 25  # a residual relative to the small end itself takes three times as many


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_slower_end_is_waited_for(sign: float) -> None:
    """One end stands far from the rest and is found in a few products, the other is close to its neighbours."""
    values = [1.0, -1e-3, *torch.linspace(-9.99e-4, 0.5, 60).tolist()]
    ends = ENGINES["lanczos"](quadratic([sign * value for value in values]), 1e-6, 4000, 0)
    assert max(ends.largest.residual, ends.smallest.residual) <= 1.01e-6
    low, high = sorted((sign * 1.0, sign * -1e-3))
    assert (ends.smallest.value, ends.largest.value) == pytest.approx((low, high), abs=2e-6)


def test_restarts_reach_inner_eigenvalues_and_hold_no_more_vectors_than_the_basis() -> None:
    values = torch.cat([torch.linspace(-1, 1, 400), torch.tensor([1.01, 1.02, 1.03, -1.005])])
    hessian = quadratic(values.tolist())
    ends = ENGINES["lanczos"](hessian, 1e-9, 4000, 0, 4)
    rising = values.double().sort().values
    assert [each.value for each in ends.tops] == pytest.approx(rising.flip(0)[:4].tolist(), abs=1e-12)
    assert [each.value for each in ends.bottoms] == pytest.approx(rising[:4].tolist(), abs=1e-12)
    assert max(each.residual for each in (*ends.tops, *ends.bottoms)) <= 1.01e-9 * 1.03
    assert hessian.products > 3 * lanczos.BASIS


def test_the_iteration_stops_after_so_many_products() -> None:
    for products in (1, 7, 90):
        hessian = quadratic(inside(300, 1.0))
        ENGINES["lanczos"](hessian, 0.0, products, 0, 2)
        assert hessian.products == max(products, 4) + 4  # the last four judge what has been found


def test_copies_of_an_eigenvalue_are_found_where_a_krylov_space_ends() -> None:
    ends = ENGINES["lanczos"](quadratic([3.0, 3.0, 3.0, 1.0] + [-2.0] * 5 + [0.5] * 40), 1e-9, 2000, 0, 4)
    assert [each.value for each in ends.tops] == pytest.approx([3.0, 3.0, 3.0, 1.0])
    assert [each.value for each in ends.bottoms] == pytest.approx([-2.0] * 4)
    basis = torch.stack([each.vector for each in (*ends.tops, *ends.bottoms)])
    assert torch.allclose(basis @ basis.T, torch.eye(8).double(), atol=1e-8)


@pytest.mark.thirds
@pytest.mark.parametrize(
    "case", [F1, Case("B", form="B", loss="cross_entropy", sizes=(3, 5, 3), steps=6, seed=5)], ids=str
)
@pytest.mark.parametrize("chunk", [None, 1])
def test_pyhessian_agrees(case: Case, chunk: int | None) -> None:
    exact = curvature(case.net(), case.batch(), engine="dense")
    found = curvature(case.net(), case.batch(), engine="pyhessian", tolerance=1e-5, chunk=chunk, probes=0)
    close = 1e-6 * abs(exact.largest_magnitude.value)
    assert found.largest.value == pytest.approx(exact.largest.value, abs=close)
    assert found.smallest.value == pytest.approx(exact.smallest.value, abs=close)
    assert found.engine == "pyhessian"


class _Quadratic(nn.Module):
    """What PyHessian takes: parameters that are their own outputs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(size))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.theta


def _raw_pyhessian(matrix: Tensor) -> Any:
    unused = torch.zeros(1)
    return pyhessian.hessian(
        _Quadratic(len(matrix)), lambda y, _: y @ matrix @ y / 2, data=(unused, unused), cuda=False
    )


@pytest.mark.filterwarnings("ignore:Using backward")
def test_the_faults_of_pyhessian_that_the_engine_guards_against_are_there() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        (dominating,), _ = _raw_pyhessian(torch.diag(torch.tensor([-2.0, 1.0, 0.5]))).eigenvalues(1000, 1e-9)
        assert dominating == pytest.approx(-2.0, rel=1e-4)  # asked for the top, which is 1
        (mixed,), _ = _raw_pyhessian(torch.diag(torch.tensor([1.0, -0.999, 0.5]))).eigenvalues()
        assert abs(mixed - 1.0) > 0.01
        (early,), _ = _raw_pyhessian(torch.diag(torch.tensor([2.0, *inside(50, 1.8)]) * 1e-7)).eigenvalues()
        assert abs(early - 2e-7) > 0.05 * 2e-7
        probes = _raw_pyhessian(torch.full((20, 20), -1.0)).trace(maxIter=100)
        assert len(probes) == 2
        with pytest.raises(RuntimeError, match=r"linalg\.eig|torch\.eig"):
            _raw_pyhessian(torch.eye(3)).density(iter=2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # curvlinops -> linear_operator compiles with torch.jit
def test_curvlinops_agrees() -> None:
    curvlinops = pytest.importorskip("curvlinops")
    case = Case("plain", plain=True, trials=4)
    net, batch = case.net(), replace(case.batch(), weights=torch.full((12, 4), 0.5, dtype=torch.float64))

    class TrialsFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, inputs: Tensor) -> Tensor:
            return self.net(inputs.transpose(0, 1)).transpose(0, 1).flatten(1)

    data = [(batch.inputs.transpose(0, 1), batch.targets.transpose(0, 1).flatten(1))]
    peer = curvlinops.HessianLinearOperator(
        TrialsFirst(), nn.MSELoss(reduction="sum"), [net.w_rec, net.b], data, check_deterministic=False
    )
    columns = peer @ torch.eye(42, dtype=torch.float64)
    theirs = torch.linalg.eigvalsh(
        0.5 / (2 * batch.trials) * (columns + columns.T) / 2
    )  # ours: w/B times half the squares
    found = curvature(net, batch, ["w_rec", "b"], engine="lanczos")
    assert (found.smallest.value, found.largest.value) == pytest.approx((theirs[0].item(), theirs[-1].item()), rel=1e-6)


@pytest.mark.parametrize("name", list(ENGINES))
def test_nothing_is_left_behind(name: str) -> None:
    net, batch = F1.net(), F1.batch()
    net.train()
    net.w_rec.grad = torch.ones_like(net.w_rec)
    net.b.requires_grad_(False)
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    curvature(net, batch, ["w_rec", "b"], engine=name, tolerance=1e-3)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # noqa: NPY002
    assert net.training
    assert torch.equal(net.w_rec.grad, torch.ones_like(net.w_rec))
    assert [key for key, value in net.named_parameters() if value.grad is not None] == ["w_rec"]
    assert [key for key, value in net.named_parameters() if not value.requires_grad] == ["b"]
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


@pytest.mark.thirds
@pytest.mark.parametrize("name", list(ENGINES))
def test_it_works_where_gradients_are_switched_off(name: str) -> None:
    net, batch = F1.net(), F1.batch()
    on = curvature(net, batch, engine=name, tolerance=1e-4)
    with torch.no_grad():
        assert curvature(net, batch, engine=name, tolerance=1e-4) == on


def test_a_bad_operator_is_refused() -> None:
    with pytest.raises(ValueError, match="theta must be a vector"):
        Hessian([lambda theta: theta.sum()], torch.ones(2, 2))
    with pytest.raises(ValueError, match="losses must hold at least one"):
        Hessian([], torch.ones(2))
    with pytest.raises(ValueError, match="must be finite"):
        Hessian([lambda theta: theta.log().sum()], torch.tensor([0.0]))
    with pytest.raises(ValueError, match="vector must have shape"):
        quadratic([1.0, 2.0]).product(torch.ones(3))
    with pytest.raises(ValueError, match="curvature is not finite"):
        Hessian([lambda theta: theta.pow(1.5).sum()], torch.tensor([0.0])).product(torch.ones(1))
