"""Eigenvalues, traces and densities of operators against matrices written out, and against their own stated errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch
from scipy.stats import norm
from torch import Tensor

from analysis import curvature, density, operator, spectrum, trace
from analysis.curvature.density import Density
from analysis.curvature.operators import Hessian, Operator
from tests.support.cases import F1, Case, weights_of
from tests.support.dense import jacobian, output_hessian, outputs

MANY = Case("many", sizes=(3, 24, 3), loss="cross_entropy", steps=6, trials=8, leak=0.3)
SEEDS = 200


class Written(Operator):
    """A matrix as an operator."""

    def __init__(self, matrix: Tensor, symmetric: bool = True) -> None:
        super().__init__(torch.zeros(len(matrix), dtype=matrix.dtype), symmetric=symmetric)
        self.written = matrix

    def _multiply(self, vectors: Tensor) -> Tensor:
        return self.written @ vectors


def rotated(values: Tensor, seed: int = 0) -> Written:
    """A symmetric matrix with these eigenvalues along random directions."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))
    return Written(basis @ torch.diag(values.double()) @ basis.T)


def falling(size: int, power: float) -> Tensor:
    return torch.arange(1.0, size + 1, dtype=torch.float64) ** -power


@pytest.mark.thirds
@pytest.mark.parametrize(("engine", "kind"), [("dense", "hessian"), ("dense", "gauss_newton"), ("lanczos", "hessian")])
@pytest.mark.parametrize("k", [1, 7])
def test_both_ends_with_vectors_and_residuals(engine: str, kind: str, k: int) -> None:
    made = operator(MANY.net(), MANY.batch(), kind=kind)
    rows = jacobian(MANY, weights_of(MANY.net()))
    exact = rows.T @ output_hessian(MANY, outputs(MANY)) @ rows if kind == "gauss_newton" else made.matrix()
    values = torch.linalg.eigvalsh(exact)
    found = spectrum(made, k=k, engine=engine, tolerance=1e-8)
    close = 1e-9 * values.abs().max().item()
    assert [each.value for each in found.largest] == pytest.approx(values.flip(0)[:k].tolist(), abs=close)
    assert [each.value for each in found.smallest] == pytest.approx(values[:k].tolist(), abs=close)
    assert found.converged
    for eigenvalues, vectors in (
        (found.largest, found.largest_vectors),
        (found.smallest, found.smallest_vectors),
    ):
        assert vectors.shape == (576, k)
        assert torch.allclose(vectors.T @ vectors, torch.eye(k).double(), atol=1e-6)
        for each, vector in zip(eigenvalues, vectors.T, strict=True):
            residual = (exact @ vector - each.value * vector).norm().item()
            assert residual == pytest.approx(each.residual, abs=1e-12)


def test_lanczos_may_miss_copies_but_returns_eigenvalues_only() -> None:
    found = spectrum(operator(MANY.net(), MANY.batch(), kind="gauss_newton"), k=7, engine="lanczos", tolerance=1e-8)
    exact = torch.linalg.eigvalsh(operator(MANY.net(), MANY.batch(), kind="gauss_newton").matrix())
    assert [each.value for each in found.largest] == pytest.approx(exact.flip(0)[:7].tolist(), rel=1e-9)
    assert exact[:100].abs().max() < 1e-12  # hundreds of zeros
    assert found.smallest[0].value == pytest.approx(0.0, abs=1e-8)
    assert found.smallest[-1].value > 1e-6
    for each in found.smallest:
        assert (exact - each.value).abs().min() <= each.residual + 1e-14


def test_ends_may_meet() -> None:
    found = spectrum(rotated(torch.tensor([3.0, -1.0, 2.0])), k=3)
    assert [each.value for each in found.largest] == pytest.approx([3.0, 2.0, -1.0])
    assert [each.value for each in found.smallest] == pytest.approx([-1.0, 2.0, 3.0])
    assert found.largest_magnitude == found.largest[0]
    assert found.trace == pytest.approx(4.0)
    negative = spectrum(rotated(torch.tensor([-3.0, -1.0, 2.0])), k=1)
    assert negative.largest_magnitude.value == pytest.approx(-3.0)


@pytest.mark.parametrize("scale", [1.0, 1e-7, -1.0])
def test_scaling_scales_and_turning_turns(scale: float) -> None:
    values = torch.cat([torch.tensor([5.0, 4.0, 3.0, -2.0, -1.5]), torch.linspace(-1, 1, 200)]) * scale
    found = spectrum(rotated(values), k=3, engine="lanczos")
    rising = values.double().sort().values
    assert [each.value for each in found.smallest] == pytest.approx(rising[:3].tolist(), rel=1e-9)
    assert [each.value for each in found.largest] == pytest.approx(rising.flip(0)[:3].tolist(), rel=1e-9)


