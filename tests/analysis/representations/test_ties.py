"""Equal numbers: ties that round-off would break, and cuts through equal singular values and eigenvalues."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch
from torch import Tensor

from analysis import cca, cka, dsa, linear_dynamics, match_cells, procrustes_distance, reliability, rsa, svcca
from analysis.curvature.operators import Hessian
from analysis.dynamics.dsa import vector_field_distance
from analysis.landscape.planes import _KINDS
from analysis.representations.rotations import _starts, distance
from analysis.representations.similarity import canonical_correlations
from analysis.stability.critical_rate import _along
from analysis.statistics.ties import kept_apart, tied_ranks
from tca.batch import Batch
from tca.losses import MSE
from tca.nets import LeakyRNN


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int, seed: int = 9) -> Tensor:
    return torch.linalg.qr(normal(seed, size, size))[0]


def plane(*angles: float) -> Tensor:
    return torch.block_diag(
        *(torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]).double() for a in angles)
    )


ANGLES = torch.arange(9).double() * 2 * math.pi / 9
CUBE = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).double()
TIED = {
    "one-hot copies": torch.eye(3).double().repeat(4, 1),
    "cube": CUBE,
    "grid": torch.tensor(list(itertools.product(range(4), range(3)))).double(),
    "ring": torch.stack([torch.cos(ANGLES), torch.sin(ANGLES)], 1),
    "repeats": normal(0, 5, 6).repeat(3, 1),
    "far from zero": CUBE + 1e3,
    "tiny": 1e-9 * CUBE,
}


@pytest.mark.parametrize("compare", ["spearman", "pearson", "cosine"])
@pytest.mark.parametrize("x", TIED.values(), ids=TIED)
def test_a_turned_activity_is_the_same_to_the_ranks_of_its_distances(x: Tensor, compare: str) -> None:
    wide = torch.cat([x, torch.zeros(len(x), 40).double()], 1)
    for dtype, turned in (
        (torch.float64, x @ rotation(x.shape[1])),
        (torch.float32, wide.float() @ rotation(40 + x.shape[1]).float()),
    ):
        given = (x if dtype == torch.float64 else wide).to(dtype)
        close = 1e-12 if compare == "spearman" else {torch.float64: 1e-9, torch.float32: 2e-3}[dtype]
        assert rsa(given, turned, compare) == pytest.approx(1.0, abs=close)
        assert rsa(given.numpy(), turned.numpy(), compare) == pytest.approx(1.0, abs=close)


def test_the_correlation_of_tied_ranks_is_that_of_exact_arithmetic() -> None:
    """Integers have exact squared distances, whose midranks SciPy takes."""
    x, y = CUBE, torch.tensor(list(itertools.product((0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (0.0, 0.0)))).double()
    exact = [[int(((a - b) ** 2).sum()) for a, b in itertools.combinations(each, 2)] for each in (x, y)]
    right = scipy.stats.spearmanr(*exact).statistic
    assert rsa(x, y) == pytest.approx(right, abs=1e-12)
    assert rsa(x @ rotation(4, 1) + 5.0, y @ rotation(4, 2)) == pytest.approx(right, abs=1e-12)


def test_ranks_do_not_chain() -> None:
    """Numbers that lie closer together than the tolerance, as the distances of many samples do, keep their order."""
    dense = torch.linspace(0, 1, 2001).double()
    assert scipy.stats.pearsonr(tied_ranks(dense, 1e-3).numpy(), dense.numpy()).statistic > 1 - 1e-5
    values = torch.tensor([5.0, 1.0, 1.0, 7.0, 5.0]).double()
    assert tied_ranks(values + 1e-13 * normal(0, 5), 1e-12).tolist() == scipy.stats.rankdata(values).tolist()
    assert tied_ranks(values, 0.0).tolist() == scipy.stats.rankdata(values).tolist()


@pytest.mark.parametrize("compare", ["spearman", "pearson"])
def test_distances_that_are_all_equal_are_refused_however_they_are_turned(compare: str) -> None:
    for x in (torch.eye(5).double(), torch.eye(5).double() @ rotation(5), torch.eye(5) @ rotation(5).float() + 100):
        with pytest.raises(ValueError, match="must differ from pair to pair"):
            rsa(x, normal(0, 5, 3), compare)


def spread(sizes: list[float], samples: int = 30, seed: int = 0) -> Tensor:
    """Activity with given singular values."""
    basis = torch.linalg.qr(normal(seed, samples, len(sizes)) - normal(seed, samples, len(sizes)).mean(0))[0]
    return basis * torch.tensor(sizes).double() @ rotation(len(sizes), seed + 1)


def test_cuts_between_equal_components_are_refused_and_others_are_right() -> None:
    x = spread([3.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    y = x @ rotation(6)
    for allowed in (1, 4, 6, 9):
        assert cca(x, y, components=allowed) == pytest.approx(1.0, abs=1e-10)
    for cut, instead in ((2, "1 or 4"), (3, "1 or 4"), (5, "4 or 6")):
        with pytest.raises(ValueError, match=f"components of x must not cut .* got {cut}: use {instead}"):
            cca(x, y, components=cut)
        with pytest.raises(ValueError, match="components of y"):
            cca(normal(0, 30, 7), y, components=cut)
    with pytest.raises(ValueError, match=r"components of x must not cut .* got 2: use 3$"):
        cca(spread([1.0, 1.0, 1.0]), x, components=2)
    small = x.float()
    assert cca(small, small @ rotation(6).float(), components=4) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="components of x must not cut"):
        cca(small, small, components=3)


def test_a_share_of_the_variance_takes_all_components_of_a_tie() -> None:
    x = spread([2.0, 1.0, 1.0, 1.0, 1.0])  # of the variance: .5, .125 each
    for share, count in ((0.3, 1), (0.5, 1), (0.55, 5), (0.75, 5), (1.0, 5)):
        for each in (x, x @ rotation(5), x.float()):
            assert len(canonical_correlations(each, each, variance=share)) == count
        assert svcca(x, x @ rotation(5), variance=share) == pytest.approx(1.0, abs=1e-10)


def test_round_off_of_the_type_of_activity_is_no_component() -> None:
    """Activity of rank three that was made in single precision has no fourth component."""
    x = (normal(0, 60, 3) @ normal(1, 3, 8)).float()
    assert len(canonical_correlations(x, x)) == 3
    assert len(canonical_correlations(x.double(), x.double())) == 8  # in double precision those are differences
    assert linear_dynamics(x.view(20, 3, 8)).rank == 3


@pytest.mark.parametrize(
    "measure",
    [lambda x, y: 1 - procrustes_distance(x, y), cka, lambda x, y: cka(x, y, debiased=True), svcca],
    ids=["procrustes", "cka", "debiased", "svcca"],
)
@pytest.mark.parametrize("x", [TIED["cube"], TIED["one-hot copies"], TIED["ring"]], ids=["cube", "one-hot", "ring"])
def test_measures_without_a_cut_are_blind_to_rotations_of_tied_activity(
    measure: Callable[[Tensor, Tensor], float], x: Tensor
) -> None:
    assert measure(x, x @ rotation(x.shape[1])) == pytest.approx(1.0, abs=1e-7)


def test_a_debiased_variance_that_is_zero_is_not_decided_by_round_off() -> None:
    """The unbiased estimate of the kernel of equal distances is zero: ``.75 + 1.5 - 2.25`` for four samples."""
    for seed in range(6):
        x = torch.eye(4).double() @ rotation(4, seed)
        with pytest.raises(ValueError, match="too few for a debiased estimate"):
            cka(x, x, debiased=True)


def test_ranks_of_dynamics_must_not_cut_a_tie() -> None:
    """Two planes turned through evenly: singular values come in equal pairs."""
    steps = torch.arange(24).double()
    pair = [
        torch.stack([s * torch.cos(steps * w), s * torch.sin(steps * w)], 1)
        for s, w in ((2.0, math.pi / 6), (1.0, math.pi / 3))
    ]
    x = torch.cat(pair, 1)[:, None]
    assert dsa(x, x @ rotation(4), rank=2) < 1e-7
    assert dsa(x, x @ rotation(4)) < 1e-7
    for cut, instead in ((1, "use 2"), (3, "use 2 or 4")):
        with pytest.raises(ValueError, match=f"rank must not cut .* got {cut}: {instead}"):
            dsa(x, x @ rotation(4), rank=cut)
    with pytest.raises(ValueError, match=r"rank must not cut .* got 3: use 2 or 4"):
        dsa(x, normal(0, 24, 1, 3))  # the poorer has three


FIELDS = {
    "generic": normal(1, 6, 6),
    "two planes": plane(0.3, 1.1),
    "one angle three times": plane(0.5, 0.5, 0.5),
    "chain": torch.diag(torch.ones(5).double(), 1),
    "cycle": torch.roll(torch.eye(6).double(), 1, 0),
    "feedforward": torch.triu(normal(3, 6, 6), 1),
    "rank one": normal(1, 7, 1) @ normal(2, 1, 7),
    "orthogonal": rotation(9),
    "blocks": torch.block_diag(plane(0.3, 0.3), normal(3, 3, 3)),
    "symmetric": normal(3, 5, 5) + normal(3, 5, 5).T,
}


@pytest.mark.parametrize("a", FIELDS.values(), ids=FIELDS)
def test_a_field_in_other_coordinates_is_the_same(a: Tensor) -> None:
    for seed in range(2):
        turned = rotation(len(a), 20 + seed)
        assert vector_field_distance(a, turned @ a @ turned.T, starts=0) < 1e-9


def test_signs_of_frames_are_right_before_any_search() -> None:
    """A start from frames brings a field and itself in other coordinates together, whatever signs LAPACK has."""
    for seed in range(10):
        a, q = torch.randn(2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        turn = torch.linalg.qr(q)[0]
        field, turned = a.numpy(), (turn @ a @ turn.T).numpy()
        assert min(distance(field, turned, each) for each in _starts(field, turned, 0, 0)) < 1e-10


def test_the_distance_of_fields_does_not_depend_on_their_order() -> None:
    for size, seed, starts in ((4, 0, 0), (7, 1, 0), (8, 11, 1)):
        a, b = normal(seed, size, size), normal(seed + 50, size, size)
        there, back = (vector_field_distance(*pair, starts=starts) for pair in ((a, b), (b, a)))
        assert there == pytest.approx(back, abs=1e-12)


@pytest.mark.parametrize("kind", ["sharpest", "flattest"])
@pytest.mark.parametrize("size", [6, 150])
def test_directions_among_equal_eigenvalues_are_refused(kind: str, size: int) -> None:
    """A bowl in turned coordinates: dense below 100 parameters, Lanczos iteration above."""
    basis = rotation(size)

    def bowl(*outer: float) -> Hessian:
        inner = torch.linspace(1.0, 2.0, size - len(outer)).double()
        values = torch.cat(
            [torch.tensor(outer).double() if kind == "sharpest" else -torch.tensor(outer).double(), inner]
        )
        return Hessian([lambda theta: (values * (basis.T @ theta).square()).sum() / 2], torch.zeros(size).double())

    find = _KINDS[kind]
    for count in (1, 2):
        found = find(bowl(9.0, 7.0, 5.0), count, 0)
        assert (found @ basis[:, :count]).abs().diagonal().tolist() == pytest.approx([1.0] * count, abs=1e-3)
    assert torch.linalg.svdvals(find(bowl(9.0, 9.0, 5.0), 2, 0) @ basis[:, :2]).min() > 0.999 or size > 100
    for outer, count in (((9.0, 9.0, 5.0), 1), ((9.0, 7.0, 7.0), 2), ((9.0, 9.0, 9.0), 2)):
        with pytest.raises(ValueError, match=f"next to the {count} {kind} are equal"):
            find(bowl(*outer), count, 0)


def test_copies_that_one_search_misses_are_found_by_another() -> None:
    """Two equal eigenvalues above a cluster: Lanczos iteration is done before it meets the second copy."""
    basis = rotation(150)
    values = torch.cat([torch.tensor([9.0, 9.0]), torch.linspace(1.0, 1.0001, 148)]).double()
    bowl = Hessian([lambda theta: (values * (basis.T @ theta).square()).sum() / 2], torch.zeros(150).double())
    with pytest.raises(ValueError, match="next to the 1 sharpest are equal"):
        _KINDS["sharpest"](bowl, 1, 0)


def test_rho_along_a_direction_that_is_not_determined_is_no_number() -> None:
    basis = rotation(3)
    same = basis @ torch.diag(torch.tensor([2.0, 2.0, 1.0]).double()) @ basis.T
    assert _along(same, basis[:, :2]) == pytest.approx(2.0, rel=1e-12)
    assert math.isnan(_along(same, basis[:, 1:]))
    skew = torch.tensor([[1.0, 5.0], [-5.0, 1.0]]).double()
    assert _along(skew, torch.eye(2).double()) == pytest.approx(1.0)


def test_units_that_never_vary_are_silent_although_their_mean_is_rounded() -> None:
    repeats = normal(0, 4, 20, 3, 2)
    repeats[..., 0] = 0.1
    assert math.isnan(reliability(repeats)[0])
    assert reliability(repeats)[1].item() == pytest.approx(reliability(repeats[..., 1:]).item(), rel=1e-12)
    net = LeakyRNN(1, 4, 1, seed=0)
    with torch.no_grad():
        net.w_rec.zero_(), net.w_in[:2].zero_(), net.b.fill_(0.3)
    batch = Batch(normal(0, 6, 5, 1).float(), torch.zeros(6, 5, 1), torch.full((6, 5), 1 / 6), MSE())
    still = Batch(batch.inputs[:1], batch.targets[:1], batch.weights[:1], MSE())
    assert match_cells(net, net, still)[2:].tolist() == [2, 3]


def test_ties_are_found_in_falling_sequences() -> None:
    assert kept_apart(torch.tensor([1.0]), 0.0) == [1]
    assert kept_apart(torch.tensor([2.0, 2.0]), 0.0) == [2]
    assert kept_apart(torch.tensor([3.0, 1.0, 1.0 - 1e-9]), 1e-8) == [1, 3]
