"""Similarity and dimension of activity: invariances, closed forms, and other ways to compute the same."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
import scipy.stats
import torch
from scipy.spatial import procrustes
from torch import Tensor

from analysis.representations.dimension import participation_ratio
from analysis.representations.similarity import (
    canonical_correlations,
    cca,
    cka,
    cka_distance,
    procrustes_distance,
    svcca,
)
from analysis.representations.similarity_distances import DISTANCES, distances
from analysis.representations.similarity_rsa import dissimilarities, rsa


def activity(seed: int, units: int = 6, samples: int = 60) -> Tensor:
    """Correlated activity with different variances and means."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(units, units, generator=generator, dtype=torch.float64)
    return torch.randn(samples, units, generator=generator, dtype=torch.float64) @ mix + 3.0


def rotation(size: int, seed: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "procrustes": lambda x, y: 1 - procrustes_distance(x, y),
    "cca": cca,
    "svcca": svcca,
    "cka": cka,
    "debiased": lambda x, y: cka(x, y, debiased=True),
    "cka_angle": lambda x, y: 1 - cka_distance(x, y),
    "rsa": rsa,
    "rsa_pearson": lambda x, y: rsa(x, y, "pearson"),
    "rsa_cosine": lambda x, y: rsa(x, y, "cosine"),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_the_same_shape_however_it_is_turned_moved_scaled_or_padded(measure: Callable[[Tensor, Tensor], float]) -> None:
    x, y = activity(0), activity(1, units=4)
    assert measure(x, x) == pytest.approx(1.0, abs=1e-12)
    value = measure(x, y)
    assert 0 < value < 0.9
    assert measure(y, x) == pytest.approx(value, abs=1e-12)
    for changed in (x @ rotation(6), -x, x - 7.0, 1e4 * x, torch.cat([x, torch.zeros(60, 3).double()], 1), x.float()):
        close = 1e-5 if changed.dtype == torch.float32 else 1e-9
        assert measure(changed, y) == pytest.approx(value, abs=close)
        assert measure(changed, x) == pytest.approx(1.0, abs=close)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    assert measure(x[order], y[order]) == pytest.approx(value, abs=1e-12)
    assert abs(measure(x[order], y) - value) > 1e-3
    assert measure(x.numpy(), y.view(6, 10, 4)) == pytest.approx(value, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "blind"), [("procrustes", False), ("cka", False), ("rsa", False), ("cca", True), ("svcca", False)]
)
def test_only_cca_is_blind_to_every_linear_map(name: str, blind: bool) -> None:
    x, y = activity(0), activity(1)
    stretched = x @ torch.diag(torch.logspace(-1, 1, 6).double())
    assert (abs(MEASURES[name](stretched, y) - MEASURES[name](x, y)) < 1e-9) is blind


def test_procrustes_distance_is_the_angle_of_the_best_rotation() -> None:
    for seed in range(5):
        x, y = activity(seed), activity(seed + 10)
        cross = (x - x.mean(0)).T @ (y - y.mean(0))
        cosine = torch.linalg.svdvals(cross).sum() / ((x - x.mean(0)).norm() * (y - y.mean(0)).norm())
        assert procrustes_distance(x, y) == pytest.approx(math.acos(cosine) / (math.pi / 2), abs=1e-12)
        _, _, disparity = procrustes(x.numpy(), y.numpy())  # one less the squared cosine
        assert disparity == pytest.approx(1 - cosine.item() ** 2, abs=1e-12)


@pytest.mark.parametrize("distance", [procrustes_distance, cka_distance])
def test_angles_are_metrics(distance: Callable[[Tensor, Tensor], float]) -> None:
    shapes = [activity(seed, units=3 + seed % 3, samples=20) for seed in range(8)]
    table = torch.tensor([[distance(x, y) for x in shapes] for y in shapes])
    assert torch.allclose(table, table.T, atol=1e-12)
    assert (table.diag() < 1e-12).all()
    assert (table[:, :, None] + table[None, :, :] >= table[:, None, :] - 1e-12).all()


def test_procrustes_distance_of_unrelated_and_of_close_shapes() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert procrustes_distance(x, x.flip(0)) == pytest.approx(1.0, abs=1e-12)  # the cross-product is zero
    shape, other = activity(0), activity(1)
    lengths = [procrustes_distance(shape, shape + step * other) for step in (1e-9, 1e-10)]
    assert lengths[0] / lengths[1] == pytest.approx(10.0, rel=1e-4)  # arccos would have lost these digits


def test_canonical_correlations_solve_the_eigenvalue_problem() -> None:
    x, y = (each - each.mean(0) for each in (activity(0), activity(1, units=4)))
    within = [(each.T @ each).numpy() for each in (x, y)]
    cross = (x.T @ y).numpy()
    values = scipy.linalg.eigh(cross.T @ np.linalg.solve(within[0], cross), within[1], eigvals_only=True)
    found = canonical_correlations(x, y)
    assert found.tolist() == pytest.approx(np.sqrt(values[::-1]).tolist(), rel=1e-9)
    assert cca(x, y) == pytest.approx(np.sqrt(values).mean())