def test_giving_up_is_admitted() -> None:
    hurried = spectrum(rotated(torch.linspace(-1, 1, 400)), k=3, engine="lanczos", products=1, tolerance=1e-12)
    assert not hurried.converged
    assert "NOT CONVERGED" in str(hurried)
    assert len(str(hurried).splitlines()) == 7


def test_flat_operators_have_no_curvature() -> None:
    found = spectrum(Written(torch.zeros(60, 60)), k=4, engine="lanczos")
    assert all(each.value == 0.0 and each.converged for each in (*found.largest, *found.smallest))
    flat = density(Written(torch.zeros(60, 60)), probes=2, steps=5)
    assert flat.negative_mass() == (0.0, 0.0)
    assert trace(Written(torch.zeros(60, 60)), estimator="xtrace", probes=8).value == 0.0


def over_seeds(made: Operator, estimator: str, probes: int) -> tuple[Tensor, Tensor]:
    found = [trace(made, estimator=estimator, probes=probes, seed=seed) for seed in range(SEEDS)]
    assert {each.probes <= probes for each in found} == {True}
    return torch.tensor([each.value for each in found]).double(), torch.tensor([each.standard_error for each in found])


@pytest.mark.thirds
@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++", "xtrace"])
@pytest.mark.parametrize(("power", "sign"), [(0.5, -1), (2.0, 1), (2.0, -1)])
def test_traces_are_unbiased_and_know_their_errors(estimator: str, power: float, sign: int) -> None:
    values = falling(80, power)
    values[::3] *= sign  # definite, or with both signs
    made = rotated(values)
    estimates, claimed = over_seeds(made, estimator, 30)
    errors = estimates - values.sum()
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(SEEDS)
    ratio = (claimed.square().mean() / errors.square().mean()).sqrt()
    assert 0.75 < ratio < (4 if estimator == "xtrace" else 1.25)  # a jackknife errs on the large side
    assert (errors.abs() < claimed).double().mean() > 0.55  # one standard error holds about two thirds
    assert (errors.abs() < 3 * claimed).double().mean() > 0.95


@pytest.mark.slow
def test_sketches_pay_where_few_eigenvalues_carry_the_trace() -> None:
    made = rotated(falling(80, 2.0))
    spread = {each: over_seeds(made, each, 30)[0].std().item() for each in ("hutchinson", "hutch++", "xtrace")}
    assert spread["xtrace"] < spread["hutch++"] < spread["hutchinson"] / 3


