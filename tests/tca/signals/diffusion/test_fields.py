"""Facts about fields: mass, kernels in closed form, bounds of stability, and every way to run one.

The oracle is ``tests.support.oracle_fields`` (matrices of neighbours written out site by site, their powers, inverses
and exponentials), cosine sums, and Bessel functions. Everything is float64.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special

from tca.signals.diffusion.fields import Box, Explicit, Exponential, Field, Graph, Grid, Implicit, Quasistatic, solvers
from tca.signals.diffusion.fields.laplacian_modes import AxisModes, FourierModes
from tca.signals.diffusion.fields.solvers import AtSites, InModes, Shuffled, cheapest
from tests.support.oracle_fields import boxes, neighbours, settled, step_of

EXACT, ROUND_OFF = 1e-12, 1e-15

DIFFUSION, DECAY, DT = 0.7, 0.2, 0.2
TIMED = [Box(0.75), Explicit(DIFFUSION, DECAY, DT), Implicit(DIFFUSION, DECAY, DT), Exponential(DIFFUSION, DECAY, DT)]
EVERYONE = [*TIMED, Quasistatic(DIFFUSION, DECAY)]
SHAPES = [(7,), (10, 12), (3, 4, 5), (1, 6), (2, 2)]
BOUNDARIES = ["periodic", "no-flux", "absorbing"]
PLACES = [(0.0, 0.0), (1.0, 0.2), (0.3, 1.1), (2.0, 1.0), (1.4, 2.2), (3.1, 2.0)]

each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_boundary = pytest.mark.parametrize("boundary", BOUNDARIES)
each_propagator = pytest.mark.parametrize("propagator", TIMED, ids=lambda each: type(each).__name__)


def field_of(shape: tuple[int, ...], boundary: str, propagator: Any, gain: str = "raw") -> Field:
    return Field(Grid(shape, boundary), propagator, gain)


def far(found: torch.Tensor, wanted: Any) -> float:
    """Largest difference."""
    return float(np.abs(np.asarray(found) - np.asarray(wanted)).max())


@each_boundary
@each_shape
def test_laplacian_and_kernel_equal_neighbour_sums(shape: tuple[int, ...], boundary: str) -> None:
    """The Laplacian, every propagator's step and its stationary map equal matrices made neighbour by neighbour."""
    laplacian, box = neighbours(shape, boundary), boxes(shape, boundary)
    assert far(Grid(shape, boundary).laplacian(), laplacian) == 0
    for propagator in TIMED:
        assert far(field_of(shape, boundary, propagator).kernel(), step_of(propagator, laplacian, box)) < EXACT
    for propagator in EVERYONE:
        field = field_of(shape, boundary, propagator)
        assert far(field.stationary(), settled(field, laplacian, box)) < EXACT * 100


def test_a_graph_of_lattice_points_is_the_grid() -> None:
    """Points of a lattice joined within a reach of one are the grid without flux; other points still diffuse."""
    points = list(itertools.product(range(4), range(5)))
    lattice, grid = Graph.of_points(points, reach=1.0), Grid((4, 5), "no-flux")
    assert torch.equal(lattice.laplacian(), grid.laplacian())
    free = Graph.of_points(PLACES, reach=1.6)
    matrix = np.zeros((6, 6))
    for i, j in itertools.combinations(range(6), 2):
        length = math.dist(PLACES[i], PLACES[j])
        if length <= 1.6:
            matrix[i, j] = matrix[j, i] = 1 / length**2
    matrix -= np.diag(matrix.sum(1))
    assert far(free.laplacian(), matrix) < EXACT
    assert free.degree == pytest.approx(-matrix.diagonal().min())
    for propagator in TIMED[1:]:
        field = Field(free, propagator, "raw")
        assert far(field.kernel(), step_of(propagator, matrix, None)) < EXACT
        assert far(field.stationary(), settled(field, matrix, None)) < EXACT * 100