def test_units_that_repeat_others_add_no_component() -> None:
    x, y = activity(0), activity(1)
    twice = torch.cat([x, x[:, :3] - x[:, 1:4]], 1)
    assert canonical_correlations(twice, twice @ rotation(9)).tolist() == pytest.approx([1.0] * 6)
    assert cca(twice, y) == pytest.approx(cca(x, y), rel=1e-9)


def test_components_are_kept_by_number_or_by_variance() -> None:
    x = torch.randn(80, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, _ = torch.linalg.qr(x - x.mean(0))
    x = x * torch.tensor([10.0, 1.0, 0.1])
    assert [len(canonical_correlations(x, x, components=k)) for k in (1, 2, 3, 9)] == [1, 2, 3, 3]
    shares = [0.95, 100 / 101.01 + 1e-6, 0.99995, 1.0]
    assert [len(canonical_correlations(x, x, variance=share)) for share in shares] == [1, 2, 3, 3]
    y = torch.cat([x[:, :1], activity(5, units=1, samples=80)], 1)
    assert svcca(x, y, variance=0.5) != pytest.approx(svcca(x, y, variance=1.0), abs=0.05)


def test_cka_compares_kernels_and_the_debiased_one_knows_chance() -> None:
    x, y = activity(0), activity(1)
    centring = torch.eye(60).double() - 1 / 60
    k, l = (centring @ each @ each.T @ centring for each in (x, y))  # noqa: E741
    assert cka(x, y) == pytest.approx(((k * l).sum() / (k.norm() * l.norm())).item(), rel=1e-10)
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randn(2, 30, 300, generator=generator, dtype=torch.float64) for _ in range(40)]
    plain, debiased = (torch.tensor([cka(a, b, debiased=each) for a, b in pairs]) for each in (False, True))
    assert plain.min() > 0.8  # ten units for every sample: anything looks alike
    assert abs(debiased.mean()) < 4 * debiased.std() / math.sqrt(40)


def test_the_angle_between_kernels_is_the_arc_cosine_of_their_alignment() -> None:
    x, y = activity(0), activity(1)
    assert cka_distance(x, y) == pytest.approx(math.acos(cka(x, y)) / (math.pi / 2), abs=1e-12)
    lengths = [cka_distance(x, x + step * y) for step in (1e-8, 1e-9)]
    assert lengths[0] / lengths[1] == pytest.approx(10.0, rel=1e-3)  # arccos would have lost these digits


def test_representational_similarity_is_a_correlation_over_pairs() -> None:
    x, y = activity(0, samples=15), activity(1, samples=15)
    tables = [scipy.spatial.distance.pdist(each.numpy(), "sqeuclidean") for each in (x, y)]
    assert dissimilarities(x).tolist() == pytest.approx(tables[0].tolist(), rel=1e-10)
    assert rsa(x, y) == pytest.approx(scipy.stats.spearmanr(*tables).statistic, abs=1e-12)
    assert rsa(x, y, "pearson") == pytest.approx(scipy.stats.pearsonr(*tables).statistic, abs=1e-12)
    cosine = tables[0] @ tables[1] / np.linalg.norm(tables[0]) / np.linalg.norm(tables[1])
    assert rsa(x, y, "cosine") == pytest.approx(cosine, abs=1e-12)


def test_the_table_of_distances_is_zero_on_its_diagonal_and_symmetric() -> None:
    named = {"a": activity(0, samples=30), "b": activity(1, units=4, samples=30), "c": activity(2, samples=30)}
    for name, measure in DISTANCES.items():
        table = distances(named, name)
        assert torch.equal(table, table.mT)
        assert (table.diag() == 0).all()
        assert table[0, 1].item() == pytest.approx(measure(named["a"], named["b"]), abs=1e-12)
        assert measure(named["a"], named["a"]) == pytest.approx(0.0, abs=1e-12)
        assert (table[0, 1:] > 0.01).all()


def test_participation_ratio_in_closed_form() -> None:
    basis, _ = torch.linalg.qr(activity(0, units=5) - activity(0, units=5).mean(0))
    for scales in ([1.0] * 5, [1.0, 0, 0, 0, 0], [3.0, 2.0, 1.0, 0.5, 0.1]):
        variances = torch.tensor(scales).double().square()
        exact = (variances.sum() ** 2 / variances.square().sum()).item()
        given = basis * torch.tensor(scales).double() + 2.0
        assert participation_ratio(given) == pytest.approx(exact, rel=1e-10)
        assert participation_ratio(given @ rotation(5)) == pytest.approx(exact, rel=1e-10)
        assert participation_ratio(given.view(6, 10, 5)) == pytest.approx(exact, rel=1e-10)
    wide = torch.randn(12, 4000, generator=torch.Generator().manual_seed(0))
    assert 10 < participation_ratio(wide) <= 11  # one less than the samples
    values = np.linalg.eigvalsh(np.cov(wide.double().numpy().T[:200]))
    assert participation_ratio(wide[:, :200]) == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-8)


