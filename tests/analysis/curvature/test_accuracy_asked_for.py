"""Work ends at the accuracy that was asked for: of the largest eigenvalue alone, and of the trace."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import analysis
from analysis.curvature.operators import Hessian


def diagonal(values: Tensor) -> Hessian:
    return Hessian([lambda theta: (theta.square() * values).sum() / 2], torch.zeros(len(values), dtype=torch.float64))


def crowded() -> Tensor:
    """One large eigenvalue, and a lower end whose values are close together."""
    return torch.cat([torch.tensor([5.0]), torch.linspace(-1.0, 1.0, 300)]).double()


def test_the_largest_alone_takes_a_fraction_of_the_products() -> None:
    both, one = diagonal(crowded()), diagonal(crowded())
    whole = analysis.spectrum(both, k=1, engine="lanczos", tolerance=1e-5)
    top = analysis.spectrum(one, k=1, engine="lanczos", tolerance=1e-5, only_largest=True)
    assert whole.converged
    assert top.largest[0].converged
    assert not top.smallest[0].converged
    assert top.largest[0].value == pytest.approx(5.0, rel=1e-9)
    assert one.products < both.products / 2
    vector, value = top.smallest_vectors[:, 0], top.smallest[0].value
    residual = crowded() * vector - value * vector
    assert top.smallest[0].residual == pytest.approx(residual.norm().item(), rel=1e-3)


def test_six_digits_of_an_isolated_eigenvalue_need_three_of_the_residual() -> None:
    top = analysis.spectrum(diagonal(crowded()), k=1, engine="lanczos", tolerance=1e-3, only_largest=True)
    assert top.largest[0].converged
    assert top.largest[0].value == pytest.approx(5.0, rel=1e-6)


SPECTRA = {
    "crowded": crowded(),
    "isolated": torch.cat([torch.tensor([-3.0, 5.0]), torch.linspace(-1.0, 1.0, 300)]).double(),
    "falling": torch.cat([-(2.0 ** -torch.arange(20.0)), torch.zeros(250), 3.0 * 1.3 ** -torch.arange(40.0)]).double(),
    "double": torch.cat([torch.tensor([5.0, 5.0, -2.0]), torch.linspace(-1.0, 1.0, 200)]).double(),
    "no gap": torch.linspace(0.0, 1.0, 400).square().double(),
}


@pytest.mark.thirds
@pytest.mark.parametrize("tolerance", [1e-3, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("name", SPECTRA)
def test_values_are_right_to_the_tolerance_in_fewer_products_than_vectors(name: str, tolerance: float) -> None:
    values, scale = SPECTRA[name], SPECTRA[name].abs().max().item()
    by_values, by_vectors = diagonal(values), diagonal(values)
    found = analysis.spectrum(by_values, k=1, engine="lanczos", tolerance=tolerance, of_values=True)
    analysis.spectrum(by_vectors, k=1, engine="lanczos", tolerance=tolerance)
    assert found.converged
    for each, true in ((found.largest[0], values.max().item()), (found.smallest[0], values.min().item())):
        assert abs(each.value - true) <= tolerance * scale
        assert each.error <= min(each.residual, tolerance * scale)
    assert by_values.products <= by_vectors.products


def test_values_of_isolated_eigenvalues_take_a_fraction_of_the_products() -> None:
    values = SPECTRA["isolated"]
    by_values, by_vectors = diagonal(values), diagonal(values)
    analysis.spectrum(by_values, k=1, engine="lanczos", tolerance=1e-8, of_values=True)
    analysis.spectrum(by_vectors, k=1, engine="lanczos", tolerance=1e-8)
    assert by_values.products < 0.7 * by_vectors.products


def test_an_error_is_the_square_of_the_residual_over_the_gap() -> None:
    found = analysis.spectrum(diagonal(SPECTRA["isolated"]), k=1, engine="lanczos", tolerance=1e-4)
    top = found.largest[0]
    gap = 5.0 - 1.0
    assert top.error == pytest.approx(top.residual**2 / gap, rel=0.05)
    dense = analysis.spectrum(diagonal(torch.arange(1.0, 9.0).double()), k=1, engine="dense", tolerance=1e-4)
    assert dense.largest[0].error == dense.largest[0].residual


@pytest.mark.parametrize("estimator", ["hutchinson", "hutch++", "xtrace"])
def test_a_trace_stops_by_its_own_standard_error(estimator: str) -> None:
    generator = torch.Generator().manual_seed(3)
    root = torch.randn(400, 400, generator=generator, dtype=torch.float64) / 20
    matrix = root @ root.t() + 20 * torch.outer(root[0], root[0])
    operator = Hessian([lambda theta: theta @ matrix @ theta / 2], torch.zeros(400, dtype=torch.float64))
    first = analysis.trace(operator, estimator=estimator, probes=8)
    rtol = first.standard_error / first.value / 1.5
    found = analysis.trace(operator, estimator=estimator, probes=8, rtol=rtol)
    assert 0 < found.standard_error <= rtol * found.value
    assert found.probes > first.probes
    assert abs(found.value - matrix.trace().item()) < 6 * found.standard_error
    assert analysis.trace(operator, estimator=estimator, probes=8, rtol=10.0) == first


def test_hutchinson_goes_on_instead_of_beginning_anew() -> None:
    operator = diagonal(crowded() * torch.linspace(1, 2, 301).double())
    found = analysis.trace(Hessian([lambda theta: theta.sum() ** 2], operator.theta), probes=4, rtol=0.3, seed=2)
    assert found.probes in (8, 16, 32, 64, 128, 256)
    counted = Hessian([lambda theta: theta.sum() ** 2], operator.theta)
    analysis.trace(counted, probes=4, rtol=0.3, seed=2)
    assert counted.products == found.probes


def test_the_trace_is_exact_where_probes_would_be_as_many_as_parameters_and_bounded_by_most() -> None:
    operator = Hessian([lambda theta: theta.sum() ** 2 / 2], torch.zeros(40, dtype=torch.float64))
    assert analysis.trace(operator, probes=4, rtol=1e-9).estimator == "exact"
    assert analysis.trace(operator, probes=4, rtol=1e-9).value == pytest.approx(40.0, rel=1e-12)
    stopped = analysis.trace(operator, probes=4, rtol=1e-9, most=10)
    assert (stopped.probes, stopped.estimator) == (10, "hutchinson")
    with pytest.raises(ValueError, match="rtol"):
        analysis.trace(operator, rtol=0.0)