@each_boundary
@each_propagator
def test_mass(boundary: str, propagator: Any) -> None:
    """``M_t = kept M_{t-1} + sum s`` where nothing leaves at the rim; where it does, less."""
    field = field_of((10, 12), boundary, propagator)
    generator = torch.Generator().manual_seed(1)
    run = field.run(torch.zeros((), dtype=torch.float64))
    inside, mass = run.enter(torch.zeros(120, dtype=torch.float64)), 0.0
    kept = {
        Box: 0.75,
        Explicit: 1 - DECAY * DT,
        Implicit: 1 / (1 + DECAY * DT),
        Exponential: math.exp(-DECAY * DT),
    }[type(propagator)]
    for _ in range(20):
        release = torch.rand(120, generator=generator, dtype=torch.float64)
        now = run.enter(release).clone()
        run.advance_(now, inside)
        inside, mass = now, kept * mass + float(release.sum())
    total = float(run.leave(inside).sum())
    if boundary == "absorbing":
        assert total < 0.99 * mass
    else:
        assert total == pytest.approx(mass, abs=1e-11, rel=1e-13)


@each_boundary
def test_without_decay_mass_is_conserved(boundary: str) -> None:
    """Without decay the sum of concentrations stays, unless the rim absorbs."""
    start = torch.zeros(120, dtype=torch.float64)
    start[17] = 1.0
    for propagator in (Box(1.0), Explicit(0.5, 0.0, 0.4), Implicit(0.5, 0.0, 3.0), Exponential(0.5, 0.0, 3.0)):
        step = field_of((10, 12), boundary, propagator).kernel()
        total = float((torch.linalg.matrix_power(step, 30) @ start).sum())
        assert (abs(total - 1) < 1e-11) == (boundary != "absorbing")


@each_boundary
def test_stationary_kernel_is_symmetric_positive_and_keeps_its_mass(boundary: str) -> None:
    """The kernel is symmetric, positive definite and positive; its rows sum to the propagator's mass."""
    for propagator in EVERYONE:
        kernel = field_of((10, 12), boundary, propagator).stationary()
        assert far(kernel, kernel.T) < EXACT * 10
        assert float(kernel.min()) > 0
        assert float(torch.linalg.eigvalsh(kernel).min()) > 0
        if boundary != "absorbing":
            assert far(kernel.sum(1), propagator.mass) < EXACT * 10
            unit = field_of((10, 12), boundary, propagator, "unit")
            assert far(unit.stationary().sum(1), 1.0) < EXACT
    masses = {Box: 4.0, Explicit: 1 / (DECAY * DT), Quasistatic: 1 / DECAY}
    for propagator in EVERYONE:
        if type(propagator) in masses:
            assert propagator.mass == pytest.approx(masses[type(propagator)], rel=EXACT)


@each_propagator
def test_translation_invariance(propagator: Any) -> None:
    """On a torus a moved release gives the moved field."""
    field = field_of((10, 12), "periodic", propagator)
    generator = torch.Generator().manual_seed(2)
    release = torch.randn(10, 12, generator=generator, dtype=torch.float64)
    for shift in ((1, 0), (3, 7)):
        moved = field.settle(release.roll(shift, (0, 1)).flatten()).view(10, 12)
        assert far(moved, field.settle(release.flatten()).view(10, 12).roll(shift, (0, 1))) < EXACT * 10