@pytest.mark.parametrize("estimator", ["hutch++", "xtrace"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_sketches_are_exact_for_low_rank(estimator: str, symmetric: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.randn(90, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    matrix = left @ (left if symmetric else right).T
    found = trace(Written(matrix, symmetric), estimator=estimator, probes=24)
    assert found.value == pytest.approx(matrix.trace().item(), rel=1e-10)
    assert found.standard_error < 1e-9 * left.square().sum()
    assert trace(Written(matrix, symmetric), estimator="hutchinson", probes=24).standard_error > 1.0


@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++", "xtrace"])
def test_the_trace_of_a_network(estimator: str) -> None:
    made = operator(MANY.net(), MANY.batch())
    found = trace(made, estimator=estimator, probes=48, seed=1)
    assert abs(found.value - made.matrix().trace().item()) < 4 * found.standard_error
    assert made.products == 48 + 576
    assert f"({estimator}, 48 probes)" in str(found)
    assert curvature(F1.net(), F1.batch(), engine="lanczos", probes=12, estimator=estimator).trace == trace(
        operator(F1.net(), F1.batch()), estimator=estimator, probes=12
    )


def test_with_a_probe_for_every_parameter_the_trace_is_exact() -> None:
    found = trace(rotated(falling(20, 1.0)), probes=20)
    assert found.value == pytest.approx(falling(20, 1.0).sum().item(), rel=1e-12)
    assert (found.standard_error, found.probes, found.estimator) == (0.0, 0, "exact")
    assert "(exact)" in str(found)


@pytest.fixture(scope="module")
def network_hessian() -> Written:
    """The Hessian of a network of 576 parameters, written out."""
    return Written(operator(MANY.net(), MANY.batch()).matrix())


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++", "xtrace"])
def test_two_standard_errors_of_a_trace_hold_nineteen_times_in_twenty(network_hessian: Written, estimator: str) -> None:
    estimates, claimed = over_seeds(network_hessian, estimator, 30)
    errors = (estimates - network_hessian.written.trace()).abs()
    covered = (errors <= 2 * claimed).double().mean().item()
    assert 0.88 <= covered <= (1.0 if estimator == "xtrace" else 0.985)  # 0.95 but for few probes, +- 4 deviations
    halved = (errors <= claimed).double().mean().item()  # control: half the error would not do
    assert halved < 0.85 or estimator == "xtrace"


@pytest.mark.slow
@pytest.mark.parametrize("probes", [2, 5])
def test_two_standard_errors_of_a_density_hold_nineteen_times_in_twenty(network_hessian: Written, probes: int) -> None:
    values = torch.linalg.eigvalsh(network_hessian.written)
    exact = torch.tensor([values.mean(), values.clamp(max=0).abs().sum() / values.abs().sum()])
    shared = Written(network_hessian.written)
    shared.width = probes
    covered = torch.zeros(2)
    for seed in range(SEEDS):
        found = density(shared, probes=probes, steps=20, seed=seed)
        (mean, of_mean), (mass, of_mass) = found.mean(found.nodes), found.negative_mass()
        covered += (torch.tensor([mean, mass]) - exact).abs() <= 1.96 * torch.tensor([of_mean, of_mass])
    assert (covered >= 0.89 * SEEDS).all()  # 0.95 - 4 deviations; 0.70 with two probes without Student's t
    assert (covered <= 0.995 * SEEDS).all()


def test_vectors_that_share_their_passes_give_the_same_density(network_hessian: Written) -> None:
    shared = Written(network_hessian.written)
    shared.width = 3
    one, other = (density(each, probes=5, steps=12, seed=1) for each in (network_hessian, shared))
    assert torch.allclose(one.nodes, other.nodes, atol=1e-10)
    assert torch.allclose(one.weights, other.weights, atol=1e-8)
    for estimator in ("hutchinson", "hutch++", "xtrace"):
        alone, together = (trace(each, estimator=estimator, probes=20, seed=2) for each in (network_hessian, shared))
        assert alone.value == pytest.approx(together.value, rel=1e-10)
        assert alone.probes == together.probes


def semicircle(size: int) -> Tensor:
    """Eigenvalues whose distribution is Wigner's, between -2 and 2."""
    share = (torch.arange(size).double() + 0.5) / size
    grid = torch.linspace(-2, 2, 20001).double()
    cumulative = 0.5 + grid * (4 - grid.square()).clamp(min=0).sqrt() / (4 * math.pi) + (grid / 2).asin() / math.pi
    return grid[torch.searchsorted(cumulative, share).clamp(max=20000)]


def test_the_density_is_that_of_the_spectrum() -> None:
    values = semicircle(900)
    found = density(rotated(values), probes=29, steps=30)
    assert not found.exact
    grid, width = torch.linspace(-3, 3, 61).double(), 0.2
    exact = torch.from_numpy(norm.pdf(grid[:, None].numpy(), values.numpy(), width)).mean(1)
    assert (found.on(grid, width) - exact).abs().max() < 0.1 * exact.max()
    assert torch.trapezoid(found.on(torch.linspace(-4, 4, 4001)), torch.linspace(-4, 4, 4001)).item() == pytest.approx(
        1.0
    )
    assert torch.allclose(found.weights.sum(1), torch.ones(29).double())


@pytest.fixture(scope="module")
def densities() -> tuple[Tensor, list[Density]]:
    """Eigenvalues, and sixty densities that are estimated from them."""
    values = torch.cat([torch.linspace(-0.8, 1, 150), torch.tensor([3.0, 2.5, -1.5])]).double()
    return values, [density(rotated(values), probes=5, steps=25, seed=seed) for seed in range(60)]


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("of", "measure"),
    [
        (lambda values: values.mean(), lambda found: found.mean(found.nodes)),
        (lambda values: values.square().mean(), lambda found: found.mean(found.nodes.square())),
        (
            lambda values: values.clamp(max=0).abs().sum() / values.abs().sum(),
            lambda found: found.negative_mass(),
        ),
        (lambda values: (values < -0.03).double().mean(), lambda found: found.negative_fraction(0.01)),
    ],
    ids=["mean", "square", "negative mass", "negative fraction"],
)
def test_what_a_density_says_is_within_its_stated_error(
    of: Callable[[Tensor], Tensor],
    measure: Callable[[Density], tuple[float, float]],
    densities: tuple[Tensor, list[Density]],
) -> None:
    exact = of(densities[0]).item()
    found = torch.tensor([measure(each) for each in densities[1]])
    errors, claimed = (found[:, 0] - exact).double(), found[:, 1].double()
    assert abs(errors.mean()) < 4 * errors.std() / math.sqrt(60) + 0.01 * abs(exact)
    few = scipy.stats.t.ppf(0.975, 4) / scipy.stats.norm.ppf(0.975)
    assert claimed.square().mean().sqrt().item() == pytest.approx(few * errors.square().mean().sqrt().item(), rel=0.4)


def test_full_reorthogonalisation_leaves_no_ghosts() -> None:
    values = torch.cat([torch.tensor([100.0]), torch.linspace(0, 1, 299)]).double()
    found = density(rotated(values), probes=2, steps=120)
    assert not found.exact
    for nodes in found.nodes:
        assert (nodes > 50).sum() == 1  # without it the outlier, found at once, comes back again and again


def test_the_share_of_negative_curvature_of_a_dome_is_one_without_error() -> None:
    mass, error = density(rotated(-torch.linspace(1, 2, 100)), probes=3, steps=10).negative_mass()
    assert mass == pytest.approx(1.0)
    assert error < 1e-12  # a ratio of two means that vary together


def test_few_different_eigenvalues_end_the_iteration() -> None:
    found = density(rotated(torch.tensor([2.0] * 100 + [-1.0] * 50)), probes=3, steps=10)
    assert not found.exact
    for nodes, weights in zip(found.nodes, found.weights, strict=True):
        assert (weights > 0).sum() == 2
        assert nodes[:2].tolist() == pytest.approx([-1.0, 2.0])
    mass, error = found.negative_mass()
    assert abs(mass - 0.2) < 3 * error < 0.2


def test_a_small_operator_has_an_exact_density() -> None:
    made = operator(F1.net(), F1.batch())
    values = torch.linalg.eigvalsh(made.matrix())
    found = density(made)
    assert found.exact
    assert torch.allclose(found.nodes[0], values, atol=1e-14)
    mass, error = found.negative_mass()
    assert mass == pytest.approx((values.clamp(max=0).abs().sum() / values.abs().sum()).item())
    assert 0.1 < mass < 0.5
    assert error == found.negative_fraction()[1] == 0.0
    assert density(operator(F1.net(), F1.batch(), kind="gauss_newton")).negative_mass()[0] == pytest.approx(
        0, abs=1e-12
    )
    few = density(made, probes=2, steps=17)  # one product fewer than parameters
    assert not few.exact
    assert few.mean(few.nodes)[0] == pytest.approx(values.mean().item(), abs=4 * few.mean(few.nodes)[1])


def test_equal_seeds_give_equal_numbers() -> None:
    made = rotated(falling(60, 1.0))
    one, again, other = (density(made, probes=2, steps=9, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.nodes, again.nodes)
    assert not torch.equal(one.nodes, other.nodes)
    for estimator in ("hutchinson", "hutch++", "xtrace"):
        first, second, third = (trace(made, estimator=estimator, probes=12, seed=seed) for seed in (1, 1, 2))
        assert first == second != third


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda made: spectrum(made, k=0), "k must be at least 1, got 0"),
        (lambda made: spectrum(made, k=9), "k must be at most the number of parameters, 8, got 9"),
        (lambda made: spectrum(made, k=2, engine="pyhessian"), "engine 'pyhessian' takes the Hessian only"),
        (lambda made: spectrum(made, engine="denze"), r"unknown engine 'denze', did you mean 'dense'\?"),
        (lambda made: trace(made, estimator="hutch+"), r"unknown estimator 'hutch\+', did you mean 'hutch\+\+'\?"),
        (lambda made: trace(made, estimator="hutch++", probes=5), r"at least 6 for 'hutch\+\+'"),
        (lambda made: trace(made, probes=1), "at least 2 for 'hutchinson'"),
        (lambda made: density(made, probes=1), "probes must be at least 2"),
        (lambda made: density(made, steps=0), "steps must be at least 1"),
        (lambda made: density(made).on(torch.zeros(1), 0.0), "width must be positive and finite"),
        (lambda made: density(made).negative_fraction(-1), "floor must be 0 or greater"),
        (lambda made: density(Written(made.written, symmetric=False)), "operator must be symmetric to have a density"),
        (
            lambda made: spectrum(
                Hessian([lambda theta: theta.square().sum()], torch.ones(8)), k=2, engine="pyhessian"
            ),
            "finds one eigenvalue at each end, got k = 2",
        ),
    ],
)
def test_mistakes_are_named(call: Callable[[Written], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(rotated(falling(8, 1.0)))
