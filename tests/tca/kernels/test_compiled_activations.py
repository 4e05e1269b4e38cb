"""The compiled activation functions: accuracy, numbers that are not finite or very small, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tca.cells.activations import ACTIVATIONS, Activation, Linear, Softplus, Tanh
from tca.kernels import choice
from tca.kernels.compiled import FUNCTIONS


def ulps(got: Tensor, exact: Any) -> float:
    """Return the largest error in units in the last place of the exact numbers, which are of a longer type."""
    values = got.numpy()
    spacing = np.spacing(np.abs(exact.astype(values.dtype))).astype(exact.dtype)
    return float((np.abs(values.astype(exact.dtype) - exact) / spacing).max())


ROUNDED: dict[type[Activation], Callable[[Any], Any]] = {
    Tanh: np.tanh,
    Softplus: lambda u: np.maximum(u, 0) + np.log1p(np.exp(-np.abs(u))),
}


def largest_error(function: type[Activation], longer: torch.dtype) -> float:
    """Return the largest error of an activation function, in units in the last place."""
    source = np.random.default_rng(0)
    spread = 10.0 ** source.uniform(-30, 1.3, 50_000) * source.choice([-1, 1], 50_000)
    u = torch.from_numpy(np.concatenate([source.normal(0, 2, 300_000), spread, np.linspace(-25, 25, 50_000)])).to(
        longer
    )
    exact = ROUNDED[function](u.numpy().astype(np.longdouble if longer is torch.float64 else np.float64))
    choice._library().activate_(function(), u)
    assert function is not Tanh or (u.abs() <= 1).all()
    return ulps(u, exact)


@pytest.mark.parametrize("longer", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", ROUNDED)
def test_activation_functions_are_accurate(function: type[Activation], longer: torch.dtype) -> None:
    """Within 2 ulp for tanh, 5 in single precision, and 4 for softplus, also next to zero and where they saturate."""
    if longer is torch.float64 and np.finfo(np.longdouble).nmant <= 52:
        pytest.skip("no longer type to compare with")
    exactly = {(Tanh, torch.float32): 5.0, (Tanh, torch.float64): 2.0}.get((function, longer), 4.0)
    assert largest_error(function, longer) <= exactly


@pytest.mark.parametrize("function", [type(each) for each in ACTIVATIONS.values()])
def test_what_is_not_finite_or_very_small_stays_so(function: type[Activation]) -> None:
    """NaN must reach the loss, by which divergence is noticed."""
    special = [float("nan"), float("inf"), -float("inf"), 0.0, 1e-40, 88.0, -88.0, -95.0, -200.0, 1e30, -1e30]
    u = torch.tensor(special)
    expected = torch.tanh(u) if function is Tanh else function()(u)
    got = u.clone()
    choice._library().activate_(function(), got)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-44, equal_nan=True)
    slope = torch.ones_like(u)
    choice._library().times_slope_(function(), slope, expected.nan_to_num(0.0, 50.0, -50.0))
    torch.testing.assert_close(slope, function().slope(expected.nan_to_num(0.0, 50.0, -50.0)), rtol=1e-6, atol=1e-44)


def test_subnormal_numbers_are_not_flushed_where_the_library_is_loaded() -> None:
    choice._library()
    assert (torch.tensor(1e-310, dtype=torch.float64) * 0.5).item() == 5e-311
    assert np.float32(1e-40) * np.float32(0.5) > 0
    halved = torch.tensor([1e-310], dtype=torch.float64)
    choice._library().times_slope_(Linear(), halved, halved)
    assert halved.item() == 1e-310


def test_every_named_activation_function_is_compiled() -> None:
    assert {type(each) for each in ACTIVATIONS.values()} == set(FUNCTIONS)