@each_propagator
@each_boundary
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_runs_agree(shape: tuple[int, ...], boundary: str, propagator: Any) -> None:
    """Modes of the axes, Fourier modes, stencils and powers of the dense matrix give the same field in time."""
    space, like = Grid(shape, boundary), torch.zeros((), dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    releases = torch.randn(6, 2, space.sites, generator=generator, dtype=torch.float64)
    step = step_of(propagator, neighbours(shape, boundary), boxes(shape, boundary))
    wanted = [sum(np.linalg.matrix_power(step, t - q) @ releases[q].numpy().T for q in range(t + 1)) for t in range(6)]
    everyone = {"modes": InModes(AxisModes(space, like), propagator), "sites": cheapest(space, propagator, like, True)}
    if boundary == "periodic":
        everyone["fourier"] = InModes(FourierModes(space, like), propagator)
    for name, run in everyone.items():
        entered = run.enter(releases).clone().unbind(0)
        for before, now in itertools.pairwise(entered):
            run.advance_(now, before)
        assert far(run.leave(torch.stack(entered)).mT, np.stack(wanted)) < EXACT * 10, name


def test_the_choice_follows_the_cost() -> None:
    """Small grids and propagators without a stencil run in modes, large boxes by stencil, long rings by Fourier."""
    like = torch.zeros((), dtype=torch.float32)

    def chosen(shape: tuple[int, ...], propagator: Any, boundary: str = "periodic") -> tuple[type, type | None]:
        run = cheapest(Grid(shape, boundary), propagator, like)
        return type(run), type(run.modes) if isinstance(run, InModes) else None

    assert chosen((10, 10), Box()) == (InModes, AxisModes)
    assert chosen((100, 100), Box()) == (AtSites, None)
    assert chosen((100, 100), Explicit()) == (AtSites, None)
    assert chosen((100, 100), Exponential()) == (InModes, FourierModes)
    assert chosen((1000,), Implicit()) == (InModes, FourierModes)
    assert chosen((1000,), Implicit(), "no-flux") == (InModes, AxisModes)
    points = [(float(i), 0.0) for i in range(50)]
    assert isinstance(cheapest(Graph.of_points(points, 1.0), Exponential(), like), InModes)


def test_impulse_of_the_box_is_a_product_of_trinomials() -> None:
    """After n steps ``k^n tri_n(r) tri_n(q)``, the n-fold convolution of (1, 1, 1) / 3; beyond n sites exactly zero."""
    n, k, size = 4, 0.75, 21
    line = np.array([1.0])
    for _ in range(n):
        line = np.convolve(line, np.ones(3) / 3)
    for run in (
        solvers._stencil(Grid((size, size)), Box(k)),
        solvers._dense(Grid((size, size)), Box(k), torch.zeros((), dtype=torch.float64)),
    ):
        field = torch.zeros(size, size, dtype=torch.float64)
        field[10, 10] = 1.0
        field = field.flatten()
        for _ in range(n):
            now = torch.zeros_like(field)
            run.advance_(now, field)
            field = now
        wanted = np.zeros((size, size))
        wanted[10 - n : 11 + n, 10 - n : 11 + n] = k**n * np.outer(line, line)
        assert far(field.view(size, size), wanted) < ROUND_OFF
        outside = np.ones((size, size), dtype=bool)
        outside[10 - n : 11 + n, 10 - n : 11 + n] = False
        assert (field.view(size, size).numpy()[outside] == 0).all()


def test_spectrum_of_the_box() -> None:
    """The largest eigenvalue is k; the least is k times the least product of ``(1 + 2 cos theta) / 3``."""
    values = torch.linalg.eigvalsh(field_of((10, 12), "periodic", Box(0.75)).kernel())
    angles = [(1 + 2 * np.cos(2 * np.pi * np.arange(n) / n)) / 3 for n in (10, 12)]
    assert float(values.max()) == pytest.approx(0.75, abs=1e-9)
    assert float(values.min()) == pytest.approx(0.75 * np.outer(*angles).min(), abs=1e-9)
    assert float(values.min()) == pytest.approx(-0.25, abs=1e-9)


def test_bounds_of_explicit_euler() -> None:
    """Stable exactly up to ``2 / (kappa + 8 D)`` and positive exactly up to ``1 / (kappa + 4 D)``, on an even torus."""
    stable, positive = 2 / (DECAY + 8 * DIFFUSION), 1 / (DECAY + 4 * DIFFUSION)

    def radius(dt: float) -> float:
        step = Field(Grid((10, 12)), Explicit(DIFFUSION, DECAY, dt, allow_negative=True), "raw").kernel()
        return float(torch.linalg.eigvalsh(step).abs().max())

    assert radius(stable * (1 - 1e-9)) <= 1
    assert radius(stable * (1 + 1e-9)) > 1
    at_bound = Explicit(DIFFUSION, DECAY, positive)
    assert at_bound.longest_step(Grid((10, 12))) == pytest.approx(positive, rel=EXACT)
    assert float(field_of((10, 12), "periodic", at_bound).kernel().min()) > -ROUND_OFF
    beyond = Explicit(DIFFUSION, DECAY, positive * 1.001, allow_negative=True)
    assert float(field_of((10, 12), "periodic", beyond).kernel().min()) < -1e-4


def test_explicit_euler_beyond_positivity_is_refused_with_the_bound() -> None:
    """The bound, in ms, is in the message, and it depends on the number of axes."""
    with pytest.raises(ValueError, match=r"dt = 0.34 ms is beyond the bound of positivity .* = 0.333333 ms"):
        Field(Grid((10, 12)), Explicit(DIFFUSION, DECAY, 0.34))
    Field(Grid((10,)), Explicit(DIFFUSION, DECAY, 0.34))
    with pytest.raises(ValueError, match=r"= 0.227273 ms"):
        Field(Grid((4, 4, 4)), Explicit(DIFFUSION, DECAY, 0.25))


def test_green_function_of_a_ring() -> None:
    """``G_r = (q^r + q^(n-r)) / ((1 - q^n) sqrt(kappa^2 + 4 kappa D))``, ``q = 1 + a/2 - sqrt(a + a^2/4)``."""
    n, diffusion, decay = 64, 1.7, 0.3
    a = decay / diffusion
    q = 1 + a / 2 - math.sqrt(a + a * a / 4)
    r = np.arange(n)
    wanted = (q**r + q ** (n - r)) / ((1 - q**n) * math.sqrt(decay**2 + 4 * decay * diffusion))
    assert far(field_of((n,), "periodic", Quasistatic(diffusion, decay)).stationary()[0], wanted) < EXACT


def test_green_function_of_a_ring_approaches_the_continuum() -> None:
    """``cosh((l/2 - x) / len) / (2 sqrt(kappa D) sinh(l / (2 len)))``, ``len = sqrt(D / kappa)``, within .4 %."""
    n, diffusion, decay = 64, 8.0, 0.2
    length = math.sqrt(diffusion / decay)
    x = np.minimum(np.arange(n), n - np.arange(n))
    wanted = np.cosh((n / 2 - x) / length) / (2 * math.sqrt(decay * diffusion) * np.sinh(n / (2 * length)))
    found = field_of((n,), "periodic", Quasistatic(diffusion, decay)).stationary()[0].numpy()
    assert length == pytest.approx(6.3, abs=0.05)
    assert np.abs(found / wanted - 1).max() < 0.004


def test_green_function_of_a_torus() -> None:
    """Equal to the sum of cosines; far from sources ``K_0(r / len) / (2 pi D)`` within 2 percent."""
    n, diffusion, decay = 64, 5.0, 0.2
    found = field_of((n, n), "periodic", Quasistatic(diffusion, decay)).settle(
        torch.eye(1, n * n, dtype=torch.float64)[0]
    )
    angle = 2 * np.pi * np.arange(n) / n
    loss = decay + diffusion * ((2 - 2 * np.cos(angle))[:, None] + (2 - 2 * np.cos(angle))[None])
    for r, q in ((0, 0), (3, 0), (5, 11), (31, 32)):
        phases = np.cos(angle * r)[:, None] * np.cos(angle * q)[None]
        assert float(found.view(n, n)[r, q]) == pytest.approx((phases / loss).sum() / n**2, abs=EXACT)
    length = math.sqrt(diffusion / decay)
    r = np.arange(3, 16)
    assert (
        np.abs(found.view(n, n)[0, 3:16].numpy() / (special.k0(r / length) / (2 * np.pi * diffusion)) - 1).max() < 0.02
    )


def test_green_function_of_a_cube() -> None:
    """Far from sources and borders ``exp(-r / len) / (4 pi D r)`` within 3 percent, in three dimensions."""
    n, diffusion, decay = 48, 4.0, 0.25
    release = torch.zeros(n**3, dtype=torch.float64)
    release[0] = 1
    line = field_of((n, n, n), "periodic", Quasistatic(diffusion, decay)).settle(release).view(n, n, n)[0, 0].numpy()
    r = np.arange(6, 12)
    wanted = np.exp(-r / math.sqrt(diffusion / decay)) / (4 * np.pi * diffusion * r)
    assert np.abs(line[6:12] / wanted - 1).max() < 0.03


def test_impulse_in_time_is_a_sum_of_bessel_functions() -> None:
    """On a ring ``exp(-(kappa + 2 D) t) sum_m I_{r + m n}(2 D t)``; on a torus the product of two."""
    n, diffusion, decay, t = 16, 0.9, 0.3, 2.5
    copies = np.arange(-8, 9)

    def ring(rate: float) -> np.ndarray:
        orders = np.arange(n)[:, None] + copies * n
        return math.exp(-(rate + 2 * diffusion) * t) * special.iv(orders, 2 * diffusion * t).sum(1)

    found = field_of((n,), "periodic", Exponential(diffusion, decay, t)).kernel()[0]
    assert far(found, ring(decay)) < EXACT
    square = field_of((n, n), "periodic", Exponential(diffusion, decay, t)).kernel()[0].view(n, n)
    assert far(square, np.outer(ring(decay), ring(0.0))) < EXACT


def test_two_half_steps_are_one() -> None:
    """The exact propagator is a semigroup; the Euler ones are not."""

    def difference(kind: Any) -> float:
        half = field_of((10, 12), "periodic", kind(DIFFUSION, DECAY, 0.15)).kernel()
        return far(half @ half, field_of((10, 12), "periodic", kind(DIFFUSION, DECAY, 0.3)).kernel())

    assert difference(Exponential) < 1e-13
    assert difference(Explicit) > 1e-3
    assert difference(Implicit) > 1e-3


def test_without_diffusion_a_release_stays() -> None:
    """With unit mass and little diffusion the settled field is the release; with none, bit for bit."""
    generator = torch.Generator().manual_seed(4)
    release = torch.randn(3, 120, generator=generator, dtype=torch.float64)
    assert far(field_of((10, 12), "periodic", Quasistatic(1e-9, DECAY), "unit").settle(release), release) < 1e-7
    for still in (Quasistatic(0.0, DECAY), Exponential(0.0, DECAY), Box(0.0)):
        assert torch.equal(field_of((10, 12), "periodic", still, "unit").settle(release), release)
    assert far(field_of((10, 12), "periodic", Quasistatic(0.0, DECAY)).settle(release), release / DECAY) < EXACT * 10


@pytest.mark.parametrize("diffusion", [1e2, 1e6])
def test_fast_diffusion_approaches_the_mean(diffusion: float) -> None:
    """``|c - mean| <= kappa / (kappa + D lam_1) |s - mean|``, ``lam_1 = 2 - 2 cos(2 pi / 12)`` on the 10 x 12 torus."""
    generator = torch.Generator().manual_seed(5)
    release = torch.randn(120, generator=generator, dtype=torch.float64)
    found = field_of((10, 12), "periodic", Quasistatic(diffusion, 0.3), "unit").settle(release)
    bound = 0.3 / (0.3 + diffusion * (2 - 2 * math.cos(2 * math.pi / 12)))
    ratio = float((found - release.mean()).norm() / (release - release.mean()).norm())
    assert 0 < ratio <= bound


def test_published_box_has_a_length_of_one_site() -> None:
    """The variance along an axis is twice ``k / (3 (1 - k))``; the kernel at k = 3/4 is the known one."""
    for k, length in ((0.75, 1.0), (0.5, 0.5773), (0.9, 1.7321)):
        spread = field_of((81, 81), "periodic", Box(k)).settle(_impulse(81)).view(81, 81).numpy().sum(0)
        variance = (spread * (np.arange(81) - 40) ** 2).sum() / spread.sum()
        assert math.sqrt(variance / 2) == pytest.approx(length, abs=1e-4)
    small = field_of((10, 10), "periodic", Box(0.75)).stationary()[0].view(10, 10)
    wanted = {(0, 0): 1.222, (0, 1): 0.191, (1, 1): 0.169, (0, 2): 0.062}
    assert all(float(small[site]) == pytest.approx(value, abs=5e-4) for site, value in wanted.items())
    assert 1 - float(small[0, 0]) / 4 == pytest.approx(0.69, abs=0.005)


def _impulse(size: int) -> torch.Tensor:
    release = torch.zeros(size * size, dtype=torch.float64)
    release[(size // 2) * size + size // 2] = 1
    return release


def test_shuffled_steps_conserve_mass_and_follow_their_seed() -> None:
    """A shuffled step is the step in another order: same mass, another place; the same seed gives the same bits."""
    space, like = Grid((4, 5)), torch.zeros((), dtype=torch.float64)
    before = torch.rand(3, 20, generator=torch.Generator().manual_seed(6), dtype=torch.float64)

    def one_step(seed: int) -> torch.Tensor:
        now = torch.zeros_like(before)
        Shuffled(cheapest(space, Box(0.75), like, at_sites=True), seed).advance_(now, before)
        return now

    ordered = before @ torch.as_tensor(0.75 * boxes((4, 5), "periodic"))
    assert torch.equal(one_step(1), one_step(1))
    assert far(one_step(1), one_step(2)) > 1e-3
    assert far(one_step(1), ordered) > 1e-3
    assert far(one_step(1).sum(1), ordered.sum(1)) < EXACT
    impulse, spread = torch.zeros(30, 20, dtype=torch.float64), torch.zeros(30, 20, dtype=torch.float64)
    impulse[:, 3] = 1
    Shuffled(cheapest(space, Box(0.75), like, at_sites=True), 3).advance_(spread, impulse)
    assert far(spread[:, 3], 0.75 / 9) < EXACT, "the order is undone: a site keeps its own share in every trial"
    assert far(spread.mean(0)[[*range(3), *range(4, 20)]], 0.75 * 8 / 9 / 19) < 0.03, "and the rest goes anywhere"


def test_what_is_refused() -> None:
    """Every argument out of range is refused with its name and what is allowed."""
    refused: list[tuple[Any, str]] = [
        (lambda: Box(1.1), "k must be at most 1, got 1.1"),
        (lambda: Exponential(dt=0.0), "dt must be greater than 0"),
        (lambda: Implicit(diffusion=-1.0), "diffusion must be 0 or greater"),
        (lambda: Quasistatic(decay=0.0), "settles only by it, must be greater than 0"),
        (lambda: Grid(()), "at least one axis"),
        (lambda: Grid((3, 0)), "every axis of shape must be at least 1, got 0"),
        (lambda: Grid((3,), "periodc"), "unknown boundary 'periodc', did you mean 'periodic'"),
        (lambda: Graph(0, ()), "size must be at least 1"),
        (lambda: Graph(2, ((0, 0, 1.0),)), "two different sites"),
        (lambda: Graph(2, ((0, 2, 1.0),)), "two different sites of 0 to 1"),
        (lambda: Graph(2, ((0, 1, -1.0),)), "weight of the edge \\(0, 1\\) must be greater than 0"),
        (lambda: Graph(2, ((0, 1, 1.0), (1, 0, 1.0))), "may be joined once"),
        (lambda: Graph.of_points([(0.0,), (0.0,)], 1.0), "alike"),
        (lambda: Graph.of_points([(0.0,), (5.0,)], 1.0), "no two points are within reach"),
        (lambda: Field(Graph(2, ((0, 1, 1.0),)), Box()), "Box needs a Grid, got Graph"),
        (lambda: Field(Grid((3, 3)), Box(), "units"), "unknown gain 'units', did you mean 'unit'"),
        (lambda: Field(Grid((3, 3)), Box(1.0)), "gain 'unit' needs a field that decays"),
        (lambda: Field(Grid((3, 3)), Box(1.0), "raw").stationary(), "does not decay never settles"),
        (lambda: Field(Grid((3, 3)), Quasistatic()).kernel(), "Quasistatic has no steps"),
    ]
    for attempt, message in refused:
        with pytest.raises(ValueError, match=message):
            attempt()