def over_quadruples(x: Tensor) -> float:
    """The debiased ratio by its definition, in sums over all sets of four different samples."""
    upper, lower = 0.0, 0.0
    for i, j, k, l in itertools.permutations(range(len(x)), 4):  # noqa: E741
        first, second = x[i] - x[j], x[k] - x[l]
        upper += float(first @ first * (second @ second))
        lower += float((first @ second) ** 2)
    return upper / lower


def test_the_debiased_dimension_is_a_mean_over_quadruples() -> None:
    for seed, samples, units in ((0, 6, 3), (1, 7, 2), (2, 5, 8)):
        x = activity(seed, units=units, samples=samples) ** 3
        assert participation_ratio(x, debiased=True) == pytest.approx(over_quadruples(x), rel=1e-10)
        assert participation_ratio(x @ rotation(units) + 7, debiased=True) == pytest.approx(
            over_quadruples(x), rel=1e-9
        )


@pytest.mark.parametrize("skewed", [False, True])
def test_the_debiased_dimension_does_not_depend_on_the_number_of_samples(skewed: bool) -> None:
    """Estimates of both traces have the right mean for any distribution; the plain ratio is far too small."""
    variances = (
        torch.cat([torch.ones(100), torch.zeros(0)]).double() if not skewed else torch.linspace(0.1, 2, 60).double()
    )
    exact = (variances.sum() ** 2 / variances.square().sum()).item()
    generator = torch.Generator().manual_seed(0)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(60):
        drawn = torch.randn(50, len(variances), generator=generator, dtype=torch.float64)
        if skewed:
            drawn = torch.empty(50, len(variances), dtype=torch.float64).exponential_(generator=generator)
        for debiased, values in found.items():
            values.append(participation_ratio(drawn * variances.sqrt(), debiased=debiased))
    plain, corrected = (torch.tensor(found[each]).double() for each in (False, True))
    error = (corrected.std() / math.sqrt(60)).item()
    assert corrected.mean().item() == pytest.approx(exact, abs=3 * error + 0.02 * exact)
    assert plain.mean().item() < 0.6 * exact
    if not skewed:
        assert plain.mean().item() == pytest.approx(32.5, abs=0.7)  # 1 / (1 / 49 + 1 / 100), near enough


def test_dependent_samples_are_not_corrected() -> None:
    """Ten steps that are all alike are one sample ten times, which the correction takes for ten."""
    generator = torch.Generator().manual_seed(0)
    values = [
        participation_ratio(
            torch.randn(1, 20, 60, generator=generator, dtype=torch.float64).expand(10, -1, -1), debiased=True
        )
        for _ in range(20)
    ]
    assert sum(values) / 20 < 0.5 * 60


def test_a_dimension_of_too_few_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="samples must be at least 4"):
        participation_ratio(activity(0, samples=3), debiased=True)
    for seed in range(4):  # one-hot samples in any coordinates: the estimate is zero to round-off
        with pytest.raises(ValueError, match="samples are too few"):
            participation_ratio(torch.eye(5).double() @ rotation(5, seed), debiased=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: procrustes_distance(activity(0), activity(1, samples=50)), "same samples, got .*60.* and .*50"),
        (lambda: cka(activity(0).view(6, 10, 6), activity(1, samples=50)), "same samples, got 60 and 50"),
        (lambda: cka(activity(0).view(6, 10, 6), activity(1).view(10, 6, 6)), "same samples"),
        (lambda: cka(torch.ones(5, 2), activity(0, samples=5)), "x must vary from sample to sample"),
        (lambda: cka(activity(0)[0], activity(0)[0]), "x must have shape"),
        (lambda: participation_ratio(activity(0)[:1]), "activity must have at least two samples, got 1"),
        (lambda: participation_ratio(activity(0) * math.nan), "activity must be finite"),
        (lambda: cca(activity(0, samples=7), activity(1, samples=7)), "at least two more than the components kept, 6"),
        (lambda: cca(activity(0), activity(1), components=0), "components must be at least 1"),
        (lambda: svcca(activity(0), activity(1), variance=0.0), "variance must be above 0 and at most 1"),
        (lambda: cka(activity(0, samples=3), activity(1, samples=3), debiased=True), "samples must be at least 4"),
        (lambda: cka_distance(activity(0), activity(1, samples=50)), "same samples"),
        (lambda: rsa(activity(0), activity(1, samples=50)), "same samples"),
        (lambda: rsa(activity(0).view(6, 10, 6), activity(1).view(10, 6, 6)), "same samples"),
        (lambda: rsa(activity(0, samples=2), activity(1, samples=2)), "samples must be at least 3"),
        (lambda: rsa(activity(0), activity(1), "spearmann"), "did you mean 'spearman'"),
        (lambda: rsa(torch.eye(4), activity(1, samples=4)), "must differ from pair to pair"),
        (lambda: distances({"a": activity(0), "b": activity(1)}, "procrustean"), "did you mean 'procrustes'"),
    ],
)
def test_mistakes_are_named(call: Callable[[], float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
