"""Dynamical similarity: linear systems whose map, and whose distance from each other, is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from analysis.dynamics.dsa import dsa, linear_dynamics, vector_field_distance


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int, seed: int = 9) -> Tensor:
    return torch.linalg.qr(normal(seed, size, size))[0]


def turn(angle: float) -> Tensor:
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)


def trials(matrix: Tensor, steps: int = 12, count: int = 6, seed: int = 0, shift: float = 0.0) -> Tensor:
    """States of ``x' = A x + shift`` from random starts."""
    states = [normal(seed, count, len(matrix))]
    for _ in range(steps - 1):
        states.append(states[-1] @ matrix.T + shift)
    return torch.stack(states)


def test_the_map_of_a_linear_system_is_found_whatever_its_basis_and_offset() -> None:
    matrix = 0.9 * rotation(4) + 0.1 * normal(1, 4, 4)
    exact = torch.linalg.eigvals(matrix)
    for each in (
        trials(matrix),
        trials(matrix, shift=0.7),
        trials(matrix) @ normal(2, 4, 4) + 3.0,
        trials(matrix) @ normal(3, 4, 7),  # more units than dimensions
    ):
        found = linear_dynamics(each)
        assert found.rank == 4
        assert found.explained == pytest.approx(1.0, abs=1e-10)
        assert found.persistence < 0.5
        gaps = (found.eigenvalues[:, None] - exact).abs().min(1).values
        assert gaps.max() < 1e-8


def test_delays_make_one_observed_unit_tell_of_two() -> None:
    seen = trials(turn(0.4), steps=30, count=3)[..., :1]
    blind, delayed = linear_dynamics(seen), linear_dynamics(seen, delays=2)
    assert blind.explained < 0.95
    assert delayed.explained == pytest.approx(1.0, abs=1e-10)
    assert delayed.eigenvalues.angle().abs().tolist() == pytest.approx([0.4, 0.4], abs=1e-8)
    wide = linear_dynamics(seen, delays=2, interval=3)
    assert wide.eigenvalues.angle().abs().tolist() == pytest.approx([0.4, 0.4], abs=1e-8)


def test_the_ridge_shrinks_the_map_and_the_rank_cuts_it() -> None:
    seen = trials(turn(0.4), steps=30, count=3)
    plain, shrunk = linear_dynamics(seen), linear_dynamics(seen, ridge=1.0)
    # Components have unit variance: with a penalty of one variance the map is halved, but for the ends of the trials.
    assert (shrunk.matrix.norm() / plain.matrix.norm()).item() == pytest.approx(0.5, abs=0.02)
    assert linear_dynamics(seen, rank=1).rank == 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_symmetric_fields_have_a_distance_in_closed_form(size: int) -> None:
    a, b = (each + each.T for each in (normal(1, size, size), normal(2, size, size)))
    overlap = (torch.linalg.eigvalsh(a) * torch.linalg.eigvalsh(b)).sum() / (a.norm() * b.norm())
    assert vector_field_distance(a, b, starts=0) == pytest.approx(math.acos(overlap.clamp(-1, 1)), abs=1e-7)


@pytest.mark.parametrize(("first", "second"), [(0.3, 1.1), (0.3, -0.3), (0.2, 3.0)])
def test_rotations_are_as_far_apart_as_their_angles(first: float, second: float) -> None:
    apart = abs(abs(first) - abs(second))
    assert vector_field_distance(turn(first), turn(second)) == pytest.approx(apart, abs=1e-7)
    steps = 40  # over which both directions of the plane come to equal variance with four starts a right angle apart
    starts = torch.eye(2).double()
    series = [
        torch.stack([torch.cat([starts, -starts]) @ torch.matrix_power(turn(each), t).T for t in range(steps)])
        for each in (first, second)
    ]
    assert dsa(series[0], series[1] @ rotation(2) * 5 + 1) == pytest.approx(apart, abs=1e-7)


def test_a_turned_field_is_the_same_and_the_distance_is_symmetric() -> None:
    a, b = normal(1, 3, 3), normal(2, 3, 3)
    for each in (rotation(3, 3), rotation(3, 4) @ torch.diag(torch.tensor([-1.0, 1, 1]).double())):
        assert vector_field_distance(a, 3 * each @ a @ each.T) < 1e-7
    value = vector_field_distance(a, b)
    assert value == pytest.approx(vector_field_distance(b, a), abs=1e-7)
    assert 0.3 < value < math.pi / 2
    assert vector_field_distance(a, -a) > 0.1  # time reversed is not the same
    larger = torch.block_diag(a, torch.zeros(1, 1).double())
    assert vector_field_distance(a, rotation(4) @ larger @ rotation(4).T) < 1e-6  # the smaller is padded


def test_no_rotation_drawn_at_random_comes_closer() -> None:
    a, b = (each / each.norm() for each in (normal(1, 3, 3), normal(2, 3, 3)))
    found = vector_field_distance(a, b)
    for seed in range(300):
        turned = rotation(3, seed)
        assert found <= math.acos((a * (turned @ b @ turned.T)).sum().item()) + 1e-9


def test_more_starts_may_come_closer() -> None:
    """The distance of fields that are neither the same nor symmetric is an upper bound."""
    a, b = normal(11, 8, 8), normal(61, 8, 8)
    assert vector_field_distance(a, b, starts=4) < vector_field_distance(a, b, starts=0) - 0.01


def test_dynamics_are_told_apart_where_shapes_are_the_same() -> None:
    """The same ellipse gone through at two speeds: one shape, two dynamics."""
    slow, fast = (trials(turn(2 * math.pi * each / 60), steps=60, count=1) for each in (1, 3))
    assert dsa(slow, fast) == pytest.approx(2 * math.pi * 2 / 60, abs=1e-6)
    assert dsa(slow, slow[:, :, [1, 0]]) < 1e-6


def test_the_poorer_activity_decides_how_many_components_are_compared() -> None:
    rich = trials(0.9 * rotation(4) + 0.05 * normal(1, 4, 4))
    poor = rich[..., :2] @ normal(5, 2, 6)
    assert dsa(rich, poor) == pytest.approx(dsa(rich, poor, rank=2), abs=1e-9)
    assert dsa(rich, poor) > 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_dynamics(normal(0, 5, 2)), "activity must have shape"),
        (lambda: linear_dynamics(normal(0, 3, 2, 2), delays=3), "steps must be at least 4"),
        (lambda: linear_dynamics(normal(0, 3, 1, 5)), "steps and trials must give more than 2 pairs"),
        (lambda: linear_dynamics(normal(0, 9, 2, 2), delays=0), "delays must be at least 1"),
        (lambda: linear_dynamics(normal(0, 9, 2, 2), ridge=-1.0), "ridge must be 0 or greater"),
        (lambda: linear_dynamics(torch.ones(9, 2, 2)), "activity must vary"),
        (lambda: vector_field_distance(normal(0, 2, 3), normal(0, 2, 2)), "a must be a square matrix"),
        (lambda: vector_field_distance(normal(0, 2, 2), torch.zeros(2, 2)), "b must be finite and not zero"),
        (lambda: vector_field_distance(normal(0, 2, 2), normal(0, 2, 2), starts=-1), "starts must be at least 0"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
